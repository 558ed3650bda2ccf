import {
  type Arguments,
  addCommand,
  addGroup,
  amount,
  count,
  flag,
  type OptionTable,
  type Program,
  word,
} from './command-line.ts';
import { TRACE_FLAGS, TRACE_PATH, WINDOW_FLAGS } from './trace-flags.ts';

const OUT: OptionTable = {
  out: word('folder that becomes the trace', { demandOption: true }),
  replace: flag('take the place of a trace folder of that name'),
};

type Action = 'importTrace' | 'checkOne' | 'describeOne' | 'synthesizeOne' | 'sampleOne';

/** The actions read and write; they are loaded only when one of them is wanted. */
function run(action: Action): (given: Arguments) => Promise<void> {
  return async (given) => (await import('./trace-actions.ts'))[action](given);
}

/** `nbos trace import | check | describe | synthesize | sample`. */
export function addTraceCommands(program: Program): void {
  addGroup(program, 'trace', 'import, check, describe, synthesize or sample workloads', (group) => {
    addCommand(
      group,
      'import <path>',
      'turn a trace of any format into a native one, which loads fast',
      { ...OUT, ...TRACE_FLAGS },
      run('importTrace'),
      TRACE_PATH,
    );
    addCommand(
      group,
      'check <path>',
      'say what is wrong or odd about a trace; fails when it cannot be used',
      TRACE_FLAGS,
      run('checkOne'),
      TRACE_PATH,
    );
    addCommand(
      group,
      'describe <path>',
      'distributions, load and warnings',
      {
        hosts: count('hosts', 1, 'hosts of the cluster that the load is compared with'),
        'gpus-per-host': count('gpus-per-host', 1, 'GPUs of such a host', { default: '8' }),
        ...TRACE_FLAGS,
      },
      run('describeOne'),
      TRACE_PATH,
    );
    addCommand(
      group,
      'synthesize',
      'a workload with the marginals and the burstiness of a published one',
      {
        profile: word('adobe-15s or adobe-60s', { default: 'adobe-15s' }),
        sessions: count('sessions', 1, 'sessions', { default: '50' }),
        hours: amount('hours', 0, 'length of the trace', { default: '17.5' }),
        cells: count('cells', 1, 'total number of cells (traces of 720 h and more)'),
        peak: amount('peak', 0, 'most GPUs reserved at one moment (traces below 720 h)'),
        'gap-factor': amount('gap-factor', 0, 'think times are multiplied by this'),
        seed: count('seed', 0, 'seed of every draw', { default: '1' }),
        ...OUT,
      },
      run('synthesizeOne'),
    );
    return addCommand(
      group,
      'sample <path>',
      'cut a window out of a trace, with sessions up to a peak of reserved GPUs',
      {
        ...WINDOW_FLAGS,
        seed: count('seed', 0, 'seed of every draw', { default: '1' }),
        ...OUT,
        ...TRACE_FLAGS,
      },
      run('sampleOne'),
      TRACE_PATH,
    );
  });
}
