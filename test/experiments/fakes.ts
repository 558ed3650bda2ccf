import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Matrix, parseExperiment } from '../../experiments/matrix.ts';
import type { Study } from '../../experiments/study.ts';

/** Values of `queueLimit` that make the fake worker misbehave. */
export const FAILS = 666;
export const CRASHES = 667;
export const HANGS = 668;

/** The worker beside this file, as the process runs files: TypeScript or JavaScript. */
export const FAKE_WORKER = new URL(
  `./fake-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url,
);

export function matrix(changes: Record<string, unknown> = {}): Matrix {
  const value = {
    name: 'fake',
    traces: [{ demo: {} }],
    policies: ['reservation', 'notebookos'],
    seeds: 3,
    cells: 'none',
    ...changes,
  };
  return parseExperiment(value, 'fake.json', '/');
}

/** A study whose report is drawn from rows alone, since the fake worker writes no run folder. */
export function study(...matrices: Matrix[]): Study {
  return {
    name: 'fake',
    title: 'A fake experiment',
    matrices,
    command: 'nbos experiment run fake.json',
    conclude: async (rows) => ({
      tables: [
        {
          name: 'seeds',
          title: 'Seeds',
          columns: ['seed', 'cost'],
          rows: rows.map((row) => [row.seed, Number(row.summary['cost'])]),
        },
      ],
      figures: [],
      remarks: [`${rows.length} rows`],
    }),
  };
}

/** Content of every file of a finished experiment but for the store, by path. */
export function finalFiles(out: string): Record<string, string> {
  const names = readdirSync(out, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.filter((name) => /\.(csv|html|svg|json)$/.test(name) && !isStore(name));
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(out, name), 'utf8')]));
}

function isStore(name: string): boolean {
  return name.startsWith('runs') || name.startsWith('.tmp');
}
