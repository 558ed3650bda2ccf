import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { pythons, runPython } from './python.ts';

const CASES = join(PROJECT_ROOT, 'test', 'live', 'helper', 'tracker_cases.py');
const SEEDS = 5;
const SEED = Number(process.env['NBOS_SEED'] ?? 1);

/** c for a look that found a change, . for one that did not. */
const SEEN = {
  plain: 'c.c.cc.',
  same_bytes_written: '.',
  read_into: 'c.c',
  forked: '.c.',
  mapped_again: 'c.ccc',
  freed_and_given_anew: 'cccc',
  neighbours: 'ccc..c..',
  shared: 'cc.',
  blob_map: 'c.c.',
  written_between: '.cc',
  hot: 'cccccccc..',
  drawn: 0,
};

const found = await pythons();
const missing = found.length > 0 ? '' : 'no Python with ipykernel';

async function cases(how: 'pages' | 'hash', seed: number): Promise<Record<string, unknown>> {
  return JSON.parse(await runPython(found[0]!.path, [CASES, how, String(seed)]));
}

testWithPart(test, missing, 'hashing finds what changed', async () => {
  const { pages, reason, unchangedMs, ...seen } = await cases('hash', SEED);
  assert.is(pages, 'hash');
  assert.equal(seen, SEEN);
});

testWithPart(test, missing, 'pages find what changed', async () => {
  for (let seed = SEED; seed < SEED + SEEDS; seed++) {
    const { pages, reason, unchangedMs, ...seen } = await cases('pages', seed);
    if (pages === 'hash') {
      process.stderr.write(`page tracking is not there: ${reason}\n`);
      return;
    }
    assert.equal(seen, SEEN, `NBOS_SEED=${seed} repeats it`);
    // An unchanged 64 MB is told without reading it: that would take 30 ms.
    assert.ok((unchangedMs as number) < 5, `${unchangedMs} ms`);
  }
});

test.run();
