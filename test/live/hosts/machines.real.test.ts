// runs-alone
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { Machines, whyNoMachines } from './machines.ts';

/** Hosts that join over a network: their own data directories, keys and addresses. */
const test = suite('machines');
const missing = await whyNoMachines();
let machines: Machines;

test.before(async () => {
  if (missing !== '') return;
  machines = await Machines.connect(4);
  await machines.makeKeys('h1,h2,h3');
  await machines.startGateway();
});

test.after(async () => {
  if (missing === '') assert.equal(await machines.stop(), []);
});

async function kernelOnThree() {
  const { id, client } = await machines.system.notebook();
  await machines.system.until('all replicas are ready', async () => {
    const { replicas } = await machines.system.kernel(id);
    return replicas.length === 3 && replicas.every((each) => each.process === 'ready');
  });
  return { id, client };
}

async function executorOf(kernel: string) {
  const { executor, replicas } = await machines.system.kernel(kernel);
  const replica = replicas.find(({ id }) => id === executor)!;
  return { replica, at: machines.hosts[Number(replica.host.slice(1)) - 1]! };
}

testWithPart(test, missing, 'hosts join with their keys and run cells', async () => {
  for (const [at, host] of machines.hosts.slice(0, 3).entries())
    machines.startAgent(host, `h${at + 1}`);
  await machines.untilUp('h1', 'h2', 'h3');
  const { id, client } = await kernelOnThree();
  const { reply, text } = await client.run('x = 40\nprint(x + 2)');
  assert.is(reply['status'], 'ok');
  assert.is(text, '42\n');
  const { replicas } = await machines.system.kernel(id);
  assert.equal(replicas.map(({ host }) => host).sort(), ['h1', 'h2', 'h3']);
});

testWithPart(
  test,
  missing,
  'a host whose link goes down loses its cell, the kernel goes on, and the host comes back',
  async () => {
    const { id, client } = await kernelOnThree();
    await client.run('kept = [1, 2, 3]');
    const { at, replica } = await executorOf(id);
    const running = client.execute('import time\nprint("begun")\ntime.sleep(60)');
    await client.next(
      (message) => message.header.msg_type === 'stream' && message.content['text'] === 'begun\n',
    );
    at.linkDown();
    try {
      const aborted = await running.done;
      assert.is(aborted['status'], 'error');
      const { text } = await client.run('kept.append(4)\nprint(kept)');
      assert.is(text, '[1, 2, 3, 4]\n');
      assert.is.not((await executorOf(id)).replica.host, replica.host);
      const { hosts } = await machines.system.status();
      assert.match(hosts.find((host) => host.id === replica.host)!.note, /no beats/);
    } finally {
      at.linkUp();
    }
    await machines.untilUp('h1', 'h2', 'h3');
    await machines.system.until(
      'its replica is in step again',
      async () => {
        const { replicas } = await machines.system.kernel(id);
        return replicas.length === 3 && replicas.every((each) => each.process === 'ready');
      },
      30_000,
    );
  },
);

testWithPart(test, missing, 'a host that nobody knew before joins a system that runs', async () => {
  await machines.makeKeys('h4');
  const agent = machines.startAgent(machines.hosts[3]!, 'h4');
  await machines.untilUp('h1', 'h2', 'h3', 'h4');
  const { id } = await kernelOnThree();
  const { replicas } = await machines.system.kernel(id);
  const from = replicas.find(({ host }) => host === 'h3')?.id ?? replicas[0]!.id;
  const free = ['h1', 'h2', 'h3', 'h4'].find((id) => !replicas.some(({ host }) => host === id))!;
  const moved = await machines.system.nbos(['migrate', id, '--replica', from, '--to', free]);
  assert.is(moved.status, 0, moved.stderr);
  agent.kill('SIGTERM');
  await machines.untilUp('h1', 'h2', 'h3');
});

testWithPart(test, missing, 'a host with shared keys says its own id', async () => {
  const agent = machines.startAgent(machines.hosts[3]!, 'agents', ['--host', 'extra']);
  await machines.untilUp('extra', 'h1', 'h2', 'h3');
  agent.kill('SIGTERM');
  await machines.untilUp('h1', 'h2', 'h3');
});

