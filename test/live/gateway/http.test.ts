import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pathSecret } from '../../../live/gateway/users.ts';
import { eventually } from '../wire/eventually.ts';
import { fetched, type Served, served } from './http-server.ts';

let http: Served;
test.before(async () => {
  http = await served();
});
test.after(() => http.stop());

const statusOf = async (path: string, init: RequestInit = {}): Promise<number> =>
  (await fetched(http.server.url + path, init)).status;
const bearing = (authorization: string): RequestInit => ({ headers: { authorization } });

test('every form of a token is accepted, nothing else is', async () => {
  const { token } = http;
  const upper = await http.users.add('shouting', true);
  for (const form of [`token ${token}`, `Token ${token}`, `Bearer ${token}`, `BEARER ${token}`])
    assert.is(await statusOf('/api', bearing(form)), 200, form);
  assert.is(await statusOf(`/api?token=${token}`), 200);
  assert.is(await statusOf(`/api?TOKEN=${upper.token}`), 200);
  assert.is(await statusOf(`/t/${pathSecret(token)}/api`), 200);
  assert.is(await statusOf(`/t/${pathSecret(token)}/api/`), 200);
  for (const form of ['', 'token', 'token wrong', `Basic ${token}`, `token ${token}x`])
    assert.is(await statusOf('/api', bearing(form)), 403, form);
  assert.is(await statusOf('/api'), 403);
  assert.is(await statusOf('/api?token='), 403);
  assert.is(await statusOf(`/t/${token}/api`), 403);
  assert.is(await statusOf('/t/api'), 403);
  await http.users.remove('shouting');
  assert.is(await statusOf('/api', bearing(`token ${upper.token}`)), 403);
});

test('refusals are JSON that a client can show', async () => {
  const none = await fetched(`${http.server.url}/api/kernels`);
  assert.is(none.status, 403);
  const body = await none.json();
  assert.is(body.message, 'Forbidden');
  assert.is(body.code, 'token-invalid');
  const gone = await http.ask('/api/kernels/nope');
  assert.is(gone.status, 404);
  assert.equal(await gone.json(), { message: 'Kernel does not exist: nope', reason: null });
  assert.is((await http.ask('/no/such/page')).status, 404);
  const method = await http.ask('/api/kernels', { method: 'PUT' });
  assert.is(method.status, 405);
  assert.is(method.headers.get('allow'), 'GET, POST');
});

test('OPTIONS and /healthz need no token, and no origin is let in', async () => {
  const options = await fetched(`${http.server.url}/api/kernels`, {
    method: 'OPTIONS',
    headers: { origin: 'https://elsewhere.example' },
  });
  assert.is(options.status, 204);
  assert.is(options.headers.get('access-control-allow-origin'), null);
  const health = await fetched(`${http.server.url}/healthz`);
  assert.is(health.status, 200);
  http.admin.state = { ready: true, draining: true, reason: 'stopping' };
  assert.is(await statusOf('/healthz'), 503);
  assert.is((await http.ask('/api/kernels', { method: 'POST' })).status, 503);
  http.admin.state = { ready: true, draining: false, reason: '' };
});

test('kernels are made, shown, interrupted, restarted and removed', async () => {
  const made = await http.ask('/api/kernels', {
    method: 'POST',
    json: { name: 'python3', env: { KERNEL_USERNAME: 'a', PATH: '/evil', KERNEL_GPUS: '2' } },
  });
  assert.is(made.status, 201);
  const model = await made.json();
  assert.is(made.headers.get('location'), `/api/kernels/${model.id}`);
  assert.equal(Object.keys(model).sort(), [
    'connections',
    'execution_state',
    'id',
    'last_activity',
    'name',
  ]);
  assert.equal(http.service.of(model.id).env, { KERNEL_USERNAME: 'a', KERNEL_GPUS: '2' });
  assert.equal((await (await http.ask('/api/kernels')).json()).length, 1);
  assert.is((await http.ask(`/api/kernels/${model.id}`)).status, 200);
  const interrupted = await http.ask(`/api/kernels/${model.id}/interrupt`, { method: 'POST' });
  assert.is(interrupted.status, 204);
  const restarted = await http.ask(`/api/kernels/${model.id}/restart`, { method: 'POST' });
  assert.is(restarted.status, 200);
  assert.is((await restarted.json()).id, model.id);
  assert.equal(http.service.calls, [`interrupt ${model.id}`, `restart ${model.id}`]);
  assert.is((await http.ask(`/api/kernels/${model.id}/channels`)).status, 400);
  assert.is((await http.ask(`/api/kernels/${model.id}`, { method: 'DELETE' })).status, 204);
  assert.is((await http.ask(`/api/kernels/${model.id}`)).status, 404);
  const defaulted = await http.ask('/api/kernels', { method: 'POST' });
  assert.is(defaulted.status, 201);
  await http.service.remove((await defaulted.json()).id);
});

