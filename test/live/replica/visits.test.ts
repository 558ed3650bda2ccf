// time-limit: 60 s
import { randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Blobs } from '../../../live/agent/ports.ts';
import { Saver } from '../../../live/agent/saver.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { KernelStore } from '../../../live/stores/kernel-store.ts';
import { Seal } from '../../../live/stores/seal.ts';
import { ShakyStore } from '../stores/shaky-store.ts';
import { decisionOf, nextEpoch, notices, runCell } from './driver.ts';
import { FakeBlobs } from './fake-parts.ts';
import { type Host, KERNEL, META, startOf, submitOf, World } from './world.ts';

const LONGEST_MS = 20_000;

interface Visited {
  world: World;
  host: Host;
  raw: ShakyStore;
  store: KernelStore;
}

/** One host with a kernel that visits, and a store. */
async function visited(): Promise<Visited> {
  const world = new World({ seed: 1, hosts: 1 });
  const [host] = world.hosts as [Host];
  const raw = new ShakyStore();
  const store = new KernelStore(
    new CheckedStore(raw, { tries: 1, stallMs: 200 }),
    new Seal(randomBytes(32)),
  );
  host.meta = { ...META, replicas: 1, visits: true };
  host.saver = saverOf(world, host, store);
  await within(world, host.start());
  await until(world, () => state(host) === 'ready');
  return { world, host, raw, store };
}

function saverOf(world: World, host: Host, store: KernelStore): Saver {
  const log = {
    info: () => undefined,
    warn: (fields: object, text: string) =>
      world.warnings.push(`${text} ${JSON.stringify(fields)}`),
  };
  return new Saver({ store, blobs: new FakeBlobs(host) as Blobs, log, now: () => world.now });
}

/** What `work` comes to, while the world goes on. */
async function within<T>(world: World, work: Promise<T>): Promise<T> {
  let settled = false;
  const done = (): void => void (settled = true);
  work.then(done, done);
  // A store that is silent has its limits in real time.
  for (const end = performance.now() + LONGEST_MS; !settled && performance.now() < end; )
    await world.run(1);
  assert.ok(settled, `it did not end; ${world.warnings.join('; ')}`);
  return work;
}

async function until(world: World, holds: () => boolean): Promise<void> {
  assert.ok(await world.run(20_000, holds), `${holds} never held; ${world.warnings.join('; ')}`);
}

const state = (host: Host): string => host.replica!.position().process;

async function code(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => '',
    (error) => error.code,
  );
}

test('a visit ends with its process; the next one has what was committed', async () => {
  const { world, host } = await visited();
  assert.is((await runCell(world, 0, 'x=1', 1))?.type, 'end');
  const first = host.python!;
  first.vars.set('late', 7);
  await within(world, host.replica!.rest());
  await within(world, host.replica!.rest());
  assert.is(first.state, 'dead');
  const { process, pid } = host.replica!.report();
  assert.equal([process, pid], ['resting', 0]);
  await world.run(30_000);
  assert.is(host.python, first, 'nothing starts by itself');
  assert.is(notices(world, 'process-died').length, 0);
  host.replica!.wake();
  host.replica!.wake();
  await until(world, () => notices(world, 'replica-ready').length === 2);
  assert.equal([...host.python!.vars], [['x', 1]]);
  assert.is((await runCell(world, 1, 'x+=1', 1))?.type, 'end');
  assert.is(host.python!.vars.get('x'), 2);
  await world.close();
});

test('a member at rest takes cells, drops them, is reset and renamed without a process', async () => {
  const { world, host } = await visited();
  await runCell(world, 0, 'x=1', 1);
  const { python } = host;
  await within(world, host.replica!.rest());
  const epoch = nextEpoch();
  const abort = { cell: 1, attempt: 0, epoch, reason: 'interrupted', message: 'taken back' };
  await within(world, host.replica!.propose([submitOf(1, 'x=2'), submitOf(2, 'x=3')]));
  await within(world, host.replica!.propose([{ v: 1, type: 'abort', ...abort } as never]));
  assert.is(decisionOf(world, 1)?.type, 'abort');
  await within(world, host.replica!.propose([{ v: 1, type: 'annotate', path: 'b.ipynb' }]));
  assert.equal(
    host.replica!.report().open.map(({ submit }) => submit.cell),
    [2],
  );
  await within(world, host.replica!.propose([{ v: 1, type: 'reset', epoch: nextEpoch() }]));
  const report = host.replica!.report();
  assert.is(report.meta.path, 'b.ipynb');
  assert.equal(report.open, []);
  assert.is(report.resetAt, report.applied);
  host.replica!.toKernel('shell', {} as JupyterMessage);
  await within(world, host.replica!.interrupt());
  await world.run(10_000);
  assert.is(state(host), 'resting');
  assert.is(host.python, python);
  host.replica!.wake();
  await until(world, () => state(host) === 'ready');
  assert.equal([...host.python!.vars], []);
  assert.equal(host.python!.sent, [], 'what came while there was no process reaches none');
  await world.close();
});

