import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NbosError } from '../../../core/errors.ts';
import { textOf } from '../../../live/agent/container/container-exit.ts';
import { launchInside } from '../../../live/agent/container/container-launch.ts';
import { creationOf } from '../../../live/agent/container/container-request.ts';
import { containerFactory } from '../../../live/agent/container/containers.ts';
import { engineAt, statusOf } from '../../../live/agent/container/engine.ts';
import { KERNEL_ARGV } from '../../../live/agent/container/names.ts';
import { seccompProfile } from '../../../live/agent/container/seccomp.ts';
import {
  coversOf,
  ownerOf,
  workspaceMountOf,
} from '../../../live/agent/container/workspace-mount.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbe-'));
const servers: Server[] = [];

/** Something that listens where an engine would; its address. */
async function listening(answer: RequestListener): Promise<string> {
  const socket = join(folder, `${servers.length}.sock`);
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return `unix://${socket}`;
}

async function failureOf(failing: Promise<unknown>): Promise<NbosError> {
  const outcome = await failing.then(
    () => assert.unreachable('nothing failed'),
    (error: NbosError) => error,
  );
  return outcome as NbosError;
}

const LIMITS = { cpus: 0, memoryMb: 0, pids: 0, shmMb: 0 };
const HOST = {
  ...{ image: 'i', workspace: '/w', workspaceMount: '', host: 'h1', system: 's', user: '' },
  ...{ network: 'none', limits: LIMITS, quotaBytes: 0, gpus: undefined, engine: '' },
  log: { info: () => {}, warn: () => {} },
};

test('addresses of engines', () => {
  assert.is(engineAt('', {}).place, 'unix:///var/run/docker.sock');
  assert.is(engineAt('', { DOCKER_HOST: 'tcp://10.0.0.1:2375' }).place, 'tcp://10.0.0.1:2375');
  assert.is(engineAt('unix:///x', { DOCKER_HOST: 'tcp://10.0.0.1:2375' }).place, 'unix:///x');
  for (const wrong of ['/var/run/docker.sock', 'tcp://host', 'ssh://host', 'unix://'])
    assert.throws(() => engineAt(wrong, {}), /expected unix:\/\/\/PATH or tcp:\/\/HOST:PORT/);
  const secured = { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder };
  assert.throws(() => engineAt('tcp://10.0.0.1:2376', secured), /ca\.pem cannot be read/);
  for (const name of ['ca.pem', 'cert.pem', 'key.pem']) writeFileSync(join(folder, name), '');
  assert.is(engineAt('tcp://10.0.0.1:2376', secured).place, 'tcp://10.0.0.1:2376');
});

test('an engine that hangs, or hangs up, is waited for no longer than said', async () => {
  const silent = engineAt(await listening(() => undefined), {});
  const late = await failureOf(silent.ask('its word', (docker) => docker.info(), { ms: 50 }));
  assert.is(late.code, 'engine-absent');
  assert.match(late.message, /its word: no answer within 50 ms/);
  const rude = engineAt(await listening((request) => request.socket.destroy()), {});
  assert.is(
    (await failureOf(rude.ask('its word', (docker) => docker.info()))).code,
    'engine-absent',
  );
});

test('what an engine refuses is told in its words', async () => {
  const address = await listening((request, response) => {
    const image = request.url?.includes('/images/') === true;
    response.writeHead(image ? 404 : 500, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ message: image ? 'No such image: a/b' : 'no room' }));
  });
  const engine = engineAt(address, {});
  const failure = await failureOf(engine.ask('its word', (docker) => docker.info()));
  assert.is(failure.code, 'engine-failed');
  assert.match(failure.message, /its word: .*no room/);
  assert.is(statusOf(failure), 500);
  const look = engine.ask('x', (docker) => docker.getImage('a/b').inspect(), { image: 'a/b' });
  const missing = await failureOf(look);
  assert.is(missing.code, 'image-missing');
  assert.match(missing.hint, /nbos image build/);
});

test('an engine that remaps users is refused at once', async () => {
  const address = await listening((_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ SecurityOptions: ['name=seccomp', 'name=rootless'] }));
  });
  const failure = await failureOf(containerFactory({ ...HOST, engine: address }));
  assert.is(failure.code, 'engine-failed');
  assert.match(failure.message, /rootless or remaps users/);
});

