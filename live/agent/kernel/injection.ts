import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NbosError } from '../../../core/errors.ts';

/** The helper's text and the SHA-256 of it, hex. */
export interface HelperProgram {
  text: string;
  digest: string;
}

let program: Promise<HelperProgram> | undefined;

/**
 * The helper as one Python program: the files NN_name.py of live/helper in the order of their
 * names. The same for all kernels, so it is read once.
 */
export function helperProgram(): Promise<HelperProgram> {
  program ??= readParts(helperFolder());
  return program;
}

async function readParts(folder: string): Promise<HelperProgram> {
  const names = (await readdir(folder)).filter((name) => /^\d\d_\w+\.py$/.test(name)).sort();
  const parts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  const text = parts.join('\n\n');
  return { text, digest: createHash('sha256').update(text).digest('hex') };
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
 * Runs the program, compiled by the first kernel of its Python and from then on loaded: compiling
 * takes 60 ms, a tenth of a kernel's start. The cache is as private as the kernel's own directory.
 */
const LOADER = `
import contextlib, importlib.util, marshal, os
code = None
if cache:
    cached = os.path.join(cache, digest + '-' + importlib.util.MAGIC_NUMBER.hex() + '.bin')
    with contextlib.suppress(Exception):
        with open(cached, 'rb') as file:
            code = marshal.loads(file.read())
if code is None:
    with open(source, encoding='utf-8') as file:
        code = compile(file.read(), 'nbos-helper', 'exec')
    if cache:
        with contextlib.suppress(OSError):
            part = '%s.%d' % (cached, os.getpid())
            with open(part, 'wb') as file:
                file.write(marshal.dumps(code))
            os.replace(part, cached)
exec(code, {'__name__': 'nbos_helper'})
`;

/**
 * What the silent execute_request runs. The program comes from a file beside the sockets, so that
 * nothing of it shows in the user's namespace or history. `cache` is '' for none.
 */
export function injection(source: string, digest: string, cache: string): string {
  const given = JSON.stringify({ source, digest, cache });
  return `exec(${JSON.stringify(LOADER)}, ${given})`;
}

/**
 * Folder of compiled helpers beside the directories of kernels, '' when it is not this user's
 * alone: what lies in it is run.
 */
export async function compiledCache(directory: string): Promise<string> {
  const cache = join(dirname(directory), '.compiled');
  try {
    await mkdir(cache, { recursive: true, mode: 0o700 });
    const { uid, mode } = await lstat(cache);
    return uid === process.getuid?.() && (mode & 0o777) === 0o700 ? cache : '';
  } catch {
    return '';
  }
}
