// time-limit: 600 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planOf } from './simulation/plan.ts';
import { type Exercise, Simulation } from './simulation/simulation.ts';

const FIRST = Number(process.env['NBOS_SEED'] ?? 1);
const COUNT = process.env['NBOS_SEED'] ? 1 : Number(process.env['NBOS_SEEDS'] ?? 500);

test(`${COUNT} groups under faults from seed ${FIRST}`, () => {
  const failures: string[] = [];
  const total: Record<keyof Exercise, number> = {
    terms: 0,
    committed: 0,
    operations: 0,
    crashes: 0,
    changes: 0,
    snapshots: 0,
  };
  for (let seed = FIRST; seed < FIRST + COUNT && failures.length < 10; seed++) {
    const plan = planOf(seed);
    try {
      const exercise = new Simulation(plan).run();
      for (const key of Object.keys(total) as (keyof Exercise)[]) total[key] += exercise[key];
    } catch (error) {
      const { stack, message } = error as Error;
      const text = process.env['NBOS_SEED'] ? stack : message.slice(0, 300);
      failures.push(`NBOS_SEED=${seed} npx tsx test/raft/simulation.test.ts  # ${text}`);
      if (process.env['NBOS_SEED']) console.log(plan);
    }
  }
  assert.is(failures.join('\n'), '');
  console.log(total);
  // A simulator that disturbs nothing finds nothing.
  if (COUNT >= 100)
    for (const [what, count] of Object.entries(total))
      assert.ok(count > COUNT, `${what}: only ${count} in ${COUNT} runs`);
});

test.run();
