import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PartialConfig, Quantiles } from '../../core/config/options.ts';
import type { JournalLine } from '../../core/record/journal.ts';
import { type Fidelity, fidelityOf } from '../../experiments/fidelity/fidelity.ts';
import { fittedLatencies } from '../../experiments/fidelity/fitted.ts';
import { parseJournal } from '../../experiments/fidelity/journal.ts';
import { renewalSamples } from '../../experiments/fidelity/renewal.ts';
import { type StepSamples, stepSamples } from '../../experiments/fidelity/step-samples.ts';
import { writeRecordedRun } from '../../experiments/fidelity/write-run.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { quantileSorted } from '../../traces/quantiles.ts';
import type { Trace } from '../../traces/trace.ts';
import { inFolder } from '../cli/nbos.ts';
import { recordedJournal } from './recorded-journal.ts';

const SEEDS = 5;

/** Users one after the other in the same seconds: GPUs are scarce where hosts have few. */
function busyTrace(users: number, cellsEach: number): Trace {
  const builder = new TraceBuilder();
  for (let user = 0; user < users; user++) {
    const shape = { cpuMillis: 0, memoryMb: 0, gpuMillis: 1_000 * (1 + (user % 2)), vramMb: 0 };
    const session = builder.addSession({
      id: `u${user}`,
      startMs: 1_000 + user,
      endMs: 60_000 + (cellsEach + 1) * 4_000,
    });
    for (let cell = 0; cell < cellsEach; cell++) {
      const spread = ((user * 7 + cell * 13) % 17) * 100;
      const submitMs = 60_000 + cell * 4_000 + spread;
      builder.addCell({ session, submitMs, durationMs: 500 + spread, shape });
    }
  }
  return builder.build({ name: 'busy', source: 'a test' });
}

const HOPS: Quantiles = [
  [0, 0],
  [100, 1],
];

async function samplesOf(journal: string, counts?: (session: number) => boolean) {
  const [part] = await parseJournal(journal, 'j');
  return stepSamples(part!, counts);
}

/** The fitted table says at each point of `truth` about what that says. */
function comesBack(fitted: PartialConfig, name: keyof PartialConfig, truth: Quantiles): void {
  const table = fitted[name] as Quantiles;
  for (const [percent, ms] of truth) {
    if (percent === 0 || percent === 100) continue;
    const found = table.find(([each]) => each === percent)![1];
    assert.ok(Math.abs(found - ms) <= 0.25 * ms + 1, `${name} p${percent}: ${found}, not ${ms}`);
  }
}

async function fidelityOfJournal(journal: string): Promise<Fidelity> {
  let fidelity: Fidelity | undefined;
  await inFolder(async (dir) => {
    const folder = `${dir}/live`;
    await writeRecordedRun({ folder, replace: false, journal, name: 'busy', provenance: {} });
    fidelity = await fidelityOf(folder, { seeds: SEEDS });
  });
  return fidelity!;
}

function near(fidelity: Fidelity, name: string, share: number): void {
  const { live, simulated } = fidelity.headlines.find((each) => each.name === name)!;
  const isNear = Math.abs(simulated - live) <= share * live + 1;
  assert.ok(isNear, `${name}: live ${live}, simulated ${simulated}`);
}

const TAIL: Quantiles = [
  [0, 1],
  [50, 3],
  [90, 10],
  [95, 30],
  [99, 120],
  [100, 200],
];

test('a kernel of one replica keeps the tail of its starts and commits', async () => {
  const soloCommitMs: Quantiles = [
    [0, 1],
    [50, 8],
    [95, 60],
    [100, 300],
  ];
  const journal = recordedJournal(busyTrace(20, 60), 'reservation', {
    gpusPerHost: 16,
    requestHopMs: HOPS,
    replyHopMs: [[50, 4]],
    soloStartMs: TAIL,
    soloCommitMs,
    releaseAfter: 'commit',
  });
  const fitted = fittedLatencies(await samplesOf(journal));
  comesBack(fitted, 'soloStartMs', TAIL);
  comesBack(fitted, 'soloCommitMs', soloCommitMs);
  comesBack(fitted, 'replyHopMs', [[50, 4]]);
  const fidelity = await fidelityOfJournal(journal);
  for (const name of ['delay_p50_ms', 'delay_p95_ms']) near(fidelity, name, 0.25);
  // Twelve cells are beyond it.
  near(fidelity, 'delay_p99_ms', 0.4);
  for (const name of ['tct_p50_ms', 'committed_gpu_hours']) near(fidelity, name, 0.02);
});

