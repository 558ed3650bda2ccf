import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT } from '../skip.ts';

const RUNNER = join(PROJECT_ROOT, 'dist', 'test', 'run.js');
const UVU = join(PROJECT_ROOT, 'node_modules', 'uvu', 'dist', 'index.mjs');
const SKIP = join(PROJECT_ROOT, 'dist', 'test', 'skip.js');

/** Runs the runner on a folder of the given files; their text starts after the import of uvu. */
function run(files: Record<string, string>, ...words: string[]) {
  const dir = mkdtempSync(join(tmpdir(), 'nbos-runner-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), `import { test } from '${UVU}';\n${text}\n`);
    }
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
    const { stdout, status, signal } = spawnSync(
      process.execPath,
      [RUNNER, '--dir', dir, ...words],
      { encoding: 'utf8', timeout: 60_000, env: { ...process.env, CI: '' } },
    );
    assert.is(signal, null);
    return { lines: stdout.trimEnd().split('\n'), text: stdout, status };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const GOOD = `test('one', () => {}); test('two', () => {}); test.run();`;

test('counts what passes and ends with the closing line', () => {
  const { lines, status } = run({ 'a.test.js': GOOD, 'deep/b.test.js': GOOD });
  assert.is(lines.at(-1), '4 passed, 0 failed');
  assert.is(status, 0);
});

test('a failing test is counted, shown, and comes with the command that repeats it', () => {
  const { lines, text, status } = run({
    'a.test.js': GOOD,
    'deep/bad.test.js': `test('wrong', () => { throw new Error('six is not nine'); }); test('right', () => {}); test.run();`,
  });
  assert.is(lines.at(-1), '3 passed, 1 failed');
  assert.match(text, 'six is not nine');
  assert.match(text, 'repeat with: npm test -- deep/bad');
  assert.is(status, 1);
});

test('a file without tests fails', () => {
  const { lines, text, status } = run({ 'a.test.js': `test('never run', () => {});` });
  assert.is(lines.at(-1), '0 passed, 1 failed');
  assert.match(text, 'no tests');
  assert.is(status, 1);
});

test('a file that hangs is ended at its own time limit', () => {
  const { lines, text } = run({
    'a.test.js': `\n// time-limit: 1 s\n\ntest('for ever', () => new Promise((r) => setInterval(() => r, 1000))); test.run();`,
  });
  assert.is(lines.at(-1), '0 passed, 1 failed');
  assert.match(text, 'not done after 1 s');
});

test('a file that crashes or exits early fails', () => {
  for (const body of [
    'process.exit(0)',
    `setTimeout(() => { throw new Error('late'); }); return new Promise(() => {})`,
  ]) {
    const { lines, text } = run({ 'a.test.js': `test('crash', () => { ${body} }); test.run();` });
    assert.is(lines.at(-1), '0 passed, 1 failed');
    assert.match(text, 'ended without a result');
  }
  assert.is(run({ 'a.test.js': `import './absent.js';` }).status, 1);
});

test('a hook that throws fails its suite', () => {
  const { lines } = run({ 'a.test.js': `test.before(() => { throw new Error('no'); }); ${GOOD}` });
  assert.is(lines.at(-1), '0 passed, 2 failed');
});

test('open handles do not hold the runner', () => {
  const { lines } = run({ 'a.test.js': `setInterval(() => {}, 1000); ${GOOD}` });
  assert.is(lines.at(-1), '2 passed, 0 failed');
});

test('names what it leaves out', () => {
  const files = {
    'a.test.js': `import { skipAloud } from '${SKIP}'; skipAloud(test, 'on Mars', 'no rocket'); ${GOOD}`,
    'slurm.real.test.js': GOOD,
  };
  const { text, lines } = run(files);
  assert.match(text, 'left out: a: on Mars: no rocket');
  assert.match(text, 'left out: slurm.real: needs real parts');
  assert.is(lines.at(-1), '2 passed, 0 failed');
  const real = run(files, '--real');
  assert.match(real.text, 'ok    slurm.real');
  assert.not.match(real.text, 'ok    a ');
});

test('a filter selects files; one that matches nothing fails', () => {
  const files = { 'a.test.js': GOOD, 'b.test.js': GOOD };
  assert.is(run(files, 'b').lines.at(-1), '2 passed, 0 failed');
  assert.is(run(files, 'zebra').status, 1);
});

test('a part that CI must have fails there and is skipped aloud elsewhere', () => {
  const dir = mkdtempSync(join(tmpdir(), 'nbos-runner-'));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(dir, 'a.test.js'),
    `import { test } from '${UVU}'; import { testWithPart } from '${SKIP}';
     testWithPart(test, 'no Slurm here', 'submits', () => {}); test('other', () => {}); test.run();`,
  );
  const last = (CI: string) =>
    spawnSync(process.execPath, [RUNNER, '--dir', dir], {
      encoding: 'utf8',
      env: { ...process.env, CI },
    }).stdout.trimEnd();
  assert.match(last(''), /left out: a: submits: no Slurm here\n1 skipped\n1 passed, 0 failed$/);
  assert.match(last('true'), /1 passed, 1 failed$/);
  rmSync(dir, { recursive: true });
});

test('time limits survive the build', () => {
  const sources = readdirSync(join(PROJECT_ROOT, 'test'), { recursive: true }) as string[];
  const marked = /^\/\/ time-limit: \d+ s$/m;
  for (const source of sources.filter((file) => file.endsWith('.test.ts'))) {
    const limit = marked.exec(readFileSync(join(PROJECT_ROOT, 'test', source), 'utf8'))?.[0];
    const built = join(PROJECT_ROOT, 'dist', 'test', source.replace(/\.ts$/, '.js'));
    if (limit) assert.is(marked.exec(readFileSync(built, 'utf8'))?.[0], limit, source);
  }
});

test.run();
