import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { streamNote } from '../../../live/jupyter/headers.ts';
import { Client, create, type Kit, startKit, stopKit, until } from './brain-kit.ts';

/** More messages of one cell than are kept for those who come back. */
const MANY = 50_100;

let kit: Kit;
test.before.each(() => {
  kit = startKit();
});
test.after.each(() => stopKit(kit));

async function longCell(client: Client, kernel: string): Promise<string> {
  const id = client.run('hang');
  await until(() => client.of(id, 'execute_input').length === 1, 'it runs');
  client.attachment!.detach();
  const live = kit.brain.table.get(kernel)!;
  const { cell, header } = live.running!;
  for (let line = 0; line < MANY; line++) {
    const message = streamNote(`${line}\n`, header, kernel, 'stdout');
    live.replay.add({ channel: 'iopub', message, cell, known: false, to: '' });
  }
  return id;
}

for (const session of ['s', 'a reloaded page'])
  test(`what is not kept is told in the cell, for ${session}`, async () => {
    const kernel = await create(kit);
    const id = await longCell(new Client('s').attach(kit.brain, kernel), kernel);
    const again = new Client(session).attach(kit.brain, kernel);
    const streams = again.of(id, 'stream');
    assert.is(streams[0]!['name'], 'stderr');
    const dropped = Number(/: (\d+) messages/.exec(String(streams[0]!['text']))![1]);
    const lines = streams.slice(1).map(({ text }) => Number(text));
    assert.is(lines.length, 50_000);
    assert.is(lines.at(-1), MANY - 1);
    assert.ok(dropped >= MANY - lines.length && dropped <= MANY - lines.length + 5, `${dropped}`);
    kit.agents.end(kernel);
    await again.reply(id);
  });

test('who has missed nothing that is gone is told nothing', async () => {
  const kernel = await create(kit);
  const client = new Client('s').attach(kit.brain, kernel);
  await client.reply(client.run('print 3'));
  client.attachment!.detach();
  const again = new Client('s').attach(kit.brain, kernel);
  const page = new Client('other').attach(kit.brain, kernel);
  for (const { received } of [again, page])
    assert.not(received.some(({ type }) => type === 'stream'));
});

test.run();
