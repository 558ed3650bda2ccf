import { setTimeout as sleep } from 'node:timers/promises';
import type { NotebookClient } from '../live/e2e/notebook-client.ts';
import { NotebookClient as Client } from '../live/e2e/notebook-client.ts';
import { System } from '../live/e2e/system.ts';
import type { BenchResult } from './bench.ts';
import { median } from './bench.ts';
import { BareKernel, fsyncMs, hasModule, PYTHON, percentile, StockServer } from './live-peers.ts';

const ROUNDS = 10;
const CELLS_A_ROUND = 40;
const STARTS = 5;

/**
 * One cell through gateway, log and quorum, beside a client that does nothing but ZMQ and beside a
 * stock server; all on the same interpreter, in turns.
 */
export async function run(): Promise<BenchResult[] | string> {
  if (!hasModule('ipykernel')) return `${PYTHON} has no ipykernel; NBOS_BENCH_PYTHON names another`;
  const system = await System.up(['--python', PYTHON]);
  const stock = hasModule('jupyter_server') ? await StockServer.start() : undefined;
  const { kernel: bare } = await BareKernel.start();
  try {
    const results = await latencies(system, bare, stock);
    results.push(...(await starts(system)));
    results.push(...(await outputs(system, stock)));
    results.push(await failover(system));
    results.push(await loopTurns(system));
    return results;
  } finally {
    await bare.stop();
    stock?.stop();
    await system.stop();
  }
}

async function latencies(
  system: System,
  bare: BareKernel,
  stock: StockServer | undefined,
): Promise<BenchResult[]> {
  const { client } = await system.notebook({});
  const other =
    stock && (await Client.open(stock.url, stock.token, await stock.kernel(), { framing: 'v1' }));
  const [direct, ours, theirs]: number[][] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    for (let cell = 0; cell < CELLS_A_ROUND; cell++) direct!.push(await bare.execute('pass'));
    for (let cell = 0; cell < CELLS_A_ROUND; cell++) ours!.push(await replyMs(client));
    if (other === undefined) continue;
    for (let cell = 0; cell < CELLS_A_ROUND / 4; cell++) theirs!.push(await replyMs(other));
  }
  other?.close();
  const note = `fdatasync p50 ${fsyncMs(system.data).toFixed(2)} ms`;
  const [p50, p95] = [percentile(ours!, 0.5), percentile(ours!, 0.95)];
  const [bare50, bare95] = [percentile(direct!, 0.5), percentile(direct!, 0.95)];
  const results: BenchResult[] = [
    { name: 'pass, p50 against bare ZMQ', value: p50 / bare50, unit: 'x', target: 2.5, less: true },
    { name: 'pass, p95 against bare ZMQ', value: p95 / bare95, unit: 'x', target: 4, less: true },
    { name: 'pass, p50', value: p50, unit: 'ms', peer: bare50, note },
    { name: 'pass, p95', value: p95, unit: 'ms', peer: bare95 },
  ];
  if (other === undefined) return results;
  const stock50 = percentile(theirs!, 0.5);
  const faster = stock50 / p50;
  const name = 'pass, p50, stock server in our time';
  results.push({ name, value: faster, unit: 'x', target: 3, peer: stock50, note: 'peer in ms' });
  return results;
}

/** execute_request → execute_reply, ms. */
export async function replyMs(client: NotebookClient): Promise<number> {
  const from = performance.now();
  await client.ask('shell', 'execute_request', {
    code: 'pass',
    silent: false,
    store_history: true,
  });
  return performance.now() - from;
}

/** Time for a pool to be full again, and for standbys to be quiet. */
const SETTLE_MS = 3000;

/** Kernels from nothing and from processes started ahead, beside one bare kernel. */
async function starts(system: System): Promise<BenchResult[]> {
  const cold = await System.up(['--python', PYTHON, '--set', 'prewarmPool=none']);
  const [fresh, ahead, bare]: number[][] = [[], [], []];
  try {
    for (let start = 0; start < STARTS; start++) {
      fresh!.push(await startMs(cold));
      ahead!.push(await startMs(system));
      const { kernel, ms } = await BareKernel.start();
      await kernel.stop();
      bare!.push(ms);
    }
  } finally {
    await cold.stop();
  }
  const [mine, theirs] = [median(fresh!), median(bare!)];
  return [
    {
      name: 'kernel of 3 replicas, POST to first reply, against one bare',
      value: mine / theirs,
      unit: 'x',
      target: 1.5,
      less: true,
      note: `${mine.toFixed(0)} ms against ${theirs.toFixed(0)} ms`,
    },
    {
      name: 'the same, of processes started ahead',
      value: median(ahead!),
      unit: 'ms',
      target: 150,
      less: true,
    },
  ];
}

