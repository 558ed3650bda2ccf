import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type DeviceNode, numberOf } from './device-node.ts';
import { KERNEL_FILES, type KernelFiles } from './devices-cgroup.ts';

/**
 * Which of `nodes` these processes have open, as indices. A process of another user, or that has
 * ended, has none that could be seen.
 */
export async function openDevices(
  pids: readonly number[],
  nodes: readonly DeviceNode[],
  { proc }: KernelFiles = KERNEL_FILES,
): Promise<number[]> {
  const indices = new Map(nodes.map(({ number }, index) => [number, index]));
  const paths = new Set(nodes.map(({ path }) => path));
  const open = new Set<number>();
  for (const pid of pids) {
    const folder = join(proc, String(pid), 'fd');
    const descriptors = await readdir(folder).catch(() => [] as string[]);
    await Promise.all(
      descriptors.map(async (descriptor) => {
        const file = join(folder, descriptor);
        const target = await readlink(file).catch(() => '');
        // Others are not looked at: a file of a server that is gone would hold us up.
        if (!paths.has(target) && !target.startsWith('/dev/')) return;
        const found = await stat(file, { bigint: true }).catch(() => undefined);
        const index = found?.isCharacterDevice() ? indices.get(numberOf(found)) : undefined;
        if (index !== undefined) open.add(index);
      }),
    );
  }
  return [...open].sort((a, b) => a - b);
}

/** Each of `roots` with all processes that descend from it. */
export async function descendants(
  roots: readonly number[],
  { proc }: KernelFiles = KERNEL_FILES,
): Promise<Map<number, number[]>> {
  const children = new Map<number, number[]>();
  const names = await readdir(proc).catch(() => [] as string[]);
  for (const name of names.filter((each) => /^\d+$/.test(each))) {
    const text = await readFile(join(proc, name, 'stat'), 'utf8').catch(() => '');
    // The name of its program, in parentheses, may have spaces and parentheses itself.
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    if (parent > 0) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return new Map(
    roots.map((root) => {
      const found = [root];
      for (const pid of found) found.push(...(children.get(pid) ?? []));
      return [root, found];
    }),
  );
}
