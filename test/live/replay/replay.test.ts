import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../../core/errors.ts';
import { POLICIES } from '../../../core/policies/index.ts';
import { parseHeader, parseObject } from '../../../live/jupyter/fields.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import { checkFits, playedSessions } from '../../../live/replay/plan.ts';
import { partsSince } from '../../../live/replay/replay-actions.ts';
import {
  cellCode,
  type PlayedKernel,
  type PlayedSession,
  playSession,
} from '../../../live/replay/session-player.ts';
import { configFor } from '../../../sim/policy-file.ts';
import { TraceBuilder } from '../../../traces/build.ts';
import { inFolder, TIRESIAS } from '../../cli/nbos.ts';
import { FakeGateway } from '../commands/fake-gateway.ts';
import { refuses, runNbos, works } from '../commands/run-nbos.ts';

const shape = (gpus: number) => ({
  cpuMillis: 1_000,
  memoryMb: 1_000,
  gpuMillis: 1_000 * gpus,
  vramMb: 0,
});

function smallTrace() {
  const builder = new TraceBuilder();
  const session = builder.addSession({ id: 'a', startMs: 1_000, endMs: 20_000 });
  builder.addCell({ session, submitMs: 2_000, durationMs: 3_000, shape: shape(2) });
  builder.addCell({ session, submitMs: 9_000, durationMs: 1_000, shape: shape(1) });
  builder.addSession({ id: 'b', startMs: 5_000, endMs: 6_000, shape: shape(4) });
  return builder.build({ name: 'small', source: 'test' });
}

test('times are divided by the speed; users think as long as in the trace', () => {
  const sessions = playedSessions(smallTrace(), 10, Number.POSITIVE_INFINITY);
  assert.equal(sessions, [
    {
      id: 'a',
      openAtMs: 100,
      cells: [
        { index: 0, thinkMs: 100, durationMs: 300, gpus: 2 },
        { index: 1, thinkMs: 400, durationMs: 100, gpus: 1 },
      ],
      closeAfterMs: 1_000,
      gpus: 2,
    },
    { id: 'b', openAtMs: 500, cells: [], closeAfterMs: 100, gpus: 4 },
  ]);
  assert.is(playedSessions(smallTrace(), 10, 1).length, 1);
  checkFits(sessions, 4);
  assert.throws(
    () => checkFits(sessions, 2),
    (error: NbosError) => error.code === 'trace-oversize',
  );
});

test('a cell sleeps for its time', () => {
  const code = cellCode({ index: 3, thinkMs: 0, durationMs: 1_250, gpus: 1 });
  assert.match(code, 'time.sleep(1.250)');
});

test('of a journal only what ran during the replay is kept', () => {
  const part = (epochMs: number) => `{"t":"start","epochMs":${epochMs}}\n{"t":"event"}\n`;
  const journal = part(10) + part(20) + part(30);
  assert.is(partsSince(journal, 25), part(20) + part(30));
  assert.is(partsSince(journal, 30), part(30));
});

interface Played {
  requests: { code: string; gpus: unknown }[];
  outcomes: string[];
  closed: number;
  notes: string[];
}

/** Plays a session on a kernel that answers each request by `answer`. */
async function played(
  session: PlayedSession,
  answer: (kernel: PlayedKernel, header: Uint8Array) => void,
  signal = new AbortController().signal,
): Promise<Played> {
  const seen: Played = { requests: [], outcomes: [], closed: 0, notes: [] };
  const kernel: PlayedKernel = {
    session: 's',
    onMessage: () => undefined,
    onLost: () => undefined,
    send: (_channel, message) => {
      const metadata = parseObject(message.metadata) as { nbos: { gpus: unknown } };
      const code = String(parseObject(message.content)!['code']);
      seen.requests.push({ code, gpus: metadata.nbos.gpus });
      answer(kernel, message.header);
    },
    close: () => {
      seen.closed++;
      return Promise.resolve();
    },
  };
  await playSession(session, {
    signal,
    patienceMs: 30,
    open: () => Promise.resolve(kernel),
    onCell: (outcome) => seen.outcomes.push(outcome),
    onNote: (text) => seen.notes.push(text),
  });
  return seen;
}

