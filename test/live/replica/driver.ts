import * as assert from 'uvu/assert';
import { checkHistory } from '../../../live/log/history-check.ts';
import type { AgentNotice, AppliedEntry } from '../../../live/wire/messages.ts';
import { startOf, submitOf, World, type WorldOptions } from './world.ts';

export type Ended = Extract<AppliedEntry, { type: 'end' | 'abort' }>;

export async function started(options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World({ seed: 1, ...options });
  await Promise.all([...world.hosts.map((host) => host.start()), world.run(30)]);
  const ready = (): boolean =>
    world.hosts.every((host) =>
      notices(world, 'replica-ready').some(([name]) => name === host.name),
    );
  assert.ok(await world.run(5_000, ready), 'all replicas are ready');
  return world;
}

export function notices<Kind extends AgentNotice['t']>(
  world: World,
  kind: Kind,
): [string, Extract<AgentNotice, { t: Kind }>][] {
  return world.told.flatMap(({ host, notice }) =>
    notice.t === kind ? [[host, notice as Extract<AgentNotice, { t: Kind }>]] : [],
  );
}

export function decisionOf(world: World, cell: number): Ended | undefined {
  for (const [, { entry }] of notices(world, 'applied')) {
    if (entry.type === 'end' && entry.cell === cell && entry.won) return entry;
    if (entry.type === 'abort' && entry.entry.cell === cell && entry.won) return entry;
  }
  return undefined;
}

/** Epochs of the STARTs that `runCell` proposes. */
let epoch = 0;

export function nextEpoch(): number {
  return ++epoch;
}

export async function runCell(
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

/** Logs and witness agree, once everything had its time. */
export async function sound(world: World): Promise<void> {
  await world.run(2_000);
  const violations = checkHistory(world.histories(), world.witness, { settled: true });
  assert.equal(violations, [], world.warnings.join('\n'));
}
