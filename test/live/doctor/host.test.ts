import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import { roomTold } from '../../../live/doctor/checks/disk.ts';
import { openFilesTold } from '../../../live/doctor/checks/node.ts';
import { skewTold } from '../../../live/doctor/checks/skew.ts';
import { deniedTold } from '../../../live/doctor/checks/store.ts';
import { deathsOf } from '../../../live/doctor/dead-kernels.ts';
import { examine } from '../../../live/doctor/doctor.ts';
import { DEATH_LOGGED } from '../../../live/doctor/exit-diagnosis.ts';
import { type Check, ok, problem } from '../../../live/doctor/finding.ts';
import { lackIn, type Probed, probeTold } from '../../../live/doctor/python-probe.ts';
import { AgentLinks } from '../../../live/wire/agent-links.ts';
import { HOST_KEYS_FORMAT } from '../../../live/wire/host-keys.ts';
import { AllowList, allow, type KeyPair, keyPair, newKeyPair } from '../../../live/wire/keys.ts';
import { findingsOf, subjectWith } from './subject-kit.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbd-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const GB = 1024 ** 3;

test('a check that throws, hangs or rests on one that failed does not end the others', async () => {
  const applies = (): boolean => true;
  const check = (name: string, look: Check['look'], after = ''): Check => ({
    ...{ name, applies, look, after },
  });
  const checks = [
    check('throws', () => Promise.reject(new NbosError('disk-full', 'it is full', 'Make room.'))),
    check('rests', async () => [ok('never told')], 'throws'),
    check('hangs', () => new Promise(() => undefined)),
    check('ends', async () => [ok('well')]),
  ];
  const seen: string[] = [];
  const findings = await examine(subjectWith({}), ({ check: name }) => seen.push(name), {
    ...{ checks, limitMs: 50 },
  });
  assert.equal(seen, ['throws', 'hangs', 'ends']);
  const full = { check: 'throws', ...problem('disk-full: it is full', 'Make room.') };
  assert.equal(findings[0], full);
  assert.match(findings[1]!.found, /no result within/);
});

test('a disk that is full, nearly full, or out of inodes', () => {
  const level = (freeBytes: number, freeInodes: number | undefined): string =>
    roomTold('disk', { freeBytes, freeInodes }).level;
  assert.is(level(100 * GB, undefined), 'ok');
  assert.is(level(GB, 1e6), 'warning');
  assert.is(level(GB / 8, 1e6), 'problem');
  assert.is(level(100 * GB, 10), 'problem');
  assert.is(level(100 * GB, 20_000), 'warning');
});

test('few open files', () => {
  assert.is(openFilesTold(256).level, 'problem');
  assert.is(openFilesTold(1024).level, 'warning');
  assert.is(openFilesTold(Number.POSITIVE_INFINITY).level, 'ok');
});

test('clocks that differ', () => {
  assert.is(skewTold('a clock', -2_000).level, 'ok');
  assert.match(skewTold('a clock', 20_000).found, /20 s ahead of ours/);
  assert.match(skewTold('a clock', -20_000).found, /20 s behind ours/);
  assert.is(skewTold('a clock', -900_000).level, 'problem');
});

test("the gateway's clock is read from its answers", async () => {
  const server = createHttpServer((_, answer) => {
    answer.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString());
    answer.end('{}');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const [finding] = await findingsOf(subjectWith({ gateway: { url, token: '' } }), 'clock');
    assert.is(finding!.level, 'problem');
    assert.match(finding!.found, /gateway is (359\d|360\d) s ahead/);
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

test('a port that another program has', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, done));
  const { port } = server.address() as AddressInfo;
  const subject = subjectWith({ ports: [port] });
  const [taken] = await findingsOf(subject, 'ports');
  await new Promise((done) => server.close(done));
  assert.is(taken!.level, 'problem');
  assert.match(taken!.found, new RegExp(`port ${port} is taken`));
  const [free] = await findingsOf(subject, 'ports');
  assert.is(free!.level, 'ok');
});

test('a store that takes and gives objects, and keeps nothing of the look', async () => {
  const store = join(folder, 'store');
  const findings = await findingsOf(subjectWith({ store: `file:${store}` }), 'store');
  assert.equal(
    findings.map(({ level }) => level),
    ['ok', 'ok'],
  );
  const left = readdirSync(store, { recursive: true, withFileTypes: true });
  assert.equal(
    left.filter((each) => each.isFile()).map(({ name }) => name),
    [],
  );
});

