import { RUN_FLAGS } from '../sim/run-flags.ts';
import {
  type Arguments,
  addCommand,
  addGroup,
  count,
  duration,
  flag,
  type OptionTable,
  type Program,
  word,
} from '../traces/command-line.ts';
import { TRACE_FLAGS, WINDOW_FLAGS } from '../traces/trace-flags.ts';

type Action =
  | 'comparePolicies'
  | 'validateExperiment'
  | 'showExperiment'
  | 'runOneExperiment'
  | 'reportOn'
  | 'demonstrate';

/** The actions load the simulator and the figures; only the one that is wanted pays for it. */
function run(action: Action): (given: Arguments) => Promise<void> {
  return async (given) => (await import('./actions.ts'))[action](given);
}

const EXPERIMENT: OptionTable = {
  file: {
    type: 'string',
    describe: 'experiment file (JSON), or paper, sensitivity, scale, faults',
    demandOption: true,
  },
};

/** What the experiments that come with the program take. */
const STUDY: OptionTable = {
  trace: word('workload of paper, sensitivity or faults (default: a synthetic one)'),
  seeds: count('seeds', 1, 'seeds of paper, sensitivity, scale or faults'),
};

/** `nbos compare | experiment | report | fidelity | demo`. */
export function addExperimentCommands(program: Program): void {
  addCommand(
    program,
    'compare',
    'the same trace and draws under several policies, side by side',
    {
      trace: word('file or folder of the trace', { demandOption: true }),
      policies: word('names or paths joined by commas; the first is compared with', {
        default: 'reservation,batch-fcfs,notebookos,lcp',
      }),
      seeds: count('seeds', 1, 'number of seeds, counted up from --seed', { default: '1' }),
      resample: flag('draw the sessions anew with each seed, for intervals over workloads'),
      ...RUN_FLAGS,
      out: word('folder for compare.csv, differences.csv and a run folder a policy'),
      replace: flag('take the place of an earlier comparison in that folder'),
      events: flag('write events.csv too'),
      ...WINDOW_FLAGS,
      ...TRACE_FLAGS,
    },
    run('comparePolicies'),
  );
  addExperimentGroup(program);
  addCommand(
    program,
    'report <folder>',
    'draw figures and report.html from a run, a comparison or an experiment',
    {},
    run('reportOn'),
    { folder: { type: 'string', describe: 'folder of results', demandOption: true } },
  );
  addCommand(
    program,
    'fidelity <folder>',
    'repeat a recorded live run in the simulator and show how far its measures are off',
    { seeds: count('seeds', 1, 'simulations, each with its own draws', { default: '15' }) },
    async (given) => (await import('./fidelity/actions.ts')).compareWithLive(given),
    { folder: { type: 'string', describe: 'run folder of nbos replay', demandOption: true } },
  );
  addCommand(
    program,
    'demo',
    'synthesise a 17.5-hour workload and compare four policies on it (npm start)',
    {
      seed: count('seed', 0, 'seed of the workload and of every draw', { default: '1' }),
      out: word('folder of results, replaced', { default: 'results/demo' }),
    },
    run('demonstrate'),
  );
}

function addExperimentGroup(program: Program): void {
  addGroup(program, 'experiment', 'validate, show or run a matrix of runs', (group) => {
    addCommand(
      group,
      'validate <file>',
      'check an experiment without running it',
      STUDY,
      run('validateExperiment'),
      EXPERIMENT,
    );
    addCommand(
      group,
      'show <file>',
      'its runs, with keys, and which results are there',
      { ...STUDY, out: word('folder of results to look into') },
      run('showExperiment'),
      EXPERIMENT,
    );
    return addCommand(
      group,
      'run <file>',
      'perform the runs that are lacking, then write CSV, figures and report.html',
      {
        ...STUDY,
        out: word('folder of results (default results/NAME), shared by shards'),
        jobs: count('jobs', 1, 'worker processes at once', { default: '1' }),
        resume: flag('demand that the folder holds this experiment, begun before'),
        shard: word('i/n: do the i-th of n parts; auto: as Slurm or Kubernetes says'),
        only: word('the one run with this key'),
        timeout: duration('timeout', 'longest time of one run, such as 1h'),
      },
      run('runOneExperiment'),
      EXPERIMENT,
    );
  });
}
