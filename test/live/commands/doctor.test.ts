import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Finding } from '../../../live/doctor/finding.ts';
import { refuses, runNbos } from './run-nbos.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbc-'));
const HERE = ['--data', join(folder, 'data'), '--workspace', folder];
const env = { ...process.env, DOCKER_HOST: '' };
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('each finding is one object with --json, and nothing is left in the workspace', async () => {
  const { status, stdout, stderr } = await runNbos(['doctor', '--json', ...HERE], env);
  assert.is(stderr, '');
  const findings = JSON.parse(stdout) as Finding[];
  assert.is(status, findings.some(({ level }) => level === 'problem') ? 1 : 0);
  for (const { check, found } of findings) assert.ok(check !== '' && found !== '');
  const checks = new Set(findings.map(({ check }) => check));
  for (const check of ['node', 'disk', 'workspace', 'python', 'clock'])
    assert.ok(checks.has(check), `${check} is missing`);
  assert.equal(readdirSync(folder), []);
});

test('a problem comes with what to do, and with exit code 1', async () => {
  const words = ['doctor', '--docker', 'unix:///nowhere/docker.sock', ...HERE];
  const { status, stdout, stderr } = await runNbos(words, env);
  assert.is(status, 1);
  assert.is(stderr, '');
  assert.match(stdout, /^PROBLEM engine +engine-absent: .*nowhere\/docker\.sock/m);
  assert.match(stdout, /→ Start Docker/);
  assert.match(stdout, /1 problem, \d warnings?\n$/);
  assert.not.match(stdout, /^ok +image/m);
});

test('options that contradict each other or mean nothing are refused', async () => {
  await refuses(['doctor', '--docker', 'ssh://host', ...HERE], env, /^usage: --docker: expected/);
  await refuses(['doctor', '--image', 'x', ...HERE], env, /^usage: --image .*Add --docker/);
  await refuses(
    ['doctor', '--docker', 'unix:///s', '--python', 'python3', ...HERE],
    env,
    /^usage: --python is of no use with --docker/,
  );
  await refuses(['doctor', '--gateway', 'nowhere', ...HERE], env, /^usage: --gateway: expected/);
});

test('a kernel that has not died here', async () => {
  const { status, stdout } = await runNbos(['doctor', '--kernel', 'abc', ...HERE], env);
  assert.is(status, 0);
  assert.match(stdout, /no death of a process of abc/);
});

test.run();
