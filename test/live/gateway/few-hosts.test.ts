import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NbosError } from '../../../core/errors.ts';
import { Client, create, type Kit, startKit, stopKit, until } from './brain-kit.ts';

let kit: Kit;
test.after.each(() => {
  kit.brain.loop.core.check();
  stopKit(kit);
});

test('a new kernel that too few hosts are up for is refused in time, with what is missing', async () => {
  kit = startKit({ connected: ['h1'], limits: { hostsMs: 50 } });
  const error: NbosError = await create(kit).then(
    () => assert.unreachable('it has no hosts'),
    (refused) => refused,
  );
  assert.is(error.code, 'kernel-failed');
  assert.match(error.message, /needs 3 hosts with room for it; 1 of 4 hosts is up$/);
  assert.equal([...kit.brain.table], []);
});

test('hosts that come meanwhile take it', async () => {
  kit = startKit({ connected: ['h1'] });
  const created = create(kit);
  await until(() => [...kit.brain.table].length === 1, 'it waits');
  kit.agents.hello('h2');
  kit.agents.hello('h3');
  const client = new Client('s').attach(kit.brain, await created);
  assert.is((await client.reply(client.run('print 1')))['status'], 'ok');
});

test.run();
