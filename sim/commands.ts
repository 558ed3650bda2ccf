import {
  type Arguments,
  addCommand,
  addGroup,
  count,
  flag,
  type Program,
  word,
} from '../traces/command-line.ts';
import { TRACE_FLAGS, WINDOW_FLAGS } from '../traces/trace-flags.ts';
import { RUN_FLAGS } from './run-flags.ts';

type Action = 'simulateOne' | 'explainOne' | 'listPolicies' | 'checkPolicyFile' | 'showConfig';

/** The actions load the simulator; only the one that is wanted pays for it. */
function run(action: Action): (given: Arguments) => Promise<void> {
  return async (given) => (await import('./actions.ts'))[action](given);
}

/** `nbos simulate | explain | policy | config`. */
export function addSimulationCommands(program: Program): void {
  addCommand(
    program,
    'simulate',
    'replay a trace on a simulated cluster under one policy',
    {
      trace: word('file or folder of the trace', { demandOption: true }),
      policy: word('name of a policy, or the path of a .ts or .js file', {
        default: 'notebookos',
      }),
      ...RUN_FLAGS,
      out: word('folder that becomes the run folder, with a CSV for each report'),
      replace: flag('take the place of a finished run in that folder'),
      events: flag('write events.csv too'),
      ...WINDOW_FLAGS,
      ...TRACE_FLAGS,
    },
    run('simulateOne'),
  );
  addCommand(
    program,
    'explain <run>',
    'why a cell waited, hop by hop, and why each host was refused',
    {
      session: word('id of the session', { demandOption: true }),
      cell: count('cell', 0, 'number of the cell in its session, from 0', { demandOption: true }),
      trace: word('where the trace lies now, when it was moved'),
    },
    run('explainOne'),
    { run: { type: 'string', describe: 'folder of a finished run', demandOption: true } },
  );
  addGroup(program, 'policy', 'list the policies, or check a file of your own', (group) => {
    addCommand(group, 'list', 'policies and placements', {}, run('listPolicies'));
    return addCommand(
      group,
      'check <file>',
      'run the shared suite on a policy file',
      {},
      run('checkPolicyFile'),
      { file: { type: 'string', describe: 'a .ts or .js file, or a name', demandOption: true } },
    );
  });
  addCommand(
    program,
    'config',
    'every option: unit, default, legal values, source of the default, meaning',
    { defaults: flag('show the defaults, which is also done without it') },
    run('showConfig'),
  );
}
