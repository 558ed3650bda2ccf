import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Event } from '../../../core/events.ts';
import { notebookos } from '../../../core/policies/notebookos.ts';
import type { JournalLine } from '../../../core/record/journal.ts';
import { Core } from '../../../core/scheduler.ts';
import { Journal } from '../../../live/gateway/journal.ts';
import { gatewayMetrics } from '../../../live/gateway/metrics.ts';
import { RunRecord } from '../../../live/gateway/run-record.ts';
import { readReport, readRun } from '../../../traces/run-folder.ts';
import { Client, create, type Kit, startKit, stopKit, until } from './brain-kit.ts';

const log = pino({ level: 'silent' });
let folder: string;
let kit: Kit;
let journal: Journal;
let record: RunRecord;
let metrics: Registry;
let endMetrics: () => void;

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'nbos-record-'));
  metrics = new Registry();
  kit = startKit({
    prepare: (brain) => {
      const { loop, table, hosts, config } = brain;
      const { epochMs } = loop;
      journal = new Journal({ folder, policy: 'notebookos', config, epochMs, log });
      record = new RunRecord({ folder, policy: 'notebookos', version: '0', loop });
      loop.observers.push((event, effects) => journal.append(event, effects));
      loop.observers.push((event, effects) => record.after(event, effects));
      endMetrics = gatewayMetrics({ registry: metrics, loop, table, hosts, refused: () => 0 });
    },
  });
});
test.after.each(async () => {
  endMetrics();
  stopKit(kit);
  await journal.close();
  rmSync(folder, { recursive: true });
});

/** A few cells: completed, failed, aborted with their host. */
async function work(): Promise<string> {
  const kernel = await create(kit);
  const live = kit.brain.table.get(kernel)!;
  record.named(live.session, kernel, 'ann');
  const client = new Client('s').attach(kit.brain, kernel);
  for (const code of ['print 1', 'fail', 'slow 30']) await client.reply(client.run(code));
  const lost = client.run('hang');
  await until(() => live.running !== undefined, 'it runs');
  kit.agents.kill(live.members.get(live.executor)!.host);
  await client.reply(lost);
  await client.reply(client.run('print 1'));
  return kernel;
}

async function linesOf(source: Journal): Promise<JournalLine[]> {
  const lines: JournalLine[] = [];
  for await (const line of source.lines()) lines.push(line);
  return lines;
}

test('a journal given to core again gives the same effects', async () => {
  await work();
  const lines = await linesOf(journal);
  const [start] = lines;
  if (start?.t !== 'start') throw new Error('the first line is no start');
  const core = Core.create(start.config, notebookos);
  const hash = createHash('sha256');
  let events = 0;
  for (const line of lines) {
    if (line.t === 'event') {
      hash.update(`${JSON.stringify(core.step(line.event))}\n`);
      events++;
    } else if (line.t === 'effects') {
      assert.is(line.events, events);
      assert.is(line.hash, hash.copy().digest('hex'));
    }
  }
  const kinds = new Set(lines.flatMap((line) => (line.t === 'event' ? [line.event.kind] : [])));
  for (const kind of ['cell-submitted', 'execution-replied', 'host-lost', 'container-started'])
    assert.ok(kinds.has(kind as Event['kind']), kind);
});

test('parts of earlier starts are kept, up to a size; a torn last line is left out', async () => {
  const { config } = kit.brain;
  writeFileSync(join(folder, '1.ndjson'), '{"t":"effects","events":0,"hash":"a"}\n{"t":"eve');
  writeFileSync(join(folder, '2.ndjson'), '{"t":"effects","events":0,"hash":"b"}\n');
  const [first, second] = await linesOf(journal);
  assert.equal(
    [first, second].map((line) => line?.t === 'effects' && line.hash),
    ['a', 'b'],
  );
  const options = { folder, policy: 'x', config, epochMs: 3, log, keepBytes: 40 };
  const next = new Journal(options);
  assert.not.ok(readdirSync(folder).includes('1.ndjson'));
  await next.close();
});

test('the run has the columns of a simulated one', async () => {
  const kernel = await work();
  await record.write(journal);
  const run = readRun(join(folder, 'run'));
  assert.is(run['policy'], 'notebookos');
  const cells = await readReport(join(folder, 'run'), 'cells.csv');
  assert.equal(Array.from(cells.texts('status')), [
    'completed',
    'completed',
    'completed',
    'aborted',
    'completed',
  ]);
  assert.ok(Array.from(cells.texts('session_id')).every((id) => id === kernel));
  const delays = Array.from(cells.numbers('tct_ms'));
  assert.ok(delays.every((ms) => ms >= 0));
  const sessions = await readReport(join(folder, 'run'), 'sessions.csv');
  assert.equal(Array.from(sessions.texts('user_id')), ['ann']);
  assert.equal(Array.from(sessions.numbers('completed')), [4]);
  const hosts = await readReport(join(folder, 'run'), 'hosts.csv');
  assert.ok(Array.from(hosts.texts('end')).includes('lost'));
});

test('metrics count cells by outcome, delays, hosts and turns of the loop', async () => {
  await work();
  const text = await metrics.metrics();
  assert.match(text, /nbos_cells_total\{status="completed"\} 4/);
  assert.match(text, /nbos_cells_total\{status="aborted"\} 1/);
  assert.match(text, /nbos_cell_delay_seconds_count 4/);
  assert.match(text, /nbos_hosts_up 3/);
  assert.match(text, /nbos_elections_total 5/);
  assert.match(text, /nbos_kernels 1/);
  assert.match(text, /nbos_loop_turn_seconds\{quantile="p99\.9"\}/);
  assert.match(text, /nbos_loop_late_seconds\{quantile="p99\.9"\}/);
});

test.run();
