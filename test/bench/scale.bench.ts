import { join } from 'node:path';
import { writeNativeTrace } from '../../traces/native-writer.ts';
import { synthesize } from '../../traces/synthesize/index.ts';
import { type BenchResult, median } from './bench.ts';
import { commandCost, engineTimes, inScratch } from './processes.ts';

const HOURS = 720;
const SEED = 1;
const SMALL = { sessions: 500, cells: 25_000, hosts: 50 };
const LARGE = { sessions: 20_000, cells: 1_000_000, hosts: 2000 };
const HUGE = { sessions: 200_000, cells: 10_000_000, hosts: 20_000 };
/** Buffer hosts per host: the default of 3 is meant for some 50 hosts. */
const BUFFER_SHARE = 3 / 50;

type Size = typeof SMALL;

function convert(size: Size, folder: string): string {
  const { sessions, cells } = size;
  const path = join(folder, `trace-${cells}`);
  const trace = synthesize({ profile: 'adobe-15s', sessions, cells, hours: HOURS, seed: SEED });
  writeNativeTrace(trace, path);
  return path;
}

function bufferHosts(size: Size): number {
  return Math.ceil(size.hosts * BUFFER_SHARE);
}

/** The last run of several in one process, µs of engine time per cell. */
function microsPerCell(trace: string, size: Size, runs: number, buffer: number): number {
  const config = { hosts: size.hosts, bufferHosts: buffer };
  const { engineMs, cells } = engineTimes(trace, 'notebookos', runs, config);
  const warm = runs === 1 ? engineMs : engineMs.slice(Math.ceil(runs / 2));
  return (median(warm) * 1000) / cells;
}

/** Ten and a hundred times the real trace: what a cell costs as the cluster grows. */
export async function run(): Promise<BenchResult[]> {
  return inScratch((folder) => {
    const small = convert(SMALL, folder);
    const large = convert(LARGE, folder);
    // The small run is repeated in its process until it is as warm as the large one is on average.
    const smallCost = microsPerCell(small, SMALL, 12, bufferHosts(SMALL));
    const largeCost = microsPerCell(large, LARGE, 1, bufferHosts(LARGE));
    const tightCost = microsPerCell(large, LARGE, 1, bufferHosts(SMALL));
    const words = (trace: string, size: Size) => [
      ...['simulate', '--trace', trace, '--policy', 'notebookos'],
      ...['--hosts', String(size.hosts), '--set', `bufferHosts=${bufferHosts(size)}`],
    ];
    const command = commandCost(words(large, LARGE));
    const huge = convert(HUGE, folder);
    const reports = ['--reports', 'summary,sessions'];
    const hugeCommand = commandCost([...words(huge, HUGE), ...reports]);
    return [
      {
        name: '10^6 cells, 20,000 sessions, 2,000 hosts: engine',
        value: largeCost * (LARGE.cells / 1e6),
        unit: 's',
        target: 15,
        less: true,
        note: `${bufferHosts(LARGE)} buffer hosts`,
      },
      {
        name: 'the same with the default 3 buffer hosts',
        value: tightCost * (LARGE.cells / 1e6),
        unit: 's',
        target: 15,
        less: true,
        note: 'a tighter cluster: a fifth of its cells migrate',
      },
      {
        name: 'cost per cell / that of 50 hosts at the same load',
        value: largeCost / smallCost,
        unit: 'ratio',
        target: 2,
        less: true,
        note: `${largeCost.toFixed(2)} and ${smallCost.toFixed(2)} µs`,
      },
      { name: '10^6 cells: whole command, every CSV', value: command.seconds, unit: 's' },
      { name: 'its peak memory', value: command.peakMb, unit: 'MB' },
      {
        name: '10^7 cells: whole command, summary and sessions',
        value: hugeCommand.seconds,
        unit: 's',
        note: `${HUGE.hosts} hosts`,
      },
      {
        name: 'its peak memory',
        value: hugeCommand.peakMb,
        unit: 'MB',
        target: 2048,
        less: true,
      },
    ];
  });
}
