import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runScenario } from './scenario.ts';
import { PROJECT_ROOT } from './skip.ts';

const FOLDER = join(PROJECT_ROOT, 'test', 'scenarios');

/** NBOS_REWRITE=1 writes what came out in place of what was expected. */
const REWRITE = process.env['NBOS_REWRITE'] === '1';

for (const name of readdirSync(FOLDER).sort()) {
  if (!name.endsWith('.txt')) continue;
  test(name.slice(0, -'.txt'.length), () => {
    const path = join(FOLDER, name);
    const expected = readFileSync(path, 'utf8');
    const given = runScenario(expected);
    if (REWRITE) writeFileSync(path, given);
    else assert.fixture(given, expected);
  });
}

test.run();
