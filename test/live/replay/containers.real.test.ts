import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readReport } from '../../../traces/run-folder.ts';
import { testWithPart } from '../../skip.ts';
import { missingEngines } from '../container/engines.ts';
import { busyTrace, withLiveRun } from './live-run.ts';

const USERS = 4;
const CELLS_EACH = 10;
const NEAR = 0.1;
const REPORTS = [
  'cells.csv',
  'sessions.csv',
  'hosts.csv',
  'timeline.csv',
  'events.csv',
  'summary.csv',
] as const;

testWithPart(test, missingEngines, 'a trace on containers, and a simulation close to it', () => {
  const trace = busyTrace(USERS, CELLS_EACH);
  const plan = { policy: 'notebookos', trace, speed: 120, gpusPerHost: 2, engines: 1 };
  return withLiveRun(plan, async ({ printed, fidelity, folder }) => {
    assert.match(printed, new RegExp(`: ${USERS * CELLS_EACH} cells ok, 0 failed, 0 without`));
    for (const name of REPORTS) assert.ok((await readReport(folder, name)).rows > 0, name);
    const cells = await readReport(folder, 'cells.csv');
    const numbers = cells.numbers('cell_index');
    const ran = cells.texts('session_id').map((id, row) => `${id} ${numbers[row]}`);
    assert.is(new Set(ran).size, USERS * CELLS_EACH);
    assert.ok(cells.texts('status').every((status) => status === 'completed'));
    assert.ok(fidelity.isSame);
    assert.is(fidelity.compared, fidelity.events);
    const hours = fidelity.headlines.filter(({ name }) => name.endsWith('_gpu_hours'));
    assert.is(hours.length, 3);
    for (const { name, relative } of hours)
      assert.ok(Math.abs(relative) <= NEAR, `${name} ${relative}`);
  });
});

test.run();
