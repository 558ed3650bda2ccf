import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import type { GpuAccess, GpuUser } from '../../../live/agent/gpu/access.ts';
import { DeviceGuard } from '../../../live/agent/gpu/device-guard.ts';
import { HostGpus } from '../../../live/agent/gpu/host-gpus.ts';

const WHOLE = { shared: false, vramMb: 0 };
const shareOf = (vramMb: number) => ({ shared: true, vramMb });

/** Devices of which a test says who uses what; `said` has all that was asked of it. */
function fakeAccess(used: Record<string, readonly number[]>, said: string[]): GpuAccess {
  const note = async (what: string, { id, pid }: GpuUser, devices: readonly number[] = []) =>
    void said.push(`${what} ${id} ${pid} [${devices}]`);
  return {
    ...{
      count: 2,
      numbers: [0, 1],
      memoryMb: [16_000, 16_000],
      enforced: 'none',
      reason: 'a test',
    },
    creation: () => ({ devices: [], deviceRequests: [], env: {} }),
    started: (user) => note('started', user),
    lease: (user, devices) => note('lease', user, devices),
    end: (user, devices) => note('end', user, devices),
    usedBy: async (users) => users.map(({ id }) => used[id] ?? []),
  };
}

test('devices are leased whole, all or none, and shared where asked', () => {
  const gpus = new HostGpus(2);
  assert.equal(gpus.take('k1', 1, [0], WHOLE), [0]);
  assert.is(gpus.take('k2', 1, [0, 1], WHOLE), 'busy');
  assert.equal(gpus.holders(), ['k1', undefined]);
  assert.is(gpus.take('k2', 1, [2], WHOLE), 'unknown-device');
  assert.equal(gpus.take('k2', 1, [0], WHOLE), [1], 'the books may be behind');
  assert.is(gpus.take('k3', 1, [1], WHOLE), 'busy');
  gpus.release('k1', 1);
  gpus.release('k2', 1);
  assert.equal(gpus.holders(), [undefined, undefined]);
  assert.equal(gpus.take('k1', 2, [1], shareOf(0)), [0]);
  assert.equal(gpus.take('k2', 2, [1], shareOf(0)), [0], 'who shares in the books does here');
  assert.equal(gpus.take('k3', 2, [0], shareOf(0)), [1]);
  assert.is(gpus.take('k4', 2, [0], WHOLE), 'busy');
  gpus.forget('k3');
  assert.equal(gpus.take('k4', 2, [0], WHOLE), [1]);
  assert.equal(gpus.take('k4', 2, [0], WHOLE), [1], 'asked again, it has the same');
});

test('a process has the devices again that it sees, whichever the books name', () => {
  const gpus = new HostGpus(3);
  assert.equal(gpus.take('k1', 1, [0], WHOLE), [0]);
  assert.equal(gpus.take('k2', 1, [1], WHOLE), [1]);
  gpus.bind('k1', [0]);
  gpus.bind('k2', [1]);
  gpus.release('k1', 1);
  gpus.release('k2', 1);
  assert.equal(gpus.take('k2', 2, [0], WHOLE), [1]);
  assert.equal(gpus.take('k3', 1, [1], WHOLE), [2], 'what k1 keeps is left to it');
  assert.equal(gpus.take('k1', 2, [2], WHOLE), [0]);
  gpus.release('k1', 2);
  gpus.release('k2', 2);
  assert.is(gpus.take('k2', 3, [0, 1], WHOLE), 'restart-process', 'it sees one');
  gpus.unbind('k2');
  assert.is(gpus.take('k2', 3, [0, 1], WHOLE), 'busy');
  gpus.unbind('k1');
  assert.equal(gpus.take('k2', 3, [0, 1], WHOLE), [0, 1]);
  gpus.bind('k2', [0, 1]);
  gpus.release('k2', 3);
  assert.equal(gpus.take('k4', 1, [0], WHOLE), 'busy');
  gpus.release('k3', 1);
  assert.equal(gpus.take('k4', 1, [0], WHOLE), [2]);
  assert.equal(gpus.take('k2', 4, [1], WHOLE), [0], 'the first that it sees');
});

test('a device that is kept without a lease is asked back before another kernel has it', () => {
  const gpus = new HostGpus(2);
  const asked: string[] = [];
  let lets = false;
  gpus.onWanted = (kernel) => {
    asked.push(kernel);
    if (lets) gpus.unbind(kernel);
    return lets;
  };
  gpus.take('k1', 1, [0, 1], WHOLE);
  gpus.bind('k1', [0, 1]);
  assert.is(gpus.take('k2', 1, [0], WHOLE), 'busy');
  assert.equal(asked, [], 'a lease is not asked back');
  assert.equal(gpus.release('k1', 1), [0, 1]);
  assert.equal(gpus.release('k1', 1), []);
  assert.equal(gpus.take('k1', 2, [1], WHOLE), [0], 'its own it may have again');
  assert.is(gpus.take('k2', 1, [0], WHOLE), 'busy');
  assert.equal(asked.splice(0), ['k1'], 'its cell has the other one: it will not let go');
  gpus.release('k1', 2);
  assert.is(gpus.take('k2', 1, [0, 1], WHOLE), 'busy');
  assert.equal(asked.splice(0), ['k1'], 'it is asked once');
  lets = true;
  assert.is(gpus.take('k2', 1, [0], WHOLE), 'busy', 'it needs time to end');
  assert.equal(gpus.take('k2', 1, [0], WHOLE), [0]);
});

