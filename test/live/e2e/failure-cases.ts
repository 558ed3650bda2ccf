import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import type { NotebookClient } from './notebook-client.ts';
import { textOf } from './notebook-client.ts';
import { isAlive, type System } from './system.ts';
import { Witness } from './witness.ts';

/** A system whose parts are processes of their own, so that each can be killed alone. */
export interface Place {
  readonly system: System;
  /** a folder that cells can write into */
  readonly files: string;
  /** Ends it all; what was left behind. */
  stop(): Promise<readonly unknown[]>;
}

const REPLY_MS = 3000;
const CASES: [name: string, body: () => Promise<void>][] = [];
let system: System;
let files: string;

/** What must hold whatever fails, wherever kernels run: a suite, to be run. */
export function failureCases(title: string, missing: string, start: () => Promise<Place>) {
  const test = suite<Record<string, never>>(title);
  let place: Place | undefined;
  test.before(async () => {
    if (missing !== '') return;
    place = await start();
    ({ system, files } = place);
  });
  test.after(async () => {
    if (place !== undefined) assert.equal(await place.stop(), [], 'left behind');
  });
  for (const [name, body] of CASES) testWithPart(test, missing, name, body);
  return test;
}

function live(name: string, body: () => Promise<void>): void {
  CASES.push([name, body]);
}

async function executorOf(kernel: string) {
  const { executor, replicas } = await system.kernel(kernel);
  const found = replicas.find((replica) => replica.id === executor);
  if (found === undefined) throw new Error(`no executor among ${JSON.stringify(replicas)}`);
  return found;
}

function allReady(kernel: string, limitMs = 30_000) {
  return system.until(
    'three replicas run',
    async () => {
      const { replicas } = await system.kernel(kernel);
      return replicas.length === 3 && replicas.every((replica) => replica.process === 'ready');
    },
    limitMs,
  );
}

const LONG =
  'import time\nfor i in range(600):\n    print("line", i, flush=True)\n    time.sleep(0.05)';

/** Starts a cell that prints a line each 50 ms, and waits until it prints. */
async function talking(client: NotebookClient, lines: number) {
  const code = `import time\nfor i in range(${lines}):\n    print("line", i, flush=True)\n    time.sleep(0.05)`;
  const running = client.execute(code, { limitMs: 60_000 });
  await client.next(({ content }) => String(content['text']).includes('line 2'), 20_000);
  return running;
}

