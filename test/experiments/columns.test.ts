import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { REPORTS } from '../../core/record/columns.ts';
import { columnTables, withColumnTables } from '../../experiments/columns-doc.ts';
import { readExperiment } from '../../experiments/matrix.ts';
import { planMatrices } from '../../experiments/plan.ts';
import { PROJECT_ROOT } from '../skip.ts';

const README = readFileSync(join(PROJECT_ROOT, 'experiments', 'README.md'), 'utf8');

test('the columns in experiments/README.md are those of the code', () => {
  assert.is(
    README,
    withColumnTables(README),
    'run `node dist/experiments/columns-doc.js` and commit the change',
  );
  assert.ok(README.includes(columnTables()));
});

test('every column of every report has a row with its meaning', () => {
  for (const [report, columns] of Object.entries(REPORTS)) {
    const section = README.split(`### ${report}\n`)[1]!.split('\n### ')[0]!;
    for (const { name, meaning } of columns) {
      assert.ok(section.includes(`| \`${name}\` |`), `${report}: ${name}`);
      assert.ok(meaning.length > 0);
    }
  }
});

test('the example file is a valid experiment', async () => {
  const example = readExperiment(join(PROJECT_ROOT, 'experiments', 'example.json'));
  assert.is((await planMatrices([example])).length, 3 * 2 * 2 * 3);
});

test.run();
