import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { deviceNodes, numberOf } from '../../../live/agent/gpu/device-node.ts';
import { cellMemoryMb, findGpus } from '../../../live/agent/gpu/discovery.ts';
import { HostGpuAccess } from '../../../live/agent/gpu/host-access.ts';
import { hasCdi, nvidiaGpus, nvidiaUsers } from '../../../live/agent/gpu/nvidia.ts';
import { refusal } from './refusal.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbg-'));
const log = pino({ level: 'silent' });

/** A driver that answers as `script` does. */
function driver(script: string, limitMs = 5_000) {
  const program = join(mkdtempSync(join(folder, 'driver-')), 'nvidia-smi');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  return { program, limitMs, cards: join(folder, 'cards'), cdi: [join(folder, 'cdi')] };
}

const TWO_CARDS = `case "$1" in
--query-gpu=*)
echo '1, GPU-bb22, 00000000:41:00.0, 81559, NVIDIA H100 80GB HBM3'
echo '0, GPU-aa11, 00000000:01:00.0, [N/A], Some, other card' ;;
*) echo '41, GPU-aa11'; echo '42, GPU-bb22'; echo '42, GPU-aa11'; echo '[N/A]' ;;
esac`;

test("NVIDIA's GPUs are found in the order of their bus, with their device files", async () => {
  mkdirSync(join(folder, 'cards', '0000:41:00.0'), { recursive: true });
  writeFileSync(
    join(folder, 'cards', '0000:41:00.0', 'information'),
    'Model: \t\t NVIDIA H100\nDevice Minor: \t 5\nGPU Excluded:\t No\n',
  );
  const places = driver(TWO_CARDS);
  assert.equal(await nvidiaGpus(places), [
    { index: 0, uuid: 'GPU-aa11', memoryMb: 0, name: 'Some, other card', path: '/dev/nvidia0' },
    {
      ...{ index: 1, uuid: 'GPU-bb22', memoryMb: 81559, name: 'NVIDIA H100 80GB HBM3' },
      path: '/dev/nvidia5',
    },
  ]);
  assert.equal(
    [...(await nvidiaUsers(places))],
    [
      [41, ['GPU-aa11']],
      [42, ['GPU-bb22', 'GPU-aa11']],
    ],
  );
});

test('a host without a driver has none; a driver that fails or hangs is told', async () => {
  const absent = { ...driver(''), program: join(folder, 'nowhere') };
  assert.equal(await nvidiaGpus(absent), []);
  assert.equal(await nvidiaUsers(absent), new Map());
  const failing = driver('echo "NVIDIA-SMI has failed: no driver is loaded"; exit 9');
  assert.match(await refusal(nvidiaGpus(failing)), /gpu-unusable: .*has failed: no driver/);
  const hanging = driver('exec sleep 30', 200);
  assert.match(await refusal(nvidiaGpus(hanging)), /gpu-unusable: .*within 200 ms/);
  const odd = driver('echo "No devices were found"');
  assert.match(await refusal(nvidiaGpus(odd)), /gpu-unusable: .*"No devices were found"/);
});

test('engines are told of GPUs by requests, or by CDI names where both sides know them', async () => {
  assert.is(await hasCdi(driver('')), false);
  mkdirSync(join(folder, 'cdi'));
  writeFileSync(join(folder, 'cdi', 'nvidia.yaml'), '');
  assert.is(await hasCdi(driver('')), true);
  const gpu = { name: 'card', index: 0, uuid: 'GPU-aa11', memoryMb: 81_559, node: undefined };
  const inventory = {
    kind: 'nvidia',
    gpus: [gpu, { ...gpu, index: 3, uuid: 'GPU-bb22' }],
  } as const;
  const plain = new HostGpuAccess({ ...inventory, cdi: false }, log);
  const requested = {
    Driver: 'nvidia',
    DeviceIDs: ['GPU-aa11', 'GPU-bb22'],
    Capabilities: [['gpu', 'compute', 'utility']],
  };
  assert.equal(plain.creation('28.2.2').deviceRequests, [requested]);
  assert.is(plain.creation().env['CUDA_DEVICE_ORDER'], 'PCI_BUS_ID');
  const named = new HostGpuAccess({ ...inventory, cdi: true }, log);
  assert.equal(named.creation('20.10.24').deviceRequests, [requested]);
  const byName = { Driver: 'cdi', DeviceIDs: ['nvidia.com/gpu=0', 'nvidia.com/gpu=3'] };
  assert.equal(named.creation('25.0.1').deviceRequests, [byName]);
  assert.equal(named.numbers, [0, 1], 'a container counts those that it has');
  const seeing = new HostGpuAccess({ ...inventory, cdi: true }, log, { contained: false });
  assert.equal(seeing.numbers, [0, 3], 'a process sees those of other hosts, too');
  assert.is(cellMemoryMb({ ...inventory, cdi: true }, 500), 2 * 81_059);
});

