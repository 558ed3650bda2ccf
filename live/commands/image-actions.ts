import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  interruption,
  isSet,
  printNote,
  printResult,
  textOf,
} from '../../traces/command-line.ts';
import { engineAt } from '../agent/container/engine.ts';
import { DEFAULT_IMAGE } from '../agent/container/names.ts';
import { buildImage } from '../image/build.ts';

/** What engines take as a name with a tag. */
const IMAGE = /^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/** `nbos image build` */
export async function buildKernelImage(given: Arguments): Promise<void> {
  const tag = textOf(given, 'tag') ?? DEFAULT_IMAGE;
  if (!IMAGE.test(tag))
    throw new NbosError('usage', `--tag: expected NAME:TAG in small letters, found "${tag}"`);
  const base = textOf(given, 'base') ?? '';
  const bootstrap = isSet(given, 'bootstrap');
  if (bootstrap && base !== '')
    throw new NbosError('usage', '--bootstrap makes the base: leave --base out');
  const { id, built } = await buildImage({
    engine: engineAt(textOf(given, 'engine') ?? '', process.env),
    tag,
    base,
    bootstrap,
    signal: interruption.signal,
    note: (text) => printNote(given, text),
  });
  const text = built ? `built ${tag}` : `${tag} is up to date`;
  printResult(given, text, { image: tag, id, built });
}
