// time-limit: 300 s
// runs-alone
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LABELS } from '../../../live/agent/container/names.ts';
import { testWithPart } from '../../skip.ts';
import { type NotebookClient, textOf } from '../e2e/notebook-client.ts';
import { isAlive } from '../e2e/system.ts';
import { Witness } from '../e2e/witness.ts';
import { Machines } from '../hosts/machines.ts';
import { buildWheels, fromWheels } from '../workspace/package-kit.ts';
import { missingEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

/** Four machines with an engine each, a gateway on a fifth, kernels in containers. */
const test = suite('hosts with engines');
const IDS = ['h1', 'h2', 'h3', 'h4'];
const STATE_MB = 100;
const ANSWER_MS = 5_000;
let machines: Machines;

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingEngines, name, body);
}

test.before(async () => {
  if (missingEngines !== '') return;
  machines = await Machines.connect(IDS.length, true);
  giveToKernels(machines.workspace);
  await machines.makeKeys(IDS.join());
  await machines.startGateway(['--docker']);
  for (const id of IDS) startHost(id);
  await machines.untilUp(...IDS);
});

test.after(async () => {
  if (missingEngines !== '') return;
  await machines.system.stop();
  // A machine without power, where a test failed, has none.
  const left = await Promise.all(IDS.map((id) => containersOn(id).catch(() => [])));
  assert.equal([...left.flat(), ...(await machines.stop())], []);
});

function machineOf(host: string) {
  return machines.hosts[IDS.indexOf(host)]!;
}

function startHost(id: string): void {
  machines.startAgent(machineOf(id), id, ['--docker', machineOf(id).engine]);
}

async function containerOf(host: string, pid: number) {
  const { docker } = machineOf(host);
  for (const { Id } of await docker.listContainers()) {
    const container = docker.getContainer(Id);
    if ((await container.inspect()).State.Pid === pid) return container;
  }
  throw new Error(`no container of ${host} has process ${pid}`);
}

/** What this project made in the engine of a host: each one's folder and state. */
async function containersOn(host: string): Promise<string[]> {
  const filters = { label: [LABELS.system] };
  const all = await machineOf(host).docker.listContainers({ all: true, filters });
  return all.map(({ Labels, State }) => `${host} ${Labels[LABELS.directory]} ${State}`);
}

async function allReady(kernel: string): Promise<void> {
  const ask = async (): Promise<boolean> => {
    const { replicas } = await machines.system.kernel(kernel);
    return replicas.length === 3 && replicas.every(({ process }) => process === 'ready');
  };
  await machines.system.until('three replicas run', ask, 60_000).catch(async (error: Error) => {
    throw new Error(`${JSON.stringify(await machines.system.kernel(kernel))}\n${error.message}`);
  });
}

async function readyKernel(code: string) {
  const { id, client } = await machines.system.notebook();
  await allReady(id);
  const { reply, text } = await client.run(code, { limitMs: 60_000 });
  assert.is(reply['status'], 'ok', text);
  await allReady(id);
  return { id, client };
}

async function executorOf(kernel: string) {
  const { executor, replicas } = await machines.system.kernel(kernel);
  return replicas.find(({ id }) => id === executor)!;
}

const BULK = `import os, zlib\nbulk = os.urandom(${STATE_MB} << 20)\nsum_ = zlib.crc32(bulk)`;
const CHECK = 'print(zlib.crc32(bulk) == sum_)';

live('a host is lost with its engine: state, files and packages go on elsewhere', async () => {
  const { id, client } = await readyKernel(BULK);
  buildWheels(join(machines.workspace, 'wheels'), ['1.0']);
  const wheels = join(machines.workspace, 'wheels');
  const installed = await client.run(`%pip ${fromWheels(wheels, '1.0')}`, { limitMs: 60_000 });
  assert.is(installed.reply['status'], 'ok', installed.text);
  await client.run('open("kept.txt", "w").write("a file")\nimport nbosdemo');
  await allReady(id);
  const { host } = await executorOf(id);
  machineOf(host).kill();
  try {
    await goesOn(client);
    await allReady(id);
    const { replicas } = await machines.system.kernel(id);
    assert.not.ok(replicas.some((each) => each.host === host));
  } finally {
    await machineOf(host).start();
    startHost(host);
  }
  await machines.untilUp(...IDS);
  await machines.system.until('what the loss left is removed', async () =>
    (await containersOn(host)).every((line) => /running|paused/.test(line)),
  );
  assert.is((await client.run(CHECK)).text, 'True\n');
});

