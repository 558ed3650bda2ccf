import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Client, create, type Kit, startKit, stopKit, until } from './brain-kit.ts';

let kit: Kit;
test.before.each(() => {
  kit = startKit({ config: { prewarmPool: 'minimum', prewarmPerHost: 1 } });
});
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

function pooledNames(): string[] {
  return [...kit.agents.pooled.values()].flatMap((names) => [...names]).sort();
}

function shelved(): number {
  return kit.brain.loop.core.state.totals.poolContainers;
}

test('each host keeps one process; kernels take them, and others follow', async () => {
  await until(() => shelved() === 4, 'four are ready');
  const before = pooledNames();
  const kernel = await create(kit);
  const starts = kit.agents.requests.filter((request) => request.t === 'start-replica');
  assert.is(starts.length, 3);
  for (const { pooled } of starts) assert.ok(before.includes(pooled), pooled);
  await until(() => shelved() === 4, 'four again');
  const client = new Client('s').attach(kit.brain, kernel);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test('a pooled process that dies is replaced', async () => {
  await until(() => shelved() === 4, 'four are ready');
  const [lost] = pooledNames();
  kit.agents.losePooled(lost!);
  await until(() => shelved() === 4 && !pooledNames().includes(lost!), 'another one');
});

test("another gateway's processes are ended", async () => {
  kit.agents.pooled.get('h1')!.add('p1-7');
  kit.agents.hello('h1');
  await until(() => !pooledNames().includes('p1-7'), 'it is ended');
  await until(() => shelved() === 4, 'the own ones stay');
});

test.run();
