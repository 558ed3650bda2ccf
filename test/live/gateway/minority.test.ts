import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  Client,
  create,
  type Kit,
  newBrain,
  pause,
  startKit,
  stopKit,
  until,
} from './brain-kit.ts';

let kit: Kit;
test.before.each(() => {
  kit = startKit();
});
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

test('a kernel known from one old member is put right when others tell, and none is removed', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const group = kit.agents.groups.get(kernel)!;
  await until(() => group.members.size === 3, 'three replicas');
  const [first, second, third] = [...group.members].map(([member, { host }]) => ({ member, host }));
  const used = [first!.host, second!.host, third!.host];
  const fourth = kit.agents.hosts.find((host) => !used.includes(host))!;
  kit.brain.close();
  // A fourth host has the place of the third: the first does not know it.
  group.members.delete(third!.member);
  group.members.set(9, { host: fourth, process: 'ready' });
  kit.brain = newBrain(kit.agents, {}, { majorityMs: 50 });
  kit.agents.requests.length = 0;
  kit.agents.connect(kit.brain, [first!.host, third!.host]);
  await until(() => kit.brain.table.get(kernel) !== undefined, 'it is shown');
  const live = kit.brain.table.get(kernel)!;
  assert.is(live.lostQuorum, true);
  await pause(50);
  const touched = () => kit.agents.requests.filter(({ t }) => /^(start|stop)-replica$/.test(t));
  assert.equal(touched(), []);
  group.addresses.delete(third!.member);
  group.addresses.set(9, fourth);
  const entry = { path: 'b.ipynb', name: 'b', sessionType: 'notebook', jupyterSession: 's' };
  group.log.apply(++group.index, { v: 1, type: 'annotate', ...entry });
  kit.agents.hello(fourth);
  await until(() => live.members.has(9), 'the fourth is known');
  kit.agents.hello(second!.host);
  const isWhole = (): boolean => [...live.members.values()].every(({ ready }) => ready);
  await until(() => live.members.size === 3 && isWhole(), 'three are ready');
  for (const member of [first!.member, 9]) {
    assert.ok(live.members.has(member));
    assert.ok(group.members.has(member));
  }
  assert.is(live.lostQuorum, false);
  const page = new Client('s').attach(kit.brain, kernel);
  assert.is((await page.reply(page.run('print 1')))['status'], 'ok');
});

test('numbers of members do not come again when the clock was set back', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 1'));
  const now = Date.now;
  const restart = async (at: number): Promise<number> => {
    kit.brain.close();
    Date.now = () => now() + at;
    try {
      kit.brain = newBrain(kit.agents);
      kit.agents.connect(kit.brain);
      await kit.brain.recovery.done;
    } finally {
      Date.now = now;
    }
    return kit.brain.table.get(kernel)!.nextMember;
  };
  const late = await restart(1_000_000);
  const page = new Client('s').attach(kit.brain, kernel);
  await page.reply(page.run('print 1'));
  assert.ok((await restart(0)) >= late);
});

test.run();
