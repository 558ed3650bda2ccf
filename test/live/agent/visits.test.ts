// time-limit: 240 s
import { randomBytes } from 'node:crypto';
import { readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Agent } from '../../../live/agent/agent-options.ts';
import { KernelFactory } from '../../../live/agent/kernel/processes.ts';
import { replicaOpener } from '../../../live/agent/open-replica.ts';
import type { KernelMeta } from '../../../live/log/entries.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { FileStore } from '../../../live/stores/file-store.ts';
import { KernelStore } from '../../../live/stores/kernel-store.ts';
import { Seal } from '../../../live/stores/seal.ts';
import type {
  AgentNotice,
  GatewayRequest,
  KernelReport,
  RestoreAnswer,
} from '../../../live/wire/messages.ts';
import { testWithPart } from '../../skip.ts';
import { cellOf, isAlive, MISSING_PYTHON, metaOf, quietHost } from '../kernel/kernel-kit.ts';
import { startOf } from '../replica/world.ts';
import { PaperSystem } from './agent-parts.ts';

const test = suite('visits');
const LONGEST_MS = 20_000;
let system: PaperSystem;
let seal: Seal;
let epoch = 0;

test.before(async () => {
  system = await PaperSystem.make();
  seal = new Seal(randomBytes(32));
});
test.after(() => system.close());

const shelf = (): string => join(system.folder, 'shelf');

/** A host with real processes. */
async function start(host: string): Promise<Agent> {
  const { agent } = await system.startHost(
    host,
    {},
    {
      runtimes: new KernelFactory(quietHost('')),
      openReplica: replicaOpener(),
      store: new KernelStore(new CheckedStore(new FileStore(shelf()), { tries: 1 }), seal),
    },
  );
  await until(`${host} is there`, () => system.hosts.has(host));
  return agent;
}