/** Until no code of it runs any more; whether it is buried yet is all one. */
async function untilDead(pid: number): Promise<void> {
  const end = Date.now() + 5_000;
  const runs = (): boolean => {
    try {
      return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  };
  while (runs()) {
    if (Date.now() > end) throw new Error(`process ${pid} does not end`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function linesOf(text: string): number[] {
  return [...text.matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
}

const counted = (n: number): number[] => Array.from({ length: n }, (_, at) => at);

live(
  "the executor's process is killed in a cell: an error in time, nothing committed lost",
  async () => {
    const { client, id } = await system.notebook();
    await client.run('kept = {"a": 1}');
    await allReady(id);
    const running = client.execute(
      'lost = 1; print("in", flush=True)\nimport time; time.sleep(60)',
    );
    await client.next(({ content }) => content['text'] === 'in\n');
    system.kill((await executorOf(id)).pid);
    const from = Date.now();
    const reply = await running.done;
    assert.is(reply['status'], 'error');
    assert.match(`${reply['ename']} ${reply['evalue']}`, /died|killed|executor/i);
    assert.ok(Date.now() - from <= REPLY_MS, `${Date.now() - from} ms`);
    const { text } = await client.run('print(kept, "lost" in globals())');
    assert.is(text, "{'a': 1} False\n");
    await allReady(id);
  },
);

live(
  'a cell sent to an executor that was killed before it came to it runs elsewhere, once',
  async () => {
    const { client, id } = await system.notebook();
    const witness = new Witness(files);
    await client.run('data = bytearray(100 << 20); data[7] = 1', { limitMs: 60_000 });
    await allReady(id);
    for (let round = 0; round < 3; round++) {
      const { pid } = await executorOf(id);
      system.kill(pid);
      // What ends may still begin a cell meanwhile: a container takes a moment.
      await untilDead(pid);
      const running = witness.cell((code) => client.execute(code), 'print(data[7], len(data))');
      assert.is((await running.done)['status'], 'ok', textOf(running.outputs));
      assert.is(textOf(running.outputs), `1 ${100 << 20}\n`);
      const inputs = running.outputs.filter(({ header }) => header.msg_type === 'execute_input');
      assert.is(inputs.length, 1);
      await allReady(id);
    }
    assert.equal(await witness.violations(), []);
  },
);

live('a standby is killed: unnoticed, and it comes back with the state', async () => {
  const { client, id } = await system.notebook();
  await client.run('x = [1, 2]');
  await allReady(id);
  const { executor, replicas } = await system.kernel(id);
  const standby = replicas.find((replica) => replica.id !== executor)!;
  const running = await talking(client, 20);
  system.kill(standby.pid);
  assert.is((await running.done)['status'], 'ok');
  assert.equal(linesOf(textOf(running.outputs)), counted(20));
  await allReady(id);
});

live(
  "the executor's agent is killed in a cell: a reply; the variables live on elsewhere",
  async () => {
    const { client, id } = await system.notebook();
    await client.run('kept = 5');
    await allReady(id);
    const running = await talking(client, 400);
    const { host } = await executorOf(id);
    const { hosts } = await system.status();
    system.kill(hosts.find((each) => each.id === host)?.pid);
    const reply = await running.done;
    assert.is(reply['status'], 'error');
    const { text } = await client.run('print(kept)');
    assert.is(text, '5\n');
    system.spawn(['agent', '--host', host, '--data', system.data]);
    await system.until('the host is back', async () => {
      const status = await system.status();
      return status.hosts.every((each) => each.up);
    });
    await allReady(id);
  },
);

for (const deleted of [false, true]) {
  const how = deleted ? ', its folder deleted' : '';
  live(
    `the gateway is killed in a cell with 20 behind it${how}: no line, no cell lost`,
    async () => {
      const { client, id } = await system.notebook();
      const witness = new Witness(files);
      await allReady(id);
      const running = await talking(client, 100);
      const queued = counted(20).map((at) =>
        witness.cell((code) => client.execute(code, { limitMs: 60_000 }), `print("cell", ${at})`),
      );
      // Accepted means committed: wait until the kernel knows them all.
      await system.until(
        'all are queued',
        async () => (await system.kernel(id)).queue.length === 21,
      );
      const { gateway } = await system.status();
      system.kill(gateway.pid);
      await system.until('the connection is gone', async () => client.closed !== undefined);
      if (deleted) rmSync(join(system.data, 'gateway'), { recursive: true, force: true });
      const port = new URL(system.url).port;
      const from = Date.now();
      await system.start(['gateway', '--port', port, '--enable-faults']);
      await system.until(
        'the kernel is listed',
        async () => (await system.fetch(`/api/kernels/${id}`)).ok,
      );
      const again = await system.client(id);
      const resumed = again.follow(running.msgId, 60_000);
      await again.next(({ parent_header }) => parent_header.msg_id === running.msgId, 10_000);
      assert.ok(
        Date.now() - from <= (deleted ? 30_000 : 3000),
        `resumed in ${Date.now() - from} ms`,
      );
      assert.is((await resumed.done)['status'], 'ok');
      const seen = [...linesOf(textOf(running.outputs)), ...linesOf(textOf(resumed.outputs))];
      assert.equal(
        [...new Set(seen)].sort((a, b) => a - b),
        counted(100),
      );
      for (const each of queued) assert.is((await again.follow(each.msgId).done)['status'], 'ok');
      assert.equal(witness.marks(), counted(20));
    },
  );
}

live('a minority partition: the executor is fenced, the cell is answered once', async () => {
  const { client, id } = await system.notebook();
  await client.run('kept = 1');
  await allReady(id);
  const witness = new Witness(files);
  const { host, pid } = await executorOf(id);
  const running = witness.cell((code) => client.execute(code, { limitMs: 60_000 }), LONG);
  await client.next(({ content }) => String(content['text']).includes('line 2'), 20_000);
  await system.fault({ fault: 'disconnect-host', host, forMs: 8000 });
  const reply = await running.done;
  assert.is(reply['status'], 'error');
  assert.is((await client.run('print(kept)')).text, '1\n');
  await system.until('the fenced process is gone', async () => !isAlive(pid), 20_000);
  await system.until('the host is back', async () =>
    (await system.status()).hosts.every((each) => each.up),
  );
  assert.equal(witness.marks(), [0]);
  await allReady(id);
});

live('all replicas yield: one moves, and the cell runs there', async () => {
  const { client, id } = await system.notebook();
  await client.run('kept = 1');
  await allReady(id);
  const before = (await system.kernel(id)).replicas.map(({ host }) => host).sort();
  await system.fault({ fault: 'yield-next', kernel: id, times: 3 });
  const { text } = await client.run('print(kept)', { limitMs: 60_000 });
  assert.is(text, '1\n');
  const after = (await system.kernel(id)).replicas.map(({ host }) => host).sort();
  assert.is.not(after.join(), before.join());
});

live('a full disk on one agent disturbs nobody', async () => {
  const { client, id } = await system.notebook();
  await client.run('x = 0');
  await allReady(id);
  const { executor, replicas } = await system.kernel(id);
  const { host } = replicas.find((replica) => replica.id !== executor)!;
  await system.fault({ fault: 'disk-full', host, forMs: 4000 });
  for (let cell = 1; cell <= 5; cell++) await client.run(`x += ${cell}`);
  assert.is((await client.run('print(x)')).text, '15\n');
  await allReady(id, 60_000);
});

live('a slow agent slows nobody down', async () => {
  const { client, id } = await system.notebook();
  await client.run('x = 0');
  await allReady(id);
  const { executor, replicas } = await system.kernel(id);
  const { host } = replicas.find((replica) => replica.id !== executor)!;
  await system.fault({ fault: 'slow-host', host, delayMs: 400, forMs: 5000 });
  const from = Date.now();
  for (let cell = 1; cell <= 5; cell++) await client.run(`x += ${cell}`);
  assert.ok(Date.now() - from < 5 * 400, `${Date.now() - from} ms for five cells`);
  assert.is((await client.run('print(x)')).text, '15\n');
});

live('random kills: nothing accepted is lost, nothing runs twice', async () => {
  const { client, id } = await system.notebook();
  const witness = new Witness(files);
  await client.run('done = []');
  await allReady(id);
  for (let round = 0; round < 6; round++) {
    const cell = witness.cell(
      (code) => client.execute(code, { limitMs: 60_000, stopOnError: false }),
      `done.append(${round})\nimport time; time.sleep(0.3)`,
    );
    if (round % 2 === 1) {
      await new Promise((resolve) => setTimeout(resolve, 30 * round));
      const { replicas } = await system.kernel(id);
      const victim = replicas[round % replicas.length]!;
      if (victim.pid > 0) system.kill(victim.pid);
    }
    await cell.done;
  }
  assert.equal(await witness.violations(), []);
});
