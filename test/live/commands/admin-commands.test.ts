// time-limit: 600 s
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { announceRunning, runningSystems } from '../../../live/commands/running.ts';
import { inFolder } from '../../cli/nbos.ts';
import { FakeGateway, kernelStatus, TOKEN } from './fake-gateway.ts';
import { refuses, works } from './run-nbos.ts';

const ID = '7b1f0c2e-5c3b-4e0c-9a55-0f5f3f6f7c11';
let gateway: FakeGateway;

test.before(async () => {
  gateway = await FakeGateway.start();
});
test.after(() => gateway.stop());
test.before.each(() => {
  gateway.asked.length = 0;
  gateway.special.clear();
  gateway.status.kernels = [
    kernelStatus(ID, {
      path: 'train.ipynb',
      state: 'busy',
      executor: '7b1f/1',
      replicas: [
        { id: '7b1f/1', host: 'h1', pid: 4242, role: 'leader', applied: 17, process: 'ready' },
        { id: '7b1f/2', host: 'h2', pid: 0, role: 'follower', applied: 16, process: 'dead' },
      ],
      unreplicated: [{ name: 'sock', reason: 'open socket' }],
      pinned: ['thread worker'],
      stateBytes: 2_500_000,
      savedMs: 12,
      store: { saved: false, behindMs: 3_000, bytes: 2_000_000 },
      queue: [
        { cell: 3, state: 'running', reason: '', sinceMs: 100 },
        { cell: 4, state: 'waiting', reason: 'waited-for-gpus', sinceMs: 2_500 },
      ],
    }),
    kernelStatus('aaaa1111-0000-4000-8000-000000000000', { path: 'work/other.ipynb' }),
  ];
});

const asked = (method: string, path: string) =>
  gateway.asked.find((each) => each.method === method && each.path === path)?.body;

test('status, hosts and kernels for people', async () => {
  const text = await works(['status'], gateway.env);
  for (const expected of [
    /^h1\s+up\s+11\s+1 of 2\s+1$/m,
    /^h2\s+down\s+-\s+0 of 2\s+0\s+lost; GPU leases are not enforced: cgroup v2$/m,
    /^7b1f0c2e\s+train\.ipynb\s+admin\s+busy\s+h1\* h2\s+2\.50 MB\s+12 ms\s+unsaved 3\.0 s, 2 MB\s+1 running, 1 waiting: waited-for-gpus, 2\.5 s$/m,
    /^7b1f\/1\*\s+h1\s+4242\s+leader\s+17\s+ready$/m,
    /^7b1f0c2e\s+sock\s+open socket$/m,
    /\(pinned\)\s+stays on its executor: thread worker/,
  ])
    assert.match(text, expected);
  assert.match(await works(['hosts'], gateway.env), /^h2\s+down/m);
  assert.match(await works(['kernels'], gateway.env), /^aaaa1111\s+work\/other\.ipynb/m);
});

test('status for machines is what the gateway says', async () => {
  const json = JSON.parse(await works(['status', '--json'], gateway.env));
  assert.equal(json, gateway.status);
});

test('a kernel is named by its id, the beginning of it, or its notebook', async () => {
  const answer = { kernel: ID, replica: '7b1f/4', from: 'h2', to: 'h3' };
  gateway.special.set(`POST /nbos/kernels/${ID}/migrate`, { status: 200, body: answer });
  for (const word of [ID, '7b1f', 'train.ipynb']) {
    const text = await works(['migrate', word, '--to', 'h3'], gateway.env);
    assert.match(text, 'a replica moved from h2 to h3 (7b1f/4)');
  }
  assert.equal(asked('POST', `/nbos/kernels/${ID}/migrate`), { to: 'h3' });
});