function ask<T>(host: string, request: GatewayRequest): Promise<T> {
  return system.links!.request(host, request) as Promise<T>;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => '',
    ({ code }) => code,
  );
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + LONGEST_MS; !(await holds()); ) {
    if (performance.now() > end)
      throw new Error(`waited too long: ${what}; ${system.said.join('')}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function heard<Kind extends AgentNotice['t']>(
  kind: Kind,
  fits: (notice: Extract<AgentNotice, { t: Kind }>) => boolean,
): Promise<Extract<AgentNotice, { t: Kind }>> {
  let found: AgentNotice | undefined;
  await until(kind, () => {
    found = system.notices.find(
      ({ notice }) => notice.t === kind && fits(notice as Extract<AgentNotice, { t: Kind }>),
    )?.notice;
    return found !== undefined;
  });
  return found as Extract<AgentNotice, { t: Kind }>;
}

async function report(host: string, kernel: string): Promise<KernelReport> {
  const reports = await ask<KernelReport[]>(host, { t: 'report' });
  return reports.find((each) => each.kernel === kernel)!;
}

function metaOfVisitor(): KernelMeta {
  return metaOf(system.folder, { hashSeed: 0, visits: true });
}

/** Runs a cell and saves what it did, as for a reply that waits for the store. */
async function cell(
  host: string,
  meta: KernelMeta,
  member: number,
  number: number,
  code: string,
): Promise<void> {
  const { kernel } = meta;
  const { request: submit } = cellOf(number, code, meta);
  const entries = [submit, startOf(number, number + 1, ++epoch, member)];
  await ask(host, { t: 'propose', kernel, entries });
  const { entry } = await heard(
    'applied',
    (each) => each.kernel === kernel && each.entry.type === 'end' && each.entry.cell === number,
  );
  const { reply } = entry as { reply: { content: string } };
  assert.is(JSON.parse(reply.content).status, 'ok', reply.content);
  await ask(host, { t: 'save-replica', kernel, member });
}

async function begin(
  host: string,
  meta: KernelMeta,
  member: number,
  beyond: number,
  pooled = '',
): Promise<RestoreAnswer> {
  const how = { beyond, after: 0, empty: false, waiting: [] };
  return ask(host, { t: 'restore-replica', meta, member, pooled, ...how });
}

async function ready(kernel: string, member: number): Promise<number> {
  const { pid } = await heard(
    'replica-ready',
    (each) => each.kernel === kernel && each.member === member,
  );
  return pid;
}

/** A megabyte in the table, and as much in files. */
const STATE =
  'import os\nfor n in range(20): globals()[f"v{n}"] = os.urandom(30_000)\n' +
  'large = os.urandom(1_000_000)\nchecks = [hash(v0), hash(large)]\n';
const CHECK = 'assert checks == [hash(v0), hash(large)] and len(v19) == 30_000\n';

testWithPart(test, MISSING_PYTHON, 'a kernel goes from host to host with its cells', async () => {
  const meta = metaOfVisitor();
  const { kernel } = meta;
  await Promise.all([start('h1'), start('h2')]);
  const members = [{ member: 1, host: 'h1' }];
  const first = { members, joins: false, niced: false, pooled: '' };
  await ask('h1', { t: 'start-replica', meta, member: 1, ...first });
  const pid = await ready(kernel, 1);
  await cell('h1', meta, 1, 0, STATE);
  await ask('h1', { t: 'rest-replica', kernel, member: 7 });
  assert.is((await report('h1', kernel)).process, 'ready', 'another member is meant');
  await ask('h1', { t: 'rest-replica', kernel, member: 1 });
  assert.not(isAlive(pid));
  assert.is((await report('h1', kernel)).process, 'resting');
  await ask('h2', { t: 'start-pooled', pooled: 'p', spec: meta.spec, argv: meta.argv });
  await heard('pooled-ready', ({ pooled }) => pooled === 'p');
  const from = performance.now();
  const { applied } = await report('h1', kernel);
  const begun = await begin('h2', meta, 2, applied, 'p');
  const answeredMs = performance.now() - from;
  assert.ok(begun.index > 0 && begun.report.applied > applied, JSON.stringify(begun));
  await ready(kernel, 2);
  const readyMs = performance.now() - from;
  await cell('h2', meta, 2, 1, `${CHECK}checks.append(0); checks.pop(); more = 1`);
  const savedMs = performance.now() - from;
  process.stderr.write(
    `a visit elsewhere: ms until it has begun ${answeredMs.toFixed(0)}, is ready ` +
      `${readyMs.toFixed(0)}, its cell is saved ${savedMs.toFixed(0)}\n`,
  );
  // The first host does not know yet: what it saves is of no use, and it hears of that.
  await ask('h1', { t: 'propose', kernel, entries: [{ v: 1, type: 'annotate', path: 'x' }] });
  assert.is(await codeOf(ask('h1', { t: 'save-replica', kernel, member: 1 })), 'replica-stopped');
  await ask('h1', { t: 'stop-replica', kernel, member: 1 });
  assert.is(await report('h1', kernel), undefined);
  await ask('h2', { t: 'rest-replica', kernel, member: 2 });
  await again(meta);
});

/** A new beginning where the kernel rests already, and one that cannot be. */
async function again(meta: KernelMeta): Promise<void> {
  const { kernel } = meta;
  const blobs = join(system.folder, 'h2', 'blobs', kernel);
  const files: string[] = [];
  for (const name of await readdir(blobs))
    if ((await stat(join(blobs, name))).size >= 1_000_000) files.push(name);
  assert.is(files.length, 1);
  const before = await Promise.all(files.map((name) => stat(join(blobs, name))));
  await rename(shelf(), `${shelf()}-away`);
  await writeFile(shelf(), 'no folder');
  const { applied } = await report('h2', kernel);
  assert.is(await codeOf(begin('h2', meta, 3, applied)), 'store-unreachable');
  assert.is((await report('h2', kernel)).process, 'resting', 'all is as it was');
  await rm(shelf());
  await rename(`${shelf()}-away`, shelf());
  const begun = await begin('h2', meta, 3, applied);
  assert.ok(begun.report.applied > applied);
  await ready(kernel, 3);
  const after = await Promise.all(files.map((name) => stat(join(blobs, name))));
  assert.equal(
    after.map(({ ino }) => ino),
    before.map(({ ino }) => ino),
    'files that are there are taken from the disk',
  );
  await cell('h2', meta, 3, 2, `${CHECK}assert more == 1`);
  const { members, member } = await report('h2', kernel);
  assert.equal([members, member], [[{ member: 3, host: 'h2' }], 3]);
  await ask('h2', { t: 'rest-replica', kernel, member: 3 });
}

test.run();
