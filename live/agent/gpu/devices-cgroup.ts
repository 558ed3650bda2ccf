import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceNode } from './device-node.ts';

/** Where processes and their cgroups are found; tests put folders of theirs in their place. */
export interface KernelFiles {
  readonly proc: string;
  readonly cgroups: string;
}

export const KERNEL_FILES: KernelFiles = { proc: '/proc', cgroups: '/sys/fs/cgroup' };

/** How engines name the cgroup of a container, by either of their cgroup drivers. */
const OF_A_CONTAINER = /\/(docker-)?[0-9a-f]{64}(\.scope)?$/;

/** The folder of a container's cgroup, or why there is none that could be used. */
export type FoundCgroup = { readonly folder: string } | { readonly reason: string };

/**
 * The devices cgroup of a container's first process, a folder with files `devices.allow` and
 * `devices.deny`. Only one that is a container's is given: what is denied in another would be
 * denied to the host itself.
 */
export function devicesCgroup(pid: number, files = KERNEL_FILES): FoundCgroup {
  const path = pathIn(readText(join(files.proc, String(pid), 'cgroup')), 'devices');
  if (path === undefined)
    return { reason: 'there is no devices cgroup of version 1 with files to write to' };
  const own = pathIn(readText(join(files.proc, 'self', 'cgroup')), 'devices');
  if (!OF_A_CONTAINER.test(path) || path === own)
    return { reason: `process ${pid} is in no cgroup of a container's own` };
  const folder = join(files.cgroups, 'devices', path);
  if (existsSync(join(folder, 'devices.deny'))) return { folder };
  return { reason: `${folder} cannot be seen from here: the agent is in a container of its own` };
}

/** All processes of the container whose first one is `pid`; undefined when it is in none. */
export async function containerProcesses(
  pid: number,
  files = KERNEL_FILES,
): Promise<number[] | undefined> {
  const own = await readFile(join(files.proc, String(pid), 'cgroup'), 'utf8').catch(() => '');
  for (const [controller, folder] of [
    ['devices', 'devices'],
    ['', ''],
  ] as const) {
    const path = pathIn(own, controller);
    if (path === undefined || !OF_A_CONTAINER.test(path)) continue;
    const list = join(files.cgroups, folder, path, 'cgroup.procs');
    const text = await readFile(list, 'utf8').catch(() => undefined);
    if (text !== undefined) return text.split('\n').filter(Boolean).map(Number);
  }
  return undefined;
}

/**
 * Lets the processes of a cgroup open these devices from now on, or not any more; what is open
 * stays open. Throws what writing throws: ENOENT when the container is gone.
 */
export function changeAccess(
  folder: string,
  change: 'allow' | 'deny',
  nodes: readonly DeviceNode[],
): void {
  // The kernel takes one rule a write. In memory, some microseconds each.
  for (const { number } of nodes)
    writeFileSync(join(folder, `devices.${change}`), `c ${number} rwm`, { flag: 'w' });
}

/** A process's path in a hierarchy of version 1, or of version 2 for ''. */
function pathIn(text: string, controller: string): string | undefined {
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers?.split(',').includes(controller)) return path;
  }
  return undefined;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