/** The next cell after a loss is answered in time; that it may have begun there is told once. */
async function goesOn(client: NotebookClient): Promise<void> {
  const from = Date.now();
  const witness = new Witness(machines.workspace);
  const code = 'print(len(bulk), nbosdemo.__version__, open("kept.txt").read())';
  const sent = () => witness.cell((marked) => client.execute(marked, { limitMs: 60_000 }), code);
  let running = sent();
  const first = await running.done;
  if (first['ename'] === 'ExecutorLost') running = sent();
  assert.is((await running.done)['status'], 'ok', textOf(running.outputs));
  const took = Date.now() - from;
  assert.is(textOf(running.outputs), `${STATE_MB << 20} 1.0 a file\n`);
  assert.equal(await witness.violations(), []);
  assert.ok(took <= ANSWER_MS, `answered after ${took} ms`);
}

live('a host without a link is fenced; the kernel goes on among the others', async () => {
  const { id, client } = await readyKernel('kept = 1');
  const { host, pid } = await executorOf(id);
  const witness = new Witness(machines.workspace);
  const code = 'import time\nfor i in range(600): print("line", i, flush=True); time.sleep(0.05)';
  const running = witness.cell((marked) => client.execute(marked, { limitMs: 60_000 }), code);
  await client.next(({ content }) => String(content['text']).includes('line 2'), 20_000);
  machineOf(host).linkDown();
  try {
    assert.is((await running.done)['status'], 'error');
    const { text } = await client.run('kept += 1\nprint(kept)');
    assert.is(text, '2\n');
    await machines.system.until('the fenced one is gone', async () => !isAlive(pid), 20_000);
  } finally {
    machineOf(host).linkUp();
  }
  await machines.untilUp(...IDS);
  await allReady(id);
  assert.equal(witness.marks(), [0]);
  assert.is((await client.run('print(kept)')).text, '2\n');
});

live('a kernel moves to another host with its state', async () => {
  const { id, client } = await readyKernel(BULK);
  const { replicas, executor } = await machines.system.kernel(id);
  const target = IDS.find((host) => !replicas.some((each) => each.host === host))!;
  const words = ['migrate', id, '--replica', String(executor), '--to', target];
  const { status, stderr } = await machines.system.nbos(words, 60_000);
  assert.is(status, 0, stderr);
  await allReady(id);
  const hosts = (await machines.system.kernel(id)).replicas.map(({ host }) => host);
  assert.ok(hosts.includes(target), hosts.join());
  assert.is((await client.run(CHECK)).text, 'True\n');
});

live('a container is removed behind our back: the next cell is answered', async () => {
  const { id, client } = await readyKernel('kept = 7');
  const { host, pid } = await executorOf(id);
  await (await containerOf(host, pid)).remove({ force: true });
  assert.is((await client.run('print(kept)', { limitMs: 60_000 })).text, '7\n');
  await allReady(id);
});

live('a kernel that is shut down ends with its containers', async () => {
  const { id } = await readyKernel('x = 1');
  const { replicas } = await machines.system.kernel(id);
  const containers = await Promise.all(replicas.map(({ host, pid }) => containerOf(host, pid)));
  await machines.system.fetch(`/api/kernels/${id}`, { method: 'DELETE' });
  await machines.system.until('its containers are gone', async () => {
    const found = await Promise.all(containers.map((each) => each.inspect().catch(() => 'gone')));
    return found.every((each) => each === 'gone');
  });
});

test.run();