test('an agent that starts again finds it at rest, and aborts the cell that ran', async () => {
  const { world, host } = await visited();
  await runCell(world, 0, 'x=1', 1);
  const start = startOf(1, 2, nextEpoch(), 1);
  host.replica!.propose([submitOf(1, 'x=2;sleep 9000'), start]).catch(() => undefined);
  await until(world, () => host.replica!.report().open[0]?.attempt === 2);
  host.kill();
  const { python } = host;
  await within(world, host.restart());
  const leads = (): boolean => host.replica!.position().role === 'leader';
  assert.ok(await world.run(100, leads), 'there is nobody to wait for');
  await until(world, () => decisionOf(world, 1)?.type === 'abort');
  await world.run(5_000);
  assert.is(state(host), 'resting');
  assert.is(host.python, python);
  host.replica!.wake();
  await until(world, () => state(host) === 'ready');
  assert.equal([...host.python!.vars], [['x', 1]]);
  await world.close();
});

test('a START that finds it at rest has its process; one that dies is started as ever', async () => {
  const { world, host } = await visited();
  await within(world, host.replica!.rest());
  assert.is((await runCell(world, 0, 'x=4', 1))?.type, 'end');
  assert.is((await runCell(world, 1, 'die', 1))?.type, 'abort');
  await until(world, () => state(host) === 'ready');
  await within(world, host.replica!.rest());
  assert.is(state(host), 'resting');
  await world.close();
});

test('a process that is at rest while it starts, or runs, ends there', async () => {
  const { world, host } = await visited();
  await within(world, host.replica!.rest());
  host.replica!.wake();
  const starting = host.python!;
  await within(world, host.replica!.rest());
  assert.equal([starting.state, state(host)], ['dead', 'resting']);
  host.replica!.wake();
  await until(world, () => state(host) === 'ready');
  const start = startOf(0, 1, nextEpoch(), 1);
  host.replica!.propose([submitOf(0, 'x=2;sleep 9000'), start]).catch(() => undefined);
  await until(world, () => world.witness.length === 1);
  await within(world, host.replica!.rest());
  await until(world, () => decisionOf(world, 0)?.type === 'abort');
  await world.run(5_000);
  assert.is(state(host), 'resting');
  await world.close();
});

test('a save that is asked for waits for nothing, and says when it is done', async () => {
  const { world, host, raw, store } = await visited();
  await runCell(world, 0, 'x=1', 1);
  const asked = world.now;
  await within(world, Promise.all([host.replica!.save(), host.replica!.save()]));
  assert.ok(world.now - asked < 100, `${world.now - asked} ms`);
  assert.is(host.replica!.position().store?.saved, true);
  assert.is(raw.keys('tables').length, 1);
  assert.equal(
    (await store.latestTable(KERNEL))?.state.units.map(({ id }) => id),
    ['x'],
  );
  // Again and again, without the rest that the store has after a save.
  for (let cell = 1; cell < 4; cell++) {
    await runCell(world, cell, `y${cell}=1`, 1);
    await within(world, host.replica!.save());
    assert.is((await store.latestTable(KERNEL))?.state.units.length, 1 + cell);
  }
  const before = raw.asked.length;
  await within(world, host.replica!.save());
  assert.is(raw.asked.length, before, 'all is there already');
  await within(world, host.replica!.rest());
  await within(world, host.replica!.propose([submitOf(4, 'x=2')]));
  await within(world, host.replica!.propose([{ v: 1, type: 'annotate', path: 'b.ipynb' }]));
  await within(world, host.replica!.save());
  assert.is((await store.latestTable(KERNEL))?.state.meta?.path, 'b.ipynb', 'at rest too');
  await world.close();
});

test('what its user has thrown away is out of the store at once', async () => {
  const { world, host, store } = await visited();
  await runCell(world, 0, 'x=1', 1);
  await within(world, host.replica!.save());
  const at = world.now;
  await within(world, host.replica!.propose([{ v: 1, type: 'reset', epoch: nextEpoch() }]));
  await until(world, () => host.replica!.position().store?.saved === true);
  assert.ok(world.now - at < 400, `${world.now - at} ms, as if it waited for more changes`);
  const table = await store.latestTable(KERNEL);
  assert.equal(table?.state.units, []);
  assert.is(table?.state.resetAt, host.replica!.report().resetAt);
  await world.close();
});

test('a save that cannot be is refused with what the store says, and made up for later', async () => {
  const { world, host, raw } = await visited();
  for (const [trouble, said] of [
    ['outage', 'store-unreachable'],
    ['denied', 'store-denied'],
    ['full', 'disk-full'],
    ['silence', 'store-unreachable'],
  ] as const) {
    raw.trouble = trouble;
    await runCell(world, raw.asked.length, 'x+=1', 1);
    assert.is(await code(within(world, host.replica!.save())), said);
    assert.is(host.replica!.position().store?.saved, false);
  }
  raw.trouble = '';
  await within(world, host.replica!.save());
  assert.is(host.replica!.position().store?.saved, true);
  host.saver = undefined;
  host.kill();
  await within(world, host.restart());
  assert.is(await code(within(world, host.replica!.save())), 'change-refused');
  await world.close();
});

test.run();
