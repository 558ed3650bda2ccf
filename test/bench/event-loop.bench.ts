import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventHeap } from '../../sim/heap.ts';
import { PROJECT_ROOT } from '../skip.ts';
import { type BenchResult, median } from './bench.ts';

const SERVERS = 64;
const LOAD = 0.9;
const JOBS = 1_000_000;
const PAIRS = 5;
const LEAST_RATIO = 0.6;

const ARRIVAL = 0;
const DEPARTURE = 1;

interface LoopRun {
  readonly events: number;
  readonly ns: number;
  readonly totalWait: number;
}

/** The event loop alone on an M/M/64 queue at load 0.9, 10^6 jobs, beside C++. */
export async function run(): Promise<BenchResult[]> {
  queueRun();
  const peer = buildPeer();
  const ours: number[] = [];
  const theirs: number[] = [];
  try {
    for (let pair = 0; pair < PAIRS; pair++) {
      const mine = queueRun();
      ours.push(eventsPerS(mine));
      if (peer === undefined) continue;
      const other = peerRun(join(peer, 'peer'));
      theirs.push(eventsPerS(other));
      mustAgree(mine, other);
    }
  } finally {
    if (peer !== undefined) rmSync(peer, { recursive: true, force: true });
  }
  const result = { name: 'event loop, M/M/64 at load 0.9, 10^6 jobs', unit: 'events/s' };
  if (theirs.length === 0) {
    return [{ ...result, value: median(ours), note: 'no g++ on this machine: no C++ peer' }];
  }
  const ratios = ours.map((rate, i) => rate / theirs[i]!);
  return [
    { ...result, value: median(ours), peer: median(theirs), note: 'peer: C++ priority_queue, -O2' },
    {
      name: 'event loop / C++, median of 5 pairs',
      value: median(ratios),
      unit: 'ratio',
      target: LEAST_RATIO,
    },
  ];
}

function eventsPerS(run: LoopRun): number {
  return (run.events / run.ns) * 1e9;
}

/** Both ran the same model: the same events, the same waits but for the last bit of a logarithm. */
function mustAgree(mine: LoopRun, other: LoopRun): void {
  const difference = Math.abs(mine.totalWait - other.totalWait) / other.totalWait;
  if (mine.events === other.events && difference < 1e-6) return;
  throw new Error(`the C++ peer ran another model: ${JSON.stringify({ mine, other })}`);
}

/** Compiles the peer into a temporary folder; undefined when there is no compiler. */
function buildPeer(): string | undefined {
  if (spawnSync('g++', ['--version']).error !== undefined) {
    process.stderr.write('event-loop: no g++ on this machine, the C++ peer is left out\n');
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'nbos-peer-'));
  const source = join(PROJECT_ROOT, 'test', 'bench', 'event_loop_peer.cpp');
  execFileSync('g++', ['-O2', '-std=c++17', '-o', join(folder, 'peer'), source]);
  return folder;
}

function peerRun(program: string): LoopRun {
  const text = execFileSync(program, [`${SERVERS}`, `${LOAD}`, `${JOBS}`], { encoding: 'utf8' });
  const [events, ns, totalWait] = text.trim().split(' ').map(Number);
  return { events: events!, ns: ns!, totalWait: totalWait! };
}

function queueRun(): LoopRun {
  const next = words(12345);
  const exponential = (mean: number): number => -Math.log((next() + 0.5) / 4294967296) * mean;
  const meanGap = 1 / (SERVERS * LOAD);
  const begin = process.hrtime.bigint();

  const heap = new EventHeap();
  const waiting = new Float64Array(JOBS);
  let head = 0;
  let tail = 0;
  let busy = 0;
  let arrived = 0;
  let totalWait = 0;
  let events = 0;
  heap.push(exponential(meanGap), 1, ARRIVAL, 0, 0);
  while (heap.pop()) {
    const now = heap.atMs;
    const job = heap.a;
    events++;
    if (heap.kind === ARRIVAL) {
      if (++arrived < JOBS) heap.push(now + exponential(meanGap), 1, ARRIVAL, arrived, 0);
      if (busy < SERVERS) {
        busy++;
        heap.push(now + exponential(1), 0, DEPARTURE, job, 0);
      } else {
        waiting[tail++] = now;
      }
    } else if (head < tail) {
      totalWait += now - waiting[head++]!;
      heap.push(now + exponential(1), 0, DEPARTURE, job, 0);
    } else {
      busy--;
    }
  }
  return { events, ns: Number(process.hrtime.bigint() - begin), totalWait };
}

/** The peer's generator: a Weyl sequence through a mixer of three multiplications (mulberry32). */
function words(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}