test('a store that cannot be reached, or is none', async () => {
  const [gone] = await findingsOf(subjectWith({ store: 'redis://127.0.0.1:1/0' }), 'store');
  assert.match(gone!.found, /store-unreachable/);
  const [none] = await findingsOf(subjectWith({ store: 'ftp://somewhere' }), 'store');
  assert.match(none!.found, /config-bad-value.*ftp/);
});

test('what is wrong with credentials is said plainly', () => {
  const todo = (reason: string): string =>
    deniedTold(new NbosError('store-denied', `s3://b: ${reason}`, 'the usual')).todo;
  assert.match(todo('ExpiredToken: The provided token has expired.'), /have expired/);
  assert.match(todo('CredentialsProviderError: Could not load credentials'), /AWS_PROFILE/);
  assert.match(todo('NOAUTH Authentication required.'), /REDIS_PASSWORD/);
  assert.match(todo('Region is missing'), /region=/);
  assert.is(todo('AccessDenied'), 'the usual');
});

test('a workspace that is not there, is none, or is a plain folder', async () => {
  const at = (workspace: string, join = ''): ReturnType<typeof findingsOf> =>
    findingsOf(subjectWith({ workspace, join }), 'workspace');
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  assert.match((await at(join(folder, 'none')))[0]!.found, /does not exist/);
  assert.match((await at(file))[0]!.found, /no folder/);
  assert.is((await at(folder))[0]!.level, 'ok');
  const [joined] = await at(folder, 'tcp://h:1');
  assert.is(joined!.level, 'warning');
  assert.match(joined!.found, /other hosts do not see/);
});

const PROBED: Probed = {
  ...{ python: '3.11.2', ipykernel: '6.17.0', uid: 1000, libc: 'glibc 2.36', linux: '6.8.0' },
  ...{ write: '', lock: '', pages: '', socket: '', shmMb: 64 },
};

test('what a probe found in an image', () => {
  const levels = (more: Partial<Probed>): string[] =>
    probeTold({ ...PROBED, ...more }).map(({ level }) => level);
  assert.equal(levels({}), ['ok', 'ok']);
  assert.equal(levels({ write: 'Permission denied' }), ['problem', 'ok']);
  assert.equal(levels({ lock: 'No locks available' }), ['warning', 'ok']);
  assert.equal(levels({ shmMb: 0 }), ['ok', 'ok', 'warning']);
  const pages = (more: Partial<Probed>): string => probeTold({ ...PROBED, ...more })[1]!.found;
  assert.match(pages({}), /userfaultfd/);
  assert.match(pages({ linux: '5.15.0' }), /hash.*5\.15/);
  assert.match(pages({ pages: 'Operation not permitted' }), /hash.*not permitted/);
  assert.is(lackIn(PROBED, 'i'), undefined);
  assert.match(lackIn({ ...PROBED, ipykernel: '' }, 'i')!.found, /without ipykernel/);
  assert.match(lackIn({ ...PROBED, python: '3.6.9' }, 'i')!.found, /3\.9 is needed/);
});

test('the Python of this machine is found and tried in the workspace', async () => {
  const workspace = join(folder, 'work');
  mkdirSync(workspace);
  const findings = await findingsOf(subjectWith({ workspace }), 'python');
  assert.match(findings[0]!.found, /Python 3\.\d+\.\d+, ipykernel \d/);
  assert.match(findings[1]!.found, /can write and lock/);
  assert.equal(readdirSync(workspace), []);
  const named = subjectWith({ workspace, python: '/nowhere/python' });
  const [missing] = await findingsOf(named, 'python');
  assert.match(missing!.found, /python-missing/);
});

function keysFile(name: string, pair: KeyPair, gateway: string): string {
  const file = join(folder, name);
  const seal = '0'.repeat(64);
  const keys = { v: HOST_KEYS_FORMAT, host: 'h9', pair, gateway, hosts: { h1: gateway }, seal };
  writeFileSync(file, JSON.stringify(keys), { mode: 0o600 });
  return file;
}

