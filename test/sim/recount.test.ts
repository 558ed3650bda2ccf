import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { POLICIES } from '../../core/policies/index.ts';
import { DELAY_STEPS, RUN_STEPS } from '../../core/record/columns.ts';
import { configFor } from '../../sim/policy-file.ts';
import { simulate } from '../../sim/simulate.ts';
import { randomRun } from '../random-run.ts';

type Row = Record<string, string>;

/** Rows of a report by column; session names and details of these runs hold no commas. */
function rowsOf(folder: string, name: string): Row[] {
  const [head, ...lines] = readFileSync(join(folder, name), 'utf8').trimEnd().split('\n');
  const columns = head!.split(',');
  return lines.map((line) => {
    const values = line.split(',');
    assert.is(values.length, columns.length, `${name}: ${line}`);
    return Object.fromEntries(columns.map((column, at) => [column, values[at]!]));
  });
}

/** GPU-hours between events that add GPUs and events that take them away, up to `untilMs`. */
function gpuHours(events: Row[], adds: string, takes: string, untilMs: number): number {
  let sum = 0;
  for (const { event, time_ms, gpus } of events) {
    const left = Math.max(0, untilMs - Number(time_ms));
    if (event === adds) sum += Number(gpus) * left;
    if (event === takes) sum -= Number(gpus) * left;
  }
  return sum / 3_600_000;
}

const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, a, b);

/** Eight random workloads with faults, under one policy each. */
async function eachRun(check: (folder: string, summary: Row, place: string) => void) {
  for (const policy of Object.values(POLICIES)) {
    for (const seed of [2, 7, 19, 21, 25, 29, 41, 60]) {
      const { trace, config } = randomRun(seed);
      const { hostLossPerDay, deviceExcludedPerDay, containerCrashPerDay, faults } = config;
      const options = { hostLossPerDay, deviceExcludedPerDay, containerCrashPerDay, faults, seed };
      const folder = mkdtempSync(join(tmpdir(), 'nbos-recount-'));
      try {
        await simulate({
          trace,
          policy,
          config: configFor(policy, { hosts: 12, ...options }),
          out: join(folder, 'run'),
          reports: ['cells.csv', 'events.csv', 'summary.csv'],
        });
        const [summary] = rowsOf(join(folder, 'run'), 'summary.csv');
        check(join(folder, 'run'), summary!, `${policy.name}, seed ${seed}`);
      } finally {
        rmSync(folder, { recursive: true });
      }
    }
  }
}

test('GPU-hours recounted from events.csv are those of summary.csv', async () => {
  let committed = 0;
  await eachRun((folder, summary, place) => {
    const events = rowsOf(folder, 'events.csv');
    for (const [measure, adds, takes] of [
      ['provisioned', 'host-up', 'host-down'],
      ['reserved', 'reserve', 'unreserve'],
      ['committed', 'commit', 'release'],
    ] as const) {
      const counted = gpuHours(events, adds, takes, Number(summary['horizon_ms']));
      const given = Number(summary[`${measure}_gpu_hours`]);
      assert.ok(near(counted, given), `${place}: ${measure} ${counted}, summary ${given}`);
      if (measure === 'committed') committed += given;
    }
  });
  assert.ok(committed > 100, `${committed} GPU-hours in all`);
});

test('delays and completion times in cells.csv are the sums of their steps', async () => {
  let cells = 0;
  await eachRun((folder, summary, place) => {
    const rows = rowsOf(folder, 'cells.csv');
    assert.is(rows.length, Number(summary['cells']), place);
    for (const row of rows) {
      const sumOf = (steps: readonly string[]) =>
        steps.reduce((sum, step) => sum + Number(row[`${step}_ms`]), 0);
      const name = `${place}: ${row['session_id']}/${row['cell_index']}`;
      assert.is(Number(row['delay_ms']), sumOf(DELAY_STEPS), name);
      assert.is(Number(row['tct_ms']), sumOf([...DELAY_STEPS, ...RUN_STEPS]), name);
      if (row['status'] === 'completed') assert.is(row['run_ms'], row['duration_ms'], name);
      cells++;
    }
  });
  assert.ok(cells > 500, `${cells} cells in all`);
});

test.run();
