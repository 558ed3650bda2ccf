import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { pythons, runPython } from './python.ts';

const CASES = join(PROJECT_ROOT, 'test', 'live', 'helper', 'handler_cases.py');
/** A time on machines that do other things too; `npm run bench:live` measures it alone. */
const CAPTURE_MS = 5;

const DEFINITION = /^(?:(?:async )?def |class |(?=\w+ = ))(\w+)/gm;

const found = await pythons();
const missing = found.length > 0 ? '' : 'no Python with ipykernel';

testWithPart(test, missing, 'the helper keeps to its protocol', async () => {
  for (const { path, ipykernel } of found) {
    const { capture_ms, setup_answer, ...seen } = JSON.parse(await runPython(path, [CASES]));
    assert.equal(setup_answer.fields, ['packages', 'pages', 'platform', 'python', 'status']);
    assert.is(setup_answer.packages, true);
    assert.equal(seen, {
      unseen: "[] [''] 1 ['nbos']",
      answers_in_cell: [[['names', 'pinned', 'stateBytes', 'status', 'unreplicated'], 'True']],
      whole_before_reply: {
        modes: ['0o600'],
        outside: seen.whole_before_reply.outside,
        there: true,
      },
      own_failures: ['ok', "[3] 'result'", null, 'ZeroDivisionError: division by zero', true, true],
      no_room: ['ok', '[4] 2', []],
      after_no_room: true,
      tampered: [[['secret']], [['secret']], [['secret']]],
      devices: ['0,2', '', ''],
      bad_requests: [
        "nbos_setup_request: KeyError: 'key'",
        "nbos_apply_request: KeyError: 'units'",
      ],
      syntax_warnings: [seen.syntax_warnings[1], seen.syntax_warnings[1]],
      orphan: [true, true],
    });
    assert.ok(seen.whole_before_reply.outside.length > 0, 'three megabytes travel as a file');
    assert.ok(capture_ms < CAPTURE_MS, `ipykernel ${ipykernel}: ${capture_ms} ms for nothing`);
  }
});

test('the files of the helper, which share one dict, do not define a name twice', () => {
  const folder = join(PROJECT_ROOT, 'live', 'helper');
  const seen = new Map<string, string>();
  const twice: string[] = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.py')))
    for (const [, name] of readFileSync(join(folder, file), 'utf8').matchAll(DEFINITION)) {
      if (seen.has(name!)) twice.push(`${name} in ${seen.get(name!)} and ${file}`);
      seen.set(name!, file);
    }
  assert.equal(twice, []);
});

test.run();
