// time-limit: 600 s
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Effect } from '../../core/effects.ts';
import type { Event } from '../../core/events.ts';
import type { Policy } from '../../core/policies/policy.ts';
import { REPORTS } from '../../core/record/columns.ts';
import { Core } from '../../core/scheduler.ts';
import { Engine } from '../../sim/engine.ts';
import { configFor } from '../../sim/policy-file.ts';
import las from '../policies/las.policy.ts';
import { type RandomRun, randomRun } from '../random-run.ts';

const HERE = fileURLToPath(import.meta.url);
const SEEDS = Array.from(
  { length: Number(process.env['NBOS_SEEDS'] ?? 60) },
  (_, index) => index + 1,
);

function inAnotherProcess(seed: number, folder: string): Promise<number | null> {
  const program = join(dirname(HERE), `write-random-run${extname(HERE)}`);
  const child = fork(program, [String(seed), folder], { stdio: ['ignore', 2, 2, 'ipc'] });
  return new Promise((resolve) => child.on('exit', resolve));
}

test('the same seed writes the same bytes in two processes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-twice-'));
  try {
    for (const seed of [2, 21, 29]) {
      const [one, two] = [join(folder, `${seed}-1`), join(folder, `${seed}-2`)];
      assert.equal(await Promise.all([one, two].map((to) => inAnotherProcess(seed, to))), [0, 0]);
      for (const name of Object.keys(REPORTS)) {
        const first = readFileSync(join(one, name));
        assert.ok(first.length > 0 && first.equals(readFileSync(join(two, name))), name);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

interface Entry {
  readonly event: Event;
  readonly effects: string;
}

/** Every event of a run with its effects, as text. */
function journalOf({ trace, policy, config }: RandomRun): Entry[] {
  const entries: Entry[] = [];
  const after = (event: Event, effects: readonly Effect[]): void => {
    entries.push({ event: { ...event }, effects: JSON.stringify(effects) });
  };
  const observer = { before: () => undefined, after };
  const engine = new Engine(trace, policy, config, observer, { facts: true });
  while (engine.advance(1_000, Number.POSITIVE_INFINITY));
  return entries;
}

/** Some of the swarm's runs, and LAS, which suspends. */
function runs(): RandomRun[] {
  const drawn = SEEDS.map(randomRun);
  const suspending = drawn.slice(0, 10).map(({ trace, config }, seed) => {
    const { hostTypes } = config;
    const options = { hostTypes, hosts: 2, minHosts: 1, seed };
    const policy: Policy = las;
    return { trace, policy, config: configFor(policy, options) };
  });
  return [...drawn, ...suspending];
}

test('a journal replayed gives the same effects, also through a snapshot at any point', () => {
  for (const [index, run] of runs().entries()) {
    const journal = journalOf(run);
    const { config, policy } = run;
    let core = Core.create(config, policy, { facts: true });
    const every = Math.max(1, Math.floor(journal.length / 7));
    for (const [at, { event, effects }] of journal.entries()) {
      const place = `run ${index} (${policy.name}), event ${at} ${event.kind}`;
      assert.is(JSON.stringify(core.step(event)), effects, place);
      if (at % every !== 0) continue;
      const snapshot = core.snapshot();
      core = Core.restore(snapshot, config, policy, { facts: true });
      assert.equal(core.snapshot(), snapshot, place);
      core.check();
    }
  }
});

/** Without the timers of scaling rounds, which are what differs. */
function withoutRounds(effects: readonly Effect[]): string {
  return JSON.stringify(
    effects.filter((effect) => effect.kind !== 'set-timer' || effect.timer !== 'scaling'),
  );
}

test('a round at every tick gives what skipping idle rounds gives', () => {
  let added = 0;
  for (const [index, run] of runs().entries()) {
    const journal = journalOf(run);
    const { scaleIntervalMs } = run.config;
    const core = Core.create(run.config, run.policy, { facts: true });
    let tick = 1;
    for (const { event, effects } of journal) {
      for (; tick * scaleIntervalMs < event.at; tick++) {
        const at = tick * scaleIntervalMs;
        const given = core.step({ kind: 'timer', at, timer: 'scaling', key: tick });
        assert.is(withoutRounds(given), '[]', `run ${index}, ${run.policy.name}, tick ${tick}`);
        added++;
      }
      const isRound = event.kind === 'timer' && event.timer === 'scaling';
      if (isRound && event.at === tick * scaleIntervalMs) tick++;
      const expected = withoutRounds(JSON.parse(effects) as Effect[]);
      const place = `run ${index}, ${run.policy.name}, ${event.kind} at ${event.at}`;
      assert.is(withoutRounds(core.step(event)), expected, place);
    }
  }
  assert.ok(added > 10_000, `${added} rounds were added`);
});

test.run();