test('workspaces, what is hidden in them, users', () => {
  const [bound] = workspaceMountOf(HOST);
  assert.equal(bound, { Type: 'bind', Source: '/w', Target: '/w', ReadOnly: false });
  const [nfs] = workspaceMountOf({ ...HOST, workspaceMount: 'nfs:server:/exports/w' });
  assert.equal(nfs?.VolumeOptions?.DriverConfig?.Options, {
    ...{ type: 'nfs', o: 'addr=server,rw', device: ':/exports/w' },
  });
  assert.is(nfs?.Target, '/w');
  const [volume] = workspaceMountOf({ ...HOST, workspaceMount: 'volume:shared' });
  assert.equal([volume?.Type, volume?.Source, volume?.Target], ['volume', 'shared', '/w']);
  for (const wrong of ['nfs:server', 'volume:', 'nfs:a,b:/x', 'elsewhere'])
    assert.throws(() => workspaceMountOf({ ...HOST, workspaceMount: wrong }), /expected a folder/);
  const covers = coversOf({ ...HOST, hidden: ['/w/data', '/elsewhere', '/w2'] });
  assert.equal(
    covers.map(({ Type, Target }) => [Type, Target]),
    [['tmpfs', '/w/data']],
  );
  for (const wrong of ['0:0', 'root', '1000', '1000:1000:1'])
    assert.throws(() => ownerOf(wrong), /expected UID:GID/);
});

test('no option of a container opens it', () => {
  const settings = { ...HOST, seccomp: true, gpus: { devices: [], deviceRequests: [], env: {} } };
  const { HostConfig, User, Entrypoint, Cmd } = creationOf(
    { ...settings, user: '1000:1000' },
    {
      ...{ name: 'n', kind: 'kernel', argv: KERNEL_ARGV, env: {}, cwd: '/w', directory: '/d' },
      ...{ mounts: [], niced: false },
    },
  );
  assert.equal([User, Entrypoint, Cmd?.[0]], ['1000:1000', ['python3'], '-m']);
  assert.equal(HostConfig?.CapDrop, ['ALL']);
  assert.is(HostConfig?.Privileged, false);
  assert.is(HostConfig?.ReadonlyRootfs, true);
  assert.is(HostConfig?.NetworkMode, 'none');
  const [first, profile] = HostConfig?.SecurityOpt ?? [];
  assert.is(first, 'no-new-privileges');
  assert.is(profile, `seccomp=${seccompProfile()}`);
});

test('system calls: page tracking is allowed, the way to other namespaces is not', () => {
  const { defaultAction, syscalls } = JSON.parse(seccompProfile());
  assert.is(defaultAction, 'SCMP_ACT_ERRNO');
  const names: string[] = syscalls[0].names;
  assert.is(new Set(names).size, names.length);
  for (const name of ['userfaultfd', 'openat', 'execve', 'futex']) assert.ok(names.includes(name));
  for (const name of [
    'mount',
    'setns',
    'unshare',
    'bpf',
    'keyctl',
    'clone3',
    'kexec_load',
    'reboot',
  ])
    assert.not(names.includes(name), name);
});

test("nothing of this machine's environment goes in", async () => {
  const inside = { workspace: folder, isHere: true, searched: '/bin' };
  const asked = { argv: KERNEL_ARGV, env: { KERNEL_A: '1' }, language: 'python', hashSeed: 3 };
  const { env, cwd, argv } = await launchInside(inside, { ...asked, cwd: join(folder, 'none') });
  assert.is(cwd, folder);
  assert.is(env['KERNEL_A'], '1');
  assert.is(env['PYTHONHASHSEED'], '3');
  assert.is(env['PATH'], `/bin:${folder}/.nbos/python/bin`);
  assert.is(env['HOME'], '/tmp');
  assert.is(env['JPY_PARENT_PID'], undefined);
  assert.ok(argv.includes('--HistoryManager.hist_file=:memory:'));
  const outside = await launchInside(inside, { ...asked, cwd: '/usr' });
  assert.is(outside.cwd, folder);
});

test("a container's log comes in pieces of two streams", () => {
  const piece = (stream: number, text: string): Buffer => {
    const head = Buffer.alloc(8);
    head[0] = stream;
    head.writeUInt32BE(Buffer.byteLength(text), 4);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const log = Buffer.concat([piece(1, 'one\n'), piece(2, 'twö\n')]);
  assert.is(textOf(log), 'one\ntwö\n');
  assert.is(textOf(log.subarray(0, 10)), 'on');
});

test.after(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});
test.run();
