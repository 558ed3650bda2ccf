import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FileResult } from './run-file.ts';
import type { Skip } from './skip.ts';

const USAGE = `node dist/test/run.js [--real] [--jobs N] [--dir DIR] [--patience N] [PART OF A FILE'S NAME …]

Runs test files, each in a process of its own, and ends with the line "N passed, N failed".
  --real    only the files that need real parts (*.real.test), which are left out otherwise
  --jobs N  files at once (default 3, since many wait more than they work; with --real 2)
  --dir DIR run the built files below DIR instead of this project's
  --patience N  multiplies every time limit, for runs over more seeds
A file raises its time limit with a comment of its own line: // time-limit: 600 s
One that times what it sees, or whose parts leave ports to chance, runs after the others, with
nothing beside it: // runs-alone`;

const DEFAULT_LIMIT_S = 300;
const HERE = dirname(fileURLToPath(import.meta.url));

interface Options {
  real: boolean;
  jobs: number | undefined;
  dir: string;
  patience: number;
  filters: string[];
}

interface Outcome {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly Skip[];
  /** '' when the file came to an end with a result */
  readonly problem: string;
  readonly output: string;
  readonly seconds: number;
}

function readOptions(words: readonly string[]): Options {
  const options: Options = { real: false, jobs: undefined, dir: HERE, patience: 1, filters: [] };
  const queue = [...words];
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === '--real') options.real = true;
    else if (word === '--jobs') options.jobs = Number(queue.shift());
    else if (word === '--patience') options.patience = Number(queue.shift());
    else if (word === '--dir') options.dir = resolve(queue.shift() ?? '');
    else if (word.startsWith('-')) throw new Error(`unknown option ${word}\n\n${USAGE}`);
    else options.filters.push(word);
  }
  if (options.jobs !== undefined && !(Number.isInteger(options.jobs) && options.jobs >= 1))
    throw new Error(`--jobs wants a whole number from 1\n\n${USAGE}`);
  if (!(options.patience >= 1)) throw new Error(`--patience wants a number from 1\n\n${USAGE}`);
  return options;
}

/**
 * Built test files in order of name; those whose source is gone are leftovers of an older build.
 */
function testFiles(dir: string): string[] {
  const sources = dir === HERE ? resolve(HERE, '..', '..', 'test') : undefined;
  return (readdirSync(dir, { recursive: true }) as string[])
    .filter((file) => file.endsWith('.test.js'))
    .filter((file) => !sources || existsSync(join(sources, file.replace(/\.js$/, '.ts'))))
    .map((file) => join(dir, file))
    .sort();
}

function limitSeconds(file: string): number {
  const marked = /^\/\/ time-limit: (\d+) s$/m.exec(readFileSync(file, 'utf8'));
  return marked ? Number(marked[1]) : DEFAULT_LIMIT_S;
}

function runsAlone(file: string): boolean {
  return /^\/\/ runs-alone$/m.test(readFileSync(file, 'utf8'));
}

const running = new Set<ChildProcess>();

/** Runs one file to its end, its crash or its time limit. */
function runFile(file: string, name: string, patience: number): Promise<Outcome> {
  const limit = limitSeconds(file) * patience;
  const started = performance.now();
  // Its own process group, so that what a test started ends with it.
  const child = fork(join(HERE, 'run-file.js'), [file], { silent: true, detached: true });
  running.add(child);
  const pieces: Buffer[] = [];
  child.stdout?.on('data', (piece: Buffer) => pieces.push(piece));
  child.stderr?.on('data', (piece: Buffer) => pieces.push(piece));
  let result: FileResult | undefined;
  let late = false;
  child.on('message', (message) => {
    result = message as FileResult;
  });
  const timer = setTimeout(() => {
    late = true;
    endGroup(child);
  }, limit * 1000);
  return new Promise((done) => {
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      endGroup(child);
      const seconds = (performance.now() - started) / 1000;
      // Output may still be in the pipe; a grandchild that holds it open must not keep us waiting.
      setTimeout(() => {
        const problem = problemOf(result, late ? limit : 0, code, signal);
        const { passed, failed, skipped, skips } = result ?? EMPTY;
        const counts = { passed, failed: problem && failed === 0 ? 1 : failed, skipped, skips };
        done({ name, ...counts, problem, output: Buffer.concat(pieces).toString(), seconds });
      }, 20);
    });
  });
}

