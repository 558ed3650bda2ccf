import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OPTIONS } from '../core/config/options.ts';
import { ERROR_CODES } from '../core/errors.ts';
import { REASONS, REFUSALS } from '../core/reasons.ts';
import { type Source, sources } from './source-files.ts';

const PROGRAM = sources().filter(({ path }) => !path.startsWith('test/'));

/** The entries of a list that nothing outside the files of `except` mentions as `written`. */
function unused(
  list: object,
  except: RegExp,
  written: (entry: string, text: string) => boolean,
): string[] {
  const users = PROGRAM.filter(({ path }: Source) => !except.test(path));
  return Object.keys(list).filter((entry) => !users.some(({ text }) => written(entry, text)));
}

const quoted = (entry: string, text: string): boolean => text.includes(`'${entry}'`);

test('every option is read', () => {
  const member = (entry: string, text: string): boolean => new RegExp(`\\b${entry}\\b`).test(text);
  assert.equal(unused(OPTIONS, /^core\/config\//, member), []);
});

test('every error code is thrown', () => {
  assert.equal(unused(ERROR_CODES, /^core\/errors\.ts$/, quoted), []);
});

test('every reason and refusal is given', () => {
  assert.equal(unused({ ...REASONS, ...REFUSALS }, /^core\/reasons\.ts$/, quoted), []);
});

test.run();
