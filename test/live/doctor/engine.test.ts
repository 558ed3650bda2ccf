import { chmodSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STANDARD_DOCKER } from '../../../live/commands/docker-flags.ts';
import { isOlder } from '../../../live/doctor/checks/engine.ts';
import { containerDeath } from '../../../live/doctor/dead-kernels.ts';
import type { Finding } from '../../../live/doctor/finding.ts';
import { type Answers, FakeEngine, HEALTHY, logPiece } from './fake-engine.ts';
import { failingEngine, findingsOf, subjectWith, withEngine } from './subject-kit.ts';

const OF_ENGINE = ['engine', 'cgroups', 'limits', 'storage', 'seccomp', 'image'];

async function asked(answers: Answers, ...names: string[]): Promise<Finding[]> {
  const engine = await FakeEngine.start(answers);
  try {
    return await findingsOf(subjectWith(withEngine(engine.address)), ...names);
  } finally {
    await engine.stop();
  }
}

function infoWith(more: object): Answers {
  return { 'GET /info': { body: { ...HEALTHY.info, ...more } } };
}

test('an engine that is not there is told once, with what to do', async () => {
  const subject = subjectWith(withEngine('unix:///nowhere/docker.sock'));
  const findings = await findingsOf(subject, ...OF_ENGINE);
  assert.is(findings.length, 1);
  assert.is(findings[0]!.level, 'problem');
  assert.match(findings[0]!.found, /engine-absent.*\/nowhere\/docker\.sock/);
  assert.match(findings[0]!.todo, /systemctl start docker/);
});

test('a socket that does not let us in is explained with the safe ways', async () => {
  const engine = failingEngine('unix:///var/run/docker.sock', 'EACCES');
  const subject = subjectWith({ engine, docker: STANDARD_DOCKER });
  const findings = await findingsOf(subject, ...OF_ENGINE);
  assert.is(findings.length, 1);
  const { level, found, todo } = findings[0]!;
  assert.is(level, 'problem');
  assert.match(found, /engine-denied.*permission denied/);
  assert.match(todo, /usermod -aG docker/);
  assert.match(todo, /root/);
  assert.match(todo, /rootless/);
  assert.not.match(todo, /666|777/);
});

test('a healthy engine on cgroup v2: devices cannot be blocked, all else is well', async () => {
  const findings = await asked({}, 'engine', 'cgroups', 'limits', 'storage', 'seccomp');
  assert.equal(
    findings.map(({ check, level }) => `${check} ${level}`),
    ['engine ok', 'cgroups warning', 'limits ok', 'storage ok', 'seccomp ok'],
  );
  assert.match(findings[0]!.found, /24\.0\.7/);
  assert.match(findings[1]!.found, /v2.*before their first use/);
});

test('cgroup v1 blocks devices; an engine that names no version has v1', async () => {
  const { CgroupVersion: _, ...old } = HEALTHY.info;
  const [finding] = await asked({ 'GET /info': { body: old } }, 'cgroups');
  assert.is(finding!.level, 'ok');
  assert.match(finding!.found, /cgroup v1.*blocked/);
});

test('an old engine is a problem', async () => {
  const body = { Version: '19.3.1', ApiVersion: '1.40' };
  const [finding] = await asked({ 'GET /version': { body } }, 'engine');
  assert.is(finding!.level, 'problem');
  assert.match(finding!.found, /19\.3\.1.*too old/);
  assert.ok(isOlder('1.9', '1.41'));
  assert.not.ok(isOlder('1.41', '1.41'));
  assert.not.ok(isOlder('2.0', '1.41'));
});

test('what is no engine is said to be none', async () => {
  const [finding] = await asked({ 'GET /version': { body: { hello: 1 } } }, 'engine');
  assert.is(finding!.level, 'problem');
  assert.match(finding!.found, /no Docker Engine/);
});

test('limits, storage and filters that an engine lacks are warnings', async () => {
  const lacking = { PidsLimit: false, MemoryLimit: false, Driver: 'vfs', SecurityOptions: null };
  const findings = await asked(infoWith(lacking), 'limits', 'storage', 'seccomp');
  assert.equal(
    findings.map(({ level }) => level),
    ['warning', 'warning', 'warning'],
  );
  assert.match(findings[0]!.found, /memory, number of processes/);
  assert.match(findings[1]!.found, /vfs/);
});

test('a socket that everybody may use is a problem', async () => {
  const engine = await FakeEngine.start();
  try {
    chmodSync(engine.socket, 0o666);
    const findings = await findingsOf(subjectWith(withEngine(engine.address)), 'engine');
    assert.equal(
      findings.map(({ level }) => level),
      ['ok', 'problem'],
    );
    assert.match(findings[1]!.todo, /chmod 660/);
  } finally {
    await engine.stop();
  }
});

test('an engine over TCP without TLS is a problem beyond the loopback', async () => {
  const engine = failingEngine('tcp://192.0.2.1:2375', 'EACCES');
  engine.docker.version = (async () => HEALTHY.version) as never;
  const subject = subjectWith({ engine, docker: STANDARD_DOCKER });
  const findings = await findingsOf(subject, 'engine');
  assert.match(findings[1]!.found, /without TLS/);
});

test('a missing image is a problem that names the ways to get it', async () => {
  const body = { message: 'No such image: notebookos/kernel:1' };
  const answers = { 'GET /images/notebookos/kernel:1/json': { status: 404, body } };
  const [finding] = await asked(answers, 'image');
  assert.is(finding!.level, 'problem');
  assert.match(finding!.found, /image-missing.*notebookos\/kernel:1/);
  assert.match(finding!.todo, /nbos image build/);
});

test('a container that died is told with its code and last words', async () => {
  const at = { StartedAt: '2026-01-01T00:00:00Z', FinishedAt: '2026-01-01T00:01:00Z' };
  const state = { ...at, Running: false, Paused: false, Error: '' };
  const engine = await FakeEngine.start({
    'GET /containers/oom/json': {
      body: { Name: '/k1', State: { ...state, ExitCode: 137, OOMKilled: true } },
    },
    'GET /containers/abort/json': {
      body: { Name: '/k2', State: { ...state, ExitCode: 134, OOMKilled: false } },
    },
    'GET /containers/runs/json': {
      body: { Name: '/k3', State: { ...state, Running: true, ExitCode: 0, OOMKilled: false } },
    },
    'GET /containers/abort/logs': {
      body: Buffer.concat([logPiece(1, 'working\n'), logPiece(2, 'free(): invalid pointer\n')]),
    },
  });
  const told = async (id: string): Promise<Finding> => {
    const { engine: real } = withEngine(engine.address);
    return (await containerDeath(real!, id))[0]!;
  };
  try {
    assert.match((await told('oom')).found, /k1.*137.*memory limit/);
    assert.match((await told('oom')).todo, /--memory-mb/);
    assert.match((await told('abort')).found, /134.*working \| free\(\): invalid pointer/);
    assert.is((await told('runs')).level, 'ok');
    assert.match((await told('none')).found, /no container none/);
  } finally {
    await engine.stop();
  }
});

test.run();
