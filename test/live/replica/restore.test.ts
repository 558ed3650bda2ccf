import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import type { KernelReplica } from '../../../live/agent/replica.ts';
import { type Ground, restoreGroup } from '../../../live/agent/restore-group.ts';
import type { Blob, LogEntry } from '../../../live/log/entries.ts';
import type { SavedTable } from '../../../live/stores/kernel-store.ts';
import type { Beginning, Begun } from '../../../live/wire/messages.ts';
import { nextEpoch, runCell, started } from './driver.ts';
import { type Host, KERNEL, META, startOf, submitOf, type World } from './world.ts';

/** Member 7 on an empty host, when the one that had the kernel is gone for good. */
const LATER: Beginning = {
  meta: { ...META, replicas: 1, path: 'renamed.ipynb' },
  member: 7,
  beyond: 0,
  after: 0,
  empty: false,
  waiting: [],
};

/** What the store has when this is the moment at which it was saved. */
function tableOf({ replica }: Host): SavedTable {
  const { applied } = replica!.report();
  const state = structuredClone((replica as KernelReplica).snapshot()) as SavedTable['state'];
  return { index: applied, state };
}

async function restored(
  world: World,
  table: SavedTable | undefined,
  how: Partial<Beginning> = {},
): Promise<{ host: Host; begun: Begun; fetched: Blob[] }> {
  const [lost, host] = world.hosts;
  lost!.kill();
  host!.leave();
  const fetched: Blob[] = [];
  const begun = await inTime(
    world,
    restoreGroup(
      groundOf(host!, async (files) => void fetched.push(...files)),
      { name: 'shelf:', latestTable: async () => table },
      { ...LATER, ...how },
    ),
  );
  host!.member = 7;
  await inTime(world, host!.restart());
  const ready = (): boolean => host!.replica!.position().process === 'ready';
  assert.ok(await world.run(5_000, ready), 'it is ready');
  return { host: host!, begun, fetched };
}

function groundOf({ name, store }: Host, fetch: Ground['fetch']): Ground {
  return { host: name, logs: store.forLife(), fetch, clear: async () => undefined };
}

async function inTime<T>(world: World, work: Promise<T>): Promise<T> {
  const [done] = await Promise.all([work, world.run(50)]);
  return done;
}

function say(host: Host, entries: LogEntry[]): void {
  host.replica!.propose(entries).catch(() => undefined);
}

test('a kernel goes on with the table that was saved, on a host that never had it', async () => {
  const world = await started({ hosts: 2 });
  const [first] = world.hosts;
  for (let cell = 0; cell < 3; cell++) await runCell(world, cell, 'x+=1', 1);
  await runCell(world, 3, 'thread', 1);
  const table = tableOf(first!);
  assert.is.not(table.state.pinned.length, 0);
  await runCell(world, 4, 'x=50', 1);
  const { applied } = first!.replica!.report();
  const { host, begun } = await restored(world, table, { beyond: applied });
  assert.equal(begun, { index: table.index, store: 'shelf:' });
  const report = host.replica!.report();
  assert.equal(report.members, [{ member: 7, host: 'h2' }]);
  assert.is(report.count, 4);
  assert.equal(report.pinned, []);
  assert.is(report.meta.path, 'renamed.ipynb');
  assert.ok(report.applied > applied, 'no report of the lost log is newer');
  assert.is(host.python!.vars.get('x'), 3);
  assert.is((await runCell(world, 5, 'x+=1', 7))?.type, 'end');
  assert.is(host.python!.vars.get('x'), 4);
  await world.close();
});

test('a cell that ran is aborted; one that waits is kept when it is asked for again', async () => {
  const world = await started({ hosts: 2 });
  const [first] = world.hosts;
  await runCell(world, 0, 'x=1', 1);
  const start = startOf(1, 2, nextEpoch(), 1);
  say(first!, [submitOf(1, 'sleep 9000'), start, submitOf(2, 'x=3'), submitOf(3, 'x=4')]);
  await world.run(500);
  const { host } = await restored(world, tableOf(first!), { waiting: [3] });
  const { open, decided } = host.replica!.report();
  assert.equal(
    open.map(({ submit, attempt }) => [submit.cell, attempt]),
    [[3, 0]],
  );
  for (const cell of [1, 2]) {
    const entry = decided.find((each) => each.cell === cell)?.entry;
    assert.is(entry?.type === 'abort' && entry.entry.reason, 'host-lost');
  }
  say(host, [startOf(3, 4, nextEpoch(), 7)]);
  assert.ok(await world.run(2_000, () => host.python!.vars.get('x') === 4), 'it runs');
  await world.close();
});

test('what was saved before a restart of the kernel is not its state any more', async () => {
  const world = await started({ hosts: 2 });
  await runCell(world, 0, 'x=1', 1);
  const table = tableOf(world.hosts[0]!);
  const { host, begun } = await restored(world, table, { after: table.index + 1 });
  assert.is(begun.index, -1);
  assert.equal([...host.python!.vars], []);
  await world.close();
});

test('a kernel of which nothing was saved begins empty, beyond all that anybody heard of', async () => {
  for (const how of [{}, { empty: true }]) {
    const world = await started({ hosts: 2 });
    await runCell(world, 0, 'x=1', 1);
    const saved = 'empty' in how ? tableOf(world.hosts[0]!) : undefined;
    const { host, begun } = await restored(world, saved, { ...how, beyond: 40 });
    assert.is(begun.index, -1);
    assert.is(host.replica!.report().meta.kernel, KERNEL);
    assert.ok(host.replica!.report().applied > 40);
    assert.is((await runCell(world, 1, 'x=2', 7))?.type, 'end');
    await world.close();
  }
});

test('files that do not come leave the host as it was', async () => {
  const world = await started({ hosts: 2 });
  const [first, second] = world.hosts;
  await runCell(world, 0, 'x=1', 1);
  const table = tableOf(first!);
  second!.leave();
  const logs = second!.store.forLife();
  const refused = await restoreGroup(
    groundOf(second!, () => Promise.reject(new NbosError('store-corrupt', 'a blob was changed'))),
    { name: 'shelf:', latestTable: async () => table },
    LATER,
  ).catch(({ code }) => code);
  assert.is(refused, 'store-corrupt');
  assert.is(await logs.load(KERNEL), undefined);
  await world.close();
});

test.run();
