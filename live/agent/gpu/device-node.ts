import type { BigIntStats } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { normalize } from 'node:path';
import { NbosError } from '../../../core/errors.ts';

/** A character device of the host. */
export interface DeviceNode {
  readonly path: string;
  /** MAJOR:MINOR, as the devices cgroup writes it: what the kernel tells devices apart by */
  readonly number: string;
}

/** MAJOR:MINOR of a device's `rdev`. */
export function numberOf({ rdev }: Pick<BigIntStats, 'rdev'>): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** The device at `path`. @throws NbosError gpu-device-invalid */
export async function deviceNode(path: string): Promise<DeviceNode> {
  // Elsewhere in a container lie file systems on which devices cannot be opened.
  if (!path.startsWith('/dev/') || normalize(path) !== path || path.includes(':'))
    throw invalid(path, 'it must be a path below /dev, without colons');
  let found: BigIntStats;
  try {
    // The same path must name the device itself inside a container.
    if ((await lstat(path)).isSymbolicLink()) throw invalid(path, 'it is a link');
    found = await stat(path, { bigint: true });
  } catch (error) {
    if (error instanceof NbosError) throw error;
    throw invalid(path, `it cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (!found.isCharacterDevice()) throw invalid(path, 'it is no character device');
  return { path, number: numberOf(found) };
}

/** Devices that stand in for GPUs. @throws NbosError gpu-device-invalid, also for one given twice */
export async function deviceNodes(paths: readonly string[]): Promise<DeviceNode[]> {
  const nodes: DeviceNode[] = [];
  for (const path of paths) {
    const node = await deviceNode(path);
    const same = nodes.find(({ number }) => number === node.number);
    if (same !== undefined)
      throw invalid(path, `it is device ${node.number}, which ${same.path} is as well`);
    nodes.push(node);
  }
  return nodes;
}

function invalid(path: string, reason: string): NbosError {
  return new NbosError(
    'gpu-device-invalid',
    `--gpu-device ${path}: ${reason}`,
    'Name character devices of their own numbers, as `mknod /dev/gpu0 c MAJOR MINOR` makes them.',
  );
}
