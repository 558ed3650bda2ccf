import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NbosError } from '../../core/errors.ts';
import { type Engine, statusOf } from '../agent/container/engine.ts';
import { followAnswers } from './answers.ts';
import { BOOTSTRAPPED_BASE, bootstrapBase } from './bootstrap.ts';

/** Tells from which recipe an image was made. */
const RECIPE_LABEL = 'org.notebookos.recipe';
const BUILD_MS = 30 * 60_000;

export interface ImageBuild {
  readonly engine: Engine;
  /** name of the image */
  readonly tag: string;
  /** image to begin from; '' is that of the Dockerfile */
  readonly base: string;
  /** make the base with debootstrap */
  readonly bootstrap: boolean;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
}

export interface BuiltImage {
  readonly id: string;
  /** false where the engine had it already */
  readonly built: boolean;
}

/**
 * Builds the image of kernels by the Dockerfile beside this file, unless the engine has one of the
 * same recipe. Rejects `image-failed`, and what `Engine.ask` does.
 */
export async function buildImage(build: ImageBuild): Promise<BuiltImage> {
  const { engine, tag, note } = build;
  const signal = AbortSignal.any([build.signal, AbortSignal.timeout(BUILD_MS)]);
  const folder = recipeFolder();
  const base = build.bootstrap ? BOOTSTRAPPED_BASE : build.base;
  const recipe = createHash('sha256')
    .update(readFileSync(join(folder, 'Dockerfile')))
    .update(base)
    .digest('hex');
  const before = await imageAt(engine, tag);
  if (before?.recipe === recipe) return { id: before.id, built: false };
  if (build.bootstrap && (await imageAt(engine, base)) === undefined)
    await bootstrapBase(engine, note, signal);
  const answers = await engine.ask(
    'build of the image',
    (docker) =>
      docker.buildImage(
        { context: folder, src: ['Dockerfile'] },
        {
          t: tag,
          labels: { [RECIPE_LABEL]: recipe },
          buildargs: { ...proxies(), ...(base === '' ? {} : { BASE: base }) },
          // Packages come the way that the engine's machine itself has; some engines have no other.
          networkmode: 'host',
          forcerm: true,
          abortSignal: signal,
        },
      ),
    { ms: BUILD_MS },
  );
  const from = base === '' ? '' : ` from ${base}`;
  const what = `container engine ${engine.place}: build of ${tag}${from}`;
  await followAnswers(answers as AsyncIterable<Buffer>, what, hintFor(build), note);
  const after = await imageAt(engine, tag);
  if (after === undefined)
    throw new NbosError('image-failed', `${what}: it ended without an image`, hintFor(build));
  if (before !== undefined && before.recipe !== '' && before.id !== after.id)
    await removeOld(engine, before.id);
  return { id: after.id, built: true };
}

function hintFor({ bootstrap, base }: ImageBuild): string {
  if (bootstrap || base !== '') return 'The last lines say what failed; run it again after that.';
  return 'Where no registry can be reached: --bootstrap, or --base with an image that is there.';
}

async function imageAt(
  engine: Engine,
  name: string,
): Promise<{ id: string; recipe: string } | undefined> {
  try {
    const image = await engine.ask(`look at ${name}`, (docker) => docker.getImage(name).inspect());
    return { id: image.Id, recipe: image.Config?.Labels?.[RECIPE_LABEL] ?? '' };
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** The image of the recipe before; one that containers still use stays, with its id alone. */
async function removeOld(engine: Engine, id: string): Promise<void> {
  await engine
    .ask('removal of the image before', (docker) => docker.getImage(id).remove())
    .catch((error: unknown) => {
      if (![404, 409].includes(statusOf(error))) throw error;
    });
}

/** Builds of an engine take these from who asks for them. */
function proxies(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy'];
  const given = [...names, ...names.map((name) => name.toUpperCase())].flatMap((name) => {
    const value = process.env[name];
    return value ? [[name, value] as const] : [];
  });
  return Object.fromEntries(given);
}

/** Beside the sources; the built files lie one folder deeper and have no copy of it. */
function recipeFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const candidates = [here, join(here, '../../../live/image')];
  const folder = candidates.find((each) => existsSync(join(each, 'Dockerfile')));
  if (folder === undefined)
    throw new NbosError(
      'file-not-found',
      `live/image/Dockerfile is not where it was installed (${candidates.join(', ')})`,
      'Install the package again.',
    );
  return folder;
}