const AGAIN: Quantiles = [
  [0, 2],
  [50, 6],
  [90, 12],
  [100, 20],
];
const OTHER: Quantiles = [
  [0, 20],
  [50, 40],
  [90, 90],
  [100, 150],
];

function movingJournal(): string {
  return recordedJournal(busyTrace(10, 60), 'notebookos', {
    replicas: 3,
    gpusPerHost: 2,
    requestHopMs: HOPS,
    raftCommitMs: AGAIN,
    executorChangeMs: OTHER,
    stateCommitMs: TAIL,
    migrationMs: [[50, 70]],
    stateReadMs: [[50, 33]],
    coldStartMs: [[50, 900]],
    prewarmedStartMs: [[50, 15]],
    openingStartMs: [[50, 5_000]],
    releaseAfter: 'commit',
  });
}

test('three replicas: the last executor again and another one are told apart', async () => {
  const journal = movingJournal();
  const samples = await samplesOf(journal);
  assert.ok(samples.election.length > 100 && samples.executorChange.length > 100);
  const fitted = fittedLatencies(samples);
  comesBack(fitted, 'raftCommitMs', AGAIN);
  comesBack(fitted, 'executorChangeMs', OTHER);
  comesBack(fitted, 'stateCommitMs', TAIL);
  const fidelity = await fidelityOfJournal(journal);
  for (const name of ['committed_gpu_hours', 'tct_p50_ms']) near(fidelity, name, 0.05);
  near(fidelity, 'immediate_share', 0.1);
});

test('moves, starts and the state they read come back', async () => {
  const samples = await samplesOf(movingJournal());
  const ofMoves = (name: keyof StepSamples) => [...new Set(samples[name])];
  assert.ok(samples.migration.length > 10);
  assert.equal(ofMoves('migration'), [70]);
  assert.equal(ofMoves('stateRead'), [33]);
  assert.equal(ofMoves('poolStart'), [900]);
  assert.equal(ofMoves('openingStart'), [5_000]);
  assert.equal(fittedLatencies(samples).openingStartMs![0], [0, 5_000]);
});

const PREPARE_MS = 5;

/**
 * The journal as live kernels write it: a moved replica is there before its process is, says so
 * again once it is, and takes in the state of its kernel before its first cell.
 */
function asLive(journal: string): string {
  const lines = journal
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JournalLine)
    .filter(({ t }) => t !== 'effects')
    .flatMap((line): JournalLine[] => {
      if (line.t !== 'event') return [line];
      const { event } = line;
      if (event.kind === 'execution-released') {
        const electionMs = event.electionMs - PREPARE_MS;
        return [{ t: 'event', event: { ...event, electionMs, stateReadMs: PREPARE_MS } }];
      }
      if (event.kind !== 'replica-joined') return [line];
      const { at, container } = event;
      const migrationMs = event.migrationMs + event.stateReadMs;
      const joined = { ...event, migrationMs, stateReadMs: 0 };
      return [
        { t: 'event', event: { kind: 'container-started', at, container } },
        { t: 'event', event: joined },
      ];
    });
  return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
}

