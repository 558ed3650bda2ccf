// runs-alone
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import { freePort } from '../../../live/wire/free-port.ts';
import { testWithPart } from '../../skip.ts';
import { missingKernel } from './parts.ts';
import { storeOf, untilSaved } from './stored.ts';
import { System } from './system.ts';

const test = suite<Record<string, never>>('store');
let system: System;

test.before(async () => {
  if (missingKernel === '') system = await System.up(['--split']);
});
test.after(async () => {
  if (missingKernel === '') assert.equal(await system.stop(), [], 'processes left behind');
});

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingKernel, name, body);
}

const BIG = 'big = bytes(range(256)) * 20_000\nimport hashlib\nsmall = {"a": [1, 2, 3]}';
const CHECK = 'print(len(big), sum(big[:512]), small)';
const EXPECTED = "5120000 65280 {'a': [1, 2, 3]}\n";

live('state is in the store soon, enough of it to go on from', async () => {
  const { id, client } = await system.notebook();
  await client.run(BIG);
  await untilSaved(system, id, 'big');
  const from = await storeOf(system);
  const table = await from.latestTable(id);
  const log = KernelLog.from(table?.state);
  assert.is(log.meta?.kernel, id);
  const names = [...log.units.values()].flatMap((unit) => unit.names);
  for (const name of ['big', 'small']) assert.ok(names.includes(name), names.join());
  const { blobs } = await from.objects(id);
  assert.ok(blobs.length > 0);
  for (const { hash, bytes } of blobs)
    assert.ok(await from.readBlob(id, { hash, bytes }, async () => undefined));
  const { stdout } = await system.nbos(['status']);
  assert.match(stdout, /saved/);
  const metrics = await (await system.fetch('/metrics')).text();
  assert.match(metrics, /^nbos_store_unsaved_kernels 0$/m);
});

live('files that no host has any more come back from the store', async () => {
  const { id, client } = await system.notebook();
  await client.run(BIG);
  await untilSaved(system, id, 'big');
  const { replicas } = await system.kernel(id);
  for (const { host } of replicas) {
    const folder = join(system.data, 'hosts', host, 'blobs', id);
    assert.ok(readdirSync(folder).length > 0);
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
  }
  for (const { pid } of replicas) system.kill(pid);
  await system.until('replicas are there again', async () => {
    const now = await system.kernel(id);
    return now.replicas.every(
      ({ process, pid }) => process === 'ready' && !replicas.some((each) => each.pid === pid),
    );
  });
  assert.is((await client.run(CHECK)).text, EXPECTED);
  for (const { host } of replicas)
    assert.ok(readdirSync(join(system.data, 'hosts', host, 'blobs', id)).length > 0);
});

live('a kernel that was shut down leaves nothing in the store', async () => {
  const { id, client } = await system.notebook();
  await client.run(BIG);
  await untilSaved(system, id, 'big');
  await system.fetch(`/api/kernels/${id}`, { method: 'DELETE' });
  const from = await storeOf(system);
  await system.until('its objects are gone', async () => !(await from.kernels()).includes(id));
});

live('a store that is out holds nobody up, and is told of', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const other = await System.up(['--store', `s3://bucket/nbos?endpoint=${endpoint}`]);
  try {
    const { id, client } = await other.notebook();
    await client.run(BIG);
    const from = performance.now();
    for (let at = 0; at < 5; at++) await client.run(`x${at} = ${at}`);
    assert.ok(performance.now() - from < 5_000);
    assert.is((await client.run(CHECK)).text, EXPECTED);
    await other.until('it is told', async () =>
      /unsaved/.test((await other.nbos(['status'])).stdout),
    );
    const { store: standing } = await other.kernel(id);
    assert.ok(standing !== undefined && !standing.saved && standing.behindMs > 0);
  } finally {
    assert.equal(await other.stop(), []);
  }
});

live('a system without a store runs as well, and keeps to that', async () => {
  const other = await System.up(['--store', 'none']);
  try {
    const { id, client } = await other.notebook();
    await client.run(BIG);
    assert.is((await client.run(CHECK)).text, EXPECTED);
    assert.is((await other.kernel(id)).store, undefined);
    assert.not(readdirSync(other.data).includes('store'));
  } finally {
    assert.equal(await other.stop(), []);
  }
});

live('a store that cannot be is refused at the start', async () => {
  const said = await system.nbos(['up', '--store', 'ftp://x', '--data', join(system.data, 'no')]);
  assert.is(said.status, 1, said.stderr);
  assert.match(said.stderr, /^config-bad-value: --store: "ftp:\/\/x"/m);
});

test.run();