test('why a migration cannot be is passed on with its code', async () => {
  const code = 'migrate-refused';
  const body = { code, message: 'every host has a replica already', hint: 'Add a host.' };
  gateway.special.set(`POST /nbos/kernels/${ID}/migrate`, { status: 409, body });
  await refuses(
    ['migrate', ID],
    gateway.env,
    /^migrate-refused: every host has a replica already\. Add a host\.\n$/,
  );
});

test('faults become the request of the admin API', async () => {
  const cases: [string[], object][] = [
    [['fail-next', '7b1f'], { fault: 'fail-next', kernel: ID }],
    [['yield-next', '7b1f', '--times', '3'], { fault: 'yield-next', kernel: ID, times: 3 }],
    [
      ['kill-replica', '7b1f', '--replica', '7b1f/2'],
      { fault: 'kill-replica', kernel: ID, replica: '7b1f/2' },
    ],
    [
      ['disconnect-host', 'h2', '--for', '5s'],
      { fault: 'disconnect-host', host: 'h2', forMs: 5_000 },
    ],
    [
      ['slow-host', 'h2', '--delay', '300ms'],
      { fault: 'slow-host', host: 'h2', delayMs: 300, forMs: 10_000 },
    ],
    [['disk-full', 'h1'], { fault: 'disk-full', host: 'h1', forMs: 10_000 }],
    [['move-every-cell', 'on'], { fault: 'move-every-cell', on: true }],
  ];
  for (const [words, body] of cases) {
    gateway.asked.length = 0;
    await works(['fault', ...words], gateway.env);
    assert.equal(asked('POST', '/nbos/faults'), body);
  }
});

test('tokens are made, listed and taken back', async () => {
  assert.is(await works(['token', 'add', 'ann', '--admin'], gateway.env), 'secret-1\n');
  assert.equal(asked('POST', '/nbos/tokens'), { name: 'ann', admin: true });
  assert.match(await works(['token', 'list'], gateway.env), /^admin\s+yes\s+then$/m);
  await works(['token', 'remove', 'ann'], gateway.env);
  assert.ok(
    gateway.asked.some(({ method, path }) => `${method} ${path}` === 'DELETE /nbos/tokens/ann'),
  );
});

test('logs show the last cell, or several with their numbers', async () => {
  gateway.cells = [
    { cell: 1, msgId: 'a', count: 1, state: 'ok' },
    { cell: 2, msgId: 'b', count: 2, state: 'error' },
    { cell: 3, msgId: 'c', count: 0, state: 'waiting' },
  ];
  gateway.outputs = {
    a: [{ output_type: 'stream', name: 'stdout', text: ['one\n', 'two\n'] }],
    b: [
      { output_type: 'display_data', data: { 'image/png': 'x' } },
      { output_type: 'error', ename: 'E', evalue: 'v', traceback: ['Traceback', 'E: v'] },
    ],
  };
  assert.is(await works(['logs', '7b1f'], gateway.env), '(image/png)\nTraceback\nE: v\n');
  const both = await works(['logs', '7b1f', '--cells', '2'], gateway.env);
  assert.match(both, /^\[1\] ok\none\ntwo\n\[2\] error\n/);
});

