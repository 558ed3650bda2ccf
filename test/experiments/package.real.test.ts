// time-limit: 300 s
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT } from '../skip.ts';
import { dataFile, put, scratchFolder } from '../traces/scratch.ts';

const SCRATCH = scratchFolder();
const PROJECT = join(SCRATCH, 'project');

function call(program: string, words: readonly string[], cwd: string): string {
  // npm's own settings of an outer `npm test` would point the inner npm at this project.
  const outer = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const env = Object.fromEntries(outer);
  return execFileSync(program, words, { cwd, env, encoding: 'utf8', timeout: 240_000 });
}

// Packing runs no script: the build that this test is a part of is what gets packed.
test('the packed tarball, installed elsewhere, serves a script, its types and the command', () => {
  const packed = call(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', SCRATCH],
    PROJECT_ROOT,
  );
  const [{ filename, files }] = JSON.parse(packed) as [
    { filename: string; files: { path: string }[] },
  ];
  const shipped = files.map(({ path }) => path);
  for (const needed of [
    'dist/cli.js',
    'dist/experiments/index.d.ts',
    'dist/experiments/worker.js',
    'experiments/slurm-array.sh',
    'experiments/kubernetes-indexed-job.yaml',
    'README.md',
    'LICENSE',
  ])
    assert.ok(shipped.includes(needed), `${needed} is in the tarball`);
  assert.equal(
    shipped.filter((path) => path.endsWith('.csv') || path.endsWith('.csv.gz')),
    [],
    'no data of others is in the tarball',
  );

  put(join(PROJECT, 'package.json'), '{ "name": "elsewhere", "private": true, "type": "module" }');
  const options = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  call('npm', ['install', ...options, join(SCRATCH, filename)], PROJECT);

  const installed = join(PROJECT, 'node_modules', 'notebookos');
  const example = join(installed, 'dist', 'experiments', 'examples', 'policy-report.js');
  copyFileSync(example, join(PROJECT, 'report.js'));
  const imported = [...readFileSync(join(PROJECT, 'report.js'), 'utf8').matchAll(/from '(.*)'/g)];
  assert.equal(
    imported.map(([, name]) => name),
    ['node:fs', 'notebookos'],
  );
  const trace = dataFile('tiresias-small.csv');
  call(process.execPath, ['report.js', trace, 'report.csv', 'reservation', 'notebookos'], PROJECT);
  const lines = readFileSync(join(PROJECT, 'report.csv'), 'utf8').trimEnd().split('\n');
  assert.match(lines[0]!, /^policy,hosts,gpu_hours,gpu_hours_difference/);
  assert.equal(
    lines.slice(1).map((line) => line.split(',')[0]),
    ['reservation', 'notebookos'],
  );
  assert.is(Number(lines[1]!.split(',')[3]), 0, 'the first differs from itself by nothing');

  checkTypes();
  checkWorkers();
});

function checkTypes(): void {
  put(
    join(PROJECT, 'typed.ts'),
    `import { compare, loadTrace, simulate, type RunResult } from 'notebookos';
import type { Policy } from 'notebookos/policy';
const { trace } = await loadTrace('x');
const run: RunResult = await simulate({ trace, policy: 'lcp', config: { hosts: 3 } });
const policies: (string | Policy)[] = ['lcp'];
export const value: number = (await compare({ trace, policies })).policies[0]!.busyGpuHours;
export const summary: string | number | undefined = run.summary['cost'];
`,
  );
  const compiler = join(PROJECT_ROOT, 'node_modules', '.bin', 'tsc');
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext'];
  call(compiler, [...options, '--target', 'es2023', '--types', '', 'typed.ts'], PROJECT);
}

/** Workers and a policy in TypeScript are found where the package is installed. */
function checkWorkers(): void {
  const policies = ['lcp', './mine.ts'];
  mkdirSync(join(PROJECT, 'sub'));
  put(
    join(PROJECT, 'sub', 'mine.ts'),
    `import type { Policy } from 'notebookos/policy';
export default { name: 'mine', summary: 'Never moves.', defaults: {}, container: 'session',
  commit: 'placement', replicated: false, stateRead: 'never', stateWrite: 'none',
  deviceLoad: 'once', migrates: false, dynamicRequests: false, billing: 'reserved',
} satisfies Policy;
`,
  );
  put(
    join(PROJECT, 'sub', 'experiment.json'),
    JSON.stringify({ name: 'there', traces: [{ path: dataFile('tiresias-small.csv') }], policies }),
  );
  call(
    join(PROJECT, 'node_modules', '.bin', 'nbos'),
    ['experiment', 'run', 'sub/experiment.json', '--out', 'out', '--quiet'],
    PROJECT,
  );
  const rows = readFileSync(join(PROJECT, 'out', 'results.csv'), 'utf8')
    .trimEnd()
    .split('\n');
  assert.is(rows.length, 3);
  assert.ok(existsSync(join(PROJECT, 'out', 'report.html')));
}

test.run();
