// time-limit: 540 s
// runs-alone
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LABELS } from '../../../live/agent/container/names.ts';
import { testWithPart } from '../../skip.ts';
import type { NotebookClient } from '../e2e/notebook-client.ts';
import { Witness } from '../e2e/witness.ts';
import { Machines } from '../hosts/machines.ts';
import { missingEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

/**
 * Users who never rest, on four engines, while something takes the time that answers need. Once it
 * is over each kernel answers, no cell was lost or ran twice, and all is as it is said to be.
 */
const test = suite('overload');
const IDS = ['h1', 'h2', 'h3', 'h4'];
const KERNELS = 3;
const LOOPS = 16;
const LOAD_MS = 30_000;
/** longer than an engine is waited for, and than the lease of a host */
const STOP_MS = 15_000;
const CALM_MS = 60_000;
const CELL_MS = 180_000;
const CELL = `import time
count = globals().get('count', 0) + 1
time.sleep(0.2)`;

const agents = new Map<string, ChildProcess>();
let machines: Machines;
let users: User[] = [];

/** Sends one cell after the other until it is told to stop. */
class User {
  readonly id: string;
  readonly client: NotebookClient;
  readonly witness: Witness;
  readonly ended: Promise<void>;
  /** cells that were answered with their result */
  done = 0;
  /** when the last of those was sent */
  sentAt = 0;
  private isStopped = false;

  constructor(id: string, client: NotebookClient) {
    this.id = id;
    this.client = client;
    this.witness = new Witness(machines.workspace);
    this.ended = this.work();
  }

  private async work(): Promise<void> {
    while (!this.isStopped) {
      const sentAt = performance.now();
      const { client } = this;
      const sent = (marked: string) => client.execute(marked, { limitMs: CELL_MS });
      const reply = await this.witness.cell(sent, CELL).done.catch(() => undefined);
      if (reply?.['status'] !== 'ok') continue;
      this.done++;
      this.sentAt = sentAt;
    }
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.ended;
  }
}

test.before(async () => {
  if (missingEngines !== '') return;
  machines = await Machines.connect(IDS.length, true);
  giveToKernels(machines.workspace);
  await machines.makeKeys(IDS.join());
  await machines.startGateway(['--docker']);
  for (const id of IDS) {
    const at = machineOf(id);
    agents.set(id, machines.startAgent(at, id, ['--docker', at.engine]));
  }
  await machines.untilUp(...IDS);
  const made = [];
  for (let at = 0; at < KERNELS; at++) made.push(await machines.system.notebook());
  await allTrue();
  users = made.map(({ id, client }) => new User(id, client));
  await allAnswer(performance.now());
});

test.after(async () => {
  if (missingEngines !== '') return;
  await machines.system.stop();
  const left = await Promise.all(IDS.map((id) => containersOn(id).catch(() => [])));
  assert.equal([...left.flat().map(({ Name }) => Name), ...(await machines.stop())], []);
});

function machineOf(host: string) {
  return machines.hosts[IDS.indexOf(host)]!;
}

async function containersOn(host: string) {
  const { docker } = machineOf(host);
  const all = await docker.listContainers({ all: true, filters: { label: [LABELS.system] } });
  return Promise.all(all.map(({ Id }) => docker.getContainer(Id).inspect()));
}

/** What is not as it should be when nothing disturbs: '' when all is. */
async function untruth(): Promise<string> {
  const { hosts, kernels } = await machines.system.status();
  const down = hosts.find(({ up }) => !up);
  if (down !== undefined) return `${down.id} is down: ${down.note}`;
  const replicas = kernels.flatMap((kernel) => kernel.replicas);
  const behind = replicas.find(({ process }) => process !== 'ready');
  if (behind !== undefined) return `replica ${behind.id} on ${behind.host} is ${behind.process}`;
  if (replicas.length !== 3 * kernels.length) return `there are ${replicas.length} replicas`;
  const pids = new Set(replicas.map(({ host, pid }) => `${host} ${pid}`));
  for (const host of IDS)
    for (const { Name, State, Config } of await containersOn(host)) {
      const ofKernel = pids.delete(`${host} ${State.Pid}`);
      if (ofKernel && State.Status !== 'running') return `${Name} of a kernel is ${State.Status}`;
      const isSpare = Config.Labels[LABELS.kind] === 'pooled' && State.Running;
      if (!ofKernel && !isSpare) return `${Name} is of no kernel and ${State.Status}`;
    }
  return pids.size === 0 ? '' : `no container has process ${[...pids].join()}`;
}

async function allTrue(): Promise<void> {
  let what = '';
  const ask = async (): Promise<boolean> => {
    what = await untruth();
    return what === '';
  };
  await machines.system.until('all is as it is said to be', ask, CALM_MS).catch((error) => {
    throw new Error(`${what}\n${error.message}`);
  });
}

/** Each kernel gives the result of a cell that was sent after `from`. */
async function allAnswer(from: number): Promise<void> {
  const late = (): string[] => users.filter(({ sentAt }) => sentAt < from).map(({ id }) => id);
  const ask = async (): Promise<boolean> => late().length === 0;
  await machines.system.until('all kernels answer', ask, CALM_MS).catch(async (error) => {
    const { kernels } = await machines.system.status();
    throw new Error(`${late()} silent: ${JSON.stringify(kernels)}\n${error.message}`);
  });
}

function disturbed(name: string, disturb: () => Promise<void>): void {
  testWithPart(test, missingEngines, name, async () => {
    await disturb();
    await allAnswer(performance.now());
    await allTrue();
  });
}

async function stopped(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  try {
    await pause(STOP_MS);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

disturbed('a machine without time for its kernels', async () => {
  const loop = ['-c', 'while :; do :; done'];
  const loops = Array.from({ length: LOOPS }, () => spawn('sh', loop, { stdio: 'ignore' }));
  try {
    await pause(LOAD_MS);
  } finally {
    for (const each of loops) each.kill('SIGKILL');
  }
});

disturbed('an engine that hangs', () => stopped(machineOf('h1').pid));

disturbed('an agent that hangs', () => stopped(agents.get('h2')!.pid!));

testWithPart(test, missingEngines, 'no cell was lost, none ran twice', async () => {
  for (const user of users) {
    await user.stop();
    assert.equal(await user.witness.violations(), []);
    const { text } = await user.client.run('print(count)', { limitMs: CELL_MS });
    assert.is(text, `${user.done}\n`);
  }
});

test.run();