test('outputs go into the cells of a notebook, by id, by source, by count', () =>
  inFolder(async (dir) => {
    const cell = (id: string, source: string | string[], count: number | null) => ({
      cell_type: 'code',
      id,
      source,
      execution_count: count,
      metadata: {},
      outputs: [],
    });
    const cells = [cell('x', 'a = 1', null), cell('y', ['b\n', 'c'], null), cell('z', 'old', 9)];
    const file = join(dir, 'n.ipynb');
    const notebook = { nbformat: 4, nbformat_minor: 5, metadata: {}, cells };
    writeFileSync(file, JSON.stringify(notebook, null, 2));
    gateway.cells = [
      { cell: 1, msgId: 'a', count: 7, state: 'ok', cellId: 'x', code: 'changed since' },
      { cell: 2, msgId: 'b', count: 8, state: 'ok', code: 'b\nc' },
      { cell: 3, msgId: 'c', count: 9, state: 'ok' },
      { cell: 4, msgId: 'd', count: 10, state: 'ok', code: 'elsewhere' },
    ];
    const stream = (text: string) => [{ output_type: 'stream', name: 'stdout', text }];
    gateway.outputs = { a: stream('A'), b: stream('B'), c: stream('C'), d: stream('D') };
    const text = await works(['output', '7b1f', '--into', file], gateway.env);
    assert.match(text, 'outputs of 3 cells; not in the file: 1 cell that ran');
    const after = JSON.parse(readFileSync(file, 'utf8')) as typeof notebook;
    assert.equal(
      after.cells.map(({ execution_count, outputs }) => [execution_count, outputs]),
      [
        [7, stream('A')],
        [8, stream('B')],
        [9, stream('C')],
      ],
    );
    writeFileSync(file, '{"nbformat": 3}');
    await refuses(['output', '7b1f', '--into', file], gateway.env, /^file-corrupt: .*nbformat 4/);
  }));

test('mistakes are told on one line: kernels, tokens, systems, addresses', async () => {
  const { env } = gateway;
  await refuses(['logs', 'zzz'], env, /^kernel-unknown: no kernel is named "zzz"\. nbos kernels/);
  await refuses(['migrate', ''], env, /^(kernel-unknown|usage): /);
  await refuses(['status'], { ...env, NBOS_TOKEN: 'wrong' }, /^token-invalid: .*NBOS_TOKEN/);
  const away = { ...env, NBOS_URL: 'http://127.0.0.1:9' };
  await refuses(['status'], away, /^gateway-unreachable: nothing answers at .*nbos up/);
  await refuses(['status'], { ...env, NBOS_URL: 'localhost:80' }, /^usage: NBOS_URL: expected/);
  await refuses(['fault', 'explode', '7b1f'], env, /^usage: /);
  gateway.special.set('GET /nbos/status', { status: 200, body: 'hello' });
  await refuses(['status'], env, /^gateway-unreachable: .*not JSON/);
  gateway.special.set('GET /nbos/status', { status: 500, body: { message: 'oops' } });
  await refuses(['status'], env, /^request-refused: .*500: oops/);
});

test('an ambiguous beginning of an id lists what it may mean', async () => {
  gateway.status.kernels.push(kernelStatus('7b1f9999-0000-4000-8000-000000000000'));
  await refuses(['logs', '7b1f'], gateway.env, /^kernel-unknown: "7b1f" fits 2 kernels/);
});

test('without NBOS_URL the newest running system of the user is found', () =>
  inFolder(async (dir) => {
    const env: NodeJS.ProcessEnv = { ...gateway.env, XDG_STATE_HOME: dir };
    delete env['NBOS_URL'];
    delete env['NBOS_TOKEN'];
    await refuses(['status'], env, /^system-not-found: no system of yours runs here/);
    const folder = join(dir, 'nbos', 'running');
    mkdirSync(folder, { recursive: true });
    const dead = {
      v: 1,
      url: 'http://127.0.0.1:9',
      token: '',
      pid: 2 ** 22 + 1,
      data: '/',
      startedAt: 9e15,
    };
    writeFileSync(join(folder, 'dead.json'), JSON.stringify(dead));
    writeFileSync(join(folder, 'damaged.json'), '{');
    const system = { v: 1 as const, url: gateway.url, token: TOKEN, pid: process.pid, data: dir };
    const withdraw = announceRunning({ ...system, startedAt: Date.now() }, folder);
    assert.is(statSync(join(folder, `${process.pid}.json`)).mode & 0o777, 0o600);
    assert.match(await works(['hosts'], env), /^h1\s+up/m);
    assert.equal(
      runningSystems(folder).map(({ url }) => url),
      [gateway.url],
    );
    withdraw();
    assert.equal(runningSystems(folder), []);
  }));

test.run();
