import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { NbosError } from '../core/errors.ts';
import { makeFolder, unwritable, writeWholeFile } from '../traces/output-file.ts';

/** The row of summary.csv, as values. */
export type Summary = Readonly<Record<string, string | number>>;

export interface StoredResult {
  readonly key: string;
  readonly title: string;
  readonly summary: Summary;
  /** measured times, which differ from one execution to the next; never part of a report's rows */
  readonly timings: Readonly<Record<string, number>>;
}

const RESULT = 'result.json';
let stores = 0;

/**
 * The results of runs in a folder, by key. A run's folder appears whole, by one rename, and is not
 * changed again, so that any number of processes on any number of machines may share the store.
 */
export class ResultStore {
  readonly #runs: string;
  readonly #temporary: string;

  /** @throws NbosError file-unwritable */
  constructor(out: string) {
    this.#runs = join(out, 'runs');
    const temporaries = join(out, '.tmp');
    makeFolder(this.#runs);
    makeFolder(temporaries);
    removeOrphans(temporaries);
    this.#temporary = join(temporaries, `${hostname()}+${process.pid}+${stores++}`);
  }

  /** Where the result with this key lies, or would lie. */
  folder(key: string): string {
    return join(this.#runs, key);
  }

  has(key: string): boolean {
    return existsSync(join(this.#runs, key, RESULT));
  }

  /** Where the run may write until `keep`; does not exist yet. */
  temporary(key: string): string {
    makeFolder(this.#temporary);
    const folder = join(this.#temporary, key);
    rmSync(folder, { recursive: true, force: true });
    return folder;
  }

  /** Takes what a run wrote to its temporary folder into the store; the first of two equals stays. */
  keep(result: StoredResult): void {
    const from = join(this.#temporary, result.key);
    const to = this.folder(result.key);
    try {
      mkdirSync(from, { recursive: true });
      writeWholeFile(join(from, RESULT), `${JSON.stringify(result)}\n`);
      renameSync(from, to);
    } catch (error) {
      if (!this.has(result.key)) throw unwritable(to, error);
      rmSync(from, { recursive: true, force: true });
    }
  }

  /** @throws NbosError run-incomplete, file-corrupt */
  read(key: string): StoredResult {
    const path = join(this.#runs, key, RESULT);
    if (!existsSync(path))
      throw new NbosError('run-incomplete', `${path}: there is no such result`, 'Run it first.');
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as StoredResult;
    } catch {
      throw new NbosError(
        'file-corrupt',
        `${path}: not a result`,
        `Remove the folder ${this.folder(key)} and run the experiment again.`,
      );
    }
  }

  /** Removes what this process has not kept. */
  dispose(): void {
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}

/** Removes what processes of this machine left behind when they were killed. */
function removeOrphans(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [machine, pid] = name.split('+');
    if (machine !== hostname() || pid === undefined || isAlive(Number(pid))) continue;
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
