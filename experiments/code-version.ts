import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDERS = ['core', 'traces', 'sim'] as const;
let known: string | undefined;

/**
 * SHA-256 over every source file that a run's result can depend on, as this process runs them:
 * TypeScript in a checkout, JavaScript in a build. Any change makes results count as new.
 */
export function codeVersion(): string {
  if (known !== undefined) return known;
  const here = import.meta.url;
  const ending = here.endsWith('.ts') ? '.ts' : '.js';
  const root = fileURLToPath(new URL('..', here));
  const hash = createHash('sha256');
  for (const folder of FOLDERS) {
    for (const path of filesOf(join(root, folder), folder, ending)) {
      hash
        .update(`${path}\0`)
        .update(readFileSync(join(root, path)))
        .update('\0');
    }
  }
  known = hash.digest('hex');
  return known;
}

function filesOf(folder: string, name: string, ending: string): string[] {
  const paths: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = `${name}/${entry.name}`;
    if (entry.isDirectory()) paths.push(...filesOf(join(folder, entry.name), path, ending));
    else if (entry.name.endsWith(ending) && entry.name !== `commands${ending}`) paths.push(path);
  }
  return paths.sort();
}
