import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { PROJECT_ROOT } from './skip.ts';

export const FOLDERS = ['core', 'traces', 'sim', 'experiments', 'live', 'test'] as const;

/** A source file by its path from the root, with `/` on every system. */
export interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

/** Every TypeScript source of the project, in order of path. */
export function sources(): Source[] {
  const paths = FOLDERS.filter((folder) => existsSync(join(PROJECT_ROOT, folder))).flatMap(
    (folder) =>
      (readdirSync(join(PROJECT_ROOT, folder), { recursive: true }) as string[])
        .filter((file) => file.endsWith('.ts'))
        .map((file) => posix.join(folder, file.replaceAll('\\', '/'))),
  );
  return ['cli.ts', ...paths].sort().map((path) => {
    const text = readFileSync(join(PROJECT_ROOT, path), 'utf8');
    return { path, text, lines: text.replace(/\n$/, '').split('\n') };
  });
}

export interface Import {
  /** path from the root for a file of ours, else the package's name as written */
  readonly target: string;
  readonly ours: boolean;
  readonly typeOnly: boolean;
}

const STATEMENT =
  /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gms;

/** What a file imports or re-exports, static and dynamic. */
export function importsOf(source: Source): Import[] {
  return [...source.text.matchAll(STATEMENT)].map(([, type, fixed, lazy]) => {
    const written = fixed ?? lazy!;
    const ours = written.startsWith('.');
    const target = ours ? posix.join(dirname(source.path), written) : written;
    return { target, ours, typeOnly: type !== undefined };
  });
}

/** The text without comments and without what stands inside quotes; lines stay where they are. */
export function bareCode(text: string): string {
  const blank = (match: string): string => match.replaceAll(/[^\n]/g, ' ');
  return text.replaceAll(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g,
    blank,
  );
}
