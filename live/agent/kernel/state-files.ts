import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob } from '../../log/entries.ts';
import type { StateUpdate } from './runtime.ts';

/** More inline state than this goes to the process as files, not as one message. */
const INLINE_TOTAL_BYTES = 512 * 1024;

/** The same state; when much of it is inline, that goes to files of `blobs` first. */
export async function withoutMuchInline(state: StateUpdate, blobs: string): Promise<StateUpdate> {
  const all = state.units.flatMap((unit) => [unit.skeleton, ...unit.buffers]);
  const inline = all.reduce((sum, blob) => sum + (blob.inline?.length ?? 0), 0);
  if (inline <= INLINE_TOTAL_BYTES) return state;
  const units = [];
  for (const unit of state.units) {
    const buffers: Blob[] = [];
    for (const blob of unit.buffers) buffers.push(await outside(blob, blobs));
    units.push({ ...unit, skeleton: await outside(unit.skeleton, blobs), buffers });
  }
  return { ...state, units };
}

async function outside(blob: Blob, blobs: string): Promise<Blob> {
  if (blob.inline === undefined) return blob;
  const file = join(blobs, blob.hash);
  await writeFile(`${file}.part`, Buffer.from(blob.inline, 'base64'), { mode: 0o600 });
  await rename(`${file}.part`, file);
  return { hash: blob.hash, bytes: blob.bytes, mac: blob.mac };
}