const reply = (kernel: PlayedKernel, parent: Uint8Array, status: string): void => {
  const header = newHeader('execute_reply', 'k');
  kernel.onMessage('shell', messageOf({ header, parent, content: { status } }), header);
};

const SESSION = playedSessions(smallTrace(), 1_000, 1)[0]!;

test('cells run one after the other with their GPUs, then the session closes', async () => {
  const seen = await played(SESSION, (kernel, header) => {
    assert.is(parseHeader(header)!.msg_type, 'execute_request');
    setTimeout(() => reply(kernel, header, 'ok'), 2);
  });
  assert.equal(
    seen.requests.map(({ gpus }) => gpus),
    [2, 1],
  );
  assert.equal([seen.outcomes, seen.closed, seen.notes], [['ok', 'ok'], 1, []]);
});

test('errors, answers of others and missing replies are told apart', async () => {
  let cell = 0;
  const seen = await played(SESSION, (kernel, header) => {
    reply(kernel, newHeaderBytes(), 'ok');
    if (cell++ === 0) reply(kernel, header, 'error');
  });
  assert.equal(seen.outcomes, ['error', 'lost']);
});

const newHeaderBytes = (): Uint8Array =>
  messageOf({ header: newHeader('execute_request', 'other') }).header;

test('the end of everything closes the session at once', async () => {
  const stop = new AbortController();
  const seen = await played(SESSION, () => stop.abort(), stop.signal);
  assert.equal([seen.outcomes, seen.closed, seen.requests.length], [['lost'], 1, 1]);
});

test('a kernel that is gone ends its session with a note', async () => {
  const seen = await played(SESSION, (kernel) =>
    kernel.onLost(new NbosError('kernel-unknown', 'it is gone')),
  );
  assert.equal([seen.outcomes, seen.closed], [[], 1]);
  assert.match(seen.notes[0]!, 'it is gone');
});

test('a trace is played on a gateway, and its journal becomes a run folder', () =>
  inFolder(async (dir) => {
    const gateway = await FakeGateway.start();
    try {
      const policy = POLICIES['notebookos']!;
      const config = configFor(policy, { hosts: 2, gpusPerHost: 8, fixed: true });
      const lines = [
        { t: 'start', v: 1, policy: 'notebookos', config, epochMs: 0 },
        { t: 'event', event: { kind: 'cluster-started', at: 0 } },
      ];
      gateway.journal = `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
      for (const host of gateway.status.hosts) host.gpus = 8;
      writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
      const words = ['replay', '--trace', join(dir, 'mine.csv'), '--speed', '1000'];
      const out = join(dir, 'live');
      const { env } = gateway;
      const text = await works([...words, '--out', out, '--gateway', gateway.url], env);
      assert.match(text, /^3 sessions in .*: 6 cells ok, 0 failed, 0 without a reply$/m);
      const opened = gateway.asked.filter(
        ({ path, method }) => `${method} ${path}` === 'POST /api/sessions',
      );
      assert.is(opened.length, 3);
      assert.is(gateway.asked.filter(({ method }) => method === 'DELETE').length, 3);
      assert.is(readFileSync(join(out, 'journal.ndjson'), 'utf8'), gateway.journal);
      assert.is(JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')).replay.ok, 6);
      await refuses([...words, '--out', out], env, /^file-exists: .*finished run/);
      for (const host of gateway.status.hosts) host.gpus = 1;
      const other = join(dir, 'other');
      await refuses([...words, '--out', other], env, /^trace-oversize: session/);
      const wrong = await runNbos([...words, '--out', other, '--gateway', 'nowhere'], env);
      assert.match(wrong.stderr, /^usage: --gateway: expected a URL/);
      assert.not.ok(existsSync(other));
    } finally {
      await gateway.stop();
    }
  }));

test.run();
