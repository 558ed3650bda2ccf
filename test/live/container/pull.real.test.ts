// time-limit: 540 s
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { engineAt } from '../../../live/agent/container/engine.ts';
import { imageOf } from '../../../live/agent/container/image.ts';
import { DEFAULT_IMAGE } from '../../../live/agent/container/names.ts';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { System } from '../e2e/system.ts';
import { errorOf } from '../wire/eventually.ts';
import { missingEngines, startEngines, type TestEngine, type TestEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

/** Images that an engine gets from a registry, which is on its machine. */
const test = suite('pull');
const SERVER = join(PROJECT_ROOT, 'dist/test/live/container/registry-server.js');
const PORT = 5_000;
const IMAGE = `127.0.0.1:${PORT}/team/kernel:1`;
let engines: TestEngines;
let machine: TestEngine;
let saved = '';

test.before(async () => {
  if (missingEngines !== '') return;
  engines = await startEngines(1);
  machine = engines.all[0]!;
  saved = join(engines.folder, 'saved');
  mkdirSync(saved);
  const tar = spawn('tar', ['-x', '--directory', saved], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(tar, 'exit');
  await pipeline(await machine.docker.getImage(DEFAULT_IMAGE).get(), tar.stdin!);
  assert.equal(await ended, [0, null]);
  await removeImages();
});

test.after(() => {
  if (missingEngines === '') assert.equal(engines.stop(), []);
});

async function removeImages(): Promise<void> {
  for (const { Id } of await machine.docker.listImages())
    await machine.docker.getImage(Id).remove({ force: true });
}

/** Runs `body` while a registry serves on the machine's own loopback. */
async function withRegistry(way: string, body: () => Promise<void>): Promise<void> {
  const words = [...machine.prefix, process.execPath, SERVER, saved, `${PORT}`, way];
  const registry: ChildProcess = spawn(words[0]!, words.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(registry, 'exit');
  try {
    await once(registry.stdout!, 'data', { signal: AbortSignal.timeout(60_000) });
    await body();
  } finally {
    registry.kill('SIGKILL');
    await gone;
    await removeImages();
  }
}

/** `nbos up` on the engine with an image that it must pull; what it says when it fails. */
async function up(image: string): Promise<System> {
  const files = join(engines.folder, 'workspace');
  mkdirSync(files, { recursive: true });
  giveToKernels(files);
  const hosts = ['--hosts', '1', '--replicas', '1'];
  return System.up(['--docker', machine.engine, '--image', image, '--workspace', files, ...hosts]);
}

for (const way of ['whole', 'cut'])
  testWithPart(test, missingEngines, `a kernel of an image that comes ${way}`, () =>
    withRegistry(way, async () => {
      const system = await up(IMAGE);
      try {
        assert.match(system.output, new RegExp(`pulling ${IMAGE}: \\d+ of \\d+ MB`));
        const { client } = await system.notebook();
        assert.is((await client.run('print(6 * 7)', { limitMs: 60_000 })).text, '42\n');
        const [image] = await machine.docker.listImages();
        assert.equal(image?.RepoTags, [IMAGE]);
      } finally {
        assert.equal(await system.stop(), []);
      }
    }),
  );

testWithPart(test, missingEngines, 'a registry that breaks off each time', () =>
  withRegistry('dead', async () => {
    const notes: string[] = [];
    const log = { info: () => {}, warn: () => {} };
    const pull = imageOf(engineAt(machine.engine, {}), IMAGE, log, (text) => notes.push(text));
    const error = await errorOf(pull);
    assert.is(error.code, 'image-missing');
    assert.match(error.message, /has no image 127\.0\.0\.1:5000.team.kernel:1: ./, error.message);
    assert.ok(notes.some((text) => text.endsWith('a layer broke off')));
    assert.equal(await machine.docker.listImages(), []);
  }),
);

testWithPart(test, missingEngines, 'a registry that wants to know who asks', () =>
  withRegistry('private', async () => {
    const refused = await up(IMAGE).catch((error: Error) => error);
    if (refused instanceof System) await refused.stop();
    const said = /image-missing: .*no basic auth credentials\..*docker login 127\.0\.0\.1:5000;/;
    assert.match((refused as Error).message, said);
  }),
);

test.run();
