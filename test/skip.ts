import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'uvu';

/** A test that did not run, and why; the runner prints them all at the end. */
export interface Skip {
  readonly name: string;
  readonly reason: string;
}

declare global {
  var nbosSkips: Skip[] | undefined;
}

type Body = () => void | Promise<void>;

/**
 * Leaves `name` out for `reason`, aloud: the runner names it, and so does a file run on its own.
 */
export function skipAloud(test: Test, name: string, reason: string): void {
  test.skip(name, () => undefined);
  if (globalThis.nbosSkips === undefined) process.stderr.write(`skipped: ${name}: ${reason}\n`);
  else globalThis.nbosSkips.push({ name, reason });
}

/**
 * A test that needs a real part of a user's machine (Slurm, a tmpfs, a terminal …). `missing` says
 * what is not there, '' when all is: then it is skipped aloud, but fails where CI=true, which must
 * have it.
 */
export function testWithPart(test: Test, missing: string, name: string, body: Body): void {
  if (missing === '') test(name, body);
  else if (process.env['CI'] !== 'true') skipAloud(test, name, missing);
  else
    test(name, () => {
      throw new Error(`${missing}; CI must have it`);
    });
}

/** The root of the checkout, from sources run by tsx and from dist/ alike. */
export const PROJECT_ROOT = projectRoot();

function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** Where a published trace that is not ours to ship lies, undefined where it does not. */
export function publishedTrace(file: string): string | undefined {
  const named = process.env['NBOS_TRACES'];
  const folders = [...(named ? [named] : []), join(PROJECT_ROOT, '..', 'shared', 'traces')];
  return folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
}

/** A test on a published trace; skipped aloud where the file is absent, also in CI. */
export function testOnTrace(
  test: Test,
  file: string,
  name: string,
  body: (path: string) => void | Promise<void>,
): void {
  const path = publishedTrace(file);
  if (path !== undefined) test(name, () => body(path));
  else skipAloud(test, name, `${file} is not in $NBOS_TRACES`);
}
