import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrateAnswer } from '../../live/admin-types.ts';
import { DEFAULT_IMAGE, KERNEL_ARGV, LABELS } from '../../live/agent/container/names.ts';
import {
  missingEngines,
  startEngines,
  type TestEngine,
  type TestEngines,
} from '../live/container/engines.ts';
import type { NotebookClient } from '../live/e2e/notebook-client.ts';
import { System } from '../live/e2e/system.ts';
import { type BenchResult, median } from './bench.ts';
import { replyMs } from './live-cell.bench.ts';
import { BareKernel, type LaunchBare, percentile } from './live-peers.ts';

const ROUNDS = 8;
const CELLS_A_ROUND = 30;
const STARTS = 4;
const MOVES = 3;
const STATE_BYTES = 100 << 20;
const KERNEL_USER = 1000;
/** Time for a pool to be full again, and for standbys to be quiet. */
const SETTLE_MS = 5000;

/** Kernels in containers of a real engine, beside one container that a bare client speaks to. */
export async function run(): Promise<BenchResult[] | string> {
  if (missingEngines !== '') return missingEngines;
  const engines = await startEngines(1);
  const systems: System[] = [];
  const up = async (...words: string[]): Promise<System> => {
    const system = await System.up(['--docker', at.engine, '--workspace', files, ...words]);
    systems.push(system);
    return system;
  };
  const [at] = engines.all as [TestEngine];
  const files = workspaceIn(engines);
  const asContainer = containerOf(at);
  try {
    const system = await up();
    const results = await latencies(system, asContainer);
    const cold = await up('--set', 'prewarmPool=none');
    results.push(...(await starts(system, cold, asContainer)));
    await cold.stop();
    results.push(await migrations(system));
    await system.stop();
    results.push(await hostLoss(await up('--split'), at));
    return results;
  } finally {
    for (const system of systems) await system.stop();
    engines.stop();
  }
}

function workspaceIn({ folder }: TestEngines): string {
  const files = join(folder, 'workspace');
  mkdirSync(files);
  chownSync(files, KERNEL_USER, KERNEL_USER);
  return files;
}

/** `docker run` of the same image, with nothing around it. */
function containerOf({ docker }: TestEngine): LaunchBare {
  return async (folder, file) => {
    chmodSync(folder, 0o777);
    chmodSync(file, 0o644);
    const container = await docker.createContainer({
      Image: DEFAULT_IMAGE,
      User: `${KERNEL_USER}:${KERNEL_USER}`,
      Entrypoint: [KERNEL_ARGV[0]!],
      Cmd: KERNEL_ARGV.slice(1).map((word) => word.replace('{connection_file}', file)),
      Env: ['HOME=/tmp'],
      HostConfig: { Binds: [`${folder}:${folder}`], NetworkMode: 'none' },
    });
    await container.start();
    return () => container.remove({ force: true });
  };
}

async function latencies(system: System, launch: LaunchBare): Promise<BenchResult[]> {
  const { client } = await system.notebook();
  const { kernel: bare } = await BareKernel.start(launch);
  const [direct, ours]: [number[], number[]] = [[], []];
  await sleep(SETTLE_MS);
  for (let round = 0; round < ROUNDS; round++) {
    for (let cell = 0; cell < CELLS_A_ROUND; cell++) direct.push(await bare.execute('pass'));
    for (let cell = 0; cell < CELLS_A_ROUND; cell++) ours.push(await replyMs(client));
  }
  await bare.stop();
  const [mine, theirs] = [percentile(ours, 0.5), percentile(direct, 0.5)];
  const note = `${mine.toFixed(1)} ms against ${theirs.toFixed(1)} ms`;
  const name = 'pass in a container, p50 against bare ZMQ';
  return [{ name, value: mine / theirs, unit: 'x', target: 3, less: true, note }];
}