const EMPTY: FileResult = { passed: 0, failed: 0, skipped: 0, skips: [] };

function problemOf(
  result: FileResult | undefined,
  lateAfter: number,
  code: number | null,
  signal: NodeJS.Signals | null,
): string {
  if (result) {
    if (result.passed + result.failed + result.skipped > 0) return '';
    return 'no tests: is test.run() missing at the end?';
  }
  if (lateAfter > 0) return `not done after ${lateAfter} s, its time limit`;
  return `ended without a result: ${signal ? `signal ${signal}` : `exit code ${code}`}`;
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

function report(outcome: Outcome, real: boolean): void {
  const { name, passed, failed, skipped, problem, output, seconds } = outcome;
  const left = skipped > 0 ? `, ${skipped} skipped` : '';
  const took = `${seconds.toFixed(1)} s`;
  if (failed === 0) {
    process.stdout.write(`ok    ${name}  ${passed} passed${left}  ${took}\n`);
    return;
  }
  const script = real ? 'npm run test:real' : 'npm test';
  process.stdout.write(
    `FAIL  ${name}  ${passed} passed, ${failed} failed${left}  ${took}\n${problem && `  ${problem}\n`}` +
      `${output.trimEnd()}\n  repeat with: ${script} -- ${name}\n`,
  );
}

/** What of a file's output says which test failed and why: a log is often kept from its end only. */
function failuresOf(output: string): string {
  const lines = output.split('\n');
  const first = lines.findIndex((line) => /^\s*FAIL\s/.test(line.replace(ANSI, '')));
  return first < 0 ? '' : `${lines.slice(first, first + FAILURE_LINES).join('\n')}\n`;
}

const FAILURE_LINES = 30;
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with the escape character
const ANSI = /\x1b\[[0-9;]*m/g;

async function runAll(options: Options): Promise<boolean> {
  const nameOf = (file: string): string =>
    relative(options.dir, file)
      .replace(/\.test\.js$/, '')
      .split(sep)
      .join('/');
  const wanted = (file: string): boolean =>
    options.filters.length === 0 || options.filters.some((part) => nameOf(file).includes(part));
  const all = testFiles(options.dir).filter(wanted);
  const isReal = (file: string): boolean => file.endsWith('.real.test.js');
  const files = all.filter((file) => isReal(file) === options.real);
  const alone = files.filter(runsAlone);
  // Those that take long begin first, so that none is left over at the end.
  const queue = files
    .filter((file) => !alone.includes(file))
    .sort((a, b) => limitSeconds(b) - limitSeconds(a));
  const outcomes: Outcome[] = [];
  const run = async (file: string): Promise<void> => {
    const outcome = await runFile(file, nameOf(file), options.patience);
    outcomes.push(outcome);
    report(outcome, options.real);
  };
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await run(file);
  };
  const jobs = options.jobs ?? (options.real ? 2 : 3);
  await Promise.all(Array.from({ length: jobs }, worker));
  for (const file of alone) await run(file);
  for (const { name, skips } of outcomes)
    for (const skip of skips)
      process.stdout.write(`left out: ${name}: ${skip.name}: ${skip.reason}\n`);
  if (!options.real)
    for (const file of all.filter(isReal))
      process.stdout.write(`left out: ${nameOf(file)}: needs real parts, npm run test:real\n`);
  if (files.length === 0) process.stdout.write('no test file matches\n');
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
  const skipped = outcomes.reduce((sum, outcome) => sum + outcome.skipped, 0);
  const broken = failed > 0 || files.length === 0;
  for (const outcome of outcomes.filter((each) => each.failed > 0))
    process.stdout.write(`failed: ${outcome.name}\n${failuresOf(outcome.output)}`);
  if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
  process.stdout.write(`${passed} passed, ${files.length === 0 ? 1 : failed} failed\n`);
  return !broken;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    for (const child of running) endGroup(child);
    process.exit(130);
  });
try {
  process.exitCode = (await runAll(readOptions(process.argv.slice(2)))) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
