import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  changeAccess,
  containerProcesses,
  devicesCgroup,
} from '../../../live/agent/gpu/devices-cgroup.ts';
import { findGpus } from '../../../live/agent/gpu/discovery.ts';
import { HostGpuAccess } from '../../../live/agent/gpu/host-access.ts';
import { descendants, openDevices } from '../../../live/agent/gpu/open-devices.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbc-'));
const ID = 'ab'.repeat(32);

/** Folders as the kernel has them, with one process in one cgroup. */
function kernelFiles(name: string, lines: string, cgroup: string) {
  const files = { proc: join(folder, name, 'proc'), cgroups: join(folder, name, 'cgroup') };
  mkdirSync(join(files.proc, '7'), { recursive: true });
  writeFileSync(join(files.proc, '7', 'cgroup'), lines);
  mkdirSync(join(files.cgroups, cgroup), { recursive: true });
  writeFileSync(join(files.cgroups, cgroup, 'cgroup.procs'), '7\n8\n');
  return files;
}

function version1(name: string, path: string) {
  const files = kernelFiles(name, `9:pids:/\n5:devices:${path}\n0::/\n`, `devices${path}`);
  for (const file of ['devices.deny', 'devices.allow']) {
    writeFileSync(join(files.cgroups, 'devices', file), '');
    writeFileSync(join(files.cgroups, 'devices', path, file), '');
  }
  return files;
}

test("a container's cgroup is found by its process, by both of the engine's drivers", async () => {
  for (const path of [`/docker/${ID}`, `/system.slice/docker-${ID}.scope`]) {
    const files = version1(path.replaceAll('/', '-'), path);
    const found = devicesCgroup(7, files);
    assert.equal(found, { folder: join(files.cgroups, 'devices', path) });
    assert.equal(await containerProcesses(7, files), [7, 8]);
    changeAccess((found as { folder: string }).folder, 'deny', [{ path: '/dev/x', number: '1:5' }]);
    const written = readFileSync(join(files.cgroups, 'devices', path, 'devices.deny'), 'utf8');
    assert.is(written, 'c 1:5 rwm');
  }
});

test("no cgroup but a container's is ever written, and it is said why", async () => {
  const service = devicesCgroup(7, version1('service', '/system.slice/ssh.service'));
  assert.match((service as { reason: string }).reason, /process 7 is in no cgroup of a container/);
  const beside = version1('beside', `/docker/${ID}`);
  mkdirSync(join(beside.proc, 'self'));
  writeFileSync(join(beside.proc, 'self', 'cgroup'), `5:devices:/docker/${ID}\n`);
  assert.match((devicesCgroup(7, beside) as { reason: string }).reason, /no cgroup of a container/);
  const hidden = kernelFiles('hidden', `5:devices:/docker/${ID}\n`, 'pids');
  assert.match((devicesCgroup(7, hidden) as { reason: string }).reason, /cannot be seen from here/);
  const second = kernelFiles('second', `0::/docker/${ID}\n`, `docker/${ID}`);
  assert.match((devicesCgroup(7, second) as { reason: string }).reason, /no devices cgroup/);
  assert.equal(await containerProcesses(7, second), [7, 8]);
  assert.is(await containerProcesses(9, second), undefined);
});

test('where it cannot be enforced, leases are granted and the reason is told once', async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const inventory = await findGpus({ devices: ['/dev/zero'], count: undefined });

  const second = kernelFiles('v2', `0::/docker/${ID}\n`, `docker/${ID}`);
  writeFileSync(join(second.cgroups, 'cgroup.controllers'), 'cpu');
  const v2 = new HostGpuAccess(inventory, log, { files: second });
  assert.is(v2.enforced, 'none');
  assert.match(v2.reason, /cgroup version 2/);
  await v2.lease({ id: 'k', pid: 7 }, [0]);

  const blind = new HostGpuAccess(inventory, log, { files: version1('blind', `/docker/${ID}`) });
  await blind.started({ id: 'k', pid: 9 });
  assert.is(blind.enforced, 'cgroup-v1', 'it may have ended');
  await blind.lease({ id: 'k', pid: 9 }, [0]);
  assert.match(blind.reason, /pid namespace/);
  const bare = new HostGpuAccess(inventory, log, { contained: false });
  assert.is(bare.reason, 'kernels are plain processes');
  lines.length = 0;

  const hidden = kernelFiles('agent-inside', `5:devices:/docker/${ID}\n`, 'devices');
  writeFileSync(join(hidden.cgroups, 'devices', 'devices.deny'), '');
  const inside = new HostGpuAccess(inventory, log, { files: hidden });
  assert.is(inside.enforced, 'cgroup-v1');
  await inside.started({ id: 'k', pid: 7 });
  await inside.lease({ id: 'k', pid: 7 }, [0]);
  assert.is(inside.enforced, 'none');
  assert.match(inside.reason, /the agent is in a container of its own/);
  assert.is(lines.filter((line) => line.includes('not enforced')).length, 1);
});

test('open devices are seen through the descriptors of a process and its children', async () => {
  const [node] = (await findGpus({ devices: ['/dev/full'], count: 1 })).gpus;
  assert.equal(await openDevices([process.pid], [node!.node!]), []);
  openSync('/dev/full', 'r');
  assert.equal(await openDevices([process.pid], [node!.node!]), [0]);
  assert.equal(await openDevices([2 ** 22 + 1], [node!.node!]), []);

  const proc = join(folder, 'tree');
  for (const [pid, parent] of [
    [10, 1],
    [11, 10],
    [12, 11],
    [13, 1],
  ]) {
    mkdirSync(join(proc, String(pid)), { recursive: true });
    writeFileSync(join(proc, String(pid), 'stat'), `${pid} (a) b (c) S ${parent} 1 1`);
  }
  mkdirSync(join(proc, '12', 'fd'));
  symlinkSync('/dev/full', join(proc, '12', 'fd', '3'));
  const files = { proc, cgroups: '' };
  const found = await descendants([10, 13], files);
  assert.equal(
    [...found],
    [
      [10, [10, 11, 12]],
      [13, [13]],
    ],
  );
  assert.equal(await openDevices(found.get(10)!, [node!.node!], files), [0]);
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
