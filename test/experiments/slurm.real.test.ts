// time-limit: 300 s
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT, testWithPart } from '../skip.ts';
import { put, scratchFolder } from '../traces/scratch.ts';
import { finalFiles } from './fakes.ts';
import { missingForSlurm, OneNodeSlurm, until } from './slurm.ts';

const SCRATCH = scratchFolder();
const PARTS = 3;

/** This program as a command line, from a build or from its sources. */
function program(): string[] {
  const isSource = import.meta.url.endsWith('.ts');
  const cli = join(PROJECT_ROOT, isSource ? 'cli.ts' : 'dist/cli.js');
  return [process.execPath, ...process.execArgv, cli];
}

/** Runs long enough that one can be killed in its midst. */
function experiment(): string {
  return put(
    join(SCRATCH, 'experiment.json'),
    JSON.stringify({
      name: 'slurm',
      traces: [{ synthesize: { profile: 'adobe-15s', sessions: 200, hours: 720 } }],
      policies: ['notebookos', 'lcp'],
      clusters: [{ hosts: 80 }],
      seeds: 6,
      cells: 'none',
    }),
  );
}

/** Whether that part is in the midst of a run: its process has a folder for one. */
function isPerforming(out: string): boolean {
  const temporaries = join(out, '.tmp');
  if (!existsSync(temporaries)) return false;
  return readdirSync(temporaries).some((name) => readdirSync(join(temporaries, name)).length > 0);
}

async function killAndRequeue(slurm: OneNodeSlurm, job: string, out: string): Promise<void> {
  await until('a task is in the midst of a run', async () => isPerforming(out));
  const [victim] = [...slurm.tasks(job)].find(([, task]) => task.state === 'RUNNING')!;
  const name = `${job}_${victim}`;
  slurm.call('scancel', ['--signal=KILL', '--full', name]);
  await until('the task is dead', async () => {
    const state = slurm.tasks(job).get(victim)?.state;
    return state === 'FAILED' || state === 'CANCELLED' || state === 'NODE_FAIL';
  });
  assert.not(existsSync(join(out, 'results.csv')), 'nobody took a part for the whole');
  slurm.call('scontrol', ['requeue', name]);
  await until('the task runs again', async () => (slurm.tasks(job).get(victim)?.restarts ?? 0) > 0);
}

testWithPart(
  test,
  missingForSlurm(),
  'a Slurm array with a killed and requeued task gives the files of one process',
  async () => {
    const file = experiment();
    const alone = join(SCRATCH, 'alone');
    const [node, ...words] = program();
    execFileSync(node!, [...words, 'experiment', 'run', file, '--out', alone, '--quiet']);

    const slurm = new OneNodeSlurm(SCRATCH);
    const out = join(SCRATCH, 'array');
    try {
      await slurm.start(2);
      const script = join(PROJECT_ROOT, 'experiments', 'slurm-array.sh');
      const options = [
        '--parsable',
        `--array=0-${PARTS - 1}`,
        '--cpus-per-task=1',
        '--mem-per-cpu=0',
        `--chdir=${SCRATCH}`,
      ];
      const job = slurm
        .call('sbatch', [...options, script, file, out], { NBOS: program().join(' ') })
        .trim();
      await killAndRequeue(slurm, job, out);
      await until(
        'all tasks are complete',
        async () => {
          const states = [...slurm.tasks(job).values()].map((task) => task.state);
          const failed = states.find((state) => /FAILED|CANCELLED|TIMEOUT|NODE_FAIL/.test(state));
          if (failed !== undefined) throw new Error(`a task ended as ${failed}`);
          return states.length === PARTS && states.every((state) => state === 'COMPLETED');
        },
        180_000,
      );
    } catch (error) {
      const said = readdirSync(SCRATCH).filter((name) => /^nbos-.*\.log$/.test(name));
      const logs = said.map((name) => readFileSync(join(SCRATCH, name), 'utf8')).join('\n');
      throw new Error(`${(error as Error).message}\n${logs}\n${slurm.logs()}`);
    } finally {
      await slurm.stop();
    }
    assert.equal(finalFiles(out), finalFiles(alone));
    assert.match(finalFiles(out)['results.csv']!, /\nslurm|,slurm,/);
    assert.equal(readdirSync(join(out, '.tmp')), []);
  },
);

test.run();
