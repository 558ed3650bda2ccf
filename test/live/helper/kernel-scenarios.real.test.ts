// time-limit: 600 s
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT, skipAloud, testWithPart } from '../../skip.ts';
import { type Python, pythons, runPython } from './python.ts';

const FOLDER = join(PROJECT_ROOT, 'test', 'live', 'helper');
const SCENARIOS = join(FOLDER, 'kernel-scenarios');

/** NBOS_REWRITE=1 writes what came out, of the last Python, in place of what was expected. */
const REWRITE = process.env['NBOS_REWRITE'] === '1';

const found = await pythons();

testWithPart(test, found.length > 0 ? '' : 'no Python with ipykernel', 'a Python is here', () => {
  assert.ok(found.length > 0);
});

for (const python of found)
  for (const name of readdirSync(SCENARIOS).sort()) {
    const path = join(SCENARIOS, name);
    const expected = readFileSync(path, 'utf8');
    const title = `${name.slice(0, -'.txt'.length)} on ipykernel ${python.ipykernel}`;
    const missing = missingFor(expected, python);
    if (missing.length > 0) skipAloud(test, title, `${missing.join(' and ')} not installed`);
    else
      test(title, async () => {
        const given = await runPython(python.path, [join(FOLDER, 'kernel_pair.py'), path]);
        if (REWRITE) writeFileSync(path, given);
        else assert.fixture(given, expected);
      });
  }

/** A first line `# needs numpy pandas` names packages that a scenario imports. */
function missingFor(scenario: string, python: Python): string[] {
  const needs = /^# needs (.*)$/m.exec(scenario)?.[1]?.split(' ') ?? [];
  return needs.filter((name) => !python.packages.includes(name));
}

test.run();