test('a gateway lets in whose key it knows, and is not told anything', async () => {
  const keys = join(folder, 'keys');
  const own = await keyPair(keys, 'gateway');
  const known = newKeyPair();
  await allow(keys, 'h9', known.publicKey);
  const hellos: string[] = [];
  const links = await AgentLinks.listen({
    ...{ endpoint: 'tcp://127.0.0.1:0', keys: own, allowed: new AllowList(keys) },
    log: pino({ level: 'silent' }),
    onHello: (host) => hellos.push(host),
    onNotice: () => undefined,
    onLost: () => undefined,
  });
  const joining = (file: string): ReturnType<typeof findingsOf> =>
    findingsOf(subjectWith({ join: links.endpoint, keys: file }), 'keys', 'join');
  try {
    const good = await joining(keysFile('good.keys', known, own.publicKey));
    assert.equal(
      good.map(({ level }) => level),
      ['ok', 'ok'],
    );
    assert.match(good[1]!.found, /lets this host in/);
    const stranger = await joining(keysFile('stranger.keys', newKeyPair(), own.publicKey));
    assert.is(stranger[1]!.level, 'problem');
    assert.match(stranger[1]!.todo, /nbos keys/);
    const other = await joining(keysFile('other.keys', known, newKeyPair().publicKey));
    assert.is(other[1]!.level, 'problem');
    assert.match(other[1]!.todo, /another gateway/);
    const open = keysFile('open.keys', known, own.publicKey);
    chmodSync(open, 0o644);
    const [exposed, ...none] = await joining(open);
    assert.match(exposed!.found, /others can read/);
    assert.equal(none, []);
    assert.equal(hellos, []);
  } finally {
    await links.close();
  }
});

test('a gateway that is not there, or an address that is none', async () => {
  const [gone] = await findingsOf(subjectWith({ join: 'tcp://127.0.0.1:1' }), 'join');
  assert.match(gone!.found, /cannot be reached: ECONNREFUSED/);
  const [none] = await findingsOf(subjectWith({ join: 'somewhere' }), 'join');
  assert.match(none!.todo, /tcp:\/\/HOST:PORT/);
});

test('whether all hosts of a gateway see one workspace', async () => {
  const sees = { h1: 'yes', h2: 'no', h3: 'unknown' };
  const marks: string[] = [];
  const server = createHttpServer((request, answer) => {
    request.on('data', (body) => {
      const { mark } = JSON.parse(String(body)) as { mark: string };
      marks.push(mark, ...readdirSync(workspace));
      const sights = Object.entries(sees).map(([host, each]) => ({ host, sees: each }));
      answer.end(JSON.stringify(sights));
    });
  });
  const workspace = join(folder, 'common');
  mkdirSync(workspace);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const gateway = { url, token: 't' };
    const findings = await findingsOf(subjectWith({ gateway, workspace }), 'same files');
    assert.equal(
      findings.map(({ level, found }) => `${level} ${found.slice(0, 2)}`),
      ['ok h1', 'problem h2', 'warning h3'],
    );
    assert.is(marks.length, 2);
    assert.is(marks[0], marks[1], 'the mark lies in the workspace while hosts look');
    assert.equal(readdirSync(workspace), []);
    const none = subjectWith({ gateway, workspace: join(folder, 'nowhere') });
    const [unwritten] = await findingsOf(none, 'same files');
    assert.match(unwritten!.found, /file-unwritable.*nowhere/);
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

test("how a kernel's processes ended is found in the logs of this host", async () => {
  const data = join(folder, 'data');
  mkdirSync(join(data, 'logs'), { recursive: true });
  const line = (kernel: string, exit: string, time: number): string =>
    `${JSON.stringify({ level: 40, time, host: 'h2', kernel, exit, msg: DEATH_LOGGED })}\n`;
  const text =
    line('abc-1', 'exit code 3', 2_000) +
    line('other', 'exit code 4', 3_000) +
    line('abc-1', 'signal SIGKILL: killed; its last words: loading', 1_000);
  writeFileSync(join(data, 'logs', 'hosts.ndjson'), `${text}{"msg":"${DEATH_LOGGED}", half`);
  const findings = await deathsOf(data, 'abc');
  assert.is(findings.length, 2);
  assert.match(findings[0]!.found, /1970-01-01T00:00:01.* on h2: signal SIGKILL.*loading/);
  assert.match(findings[0]!.todo, /--memory-mb/);
  assert.match(findings[1]!.found, /exit code 3/);
  assert.is((await deathsOf(data, 'zzz'))[0]!.level, 'ok');
});

test.run();