test('a wrong body is told where it is wrong', async () => {
  const post = async (body: string, path = '/api/kernels') => {
    const answer = await http.ask(path, { method: 'POST', body });
    return {
      status: answer.status,
      message: ((await answer.json()) as { message: string }).message,
    };
  };
  assert.equal(await post('{"name":'), {
    status: 400,
    message: 'Invalid JSON in body of request',
  });
  assert.is((await post('[1]')).status, 400);
  assert.is((await post('{"env":{"KERNEL_A":7}}')).status, 400);
  assert.is((await post('{"env":{"KERNEL_A":"a\\u0000b"}}')).status, 400);
  assert.is((await post('{"name":"fortran"}')).status, 500);
  assert.equal(await post('{"type":"notebook"}', '/api/sessions'), {
    status: 400,
    message: 'Missing field in JSON data: path',
  });
  assert.equal(await post('{"path":"a.ipynb"}', '/api/sessions'), {
    status: 400,
    message: 'Missing field in JSON data: type',
  });
  const large = await http.ask('/api/kernels', { method: 'POST', body: 'x'.repeat(2 ** 21) });
  assert.is(large.status, 413);
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(Buffer.alloc(65_536, 32)),
  });
  const streamed = http.ask('/api/kernels', {
    method: 'POST',
    body: endless,
    duplex: 'half',
  } as RequestInit);
  // An early answer may reach a client that still sends as a broken connection.
  assert.is(await streamed.then(({ status }) => status).catch(() => 413), 413);
  assert.is(http.service.kernels.size, 0);
});

test("users see their own kernels, an admin everyone's", async () => {
  const ada = await http.users.add('ada', false);
  const bob = await http.users.add('bob', false);
  const as = (token: string, path: string, init: RequestInit = {}) =>
    fetched(http.server.url + path, { ...init, headers: { authorization: `token ${token}` } });
  const made = await as(ada.token, '/api/kernels', { method: 'POST' });
  const { id } = await made.json();
  assert.is((await (await as(ada.token, '/api/kernels')).json()).length, 1);
  assert.is((await (await as(bob.token, '/api/kernels')).json()).length, 0);
  assert.is((await (await http.ask('/api/kernels')).json()).length, 1);
  for (const [method, path] of [
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/restart'],
    ['POST', '/interrupt'],
  ] as const)
    assert.is((await as(bob.token, `/api/kernels/${id}${path}`, { method })).status, 404);
  assert.is((await as(bob.token, `/nbos/kernels/${id}/cells`)).status, 404);
  for (const [method, path] of [
    ['GET', '/nbos/tokens'],
    ['GET', '/nbos/journal'],
    ['POST', '/nbos/drain'],
    ['POST', '/nbos/faults'],
  ] as const)
    assert.is((await as(ada.token, path, { method })).status, 403, path);
  assert.is((await as(ada.token, '/nbos/status')).status, 200);
  const me = await (await as(ada.token, '/api/me')).json();
  assert.is(me.identity.username, 'ada');
  await http.service.remove(id);
  await http.users.remove('ada');
  await http.users.remove('bob');
});

test('the loopback answers to its own names only', async () => {
  const { request } = await import('node:http');
  const asked = (host: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const { port } = http.server;
      const headers = { host, authorization: `token ${http.token}` };
      request({ port, host: '127.0.0.1', path: '/api', headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode!);
      })
        .on('error', reject)
        .end();
    });
  assert.is(await asked('127.0.0.1:8888'), 200);
  assert.is(await asked('localhost'), 200);
  assert.is(await asked('[::1]:80'), 200);
  assert.is(await asked('evil.example'), 403);
  assert.is(await asked('127.0.0.1.evil.example'), 403);
  assert.is(await asked('localhost.evil.example:80'), 403);
});

