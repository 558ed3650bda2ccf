// time-limit: 600 s

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runtimeFolder } from '../../../live/commands/run-agent.ts';
import { ended } from '../../cli/nbos.ts';
import { testWithPart } from '../../skip.ts';
import { refuses, runNbos, works } from './run-nbos.ts';
import { startNbos, stopNbos, whyNoKernel } from './started.ts';

const test = suite('nbos up');

/** A home of its own, so that tests find their systems only. */
let home: string;
let env: NodeJS.ProcessEnv;

test.before(() => {
  home = mkdtempSync(join(tmpdir(), 'nbos-up-'));
  env = { ...process.env, XDG_STATE_HOME: join(home, 'state'), NBOS_TOKEN: 'token-of-tests' };
  delete env['NBOS_URL'];
});
test.after(() => rmSync(home, { recursive: true, force: true }));

const missing = await whyNoKernel();
const start = (words: readonly string[]) => startNbos(words, env, home);
const stop = stopNbos;

const CLIENT = `
import jupyter_client
manager, client = jupyter_client.manager.start_new_kernel(kernel_name='nbos', startup_timeout=60)
said = []
def run(code):
    reply = client.execute_interactive(code, timeout=30, allow_stdin=False,
        output_hook=lambda m: said.append(m['content'].get('text', '')))
    assert reply['content']['status'] == 'ok', reply
run('x = 20 + 1')
run('print(2 * x)')
assert ''.join(said).strip().endswith('42'), said
client.stop_channels()
manager.shutdown_kernel(now=False)
print('fine')
`;

