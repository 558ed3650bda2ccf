// time-limit: 120 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkHistory } from '../../../live/log/history-check.ts';
import type { AgentNotice, AppliedEntry } from '../../../live/wire/messages.ts';
import { startOf, submitOf, World, type WorldOptions } from './world.ts';

type Ended = Extract<AppliedEntry, { type: 'end' | 'abort' }>;

async function started(options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World({ seed: 1, ...options });
  await Promise.all([...world.hosts.map((host) => host.start()), world.run(30)]);
  const ready = (): boolean =>
    world.hosts.every((host) =>
      notices(world, 'replica-ready').some(([name]) => name === host.name),
    );
  assert.ok(await world.run(5_000, ready), 'all replicas are ready');
  return world;
}

function notices<Kind extends AgentNotice['t']>(
  world: World,
  kind: Kind,
): [string, Extract<AgentNotice, { t: Kind }>][] {
  return world.told.flatMap(({ host, notice }) =>
    notice.t === kind ? [[host, notice as Extract<AgentNotice, { t: Kind }>]] : [],
  );
}

function decisionOf(world: World, cell: number): Ended | undefined {
  for (const [, { entry }] of notices(world, 'applied')) {
    if (entry.type === 'end' && entry.cell === cell && entry.won) return entry;
    if (entry.type === 'abort' && entry.entry.cell === cell && entry.won) return entry;
  }
  return undefined;
}

let epoch = 0;

async function runCell(
  world: World,
  cell: number,
  code: string,
  executor: number,
  ms = 20_000,
): Promise<Ended | undefined> {
  const host = world.hosts.find(({ member }) => member === executor)!;
  const entries = [submitOf(cell, code), startOf(cell, cell + 1, ++epoch, executor)];
  host.replica!.propose(entries).catch((error) => world.warnings.push(`propose: ${error}`));
  await world.run(ms, () => decisionOf(world, cell) !== undefined);
  return decisionOf(world, cell);
}

function sound(world: World): void {
  const violations = checkHistory(world.histories(), world.witness, { settled: true });
  assert.equal(violations, [], world.warnings.join('\n'));
}

test('a cell runs once and its state reaches every standby', async () => {
  const world = await started();
  const ended = await runCell(world, 0, 'x=5;print', 1);
  assert.is(ended?.type, 'end');
  assert.is((ended as { lastOutput: number }).lastOutput, 0);
  await world.run(1_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 5]]);
  assert.is(notices(world, 'output').length, 1);
  sound(world);
  await world.close();
});

test('cells move between hosts with their variables', async () => {
  const world = await started();
  for (let cell = 0; cell < 12; cell++)
    assert.is((await runCell(world, cell, 'x+=1', 1 + (cell % 3)))?.type, 'end');
  await world.run(1_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 12]]);
  sound(world);
  await world.close();
});

test('a process that dies ends its cell with an error, and the next sees what was committed', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const aborted = await runCell(world, 1, 'x=2;die', 1);
  assert.is(aborted?.type, 'abort');
  assert.is((aborted as { entry: { reason: string } }).entry.reason, 'executor-died');
  assert.match((aborted as { entry: { message: string } }).entry.message, /signal 9.*Kept.* x\./);
  assert.is(notices(world, 'process-died').length, 1);
  assert.is((await runCell(world, 2, 'x+=10', 1))?.type, 'end');
  await world.run(1_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 11]]);
  sound(world);
  await world.close();
});

test.run();
