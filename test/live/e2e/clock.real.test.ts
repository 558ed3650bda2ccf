import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { missingKernel } from './parts.ts';
import { System } from './system.ts';

const DAY_MS = 86_400_000;
/** Longer than the looks at clients, hosts and leases are apart. */
const NOTICED_MS = 3_000;

/** Has every Node process take the machine's clock to be off by what a file says. */
const SHIFTED_CLOCK = `
import { readFileSync } from 'node:fs';
const { now } = Date;
let offset = 0;
const look = () => {
  offset = Number(readFileSync(process.env.NBOS_TEST_CLOCK, 'utf8'));
};
look();
setInterval(look, 50).unref();
globalThis.Date = class extends Date {
  constructor(...given) {
    if (given.length === 0) super(now() + offset);
    else super(...given);
  }
  static now() {
    return now() + offset;
  }
};
`;

testWithPart(
  test,
  missingKernel,
  'the clock jumps ahead and back: clients, hosts, cells and moves go on',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'nbos-clock-'));
    const file = join(folder, 'offset');
    const setClock = (offset: number): void => writeFileSync(file, String(offset));
    setClock(0);
    const program = join(folder, 'clock.mjs');
    writeFileSync(program, SHIFTED_CLOCK);
    const { NODE_OPTIONS } = process.env;
    process.env['NODE_OPTIONS'] = `--import=${pathToFileURL(program)}`;
    process.env['NBOS_TEST_CLOCK'] = file;
    let system: System | undefined;
    try {
      system = await System.up(['--split', '--hosts', '4']);
      await jump(system, setClock);
    } finally {
      if (NODE_OPTIONS === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = NODE_OPTIONS;
      delete process.env['NBOS_TEST_CLOCK'];
      const left = await system?.stop();
      await rm(folder, { recursive: true, force: true });
      assert.equal(left ?? [], [], 'left behind');
    }
  },
);

async function jump(system: System, setClock: (offset: number) => void): Promise<void> {
  const { id, client } = await system.notebook();
  assert.is((await client.run('x = 1\nprint(x)')).text, '1\n');
  for (const offset of [DAY_MS, -2 * DAY_MS, 0]) {
    const during = client.execute('import time\ntime.sleep(2)\nx += 1\nprint(x)');
    await sleep(500);
    setClock(offset);
    assert.is((await during.done)['status'], 'ok');
    await sleep(NOTICED_MS);
    assert.is(client.closed, undefined, `the client was dropped at ${offset} ms`);
    const { hosts } = await system.status();
    assert.equal(
      hosts.filter(({ up }) => !up).map(({ id: host, note }) => `${host}: ${note}`),
      [],
    );
  }
  assert.is((await client.run('print(x)')).text, '4\n');

  setClock(-2 * DAY_MS);
  await sleep(NOTICED_MS);
  const { replicas } = await system.kernel(id);
  const used = new Set(replicas.map(({ host }) => host));
  const { hosts } = await system.status();
  const to = hosts.find(({ id: host }) => !used.has(host))!.id;
  const moved = await system.nbos(['migrate', id, '--to', to]);
  assert.is(moved.status, 0, moved.stderr);
  assert.is((await client.run('print(x)')).text, '4\n');

  const { gateway } = await system.status();
  const { port } = new URL(system.url);
  system.kill(gateway.pid);
  await system.start(['gateway', '--port', port, '--enable-faults']);
  const again = await system.client(id);
  assert.is((await again.run('x += 1\nprint(x)', { limitMs: 30_000 })).text, '5\n');
}

test.run();
