// time-limit: 600 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Effect } from '../core/effects.ts';
import type { Event } from '../core/events.ts';
import { tctOf } from '../core/record/cell-row.ts';
import type { State } from '../core/state.ts';
import { Engine, type Observer } from '../sim/engine.ts';
import { type RandomRun, randomRun } from './random-run.ts';

const FIRST = Number(process.env['NBOS_SEED'] ?? 1);
const COUNT = process.env['NBOS_SEED'] ? 1 : Number(process.env['NBOS_SEEDS'] ?? 1000);
/** No run of this size comes near it: more is a loop that does not end. */
const MOST_EVENTS = 200_000;

/** Checks what a client sees: each cell answered once, and its delays add up. */
class Client implements Observer {
  readonly answered = new Set<string>();

  before(): void {}

  after(event: Event, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'reply') continue;
      const { session, cell, execution } = effect;
      const name = `session ${session} cell ${cell}`;
      assert.not.ok(this.answered.has(`${session}/${cell}`), `${name} is answered twice`);
      this.answered.add(`${session}/${cell}`);
      const tct = event.at - execution.submittedAt;
      assert.is(tctOf(execution), tct, `${name}: steps ${execution.steps} do not add up to ${tct}`);
      for (const ms of execution.steps) assert.ok(ms >= 0, `${name}: steps ${execution.steps}`);
    }
  }
}

function run({ trace, policy, config }: RandomRun): void {
  const client = new Client();
  const engine = new Engine(trace, policy, config, client, { check: true, facts: true });
  while (engine.advance(1_000, Number.POSITIVE_INFINITY)) {
    assert.ok(engine.events < MOST_EVENTS, `still going on after ${engine.events} events`);
  }
  checkDrained(engine.core.state);
  assert.is(client.answered.size, trace.cells.count, 'a cell was never answered');
}

function checkDrained(state: State): void {
  const { totals } = state;
  assert.is(state.queue.size, 0, 'executions wait for GPUs');
  assert.equal(state.placementQueue, [], 'kernels wait for hosts');
  assert.is(totals.sessionsOpen, 0, 'a session is open');
  for (const execution of state.executions.slots) assert.is(execution.state, 'done');
  assert.is(totals.running, 0);
  assert.is(totals.standbyReplicas, 0);
  assert.is(state.reservations, 0, 'a host is reserved for nobody');
  for (const key of ['leased', 'reserved', 'committed', 'subscribed', 'demanded'] as const) {
    assert.is(totals[`${key}GpuMillis`], 0, `${key} GPUs are left`);
  }
  for (const container of state.containers.values()) {
    assert.is(container.role, 'pool', `container ${container.id} is left`);
    assert.is(state.hosts[container.host]!.state, 'up', `container ${container.id}: no host`);
  }
  assert.is(totals.hosts, state.up.length, 'hosts that are up');
  assert.ok(totals.committedGpuMs >= 0 && totals.reservedGpuMs >= 0);
  assert.ok(totals.committedGpuMs <= totals.provisionedGpuMs, 'more committed than provisioned');
  assert.ok(totals.reservedGpuMs <= totals.provisionedGpuMs, 'more reserved than provisioned');
}

test(`${COUNT} random runs from seed ${FIRST}`, () => {
  const failures: string[] = [];
  for (let seed = FIRST; seed < FIRST + COUNT && failures.length < 10; seed++) {
    const drawn = randomRun(seed);
    try {
      run(drawn);
    } catch (error) {
      const { name } = drawn.policy;
      const text = process.env['NBOS_SEED'] ? (error as Error).stack : (error as Error).message;
      failures.push(`NBOS_SEED=${seed} npx tsx test/swarm.test.ts  # ${name}: ${text}`);
      if (process.env['NBOS_SEED']) console.log(JSON.stringify(drawn.config));
    }
  }
  assert.is(failures.join('\n'), '');
});

test.run();
