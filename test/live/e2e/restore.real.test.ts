// time-limit: 300 s
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
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

void [readdirSync, readFileSync, writeFileSync];
test.run();