/** A new kernel until its first reply, ms; then it is removed again. */
async function startMs(system: System): Promise<number> {
  await sleep(SETTLE_MS);
  const from = performance.now();
  const { client, id } = await system.notebook({});
  await replyMs(client);
  const ms = performance.now() - from;
  await system.until('all replicas run', async () => {
    const { replicas } = await system.kernel(id);
    return replicas.length === 3 && replicas.every((replica) => replica.process === 'ready');
  });
  await system.fetch(`/api/kernels/${id}`, { method: 'DELETE' });
  return ms;
}

const LINES = 'for i in range(2000): print("line", i)';
const DISPLAYS =
  'from IPython.display import display\nfor i in range(10000): display({"text/plain": str(i)}, raw=True)';

async function outputs(system: System, stock: StockServer | undefined): Promise<BenchResult[]> {
  const { client } = await system.notebook({});
  const other = stock && (await Client.open(stock.url, stock.token, await stock.kernel()));
  const results: BenchResult[] = [];
  for (const [name, code, count] of [
    ['2,000 printed lines', LINES, 2000],
    ['10,000 display messages', DISPLAYS, 10_000],
  ] as const) {
    const mine = await outputRate(client, code, count);
    const theirs = other && (await outputRate(other, code, count));
    const target = theirs === undefined ? {} : { target: theirs, peer: theirs };
    results.push({ name, value: mine, unit: 'a second', ...target });
  }
  other?.close();
  return results;
}

/** Lines or displays a second until the reply and idle; 0 when one is missing. */
async function outputRate(client: NotebookClient, code: string, count: number): Promise<number> {
  const rates: number[] = [];
  for (let round = 0; round < 3; round++) {
    const from = performance.now();
    const { text, outputs: shown } = await client.run(code, { limitMs: 120_000 });
    const ms = performance.now() - from;
    const lines = code === LINES ? text.trim().split('\n').length : displays(shown);
    rates.push(lines === count ? (count / ms) * 1000 : 0);
  }
  return median(rates);
}

function displays(shown: readonly { header: { msg_type: string } }[]): number {
  return shown.filter(({ header }) => header.msg_type === 'display_data').length;
}

/** The executor's process is killed with 100 MB of state; until the next cell is answered. */
async function failover(system: System): Promise<BenchResult> {
  const { client, id } = await system.notebook({});
  await client.run('data = bytearray(100 << 20); data[7] = 1', { limitMs: 60_000 });
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    const { executor, replicas } = await system.kernel(id);
    system.kill(replicas.find((replica) => replica.id === executor)?.pid);
    const from = performance.now();
    const { text } = await client.run('print(data[7], len(data))', { limitMs: 60_000 });
    times.push(text === `1 ${100 << 20}\n` ? (performance.now() - from) / 1000 : 60);
    await system.until('all replicas run again', async () => {
      const known = await system.kernel(id);
      return known.replicas.every((replica) => replica.process === 'ready');
    });
  }
  const name = 'executor killed, next cell answered (100 MB of state)';
  return { name, value: Math.max(...times), unit: 's', target: 3, less: true };
}

/** The longest synchronous turns that gateway and agents saw in all of the above. */
async function loopTurns(system: System): Promise<BenchResult> {
  const text = await (await system.fetch('/metrics')).text();
  const ms = (quantile: string, of = 'turn'): number => {
    const line = new RegExp(`nbos_loop_${of}_seconds\\{quantile="${quantile}"\\} (\\S+)`).exec(
      text,
    );
    return Number(line?.[1] ?? Number.NaN) * 1000;
  };
  const late = `timers late by ${ms('p99.9', 'late').toFixed(1)} ms at p99.9`;
  return {
    name: 'turn of the loop, p99.9',
    value: ms('p99.9'),
    unit: 'ms',
    target: 10,
    less: true,
    note: `longest ${ms('max').toFixed(1)} ms; ${late}, waits for a core included`,
  };
}
