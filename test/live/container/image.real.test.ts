import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_IMAGE } from '../../../live/agent/container/names.ts';
import { BOOTSTRAPPED_BASE } from '../../../live/image/bootstrap.ts';
import { refuses, works } from '../../cli/nbos.ts';
import { testWithPart } from '../../skip.ts';
import { missingEngines, startEngines, type TestEngine, type TestEngines } from './engines.ts';

/** `nbos image build` on an engine that has the image already and reaches no registry. */
const test = suite('image');
let engines: TestEngines;
let machine: TestEngine;

test.before(async () => {
  if (missingEngines !== '') return;
  engines = await startEngines(1);
  machine = engines.all[0]!;
});

test.after(() => {
  if (missingEngines === '') assert.equal(engines.stop(), []);
});

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingEngines, name, body);
}

function build(...words: string[]): string[] {
  return ['image', 'build', '--engine', machine.engine, ...words];
}

/** All that a build can leave behind: images, containers, folders. */
async function traces() {
  const [images, containers] = [
    await machine.docker.listImages(),
    await machine.docker.listContainers({ all: true }),
  ];
  return {
    images: images.flatMap(({ RepoTags, Id }) => RepoTags ?? [Id]).sort(),
    containers: containers.map(({ Id }) => Id),
    folders: readdirSync(tmpdir()).filter((name) => name.startsWith('nbos-base-')),
  };
}

live('an image of the same recipe is not built again', async () => {
  const from = Date.now();
  const { built, image } = JSON.parse(works(build('--bootstrap', '--json')));
  assert.equal({ built, image }, { built: false, image: DEFAULT_IMAGE });
  assert.ok(Date.now() - from < 5_000, `${Date.now() - from} ms to find that nothing changed`);
});

live('without a registry it says what else there is, and leaves nothing', async () => {
  const before = await traces();
  refuses(build('--quiet', '--tag', 'other:1'), /image-failed: .*no registry .*--bootstrap/);
  refuses(build('--quiet', '--tag', 'other:1', '--base', 'nosuch:1'), /image-failed: .*nosuch/);
  assert.equal(await traces(), before);
});

live('a step that fails is told with the last words of its program', async () => {
  const before = await traces();
  // Whoever runs in that one is not root.
  const words = build('--quiet', '--tag', 'other:1', '--base', DEFAULT_IMAGE);
  refuses(words, /image-failed: .*Permission denied.*non-zero code/);
  assert.equal(await traces(), before);
});

live('debootstrap that is not there is named with its package', async () => {
  await machine.docker.getImage(BOOTSTRAPPED_BASE).remove();
  const before = await traces();
  const { PATH } = process.env;
  process.env['PATH'] = engines.folder;
  try {
    refuses(
      build('--quiet', '--tag', 'other:1', '--bootstrap'),
      /image-failed: .*no debootstrap.*apt install debootstrap/,
    );
  } finally {
    process.env['PATH'] = PATH;
  }
  assert.equal(await traces(), before);
});

live('what is no name of an image or of an engine is refused at once', async () => {
  refuses(build('--tag', 'Upper:1'), /usage: --tag/);
  refuses(build('--bootstrap', '--base', 'debian:12'), /usage: --bootstrap/);
  refuses(['image', 'build', '--engine', 'nowhere'], /usage: .*unix:\/\//);
  refuses(['image', 'build', '--engine', `unix://${engines.folder}/none`], /engine-absent/);
});

test.run();