test("a moved replica's process counts to its start, what it takes in to the move", async () => {
  const before = await samplesOf(movingJournal());
  const samples = await samplesOf(asLive(movingJournal()));
  assert.equal([...new Set(samples.migration)], [0]);
  assert.is(samples.migration.length, before.migration.length);
  assert.equal([...new Set(samples.stateRead)], [PREPARE_MS]);
  const sum = (values: readonly number[]) => values.reduce((total, ms) => total + ms, 0);
  const starts = ({ coldStart, prewarmedStart }: StepSamples) =>
    sum(coldStart) + sum(prewarmedStart);
  assert.is(starts(samples), starts(before) + sum(before.migration) + sum(before.stateRead));
  // Others take in nothing new: for them it is a part of the election.
  assert.equal(samples.election, before.election);
});

test('policies that read and write state around each cell: both come back', async () => {
  const options: PartialConfig = {
    gpusPerHost: 4,
    requestHopMs: HOPS,
    soloStartMs: [[50, 1]],
    coldStartMs: OTHER,
    prewarmedStartMs: AGAIN,
    stateReadMs: OTHER,
    stateWriteMs: OTHER,
  };
  for (const policy of ['batch-fcfs', 'lcp']) {
    const journal = recordedJournal(busyTrace(10, 60), policy, options);
    const fitted = fittedLatencies(await samplesOf(journal));
    comesBack(fitted, 'stateWriteMs', OTHER);
    comesBack(fitted, 'stateReadMs', OTHER);
    // The start of the cell is a part of the start of a container that is there for it.
    if (policy === 'batch-fcfs') {
      comesBack(fitted, 'coldStartMs', OTHER);
      assert.is(fitted.soloStartMs, undefined);
    } else {
      comesBack(fitted, 'prewarmedStartMs', AGAIN);
      comesBack(fitted, 'soloStartMs', [[50, 1]]);
    }
    const fidelity = await fidelityOfJournal(journal);
    for (const name of ['committed_gpu_hours', 'tct_p50_ms']) near(fidelity, name, 0.05);
    near(fidelity, 'delay_p50_ms', 0.1);
  }
});

test('pool containers that are made anew after another session come back', async () => {
  const options: PartialConfig = {
    gpusPerHost: 2,
    requestHopMs: HOPS,
    coldStartMs: [[50, 2_000]],
    prewarmedStartMs: [[50, 20]],
    stateReadMs: AGAIN,
    stateWriteMs: AGAIN,
  };
  const trace = busyTrace(8, 60);
  const renewed = recordedJournal(trace, 'lcp', { ...options, renewalMs: [[50, 1_500]] });
  const samples = await samplesOf(renewed);
  assert.ok(samples.renewal.length > 20, String(samples.renewal.length));
  const median = fittedLatencies(samples).renewalMs!.find(([percent]) => percent === 50)![1];
  assert.ok(median >= 1_000 && median <= 2_500, String(median));
  const fidelity = await fidelityOfJournal(renewed);
  for (const name of ['committed_gpu_hours', 'tct_p50_ms']) near(fidelity, name, 0.1);
  // Where nothing is made anew, nothing is found.
  assert.equal((await samplesOf(recordedJournal(trace, 'lcp', options))).renewal, []);
});

test('when containers are ready again is told by who found them ready, and who did not', () => {
  // Ready again after 500 … 1,499 ms, all equally likely.
  const taken = Array.from({ length: 2_000 }, (_, index) => {
    const idleMs = (index * 7) % 2_000;
    return { idleMs, isReady: 500 + ((index * 389) % 1_000) <= idleMs };
  });
  const sorted = Float64Array.from(renewalSamples(taken)).sort();
  for (const share of [0.1, 0.5, 0.9]) {
    const found = quantileSorted(sorted, share);
    assert.ok(Math.abs(found - (500 + 1_000 * share)) < 80, `${share}: ${found}`);
  }
  assert.equal(renewalSamples([{ idleMs: 5, isReady: true }]), []);
  assert.equal(renewalSamples([{ idleMs: 5, isReady: false }]), [5]);
});

test('only the sessions that are asked for are looked at', async () => {
  const journal = movingJournal();
  const none = await samplesOf(journal, () => false);
  assert.equal(none.requestHop, []);
  assert.equal(none.election, []);
  const some = await samplesOf(journal, (session) => session < 5);
  assert.is(some.requestHop.length, 300);
});

test.run();
