import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NbosError } from '../../core/errors.ts';
import type { WorkspaceSight } from '../wire/messages.ts';

/** Names of the files by which it is seen whether hosts share a workspace; no others are looked for. */
export const WORKSPACE_MARK = /^\.nbos-doctor-[0-9a-f]{12}$/;

/** What another host has made is seen within this time in a shared file system, ms. */
const SEEN_MS = 3_000;
const LOOK_MS = 100;

/** Whether a mark is in this host's workspace. @throws NbosError request-invalid */
export async function seesMark(
  workspace: string | undefined,
  mark: string,
): Promise<WorkspaceSight> {
  if (!WORKSPACE_MARK.test(mark))
    throw new NbosError('request-invalid', `"${mark}" is no mark in a workspace`);
  const folder = await stat(workspace ?? '').catch(() => undefined);
  if (workspace === undefined || !folder?.isDirectory()) return { sees: 'unknown' };
  const until = performance.now() + SEEN_MS;
  for (;;) {
    const found = await stat(join(workspace, mark)).catch(() => undefined);
    if (found !== undefined) return { sees: 'yes' };
    if (performance.now() > until) return { sees: 'no' };
    await sleep(LOOK_MS);
  }
}