testWithPart(test, missing, 'a stranger is refused and counted, and is told so', async () => {
  const before = await machines.refused();
  const other = join(machines.folder, 'other-system');
  const { status } = await machines.system.nbos([
    'keys',
    '--data',
    other,
    '--hosts',
    'h4',
    '--out',
    other,
  ]);
  assert.is(status, 0);
  const file = join(machines.keys, 'stranger.keys');
  const { gateway } = JSON.parse(readFileSync(join(machines.keys, 'h1.keys'), 'utf8'));
  const foreign = JSON.parse(readFileSync(join(other, 'h4.keys'), 'utf8'));
  writeFileSync(file, JSON.stringify({ ...foreign, gateway }), { mode: 0o600 });
  const agent = machines.startAgent(machines.hosts[3]!, 'stranger');
  await machines.untilSaid('stranger', /key-invalid: .*does not allow our key/);
  assert.ok((await machines.refused()) > before);
  agent.kill('SIGTERM');
  const { hosts } = await machines.system.status();
  assert.not.ok(hosts.some(({ id, up }) => id === 'h4' && up));
});

testWithPart(
  test,
  missing,
  'keys of another system get no answer, and say what to check',
  async () => {
    const file = join(machines.keys, 'foreign.keys');
    copyFileSync(join(machines.folder, 'other-system', 'h4.keys'), file);
    const agent = machines.startAgent(machines.hosts[3]!, 'foreign');
    await machines.untilSaid('foreign', /no answer from tcp:.* yet.*foreign\.keys comes from/);
    agent.kill('SIGTERM');
  },
);

testWithPart(test, missing, 'an id belongs to its key, and to one machine at a time', async () => {
  const read = (id: string) => JSON.parse(readFileSync(join(machines.keys, `${id}.keys`), 'utf8'));
  const before = await machines.refused();
  const false_ = { ...read('h4'), host: 'h1' };
  writeFileSync(join(machines.keys, 'false.keys'), JSON.stringify(false_), { mode: 0o600 });
  const liar = machines.startAgent(machines.hosts[3]!, 'false');
  await machines.untilSaid('false', /its key belongs to host h4, and it says it is h1/);
  liar.kill('SIGTERM');
  const twin = machines.startAgent(machines.hosts[3]!, 'h1', [], 'twin');
  await machines.untilSaid('twin', /host h1 is there already, at tcp:/);
  twin.kill('SIGTERM');
  const shared = machines.startAgent(machines.hosts[3]!, 'agents', ['--host', 'h1'], 'taker');
  await machines.untilSaid('taker', /host h1 has keys of its own/);
  shared.kill('SIGTERM');
  assert.ok((await machines.refused()) >= before + 3);
  await machines.untilUp('h1', 'h2', 'h3');
});

testWithPart(test, missing, 'a host with another workspace is told which it must be', async () => {
  const elsewhere = join(machines.folder, 'elsewhere');
  const agent = machines.startAgent(machines.hosts[3]!, 'h4', ['--workspace', elsewhere], 'apart');
  await machines.untilSaid('apart', /its --workspace is .*elsewhere, and that of the gateway is/);
  agent.kill('SIGTERM');
});

testWithPart(test, missing, 'one data directory has one gateway', async () => {
  const { status, stderr } = await machines.system.nbos([
    'gateway',
    '--data',
    machines.system.data,
    '--port',
    '0',
  ]);
  assert.is(status, 1);
  assert.match(stderr, /data-locked/);
});

testWithPart(
  test,
  missing,
  'the gateway is killed: the next one finds the hosts again',
  async () => {
    const { id, client } = await kernelOnThree();
    await client.run('word = "still here"');
    machines.system.kill((await machines.system.status()).gateway.pid);
    await machines.startGateway();
    await machines.untilUp('h1', 'h2', 'h3');
    const again = await machines.system.client(id);
    const { text } = await again.run('print(word)');
    assert.is(text, 'still here\n');
  },
);

test.run();
