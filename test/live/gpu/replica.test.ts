import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import type { GpuAccess } from '../../../live/agent/gpu/access.ts';
import { DeviceGuard } from '../../../live/agent/gpu/device-guard.ts';
import { decisionOf, nextEpoch, notices, sound } from '../replica/driver.ts';
import { startOf, submitOf, World } from '../replica/world.ts';

const WHOLE = { shared: false, vramMb: 0 };

/** Three hosts; the first one's devices are guarded, and `said` tells what became of them. */
async function guarded(refusals = 0) {
  const said: string[] = [];
  const used: number[] = [];
  let left = refusals;
  const access: GpuAccess = {
    ...{ count: 2, numbers: [0, 1], memoryMb: [0, 0], enforced: 'none', reason: 'a test' },
    creation: () => ({ devices: [], deviceRequests: [], env: {} }),
    started: async () => undefined,
    lease: async (_, devices) => {
      if (left-- > 0) throw new NbosError('gpu-lease-failed', 'the container has ended');
      said.push(`lease ${devices}`);
    },
    end: async (_, devices) => void said.push(`end ${devices}`),
    usedBy: async (users) => users.map(() => used),
  };
  const limits = { contextMb: 500, lookMs: 100 };
  const guard = new DeviceGuard(2, access, pino({ level: 'silent' }), limits);
  const world = new World({ seed: 1 });
  const host = world.hosts[0]!;
  host.devices = guard.devicesOf('k1');
  await Promise.all([...world.hosts.map((each) => each.start()), world.run(30)]);
  const ready = (): boolean => notices(world, 'replica-ready').length >= world.hosts.length;
  assert.ok(await world.run(5_000, ready));
  return { world, host, guard, said, used };
}

async function runOn(world: World, cell: number, code: string, devices: readonly number[]) {
  const start = { ...startOf(cell, cell + 1, nextEpoch(), 1), devices };
  world.hosts[0]!.replica!.propose([submitOf(cell, code), start]).catch(assert.unreachable);
  await world.run(8_000, () => decisionOf(world, cell) !== undefined);
  return decisionOf(world, cell);
}

test('devices are opened before a cell runs and closed when it is decided', async () => {
  const { world, said } = await guarded();
  assert.is((await runOn(world, 0, 'x=1', [0]))?.type, 'end');
  assert.is((await runOn(world, 1, 'x=2', []))?.type, 'end');
  assert.is((await runOn(world, 2, 'sleep 500;die', [1, 0]))?.type, 'abort');
  assert.equal(said, ['lease 0', 'end 0', 'lease 0,1', 'end 0,1']);
  await world.close();
});

test('devices that cannot be opened are tried again, then the cell runs elsewhere', async () => {
  const some = await guarded(3);
  assert.is((await runOn(some.world, 0, 'x=1', [0]))?.type, 'end');
  await some.world.close();
  const { world, said } = await guarded(1_000);
  await runOn(world, 0, 'x=1', [0]);
  assert.ok(notices(world, 'yielded').length > 0);
  assert.equal(world.witness, [], 'none of it ran');
  const elsewhere = startOf(0, 2, nextEpoch(), 2);
  world.hosts[0]!.replica!.propose([elsewhere]).catch(assert.unreachable);
  assert.ok(await world.run(5_000, () => decisionOf(world, 0)?.type === 'end'));
  assert.equal(
    said.filter((each) => each.startsWith('lease')),
    [],
  );
  await sound(world);
  await world.close();
});

test('a process that keeps a device gives it up for another kernel, with its state', async () => {
  const { world, host, guard, used } = await guarded();
  await runOn(world, 0, 'x=7', [0]);
  used.push(0);
  await world.run(1_000);
  assert.equal(guard.gpus.boundTo('k1'), [0]);
  const before = host.python;
  used.pop();
  assert.is(guard.gpus.take('k2', 1, [0, 1], WHOLE), 'busy');
  assert.is.not(host.python, before);
  assert.equal(guard.gpus.take('k2', 1, [0, 1], WHOLE), [0, 1]);
  await world.run(2_000);
  assert.equal([...host.python!.vars], [['x', 7]]);
  assert.is(notices(world, 'process-died').length, 0);

  guard.gpus.forget('k2');
  await runOn(world, 1, 'x=8;thread', [1]);
  used.push(0);
  await world.run(1_000);
  const pinned = host.python;
  assert.is(guard.gpus.take('k3', 1, [0, 1], WHOLE), 'busy');
  assert.is(guard.gpus.take('k3', 1, [0, 1], WHOLE), 'busy', 'it has what would be lost');
  assert.is(host.python, pinned);
  await world.close();
});

test('a process that uses a device without ever having had it is ended, and the user told', async () => {
  const { world, used } = await guarded();
  await runOn(world, 0, 'x=1', [0]);
  world.hosts[0]!.replica!.propose([
    submitOf(1, 'sleep 5000'),
    startOf(1, 2, nextEpoch(), 1),
  ]).catch(assert.unreachable);
  await world.run(500);
  used.push(1);
  await world.run(400);
  used.pop();
  assert.ok(await world.run(3_000, () => decisionOf(world, 1) !== undefined));
  const decision = decisionOf(world, 1) as { entry: { message: string } };
  assert.match(decision.entry.message, /it used GPU 1, which it was never given.*Kept.* x\./);
  assert.match(notices(world, 'process-died')[0]![1].exit, /used GPU 1/);
  await world.run(2_000);
  assert.equal([...world.hosts[0]!.python!.vars], [['x', 1]]);
  await sound(world);
  await world.close();
});

test.run();
