// time-limit: 900 s

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readReport } from '../../../traces/run-folder.ts';
import { testWithPart } from '../../skip.ts';
import { missingEngines } from '../container/engines.ts';
import { busyTrace, GPUS_PER_HOST, withLiveRun } from './live-run.ts';

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

for (const [policy, gpusPerHost] of Object.entries(GPUS_PER_HOST)) {
  const name = `${policy}: a trace on containers, and a simulation close to it`;
  testWithPart(test, missingEngines, name, () => {
    const trace = busyTrace(USERS, CELLS_EACH);
    const plan = { policy, trace, speed: 120, gpusPerHost, engines: 1 };
    return withLiveRun(plan, async ({ printed, fidelity, folder }) => {
      const cellsOk = `: ${USERS * CELLS_EACH} cells ok, 0 failed, 0 without`;
      assert.ok(printed.includes(cellsOk), printed);
      for (const report of REPORTS) assert.ok((await readReport(folder, report)).rows > 0, report);
      const cells = await readReport(folder, 'cells.csv');
      const numbers = cells.numbers('cell_index');
      const ran = cells.texts('session_id').map((id, row) => `${id} ${numbers[row]}`);
      assert.is(new Set(ran).size, USERS * CELLS_EACH);
      assert.ok(cells.texts('status').every((status) => status === 'completed'));
      assert.ok(fidelity.isSame);
      assert.is(fidelity.compared, fidelity.events);
      const hours = fidelity.headlines.filter((each) => each.name.endsWith('_gpu_hours'));
      assert.is(hours.length, 3);
      for (const { name: measure, live, low, high } of hours) {
        // With so few cells it hangs on how many find their own container.
        if (policy === 'lcp' && measure === 'committed_gpu_hours') continue;
        // So few starts of containers take a different course with each seed.
        const isNear = live >= (1 - NEAR) * low && live <= (1 + NEAR) * high;
        assert.ok(isNear, `${measure}: live ${live}, simulated ${low} … ${high}`);
      }
    });
  });
}

test.run();
