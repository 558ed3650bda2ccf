import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT } from '../skip.ts';
import { readSteps, Scenario, writeSteps } from './scenario.ts';

const FOLDER = join(PROJECT_ROOT, 'test', 'raft', 'scenarios');
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith('.txt'));

for (const file of FILES) {
  test(file, () => {
    const path = join(FOLDER, file);
    const steps = readSteps(readFileSync(path, 'utf8'));
    assert.ok(steps.length > 1, 'a scenario has steps');
    const scenario = new Scenario();
    const ran = steps.map((step) => ({ ...step, expected: scenario.run(step.command) }));
    if (process.env['NBOS_REWRITE']) writeFileSync(path, writeSteps(ran));
    else assert.is(writeSteps(ran), writeSteps(steps), `${file}; NBOS_REWRITE=1 writes it anew`);
  });
}

test('a scenario is written as it was read', () => {
  const text = '# a comment\ntick 1 3\n----\n\nwork\n----\na\n  b\n\n';
  assert.is(writeSteps(readSteps(text)), text);
});

test.run();