test('contexts of CUDA and shares must fit into the memory of a device', () => {
  const gpus = new HostGpus(1, { memoryMb: [10_000], contextMb: 500 });
  const asked: string[] = [];
  gpus.onWanted = (kernel) => {
    asked.push(kernel);
    gpus.unbind(kernel);
    return true;
  };
  assert.equal(gpus.take('k1', 1, [0], shareOf(4_000)), [0]);
  assert.is(gpus.take('k2', 1, [0], shareOf(5_001)), 'busy', '9001 and two contexts');
  assert.equal(gpus.take('k2', 1, [0], shareOf(5_000)), [0]);
  assert.is(gpus.take('k3', 1, [0], WHOLE), 'busy', 'shares are out');
  gpus.bind('k2', [0]);
  gpus.release('k2', 1);
  assert.equal(gpus.take('k3', 1, [0], shareOf(4_500)), [0], 'three contexts fit');
  gpus.release('k3', 1);
  assert.is(gpus.take('k3', 1, [0], shareOf(4_501)), 'busy');
  assert.equal(asked, ['k2'], 'a context that only waits makes room');
  assert.equal(gpus.take('k3', 1, [0], shareOf(4_501)), [0]);
});

test('devices in use bind a kernel to those it could see, and tell what is not its own', () => {
  const gpus = new HostGpus(3);
  gpus.take('k1', 1, [0, 1], WHOLE);
  assert.equal(gpus.seen('k1', [1]), { never: [], taken: [] });
  assert.equal(gpus.boundTo('k1'), [0, 1], 'CUDA saw both');
  gpus.release('k1', 1);
  assert.equal(gpus.seen('k1', [1]), { never: [], taken: [] }, 'kept');
  assert.equal(gpus.seen('k1', [1, 2]), { never: [2], taken: [] });
  gpus.take('k2', 1, [2], WHOLE);
  assert.equal(gpus.seen('k2', [2, 0]), { never: [0], taken: [] });
  gpus.unbind('k1');
  assert.equal(gpus.seen('k1', [1]), { never: [1], taken: [] }, 'a new process had none');
  assert.equal(gpus.boundTo('k1'), []);
});

test('a device used without CUDA being told of is taken from its user when another has it', async () => {
  const [used, said]: [Record<string, number[]>, string[]] = [{}, []];
  const guard = new DeviceGuard(2, fakeAccess(used, said), pino({ level: 'silent' }));
  const told: string[] = [];
  let lets = false;
  const [one, two] = ['k1', 'k2'].map((name) => {
    const of = guard.devicesOf(name);
    of.own({
      letGo: () => lets,
      end: (why) => void told.push(`${name}: ${why}`),
    });
    return of;
  });
  assert.equal(one!.take(1, [0], WHOLE), [0]);
  await one!.open!(101, [0]);
  one!.release(1);
  assert.equal(two!.take(1, [0], WHOLE), [0], 'nobody knows of its use yet');
  await two!.open!(102, [0]);
  assert.equal(said.splice(0), [
    'started k1 101 []',
    'lease k1 101 [0]',
    'end k1 101 [0]',
    'started k2 102 []',
    'lease k2 102 [0]',
  ]);
  Object.assign(used, { k1: [0], k2: [0] });
  lets = true;
  await guard.look();
  assert.equal(told, [], 'it was asked, and let go');
  lets = false;
  await guard.look();
  assert.equal(told, ['k1: it used GPU 0, which it does not have any more']);
  used['k2'] = [0, 1];
  await guard.look();
  assert.equal(told.splice(0)[1], 'k2: it used GPU 1, which it was never given');
  one!.forget();
  two!.forget();
  await guard.look();
  assert.equal(told, []);
});

test('a look that fails is told once, and the next one comes', async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  let fails = 3;
  const access: GpuAccess = {
    ...fakeAccess({}, []),
    usedBy: async () => {
      if (fails-- > 0) throw new NbosError('gpu-unusable', 'the driver does not answer');
      return [[0]];
    },
  };
  const guard = new DeviceGuard(2, access, log, { contextMb: 0, lookMs: 10 });
  const of = guard.devicesOf('k1');
  const told: string[] = [];
  of.own({ letGo: () => true, end: (why) => void told.push(why) });
  for (let now = 0; now < 100; now += 5) {
    of.watch(101, now);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is(lines.filter((line) => line.includes('cannot be seen')).length, 1);
  assert.is(told[0], 'it used GPU 0, which it was never given');
});

test.run();