test('kernelspecs come with their resources, and nothing beside them', async () => {
  const { writeFile, symlink, mkdir } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const folder = join(http.folder, 'spec');
  await mkdir(folder);
  await writeFile(join(folder, 'logo-64x64.png'), 'png');
  await writeFile(join(folder, 'kernel.js'), 'js');
  await writeFile(join(folder, 'kernel.json'), '{}');
  await symlink('/etc/passwd', join(folder, 'logo-out.svg'));
  http.service.folder = folder;
  const all = await (await http.ask('/api/kernelspecs')).json();
  assert.is(all.default, 'python3');
  assert.equal(all.kernelspecs.python3.resources, {
    'kernel.js': '/kernelspecs/python3/kernel.js',
    'logo-64x64': '/kernelspecs/python3/logo-64x64.png',
    'logo-out': '/kernelspecs/python3/logo-out.svg',
  });
  assert.is(all.kernelspecs.python3.spec.language, 'python');
  const logo = await http.ask('/kernelspecs/python3/logo-64x64.png');
  assert.is(logo.headers.get('content-type'), 'image/png');
  assert.is(await logo.text(), 'png');
  for (const path of ['logo-out.svg', '..%2f..%2fkeys%2fadmin.token', 'none.png', '%00'])
    assert.is((await http.ask(`/kernelspecs/python3/${path}`)).status, 404, path);
  assert.is((await http.ask('/api/kernelspecs/python3')).status, 200);
  assert.is((await http.ask('/api/kernelspecs/__proto__')).status, 404);
  const secret = pathSecret(http.token);
  const prefixed = await fetched(`${http.server.url}/t/${secret}/api/kernelspecs/python3`);
  assert.is(
    (await prefixed.json()).resources['logo-64x64'],
    `/t/${secret}/kernelspecs/python3/logo-64x64.png`,
  );
});

test('admin routes answer with the types of the admin API', async () => {
  const { id } = await (await http.ask('/api/kernels', { method: 'POST' })).json();
  const cells = await (await http.ask(`/nbos/kernels/${id}/cells`)).json();
  assert.is(cells[0].msgId, 'm1');
  for (const name of ['m1', 'last']) {
    const { outputs } = await (await http.ask(`/nbos/kernels/${id}/cells/${name}`)).json();
    assert.is(outputs.length, 2);
  }
  assert.is((await http.ask(`/nbos/kernels/${id}/cells/other`)).status, 404);
  assert.is(await (await http.ask(`/nbos/kernels/${id}/log`)).text(), 'one\ntwo\n3\n');
  const migrate = await http.ask(`/nbos/kernels/${id}/migrate`, { method: 'POST', json: {} });
  assert.is(migrate.status, 409);
  assert.equal(await migrate.json(), {
    message: 'there are as many hosts as replicas',
    reason: 'Add a host.',
    code: 'migrate-refused',
    hint: 'Add a host.',
  });
  const misspelt = await http.ask(`/nbos/kernels/${id}/migrate`, {
    method: 'POST',
    json: { host: 'h1' },
  });
  assert.is(misspelt.status, 400);
  const fault = { fault: 'fail-next', kernel: id };
  assert.is((await http.ask('/nbos/faults', { method: 'POST', json: fault })).status, 403);
  const journal = (await (await http.ask('/nbos/journal')).text()).trim().split('\n');
  assert.is(journal.length, 1000);
  assert.is(JSON.parse(journal[0]!).t, 'session');
  const made = await http.ask('/nbos/tokens', { method: 'POST', json: { name: 'eve' } });
  assert.is(made.status, 201);
  const { token, admin } = await made.json();
  assert.is(admin, false);
  assert.is(await statusOf('/api', bearing(`token ${token}`)), 200);
  assert.is(
    (await http.ask('/nbos/tokens', { method: 'POST', json: { name: 'eve' } })).status,
    409,
  );
  assert.is(
    (await http.ask('/nbos/tokens', { method: 'POST', json: { name: '../x' } })).status,
    400,
  );
  assert.is((await http.ask('/nbos/tokens/eve', { method: 'DELETE' })).status, 204);
  assert.is((await http.ask('/nbos/tokens/eve', { method: 'DELETE' })).status, 404);
  assert.is(await statusOf('/api', bearing(`token ${token}`)), 403);
  await http.service.remove(id);
});

