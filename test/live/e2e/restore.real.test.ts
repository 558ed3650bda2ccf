// time-limit: 420 s
// runs-alone
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { freePort } from '../../../live/wire/free-port.ts';
import { testWithPart } from '../../skip.ts';
import { missingKernel } from './parts.ts';
import { untilSaved } from './stored.ts';
import { System } from './system.ts';

const test = suite<Record<string, never>>('restore');
const WAIT = { limitMs: 60_000 };

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingKernel, name, body);
}

/** A system that is stopped whatever becomes of the work with it. */
async function within(
  args: readonly string[],
  work: (system: System) => Promise<void>,
): Promise<void> {
  const system = await System.up(['--split', ...args]);
  try {
    await work(system);
  } finally {
    assert.equal(await system.stop(), [], 'processes left behind');
  }
}

const STATE = [
  'import numpy as np, hashlib',
  'big = np.arange(6_250_000, dtype=np.float64)',
  'digest = hashlib.sha256(big.tobytes()).hexdigest()',
  'shared = [1, {"a": big}]',
  'def double(n): return 2 * n',
  'small = {"a": [1, 2, 3]}',
].join('\n');
const CHECK = [
  'ok = hashlib.sha256(big.tobytes()).hexdigest() == digest',
  'print(ok, shared[1]["a"] is big, double(21), small, big.nbytes)',
].join('\n');
const EXPECTED = "True True 42 {'a': [1, 2, 3]} 50000000\n";

/** Kills agents of hosts, whose disks go with them, until the gateway knows. */
async function loseHosts(system: System, hosts: readonly string[]): Promise<void> {
  const known = (await system.status()).hosts;
  for (const host of hosts) {
    system.kill(known.find(({ id }) => id === host)?.pid);
    rmSync(join(system.data, 'hosts', host), { recursive: true, force: true });
  }
  await system.until('they are lost', async () => {
    const now = (await system.status()).hosts;
    return hosts.every((host) => now.find(({ id }) => id === host)?.up === false);
  });
}

live('the only host of a kernel is killed: it comes up on another one with all it had', () =>
  within(['--policy', 'reservation'], async (system) => {
    const { id, client } = await system.notebook();
    await client.run(STATE);
    await untilSaved(system, id, 'double');
    const [before] = (await system.kernel(id)).replicas;
    const from = performance.now();
    await loseHosts(system, [before!.host]);
    assert.is((await client.run(CHECK, WAIT)).text, EXPECTED);
    process.stderr.write(`answered after ${Math.round(performance.now() - from)} ms\n`);
    const { replicas } = await system.kernel(id);
    assert.is(replicas.length, 1);
    assert.is.not(replicas[0]!.host, before!.host);
    // It is a kernel like any other: what it does from now on is saved as well.
    await client.run('small["b"] = 4; more = 1');
    await untilSaved(system, id, 'more');
    await loseHosts(system, [replicas[0]!.host]);
    assert.is((await client.run('print(small)', WAIT)).text, "{'a': [1, 2, 3], 'b': 4}\n");
  }),
);

live('what had not come to the store is named, and is all that is lost', () =>
  within(['--policy', 'reservation'], async (system) => {
    const { id, client } = await system.notebook();
    await client.run('x = 1');
    await untilSaved(system, id, 'x');
    const { replicas } = await system.kernel(id);
    await client.run('y = 2');
    await loseHosts(system, [replicas[0]!.host]);
    const { text } = await client.run('print(x, "y" in globals())', WAIT);
    assert.match(text, /^NotebookOS: all hosts that had this kernel are lost\..* what \[2\] did /);
    assert.match(text, /1 False\n$/);
    assert.is((await client.run('print(x)')).text, '1\n');
  }),
);

live('without a store the kernel begins empty, and says so once', () =>
  within(['--policy', 'reservation', '--store', 'none'], async (system) => {
    const { id, client } = await system.notebook();
    await client.run('x = 1');
    const { replicas } = await system.kernel(id);
    await loseHosts(system, [replicas[0]!.host]);
    const { text } = await client.run('print("x" in globals())', WAIT);
    assert.match(text, /since there is no store: run its cells again\.\n?False\n$/);
    assert.is((await client.run('print(2)')).text, '2\n');
  }),
);

live('a store that does not answer: its cells are told why, a restart begins empty', async () => {
  const endpoint = `127.0.0.1:${await freePort()}`;
  const store = ['--store', `webhdfs://${endpoint}/nbos`];
  await within(['--policy', 'reservation', ...store], async (system) => {
    const { id, client } = await system.notebook();
    await client.run('x = 1');
    const { replicas } = await system.kernel(id);
    await loseHosts(system, [replicas[0]!.host]);
    const { text } = await client.run('print(x)', { limitMs: 120_000 });
    assert.match(text, /store-unreachable/, text);
    await system.fetch(`/api/kernels/${id}/restart`, { method: 'POST' });
    assert.is((await client.run('print("x" in globals())', WAIT)).text, 'False\n');
  });
});