async function starts(system: System, cold: System, launch: LaunchBare): Promise<BenchResult[]> {
  const [fresh, ahead, bare]: [number[], number[], number[]] = [[], [], []];
  for (let start = 0; start < STARTS; start++) {
    fresh.push(await startMs(cold));
    ahead.push(await startMs(system));
    const { kernel, ms } = await BareKernel.start(launch);
    await kernel.stop();
    bare.push(ms);
  }
  const [mine, theirs] = [median(fresh), median(bare)];
  return [
    {
      name: 'kernel of 3 containers, POST to first reply, against one',
      value: mine / theirs,
      unit: 'x',
      target: 1.5,
      less: true,
      note: `${mine.toFixed(0)} ms against ${theirs.toFixed(0)} ms`,
    },
    {
      name: 'the same, of containers started ahead',
      value: median(ahead),
      unit: 'ms',
      target: 300,
      less: true,
    },
  ];
}

async function startMs(system: System): Promise<number> {
  await sleep(SETTLE_MS);
  const from = performance.now();
  const { client, id } = await system.notebook();
  await replyMs(client);
  const ms = performance.now() - from;
  await allReady(system, id);
  await system.fetch(`/api/kernels/${id}`, { method: 'DELETE' });
  return ms;
}

function allReady(system: System, id: string): Promise<unknown> {
  return system.until(
    'all replicas run',
    async () => {
      const { replicas } = await system.kernel(id);
      return replicas.length === 3 && replicas.every(({ process }) => process === 'ready');
    },
    60_000,
  );
}

/** A notebook whose kernel has 100 MB of state on all of its replicas. */
async function loaded(system: System): Promise<{ id: string; client: NotebookClient }> {
  const notebook = await system.notebook();
  const code = `data = bytearray(${STATE_BYTES}); data[7] = 1`;
  await notebook.client.run(code, { limitMs: 60_000 });
  await allReady(system, notebook.id);
  await sleep(SETTLE_MS);
  return notebook;
}

async function isWhole(client: NotebookClient): Promise<boolean> {
  const { text } = await client.run('print(data[7], len(data))', { limitMs: 60_000 });
  return text === `1 ${STATE_BYTES}\n`;
}

async function migrations(system: System): Promise<BenchResult> {
  const { id, client } = await loaded(system);
  const times: number[] = [];
  for (let move = 0; move < MOVES; move++) {
    const { executor, replicas } = await system.kernel(id);
    const { hosts } = await system.status();
    const to = hosts.find(({ id: host }) => replicas.every((replica) => replica.host !== host))!.id;
    const body = JSON.stringify({ replica: executor, to });
    const began = performance.now();
    await system.json<MigrateAnswer>(`/nbos/kernels/${id}/migrate`, { method: 'POST', body });
    const ms = performance.now() - began;
    times.push((await isWhole(client)) ? ms / 1000 : 60);
    await sleep(SETTLE_MS);
  }
  const name = 'migration with 100 MB of state, prewarmed';
  return { name, value: median(times), unit: 's', target: 2, less: true };
}

/** The executor's agent and all containers of its host end at once. */
async function hostLoss(system: System, { docker }: TestEngine): Promise<BenchResult> {
  const { id, client } = await loaded(system);
  const { executor, replicas } = await system.kernel(id);
  const host = replicas.find((replica) => replica.id === executor)!.host;
  const label = [`${LABELS.host}=${host}`];
  const theirs = await docker.listContainers({ all: true, filters: { label } });
  const { hosts } = await system.status();
  const from = performance.now();
  system.kill(hosts.find((each) => each.id === host)?.pid);
  await Promise.all(
    theirs.map(({ Id }) =>
      docker
        .getContainer(Id)
        .kill()
        .catch(() => undefined),
    ),
  );
  // A cell that had reached the host may have begun there and is answered so; the next one runs.
  const isAnswered = (await isWhole(client)) || (await isWhole(client));
  const s = isAnswered ? (performance.now() - from) / 1000 : 60;
  const name = 'host killed, next cell answered (100 MB of state)';
  return { name, value: s, unit: 's', target: 5, less: true };
}