testWithPart(
  test,
  missing,
  'it serves, is found, runs cells of plain ZMQ clients, and ends',
  async () => {
    const data = join(home, 'one');
    const up = await start(['up', '--hosts', '1', '--port', '0', '--data', data]);
    const { gateway, hosts } = JSON.parse(await works(['status', '--json'], env));
    assert.equal([gateway.pid, gateway.url, hosts.length], [up.child.pid, up.url, 1]);
    assert.equal([hosts[0].id, hosts[0].up, hosts[0].gpus], ['h1', true, 2]);
    await refuses(['gateway', '--data', data], env, /^data-locked: .*another gateway \(pid \d+\)/);
    await refuses(['fault', 'disk-full', 'h1'], env, /--enable-faults/);
    const jupyter = { ...env, JUPYTER_DATA_DIR: home, JUPYTER_PATH: home, HOME: home };
    await works(['kernelspec', 'install'], jupyter);
    const client = spawn('python3', ['-c', CLIENT], {
      env: jupyter,
      cwd: home,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { status, stdout, stderr } = await ended(client);
    assert.equal([status, stdout], [0, 'fine\n'], stderr);
    assert.equal(JSON.parse(await works(['kernels', '--json'], env)), []);
    await stop(up);
    await refuses(['status'], env, /^system-not-found: /);
  },
);

testWithPart(test, missing, 'split parts can be killed and started again alone', async () => {
  const data = join(home, 'split');
  const up = await start(['up', '--split', '--hosts', '2', '--port', '0', '--data', data]);
  const hostsNow = async () => JSON.parse(await works(['hosts', '--json'], env));
  const pid = Number(readFileSync(join(data, 'gateway.pid'), 'utf8'));
  assert.is.not(pid, up.child.pid);
  process.kill(pid, 'SIGKILL');
  const gateway = await start(['gateway', '--data', data]);
  assert.is(gateway.url, up.url);
  await eventually(async () => (await hostsNow()).every((host: { up: boolean }) => host.up));
  const [, second] = await hostsNow();
  process.kill(second.pid, 'SIGKILL');
  await eventually(async () => (await hostsNow())[1].up === false);
  const agent = await start(['agent', '--host', second.id, '--data', data]);
  assert.is(agent.url, second.id);
  await eventually(async () => (await hostsNow())[1].up === true);
  await stop(up);
  await stop(gateway);
  await stop(agent);
});

testWithPart(test, missing, 'split parts end when what started them is killed', async () => {
  const data = join(home, 'orphans');
  const up = await start(['up', '--split', '--hosts', '2', '--port', '0', '--data', data]);
  const { gateway, hosts } = JSON.parse(await works(['status', '--json'], env));
  const pids: number[] = [gateway.pid, ...hosts.map(({ pid }: { pid: number }) => pid)];
  // One that was started alone stays.
  process.kill(pids[2]!, 'SIGKILL');
  const alone = await start(['agent', '--host', hosts[1].id, '--data', data]);
  assert.equal(pids.slice(0, 2).map(isAlive), [true, true]);
  up.child.kill('SIGKILL');
  await up.end;
  await eventually(async () => !pids.some(isAlive));
  assert.ok(isAlive(alone.child.pid!));
  await stop(alone);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const late = performance.now() + 60_000;
  while (!(await condition())) assert.ok(performance.now() < late, 'not within 60 s');
}

testWithPart(test, missing, 'a port that is taken, and options that cannot be', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const fresh = (name: string): string[] => ['--data', join(home, name)];
  const words = ['up', ...fresh('two'), '--port'];
  await refuses([...words, String(port)], env, new RegExp(`^port-taken: .*${port}`));
  await new Promise((done) => server.close(done));
  await refuses(['up', ...fresh('a'), '--host', '0.0.0.0'], env, /^bind-insecure: /);
  await refuses(['up', ...fresh('b'), '--policy', 'notbook'], env, /^policy-unknown: .*notbook/);
  await refuses(
    ['up', ...fresh('c'), '--set', 'replica=3'],
    env,
    /^config-unknown-key: .*replicas/,
  );
  await refuses(
    ['up', ...fresh('d'), '--hosts', '2', '--replicas', '3'],
    env,
    /^config-bad-value: 3 replicas/,
  );
  await refuses(['up', ...fresh('g'), '--replicas', '2'], env, /^config-bad-value: 2 replicas/);
  await refuses(['up', ...fresh('h'), '--port', '80000'], env, /^usage: --port: .* to 65535/);
  const nowhere = ['up', ...fresh('i'), '--workspace', join(home, 'gone')];
  await refuses(nowhere, env, /^file-not-found: --workspace .*gone: .*no such folder/);
  assert.not(
    existsSync(join(home, 'i', 'cluster.json')),
    'options of a failed start are remembered',
  );
  await refuses(['up', '--data', '/proc/nbos'], env, /^file-unwritable: \/proc\/nbos /);
  await refuses(['up', ...fresh('e'), '--kernel-spec', 'cobol'], env, /^usage: --kernel-spec/);
  await refuses(['up', ...fresh('f'), '--tls-cert', 'x.pem'], env, /^usage: --tls-cert/);
});

test('without Python, or an agent without a system: what to do is said', async () => {
  const words = ['up', '--data', join(home, 'three')];
  const bare: NodeJS.ProcessEnv = { ...env, PATH: join(home, 'nothing') };
  for (const name of ['VIRTUAL_ENV', 'CONDA_PREFIX']) delete bare[name];
  const { status, stderr } = await runNbos(words, bare, home);
  assert.is(status, 1);
  assert.match(stderr, /^python-missing: .*ipykernel/);
  const python = [...words, '--python', './no-python'];
  await refuses(python, env, /^python-missing: --python .*no-python/);
  const lone = ['agent', '--host', 'h1', '--data', join(home, 'four')];
  await refuses(lone, env, /^system-not-found: .*holds no system yet/);
});

test('a cluster file that is damaged or newer is named', async () => {
  const data = join(home, 'five');
  mkdirSync(data);
  const write = (text: string): void => writeFileSync(join(data, 'cluster.json'), text);
  const words = ['agent', '--host', 'h1', '--data', data];
  write('{"v": 1, "http": {"host": "x", "port": 1}}');
  await refuses(words, env, /^file-corrupt: .*cluster\.json: linkPort/);
  write('{"v": 7}');
  await refuses(words, env, /^format-version: .*version 7/);
  write('{');
  await refuses(words, env, /^file-corrupt: .*not JSON/);
});

test('sockets get a short private folder', () => {
  const folder = runtimeFolder(join(home, 'x'.repeat(200)), { XDG_RUNTIME_DIR: home });
  assert.ok(folder.startsWith(home));
  assert.ok(folder.length - home.length < 30, folder);
});

test.run();
