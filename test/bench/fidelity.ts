/**
 * How well the simulator tells what live kernels do: a trace is replayed on four Docker Engines
 * under each policy, and its measures are compared with those of a simulation of the same work.
 * `npm run bench:fidelity -- [--cells N] [--speed N] [--policy NAME] [--processes] [--keep DIR]`.
 * With `--keep`, run folders stay in DIR/POLICY, for `nbos fidelity`. Exits with 1 when a target is
 * missed. Run it on a machine that does nothing else.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ComparedHeadline } from '../../experiments/fidelity/fidelity.ts';
import { bootstrapBounds } from '../../experiments/statistics.ts';
import { shownValue } from '../../sim/summary-text.ts';
import { quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import { readReport } from '../../traces/run-folder.ts';
import { textTable } from '../../traces/text-table.ts';
import { missingEngines } from '../live/container/engines.ts';
import { busyTrace, GPUS_PER_HOST, type LiveRun, withLiveRun } from '../live/replay/live-run.ts';

const USERS = 10;
const ENGINES = 4;
/** of the live value: GPU-hours, shares, medians, money */
const TARGET = 0.1;
/** Too few a run for a share of them to say anything; near 0, and judged as cost and revenue. */
const UNTARGETED = new Set(['migrations', 'margin']);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cells: { type: 'string', default: '600' },
      speed: { type: 'string', default: '60' },
      policy: { type: 'string' },
      processes: { type: 'boolean', default: false },
      keep: { type: 'string' },
    },
  });
  const policies = values.policy === undefined ? Object.keys(GPUS_PER_HOST) : [values.policy];
  const unknown = policies.find((name) => GPUS_PER_HOST[name] === undefined);
  const [cells, speed] = [Number(values.cells), Number(values.speed)];
  if (unknown !== undefined || !(cells >= USERS * policies.length) || !(speed > 0)) {
    console.error(
      `usage: --policy is one of ${Object.keys(GPUS_PER_HOST).join(', ')}; --cells, over all ` +
        `policies, is at least ${USERS} for each; --speed is above 0`,
    );
    return 2;
  }
  if (!values.processes && missingEngines !== '') {
    console.error(`left out: ${missingEngines}; --processes needs no engines`);
    return 2;
  }
  const trace = busyTrace(USERS, Math.round(cells / policies.length / USERS));
  let missed = 0;
  for (const policy of policies) {
    const gpusPerHost = GPUS_PER_HOST[policy]!;
    const engines = values.processes ? 0 : ENGINES;
    console.log(`\n${policy}, ${ENGINES} hosts of ${gpusPerHost} GPUs, speed ${speed}`);
    const plan = { policy, trace, speed, gpusPerHost, engines };
    missed += await withLiveRun(plan, (run) => {
      if (values.keep !== undefined)
        cpSync(run.folder, join(values.keep, policy), { recursive: true });
      return shownRun(run);
    });
  }
  console.log(missed === 0 ? '\nevery target was met' : `\n${missed} targets missed`);
  return missed === 0 ? 0 : 1;
}

/** Prints the comparison of a run; how many targets it misses. */
async function shownRun({ printed, fidelity, folder }: LiveRun): Promise<number> {
  console.log(printed.split('\n')[0]);
  const table = await readReport(folder, 'cells.csv');
  const columns = new Map<string, Float64Array>();
  const isCompleted = table.texts('status').map((status) => status === 'completed');
  for (const name of ['delay', 'tct'])
    columns.set(
      name,
      table.numbers(`${name}_ms`).filter((_, row) => isCompleted[row]),
    );
  const judged = fidelity.headlines.map((headline) => judge(headline, columns));
  const rows = judged.map(({ headline, interval, target, isMet }) => [
    ...shownHeadline(headline),
    interval,
    target,
    isMet === undefined ? '' : isMet ? 'met' : 'MISSED',
  ]);
  const heads = ['measure', 'live', 'simulated', 'over seeds', 'error'];
  const judgedHeads = [...heads, 'live interval', 'target', ''];
  process.stdout.write(textTable(judgedHeads, rows, { right: [1, 2, 3, 4] }));
  console.log('fitted from half of the sessions, cells of the others:');
  const others = fidelity.heldOut.map(shownHeadline);
  process.stdout.write(textTable(heads, others, { right: [1, 2, 3, 4] }));
  console.log(`simulated: median of ${fidelity.seeds} seeds`);
  console.log(`${fidelity.compared} of ${fidelity.events} events: the same effects again`);
  const isWhole = / 0 failed, 0 without a reply$/m.test(printed);
  if (!isWhole) console.log('not every cell was answered: MISSED');
  return judged.filter(({ isMet }) => isMet === false).length + (isWhole ? 0 : 1);
}

function shownHeadline(headline: ComparedHeadline): string[] {
  const { label, form, live, simulated, low, high } = headline;
  // JSON has null for what could not be measured.
  const shown = (value: number | null) => shownValue(value ?? Number.NaN, form);
  const range = `${shown(low)} … ${shown(high)}`;
  return [label, shown(live), shown(simulated), range, errorText(headline)];
}

interface Judged {
  readonly headline: ComparedHeadline;
  /** what the cells of the live run leave open, for measures of cells */
  readonly interval: string;
  readonly target: string;
  /** undefined where nothing was promised, or there was nothing to measure */
  readonly isMet: boolean | undefined;
}

/** A tail is met within the interval that the cells of the live run leave for it. */
function judge(headline: ComparedHeadline, columns: ReadonlyMap<string, Float64Array>): Judged {
  const { name, live, simulated } = headline;
  const [, column = '', percent = ''] = /^(.*)_p(\d+)_ms$/.exec(name) ?? [];
  const values = columns.get(column);
  let interval = '';
  if (values !== undefined) {
    const share = Number(percent) / 100;
    const { low, high } = bootstrapBounds(values, (each) =>
      quantileSorted(sortedCopy(each), share),
    );
    interval = `${shownValue(low, 'time')} … ${shownValue(high, 'time')}`;
    if (share > 0.5) {
      const isMet = simulated >= low && simulated <= high;
      return { headline, interval, target: 'in the interval', isMet };
    }
  }
  if (UNTARGETED.has(name) || live === null || simulated === null)
    return { headline, interval, target: '', isMet: undefined };
  const isMet = Math.abs(simulated - live) <= TARGET * Math.abs(live);
  return { headline, interval, target: `${100 * TARGET} %`, isMet };
}

function errorText({ relative }: ComparedHeadline): string {
  if (relative === null || !Number.isFinite(relative)) return '-';
  return `${relative < 0 ? '' : '+'}${(100 * relative).toFixed(1)} %`;
}

// An end by exit, so that what was started ends as well.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
process.exitCode = await main();