live('a kernel of one replica moves with its log, and needs no store for it', () =>
  within(['--replicas', '1', '--store', 'none'], async (system) => {
    const { id, client } = await system.notebook();
    await client.run(STATE);
    const [before] = (await system.kernel(id)).replicas;
    const { hosts } = await system.status();
    const to = hosts.find((host) => host.id !== before!.host)!.id;
    const moved = await system.nbos(['migrate', id, '--to', to], 60_000);
    assert.is(moved.status, 0, moved.stderr);
    assert.is((await client.run(CHECK, WAIT)).text, EXPECTED);
    const { replicas } = await system.kernel(id);
    assert.equal(
      replicas.map(({ host }) => host),
      [to],
    );
  }),
);

/** All agents of a system killed, their disks emptied, and started again. */
async function loseAll(system: System): Promise<void> {
  const ids = (await system.status()).hosts.map(({ id }) => id);
  await loseHosts(system, ids);
  for (const id of ids) system.spawn(['agent', '--host', id, '--data', system.data]);
  await system.until(
    'they are back',
    async () => (await system.status()).hosts.every(({ up }) => up),
    WAIT.limitMs,
  );
}

live('a kernel of three replicas whose logs are all gone comes back from the store', () =>
  within([], async (system) => {
    const { id, client } = await system.notebook();
    await client.run(STATE);
    await untilSaved(system, id, 'double');
    const early = await system.nbos(['recover', id, '--from', 'store']);
    assert.match(early.stderr, /^change-refused: .*nothing is lost/m);
    await loseAll(system);
    const recovered = await system.nbos(['recover', id, '--from', 'store'], 60_000);
    assert.is(recovered.status, 0, recovered.stderr);
    assert.match(
      recovered.stdout,
      /goes on with what the store has of it, (on h\d|with its next cell)/,
    );
    assert.is((await client.run(CHECK, WAIT)).text, EXPECTED);
    await system.until(
      'three replicas run again',
      async () => {
        const { replicas } = await system.kernel(id);
        return replicas.filter(({ process }) => process === 'ready').length === 3;
      },
      60_000,
    );
  }),
);

/** Changes one byte in each object of the store whose key has this in it. */
function tamper(system: System, word: string): void {
  const folder = join(system.data, 'store');
  for (const each of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(each.parentPath, each.name);
    if (!each.isFile() || !path.includes(word)) continue;
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
  }
}

live('what was changed in the store is refused, and the gateway need not know the kernel', () =>
  within([], async (system) => {
    const { id, client } = await system.notebook();
    await client.run(STATE);
    await untilSaved(system, id, 'double');
    await loseAll(system);
    for (const what of ['tables', 'blobs']) {
      tamper(system, what);
      const refused = await system.nbos(['recover', id, '--from', 'store'], 60_000);
      // A kernel that has waited for too long is given up, and begins with the next cell.
      const isLater = /with its next cell/.test(refused.stdout);
      const said = isLater
        ? JSON.stringify(await client.execute('0', WAIT).done)
        : `${refused.status} ${refused.stderr}`;
      assert.match(said, isLater ? /store-corrupt/ : /^1 store-corrupt: /);
      assert.match(said, /damaged|changed|SHA-256|sealed/);
      // Once more is undone.
      tamper(system, what);
    }
    const none = await system.nbos(['recover', randomUUID(), '--from', 'store']);
    assert.match(none.stderr, /^change-refused: there is nothing of kernel/m);
    const recovered = await system.nbos(['recover', id, '--from', 'store'], 60_000);
    assert.is(recovered.status, 0, recovered.stderr);
    assert.is((await client.run(CHECK, WAIT)).text, EXPECTED);
  }),
);

live('a kernel that only the store knows is a kernel again', async () => {
  let id = '';
  await within([], async (system) => {
    const notebook = await system.notebook();
    id = notebook.id;
    await notebook.client.run(STATE);
    await untilSaved(system, id, 'double');
    await system.again(['hosts', 'gateway']);
    assert.equal((await system.status()).kernels, []);
    const recovered = await system.nbos(['recover', id, '--from', 'store'], 60_000);
    assert.is(recovered.status, 0, recovered.stderr);
    const client = await system.client(id);
    assert.is((await client.run(CHECK, WAIT)).text, EXPECTED);
  });
});

test.run();