test("what the driver's list of processes says is found of a kernel and its children", async () => {
  const gpu = { name: 'card', index: 0, uuid: 'GPU-aa11', memoryMb: 0, node: undefined };
  const gpus = [gpu, { ...gpu, index: 1, uuid: 'GPU-bb22' }];
  const inventory = { kind: 'nvidia', gpus, cdi: false } as const;
  // Its parent is the process of this test.
  const busy = new HostGpuAccess(inventory, log, { nvidia: driver('echo "$PPID, GPU-bb22"') });
  const [mine, other] = [process.pid, 2 ** 22 + 1].map((pid) => ({ id: 'k', pid }));
  assert.equal(await busy.usedBy([mine!, other!]), [[1], []]);
  const idle = new HostGpuAccess(inventory, log, { nvidia: driver('true') });
  assert.equal(await idle.usedBy([mine!, other!]), [[], []]);
});

test('character devices stand in for GPUs, each once; other files do not', async () => {
  const [zero, full] = await deviceNodes(['/dev/zero', '/dev/full']);
  assert.equal([zero!.number, full!.number], ['1:5', '1:7']);
  const { kind, gpus } = await findGpus({ devices: ['/dev/zero'], count: 1 });
  assert.is(kind, 'pretend');
  assert.equal(gpus, [{ name: '/dev/zero', index: 0, uuid: '', memoryMb: 0, node: zero }]);

  for (const [paths, reason] of [
    [['dev/zero'], /--gpu-device dev\/zero: it must be a path below \/dev/],
    [['/dev/../dev/zero'], /must be a path below \/dev/],
    [['/dev/stdin'], /it is a link/],
    [['/dev/shm'], /it is no character device/],
    [['/dev/nbos-none'], /cannot be read \(ENOENT\)/],
    [[join(folder, 'gpu')], /must be a path below \/dev/],
    [['/dev/zero', '/dev/zero'], /it is device 1:5, which \/dev\/zero is as well/],
  ] as const)
    assert.match(await refusal(deviceNodes(paths)), reason);
  const both = findGpus({ devices: ['/dev/zero'], count: 2 });
  assert.match(await refusal(both), /gpu-device-invalid: 2 GPUs were asked for, and 1/);
  const many = findGpus({ devices: [], count: 32 });
  assert.match(await refusal(many), /at most 31/);
});

test('numbers of devices beyond eight bits are told as the kernel writes them', () => {
  assert.is(numberOf({ rdev: 0x0105n }), '1:5');
  // glibc: the minor's upper bits from bit 20, the major's from bit 32.
  assert.is(numberOf({ rdev: (0xebn << 8n) | (0x123n << 20n) | 0x45n }), '235:74565');
});

test('pretend GPUs that are only numbers cannot be enforced, and containers get nothing', async () => {
  const inventory = await findGpus({ devices: [], count: 2 });
  const access = new HostGpuAccess(inventory, log);
  assert.equal(access.creation(), { devices: [], deviceRequests: [], env: {} });
  assert.is(access.enforced, 'none');
  assert.is(access.reason, 'no device is behind its GPUs');
  assert.is((await findGpus({ devices: [], count: 0 })).kind, 'none');
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