test('faults are for a gateway that enables them', async () => {
  const other = await served({ enableFaults: true });
  const post = async (json: unknown) =>
    (await other.ask('/nbos/faults', { method: 'POST', json })).status;
  assert.is(await post({ fault: 'fail-next', kernel: 'k' }), 204);
  assert.is(await post({ fault: 'slow-host', host: 'h1', delayMs: 5 }), 204);
  assert.is(await post({ fault: 'slow-host', host: 'h1' }), 400);
  assert.is(await post({ fault: 'explode' }), 400);
  assert.equal(other.admin.faults, [
    { fault: 'fail-next', kernel: 'k' },
    { fault: 'slow-host', host: 'h1', delayMs: 5 },
  ]);
  await other.stop();
});

test('a gateway that has just started makes its clients wait, not believe kernels gone', async () => {
  const other = await served({ limits: { readyWaitMs: 60_000 } });
  const { id } = await (await other.ask('/api/kernels', { method: 'POST' })).json();
  other.admin.state = { ready: false, draining: false, reason: 'kernels are being reported' };
  const waiting = other.ask(`/api/kernels/${id}`);
  setTimeout(() => {
    other.admin.state = { ready: true, draining: false, reason: '' };
  }, 60);
  assert.is((await waiting).status, 200);
  await other.stop();
});

test('when its agents stay silent for long, they are told to come again', async () => {
  const other = await served({ limits: { readyWaitMs: 100 } });
  other.admin.state = { ready: false, draining: false, reason: 'kernels are being reported' };
  const late = await other.ask('/api/kernels/some');
  assert.is(late.status, 503);
  assert.is(late.headers.get('retry-after'), '1');
  assert.is((await late.json()).message, 'kernels are being reported');
  assert.is((await fetched(`${other.server.url}/healthz`)).status, 503);
  await other.stop();
});

test('a kernel that does not start in time is given up on', async () => {
  const other = await served({ limits: { createMs: 50 } });
  other.service.createMs = 200;
  assert.is((await other.ask('/api/kernels', { method: 'POST' })).status, 504);
  await other.stop();
});

test('a closing server lets running requests finish', async () => {
  const other = await served();
  other.service.createMs = 150;
  const running = other.ask('/api/kernels', { method: 'POST' });
  await eventually(() => other.service.creating === 1);
  const closing = other.server.close(true);
  assert.is((await running).status, 201);
  await closing;
  await other.stop();
});

test('beyond the loopback TLS is a must, and a taken port is named', async () => {
  const code = (error: { code?: string }) => error.code;
  assert.is(await served({ host: '0.0.0.0' }).then(() => '', code), 'bind-insecure');
  const { port } = http.server;
  assert.is(await served({ port }).then(() => '', code), 'port-taken');
  const proxied = await served({ host: '0.0.0.0', behindProxy: true });
  await proxied.stop();
});

test('secrets are not in the log, and requests are counted', async () => {
  const secret = pathSecret(http.token);
  await fetched(`${http.server.url}/t/${secret}/api`);
  await fetched(`${http.server.url}/api?token=${http.token}&a=1`);
  await fetched(`${http.server.url}/t/${'f'.repeat(40)}/api`);
  const log = http.log.join('');
  assert.ok(log.includes('/t/…/api'));
  assert.not.ok(log.includes(http.token));
  assert.not.ok(log.includes(secret));
  assert.not.ok(log.includes('f'.repeat(40)));
  const metrics = await (await http.ask('/metrics')).text();
  assert.match(metrics, /nbos_http_requests_total\{method="GET",route="\/api",status="200"\} \d+/);
  assert.match(metrics, /nbos_http_refused_total\{why="token"\} \d+/);
  assert.match(metrics, /nbos_http_refused_total\{why="host"\} 3/);
  assert.is(await statusOf('/metrics'), 403);
});

test.run();
