import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../skip.ts';
import { type BenchResult, median } from './bench.ts';
import { commandCost, engineTimes } from './processes.ts';

/** After the first run, runs that only warm the process up, then those that count. */
const WARM_UP_RUNS = 3;
const WARM_RUNS = 5;
const COMMAND_RUNS = 3;
const FRESH_RUNS = 3;

/** 100,131 cells of a real trace under `notebookos` on 80 hosts of 8 GPUs. */
export async function run(): Promise<BenchResult[] | string> {
  const folder = process.env['NBOS_TRACES'] ?? join(PROJECT_ROOT, '..', 'shared', 'traces');
  const trace = join(folder, 'tiresias.csv.gz');
  if (!existsSync(trace)) {
    return 'tiresias.csv.gz is not here; NBOS_TRACES names the folder that has it';
  }
  const first: number[] = [];
  const warm: number[] = [];
  let perCell = '';
  for (let fresh = 0; fresh < FRESH_RUNS; fresh++) {
    const times = engineTimes(trace, 'notebookos', 1 + WARM_UP_RUNS + WARM_RUNS, {
      hosts: 80,
    });
    const rates = times.engineMs.map((ms) => (times.cells / ms) * 1000);
    first.push(rates[0]!);
    warm.push(median(rates.slice(1 + WARM_UP_RUNS)));
    const events = (times.events / times.cells).toFixed(2);
    const effects = (times.effects / times.cells).toFixed(2);
    perCell = `${events} events, ${effects} effects a cell`;
  }
  const words = ['simulate', '--trace', trace, '--policy', 'notebookos', '--hosts', '80'];
  const costs = Array.from({ length: COMMAND_RUNS }, () => commandCost(words));
  return [
    {
      name: 'engine, first run of a process (median of 3)',
      value: median(first),
      unit: 'cells/s',
      target: 150_000,
      note: perCell,
    },
    {
      name: 'engine, warm: runs 5 to 9 (median of 3 medians of 5)',
      value: median(warm),
      unit: 'cells/s',
      target: 300_000,
    },
    {
      name: 'whole command from the .gz, every CSV (median of 3)',
      value: median(costs.map((cost) => cost.seconds)),
      unit: 's',
      target: 3,
      less: true,
    },
    {
      name: 'its peak memory',
      value: Math.max(...costs.map((cost) => cost.peakMb)),
      unit: 'MB',
      target: 400,
      less: true,
    },
  ];
}
