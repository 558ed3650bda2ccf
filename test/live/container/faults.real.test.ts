// time-limit: 300 s
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_IMAGE, LABELS } from '../../../live/agent/container/names.ts';
import { testWithPart } from '../../skip.ts';
import { textOf } from '../e2e/notebook-client.ts';
import { System } from '../e2e/system.ts';
import { Witness } from '../e2e/witness.ts';
import { missingEngines, startEngines, type TestEngine, type TestEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

/** What happens to containers of one kernel is told to its user, and is nothing to the others. */
const test = suite('faults');
const MEMORY_MB = 300;
const CELL = { limitMs: 60_000 };
let engines: TestEngines;
let machine: TestEngine;
let system: System;
let files = '';
let neighbour: Awaited<ReturnType<typeof ready>>;

test.before(async () => {
  if (missingEngines !== '') return;
  engines = await startEngines(1);
  machine = engines.all[0]!;
  files = join(engines.folder, 'workspace');
  mkdirSync(files);
  giveToKernels(files);
  const limits = ['--memory-mb', String(MEMORY_MB)];
  system = await System.up(['--docker', machine.engine, '--workspace', files, ...limits]);
  neighbour = await ready('kept = "the neighbour"');
});

test.after(async () => {
  if (missingEngines !== '') return;
  const left = (await system?.stop()) ?? [];
  const filters = { label: [LABELS.system] };
  const containers = await machine.docker.listContainers({ all: true, filters });
  assert.equal([...left, ...containers.map(({ Names }) => Names), ...engines.stop()], []);
});

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingEngines, name, async () => {
    await body();
    const { text } = await neighbour.client.run('print(kept)', CELL);
    assert.is(text, 'the neighbour\n');
  });
}

/** A kernel whose replicas all have what this code makes. */
async function ready(code: string) {
  const { id, client } = await system.notebook();
  const isReady = async (): Promise<boolean> => {
    const { replicas } = await system.kernel(id);
    return replicas.length === 3 && replicas.every(({ process }) => process === 'ready');
  };
  const allReady = () => system.until('three replicas run', isReady, 60_000);
  await allReady();
  const { reply, text } = await client.run(code, CELL);
  assert.is(reply['status'], 'ok', text);
  await allReady();
  return { id, client, allReady };
}

/** The containers of a kernel, its executor's first. */
async function containersOf(kernel: string) {
  const { executor, replicas } = await system.kernel(kernel);
  const ordered = replicas.toSorted(
    (a, b) => Number(b.id === executor) - Number(a.id === executor),
  );
  const all = await machine.docker.listContainers();
  const known = await Promise.all(all.map(({ Id }) => machine.docker.getContainer(Id).inspect()));
  return ordered.map(({ pid }) => {
    const found = known.find(({ State }) => State.Pid === pid);
    assert.ok(found, `no container has process ${pid}`);
    return machine.docker.getContainer(found.Id);
  });
}

live('a cell that takes more memory than there is ends with the limit in its reply', async () => {
  const { client, allReady } = await ready('kept = 1');
  const { reply } = await client.run('hog = []\nwhile True: hog.append(b"x" * 10_000_000)', CELL);
  assert.is(reply['status'], 'error');
  assert.match(String(reply['evalue']), new RegExp(`memory limit.*${MEMORY_MB} MB`));
  assert.is((await client.run('print(kept)', CELL)).text, '1\n');
  await allReady();
});

live(
  'a container that is paused by hand in the middle of a cell goes on, the cell too',
  async () => {
    const { id, client } = await ready('import time');
    const witness = new Witness(files);
    const code = 'for i in range(10):\n    print(i)\n    time.sleep(0.1)';
    const running = witness.cell((marked) => client.execute(marked, CELL), code);
    await client.next(({ content }) => String(content['text']).startsWith('0'));
    const [executor] = await containersOf(id);
    await executor!.pause();
    assert.is((await running.done)['status'], 'ok');
    assert.match(textOf(running.outputs), /9\n$/);
    assert.equal(await witness.violations(), []);
  },
);

live('all containers of a kernel are removed: it goes on with what it had', async () => {
  const { id, client, allReady } = await ready('kept = [1, 2]');
  const all = await containersOf(id);
  await Promise.all(all.map((each) => each.remove({ force: true })));
  assert.is((await client.run('print(kept)', CELL)).text, '[1, 2]\n');
  await allReady();
});

live('an image that is gone is told to who starts a kernel; what runs goes on', async () => {
  const image = machine.docker.getImage(DEFAULT_IMAGE);
  const { Id } = await image.inspect();
  // By its id it stays, since containers use it.
  await image.remove({ force: true });
  const [repo, tag] = DEFAULT_IMAGE.split(':') as [string, string];
  try {
    const refused = async (): Promise<string | false> => {
      const body = JSON.stringify({ name: 'python3', env: { KERNEL_GPUS: '0' } });
      const response = await system.fetch('/api/kernels', { method: 'POST', body });
      const { id, message } = (await response.json()) as { id: string; message: string };
      if (!response.ok) return message;
      await system.fetch(`/api/kernels/${id}`, { method: 'DELETE' });
      return false;
    };
    // Containers that were started ahead need no image.
    const message = await system.until('a kernel cannot start', refused, 90_000);
    assert.match(message, `has no image ${DEFAULT_IMAGE}`);
  } finally {
    await machine.docker.getImage(Id).tag({ repo, tag });
  }
  await ready('x = 1');
});

test.run();
