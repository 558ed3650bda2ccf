import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomExponential, randomLogNormal } from 'd3-random';
import seedrandom from 'seedrandom';
import type { Fidelity } from '../../../experiments/fidelity/fidelity.ts';
import { TraceBuilder } from '../../../traces/build.ts';
import { writeNativeTrace } from '../../../traces/native-writer.ts';
import type { Trace } from '../../../traces/trace.ts';
import { startEngines } from '../container/engines.ts';
import { giveToKernels } from '../container/kernel-user.ts';
import { System } from '../e2e/system.ts';
import { Machines } from '../hosts/machines.ts';

/**
 * How much longer than its trace a replay may take, what each cell may wait for a container of its
 * own, which takes as long at any speed, and what else there is to do, ms.
 */
const PATIENCE = 3;
const START_MS = 30_000;
const SPARE_MS = 60_000;
/** ms in the trace, and the spread of the logarithm */
const CELL_MEDIAN_MS = 60_000;
const CELL_SPREAD = 0.6;
const THINK_MEAN_MS = 90_000;
const LEAD_MS = 120_000;

/**
 * GPUs of a host under each policy: reservation has as many as its users ask for, so that nobody
 * waits for a session; notebookos has about half of that. Under the others GPUs are bound while a
 * container starts, which takes as long at any speed: many times a cell, at a high one.
 */
export const GPUS_PER_HOST: Readonly<Record<string, number>> = {
  notebookos: 2,
  reservation: 4,
  'batch-fcfs': 4,
  lcp: 4,
};

/**
 * Users who all work at once, every second one with two GPUs, the others with one: they run cells
 * of about a minute and think somewhat longer.
 */
export function busyTrace(users: number, cellsEach: number): Trace {
  const builder = new TraceBuilder();
  const random = seedrandom('busy');
  const runMs = randomLogNormal.source(random)(Math.log(CELL_MEDIAN_MS), CELL_SPREAD);
  const thinkMs = randomExponential.source(random)(1 / THINK_MEAN_MS);
  for (let user = 0; user < users; user++) {
    const gpus = 1 + (user % 2);
    const shape = { cpuMillis: 0, memoryMb: 0, gpuMillis: 1_000 * gpus, vramMb: 0 };
    const startMs = Math.round((user * LEAD_MS) / users);
    let at = startMs + LEAD_MS;
    const cells = Array.from({ length: cellsEach }, () => {
      const submitMs = Math.round(at + thinkMs());
      const durationMs = Math.round(runMs());
      at = submitMs + durationMs;
      return { submitMs, durationMs, shape };
    });
    const session = builder.addSession({ id: `u${user}`, startMs, endMs: at + 1_000 });
    for (const cell of cells) builder.addCell({ session, ...cell });
  }
  return builder.build({ name: 'busy', source: 'made for a comparison' });
}

export interface LivePlan {
  readonly policy: string;
  readonly trace: Trace;
  readonly speed: number;
  readonly gpusPerHost: number;
  /** machines with an engine each; 0: plain processes on this machine */
  readonly engines: number;
}

export interface LiveRun {
  /** what the replay printed */
  readonly printed: string;
  readonly fidelity: Fidelity;
  /** the run folder, until `end` */
  readonly folder: string;
}

/** Replays a trace on a system made for it, compares it with the simulator, and removes all. */
export async function withLiveRun<T>(plan: LivePlan, see: (run: LiveRun) => Promise<T>) {
  const place = await placeOf(plan);
  let left: string[];
  let seen: T;
  try {
    seen = await see(await replayed(plan, place));
  } finally {
    left = await place.stop();
  }
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  return seen;
}

async function replayed(plan: LivePlan, { system, files }: Place): Promise<LiveRun> {
  const [trace, folder] = [join(files, 'trace'), join(files, 'live')];
  writeNativeTrace(plan.trace, trace);
  const { sessions, endMs } = plan.trace;
  const starts = sessions.firstCell.slice(1).map((after, at) => after - sessions.firstCell[at]!);
  const limitMs =
    Math.round((PATIENCE * endMs) / plan.speed) + START_MS * Math.max(...starts) + SPARE_MS;
  const words = ['--trace', trace, '--speed', String(plan.speed), '--limit', `${limitMs}ms`];
  const replay = ['replay', ...words, '--out', folder];
  const printed = await succeeds(system, replay, limitMs + SPARE_MS);
  const fidelity = JSON.parse(await succeeds(system, ['fidelity', folder, '--json'])) as Fidelity;
  return { printed, fidelity, folder };
}

async function succeeds(
  system: System,
  words: readonly string[],
  limitMs = SPARE_MS,
): Promise<string> {
  const { status, stdout, stderr } = await system.nbos(words, limitMs);
  if (status !== 0) throw new Error(`nbos ${words[0]}: ${stderr}`);
  if (stderr.includes('warning') || stderr.includes('note:')) process.stderr.write(stderr);
  return stdout;
}

interface Place {
  readonly system: System;
  /** for trace and results */
  readonly files: string;
  stop(): Promise<string[]>;
}

function placeOf(plan: LivePlan): Promise<Place> {
  if (plan.engines === 0) return processes(plan);
  return plan.engines === 1 ? oneEngine(plan) : machines(plan);
}

const HOSTS = 4;

async function upOn(
  { policy, gpusPerHost }: LivePlan,
  files: string,
  words: readonly string[],
): Promise<System> {
  const gpus = ['--gpus-per-host', String(gpusPerHost)];
  const all = ['--hosts', String(HOSTS), ...gpus, '--policy', policy, '--workspace', files];
  return System.up([...all, ...words]);
}

async function processes(plan: LivePlan): Promise<Place> {
  const files = mkdtempSync(join(tmpdir(), 'nbos-replay-'));
  const system = await upOn(plan, files, ['--split']);
  const stop = async () => {
    const left = await system.stop();
    rmSync(files, { recursive: true, force: true });
    return left.map((pid) => `process ${pid}`);
  };
  return { system, files, stop };
}

async function oneEngine(plan: LivePlan): Promise<Place> {
  const engines = await startEngines(1);
  const files = join(engines.folder, 'workspace');
  mkdirSync(files);
  giveToKernels(files);
  try {
    const system = await upOn(plan, files, ['--docker', engines.all[0]!.engine]);
    const stop = async () => {
      const left = await system.stop();
      return [...left.map((pid) => `process ${pid}`), ...engines.stop()];
    };
    return { system, files: engines.folder, stop };
  } catch (error) {
    engines.stop();
    throw error;
  }
}

async function machines({ policy, gpusPerHost, engines }: LivePlan): Promise<Place> {
  const ids = Array.from({ length: engines }, (_, at) => `h${at + 1}`);
  const all = await Machines.connect(engines, true);
  const { system, folder: files } = all;
  try {
    giveToKernels(all.workspace);
    await all.makeKeys(ids.join());
    const gpus = ['--gpus-per-host', String(gpusPerHost)];
    const each = ['--store', `file:${join(files, 'store')}`, ...gpus];
    await all.startGateway(['--hosts', String(engines), '--docker', '--policy', policy, ...each]);
    for (const [at, id] of ids.entries())
      all.startAgent(all.hosts[at]!, id, ['--docker', all.hosts[at]!.engine, ...each]);
    await all.untilUp(...ids);
    return { system, files, stop: () => all.stop() };
  } catch (error) {
    await all.stop();
    throw error;
  }
}
