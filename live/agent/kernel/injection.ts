import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NbosError } from '../../../core/errors.ts';

let program: Promise<string> | undefined;

/**
 * The helper as one Python program: the files NN_name.py of live/helper in the order of their
 * names. The same for all kernels, so it is read once.
 */
export function helperSource(): Promise<string> {
  program ??= readParts(helperFolder());
  return program;
}

async function readParts(folder: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => /^\d\d_\w+\.py$/.test(name)).sort();
  const parts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return parts.join('\n\n');
}

/** Beside the sources; the built files lie one folder deeper and have no copy of it. */
function helperFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const candidates = [join(here, '../../helper'), join(here, '../../../../live/helper')];
  const folder = candidates.find((each) => existsSync(join(each, 'PROTOCOL.md')) || hasParts(each));
  if (folder === undefined)
    throw new NbosError(
      'file-not-found',
      `live/helper: the Python helper is not where it was installed (${candidates.join(', ')})`,
      'Install the package again.',
    );
  return folder;
}

function hasParts(folder: string): boolean {
  return existsSync(join(folder, '00_start.py'));
}

/**
 * What the silent execute_request runs: it reads the program from a file beside the sockets, so
 * that nothing of it shows in the user's namespace or history.
 */
export function injection(file: string): string {
  const path = JSON.stringify(file);
  return (
    `exec(compile(open(${path}, encoding='utf-8').read(), ${path}, 'exec'), ` +
    `{'__name__': 'nbos_helper'})`
  );
}
