import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { System } from './system.ts';

const MB = 1024 * 1024;
/** A file system of so many MB; `end` takes it away again. */
function smallDisk(megabytes: number): { folder: string; end: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-disk-'));
  const words = ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'nbos-test', folder];
  const mounted = spawnSync('mount', words, { encoding: 'utf8' });
  const end = (): void => {
    spawnSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  };
  if (mounted.status === 0) return { folder, end };
  rmSync(folder, { recursive: true, force: true });
  throw new Error(`no tmpfs: ${mounted.stderr}`);
}

/** Writes a file until nothing more goes in. */
function fill(file: string): void {
  const handle = openSync(file, 'w');
  try {
    for (let bytes = MB; bytes >= 1; )
      try {
        writeSync(handle, Buffer.alloc(bytes));
      } catch {
        bytes = Math.floor(bytes / 16);
      }
  } finally {
    closeSync(handle);
  }
}

const HOSTS = ['h1', 'h2', 'h3', 'h4'];

/** Where the system of a case keeps files of its user, and how it is started. */
export interface DiskPlace {
  readonly words: readonly string[];
  /** What is left behind after the end of the system. */
  stop(): unknown[];
}

/** Tests of hosts whose disks have no room; `missing` says why there are none. */
export function diskCases(name: string, missing: string, place: () => Promise<DiskPlace>) {
  const test = suite(name);
  const what = 'the disk of a host is full: cells go on elsewhere, and it comes back with space';
  testWithPart(test, missing, what, async () => {
    const disks = new Map<string, ReturnType<typeof smallDisk>>();
    const { words, stop } = await place();
    let system: System | undefined;
    try {
      const data = mkdtempSync(join(tmpdir(), 'nbos-test-'));
      mkdirSync(join(data, 'hosts'));
      for (const host of HOSTS) {
        const disk = smallDisk(96);
        disks.set(host, disk);
        symlinkSync(disk.folder, join(data, 'hosts', host));
      }
      const hosts = ['--split', '--hosts', String(HOSTS.length)];
      system = await System.up([...hosts, ...words], data);
      await fillAndFree(system, (host) => join(disks.get(host)!.folder, 'filler'));
    } finally {
      const left: unknown[] = (await system?.stop()) ?? [];
      for (const { end } of disks.values()) end();
      assert.equal([...left, ...stop()], [], 'left behind');
    }
  });
  return test;
}

async function fillAndFree(system: System, fillerOf: (host: string) => string): Promise<void> {
  const { id, client } = await system.notebook();
  await client.run('import os\nx = 0');
  const allReady = async (): Promise<void> => {
    let seen: unknown;
    const look = async (): Promise<boolean> => {
      const { replicas } = await system.kernel(id);
      seen = replicas;
      return replicas.length === 3 && replicas.every(({ process }) => process === 'ready');
    };
    await system.until('three replicas run', look, 40_000).catch(() => {
      throw new Error(`not three replicas: ${JSON.stringify(seen)}`);
    });
  };
  await allReady();

  const { executor, replicas } = await system.kernel(id);
  const standby = replicas.find((replica) => replica.id !== executor)!.host;
  fill(fillerOf(standby));
  for (let at = 1; at <= 5; at++) {
    const cell = client.execute('x += 1\ndata = os.urandom(4_000_000)', { limitMs: 20_000 });
    assert.is((await cell.done)['status'], 'ok', `cell ${at} beside a full disk`);
  }
  rmSync(fillerOf(standby));
  await allReady();

  const now = await system.kernel(id);
  const { host } = now.replicas.find((replica) => replica.id === now.executor)!;
  fill(fillerOf(host));
  const begun = await client.execute('x += 1\ndata = b""', { limitMs: 30_000 }).done;
  const said = JSON.stringify(begun);
  if (begun['status'] !== 'ok') assert.match(said, /disk|space|executor|host/i, said);
  const x = begun['status'] === 'ok' ? 6 : 5;
  assert.is((await client.run('print(x, len(data))')).text.split(' ')[0], String(x));
  const other = await system.notebook();
  assert.is((await other.client.run('print("a new kernel")')).text, 'a new kernel\n');
  rmSync(fillerOf(host));
  await allReady();
  assert.is((await client.run('print(x)')).text, `${x}\n`);
}
