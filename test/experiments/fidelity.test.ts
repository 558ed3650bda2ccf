import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../core/errors.ts';
import { fidelityOf, fidelityText } from '../../experiments/fidelity/fidelity.ts';
import { parseJournal, replayPart } from '../../experiments/fidelity/journal.ts';
import { writeRecordedRun } from '../../experiments/fidelity/write-run.ts';
import { readReport } from '../../traces/run-folder.ts';
import { synthesize } from '../../traces/synthesize/index.ts';
import { inFolder } from '../cli/nbos.ts';
import { recordedJournal } from './recorded-journal.ts';

const JOURNAL = recordedJournal(
  synthesize({ profile: 'adobe-15s', sessions: 8, hours: 1, seed: 5 }),
  'notebookos',
  { replicas: 3, gatewayMinMs: 2, gatewayMaxMs: 4, coldStartMedianMs: 600 },
);
const SEEDS = 5;

async function refuses(text: string, code: string, message: RegExp): Promise<void> {
  try {
    const [part] = await parseJournal(text, 'j');
    replayPart(part!);
  } catch (error) {
    assert.instance(error, NbosError);
    assert.is((error as NbosError).code, code);
    assert.match((error as NbosError).message, message);
    return;
  }
  assert.unreachable(`not refused: ${code}`);
}

test('a recorded journal gives the same effects again; a changed one does not', async () => {
  const [part] = await parseJournal(JOURNAL, 'j');
  const { isSame, compared } = replayPart(part!);
  assert.ok(isSame);
  assert.is(compared, part!.events.length);
  const hash = 'f'.repeat(64);
  const changed = JOURNAL.replace(/"hash":"[0-9a-f]{64}"/, `"hash":"${hash}"`);
  const [other] = await parseJournal(changed, 'j');
  assert.not.ok(replayPart(other!).isSame);
});

test('facts do not count: a replay that asks for them compares equal', async () => {
  const [part] = await parseJournal(JOURNAL, 'j');
  const silent = { watch: () => undefined, before: () => undefined, after: () => undefined };
  assert.ok(replayPart(part!, silent).isSame);
});

test('a line cut off by a kill is left out; other damage is named by its line', async () => {
  const [part] = await parseJournal(JOURNAL.slice(0, -30), 'j');
  assert.ok(part!.events.length > 100);
  await refuses('', 'journal-invalid', /^j: it is empty/);
  await refuses('{"t":"event"}\n{}\n', 'journal-invalid', /^j:1: a journal begins/);
  await refuses(`${JOURNAL.slice(0, 200)}\n${JOURNAL}`, 'journal-invalid', /^j:1: /);
  await refuses(JOURNAL.replace('"v":1', '"v":9'), 'format-version', /version 9/);
  const twice = JOURNAL.split('\n').toSpliced(1, 0, JOURNAL.split('\n')[20]!).join('\n');
  await refuses(twice, 'journal-invalid', /event \d+ .* is refused/);
});

test('a run folder of a journal has the reports of the simulator', () =>
  inFolder(async (dir) => {
    const folder = join(dir, 'live');
    const run = { folder, replace: false, journal: JOURNAL, name: 'small', provenance: {} };
    const { summary, warnings } = await writeRecordedRun(run);
    assert.equal(warnings, []);
    for (const name of ['cells', 'sessions', 'hosts', 'timeline', 'events', 'summary'])
      assert.ok(existsSync(join(folder, `${name}.csv`)), name);
    assert.is(readFileSync(join(folder, 'journal.ndjson'), 'utf8'), JOURNAL);
    const cells = await readReport(folder, 'cells.csv');
    assert.is(cells.rows, summary['cells']);
    assert.is(cells.rows, summary['completed']);
    assert.match(cells.texts('session_id')[0]!, /^s\d+\.\d+$/);
    const durations = cells.numbers('duration_ms');
    assert.equal(durations, cells.numbers('run_ms'));
  }));

test('a simulated run passes for itself: fitted latencies come out again', () =>
  inFolder(async (dir) => {
    const folder = join(dir, 'live');
    const run = { folder, replace: false, journal: JOURNAL, name: 'small', provenance: {} };
    await writeRecordedRun(run);
    const fidelity = await fidelityOf(folder, { seeds: SEEDS });
    assert.ok(fidelity.isSame);
    const of = (name: string) => fidelity.headlines.find((each) => each.name === name)!;
    assert.ok(Math.abs(of('provisioned_gpu_hours').relative) < 0.001);
    assert.ok(Math.abs(of('committed_gpu_hours').relative) < 0.02);
    assert.ok(Math.abs(of('immediate_share').error) < 0.05);
    assert.ok(Math.abs(of('tct_p50_ms').relative) < 0.05);
    const text = fidelityText(fidelity);
    assert.match(text, 'the same effects as in the live run');
    assert.match(text, `${SEEDS} seeds`);
    assert.match(text, /from half of the sessions/);
    for (const { name, live, simulated, low, high } of fidelity.headlines) {
      if (Number.isNaN(live)) continue;
      assert.ok(low <= simulated && simulated <= high, name);
    }
    const held = fidelity.heldOut.find((each) => each.name === 'delay_p50_ms')!;
    assert.is.not(held.live, of('delay_p50_ms').live);
    assert.match(text, /interactivity delay p50 .* ms/);
  }));

test('a folder without a journal is said', () =>
  inFolder(async (dir) => {
    writeFileSync(join(dir, 'run.json'), '{"format":"nbos-run","version":1}');
    const told = await fidelityOf(dir, { seeds: 1 }).catch((error: unknown) => error);
    assert.is((told as NbosError).code, 'file-not-found');
  }));

test.run();
