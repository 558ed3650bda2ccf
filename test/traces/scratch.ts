import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as assert from 'uvu/assert';
import { type ErrorCode, NbosError } from '../../core/errors.ts';
import { PROJECT_ROOT } from '../skip.ts';

/** A folder for one test file; removed when the process ends. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-test-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function put(path: string, content: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

export function dataFile(name: string): string {
  return join(PROJECT_ROOT, 'test', 'data', name);
}

/** Asserts that `action` fails with one line of that code whose text matches `text`. */
export async function refuses(
  action: () => unknown,
  code: ErrorCode,
  text: RegExp,
): Promise<NbosError> {
  let error: unknown;
  try {
    await action();
  } catch (caught) {
    error = caught;
  }
  assert.instance(error, NbosError, `expected ${code}, got ${error}`);
  const found = error as NbosError;
  assert.is(found.code, code, `${found.code}: ${found.message}`);
  assert.match(found.message, text);
  assert.not.match(found.message, /\n/);
  return found;
}
