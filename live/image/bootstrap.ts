import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import type { Engine } from '../agent/container/engine.ts';
import { followAnswers } from './answers.ts';

/** The image that `--bootstrap` makes, of Debian's own packages. */
export const BOOTSTRAPPED_BASE = 'notebookos/base:bookworm';

const RELEASE = 'bookworm';
const MIRROR = 'http://deb.debian.org/debian';
const STEP_MS = 20 * 60_000;

/**
 * Makes the base image where no registry can be reached: debootstrap fills a folder, which becomes
 * an image. Needs root on Linux. Rejects `image-failed`.
 */
export async function bootstrapBase(
  engine: Engine,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const [repo, tag] = BOOTSTRAPPED_BASE.split(':') as [string, string];
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new NbosError(
      'image-failed',
      '--bootstrap: debootstrap makes a file system, for which it must be root on Linux',
      'Run it with sudo, or leave --bootstrap out where a registry can be reached.',
    );
  const folder = await mkdtemp(join(tmpdir(), 'nbos-base-'));
  try {
    note(`debootstrap ${RELEASE} from ${MIRROR}: about a minute`);
    const words = ['--variant=minbase', RELEASE, folder, MIRROR];
    await run('debootstrap', words, signal, (line) => {
      // Hundreds of lines name a package each.
      if (/^[IWE]: (Retrieving|Validating|Extracting|Unpacking|Configuring) /.test(line)) return;
      note(line);
    });
    note(`import as ${BOOTSTRAPPED_BASE}`);
    await importFolder(engine, folder, { repo, tag }, signal);
  } finally {
    await run('umount', ['--lazy', ...(await mountsBelow(folder))], undefined).catch(
      () => undefined,
    );
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function importFolder(
  engine: Engine,
  folder: string,
  name: { repo: string; tag: string },
  signal: AbortSignal,
): Promise<void> {
  // Packages in the cache of apt are half of what debootstrap leaves.
  const words = ['--create', '--exclude=./var/cache/apt/archives/*.deb', '--exclude=./proc/*'];
  const tar = spawn('tar', [...words, '--directory', folder, '.'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  });
  const ended = outcome(tar, 'tar', [tar.stderr]);
  // Awaited below; until then its failure is not one that nobody hears.
  ended.catch(() => undefined);
  try {
    const answers = await engine.ask(
      'import of the base image',
      (docker) => docker.importImage(tar.stdout, { ...name, abortSignal: signal }),
      { ms: STEP_MS },
    );
    const what = `container engine ${engine.place}: import of the base image`;
    await followAnswers(answers as AsyncIterable<Buffer>, what, 'Is its disk full?', () => {});
    await ended;
  } finally {
    tar.kill('SIGKILL');
  }
}

/**
 * Runs a program to its end; rejects `image-failed` with its last lines. When it is given up, all
 * that it has started ends with it: nothing writes any more where is tidied up next.
 */
async function run(
  program: string,
  words: readonly string[],
  signal?: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<void> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const end = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  const late = setTimeout(end, STEP_MS);
  signal?.addEventListener('abort', end, { once: true });
  let rest = '';
  child.stdout.on('data', (data: Buffer) => {
    const lines = (rest + data.toString()).split('\n');
    rest = lines.pop()!;
    for (const line of lines) onLine(line);
  });
  try {
    await outcome(child, program, [child.stdout, child.stderr]);
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', end);
  }
}

function outcome(
  child: ChildProcess,
  program: string,
  heard: readonly NodeJS.ReadableStream[],
): Promise<void> {
  let said = '';
  for (const stream of heard)
    stream.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-1_000);
    });
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'ENOENT'
          ? new NbosError(
              'image-failed',
              `--bootstrap: there is no ${program} on this machine`,
              `Install it (Debian, Ubuntu: sudo apt install ${program}).`,
            )
          : new NbosError('image-failed', `${program}: ${error.message}`),
      );
    });
    child.on('close', (code, killed) => {
      if (code === 0) resolve();
      else
        reject(
          new NbosError(
            'image-failed',
            `${program} ended with ${killed ?? code}: ${said.trim()}`,
            'Look whether the mirror of Debian can be reached and the disk has room.',
          ),
        );
    });
  });
}

async function mountsBelow(folder: string): Promise<string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}
