import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../core/errors.ts';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { gapsOf, gpuTimeOf } from '../../traces/measures.ts';
import {
  padSessions,
  peakReservedGpus,
  resample,
  sample,
  scaleGaps,
  splitSessions,
  windowOf,
} from '../../traces/sample.ts';
import { synthesize } from '../../traces/synthesize/index.ts';
import type { Trace } from '../../traces/trace.ts';
import { testOnTrace } from '../skip.ts';

const HOUR_MS = 3_600_000;

interface SessionPlan {
  readonly startMs: number;
  /** gaps before each cell, durations, GPUs */
  readonly cells: readonly (readonly [think: number, duration: number, gpus: number])[];
  readonly tailMs: number;
}

const plans = fc.array(
  fc.record({
    startMs: fc.nat(200),
    cells: fc.array(fc.tuple(fc.nat(60), fc.nat(40), fc.constantFrom(1, 4, 8)), { maxLength: 8 }),
    tailMs: fc.nat(60),
  }),
  { minLength: 1, maxLength: 12 },
);

function traceOf(sessions: readonly SessionPlan[]): Trace {
  const builder = new TraceBuilder();
  sessions.forEach(({ startMs, cells, tailMs }, i) => {
    const session = builder.addSession({
      id: `s${i}`,
      startMs,
      endMs: 1_000_000,
      user: `u${i % 3}`,
      gpuType: i % 2 === 0 ? 'A100' : '',
    });
    let at = startMs;
    for (const [think, durationMs, gpus] of cells) {
      at += think;
      const shape = vectorForGpus(gpus * 1000);
      builder.addCell({ session, submitMs: at, durationMs, shape, stateBytes: i, model: `m${i}` });
      at += durationMs;
    }
    builder.setSessionEnd(session, at + tailMs);
  });
  return builder.build({ name: 'plan', source: 'test' });
}

interface PlainCell {
  readonly submitMs: number;
  readonly durationMs: number;
  readonly gpus: number;
  readonly stateBytes: number;
  readonly model: string;
}

interface PlainSession {
  readonly startMs: number;
  readonly endMs: number;
  readonly gpus: number;
  readonly gpuType: string;
  readonly user: string;
  readonly cells: readonly PlainCell[];
}

function plain(trace: Trace): Map<string, PlainSession> {
  const { sessions, cells, shapes } = trace;
  const out = new Map<string, PlainSession>();
  for (let s = 0; s < sessions.count; s++) {
    const own: PlainCell[] = [];
    for (let c = sessions.firstCell[s]!; c < sessions.firstCell[s + 1]!; c++) {
      own.push({
        submitMs: cells.submitMs[c]!,
        durationMs: cells.durationMs[c]!,
        gpus: shapes[cells.shape[c]!]!.gpuMillis / 1000,
        stateBytes: cells.stateBytes[c]!,
        model: trace.models[cells.model[c]!]!,
      });
    }
    out.set(sessions.ids[s]!, {
      startMs: sessions.startMs[s]!,
      endMs: sessions.endMs[s]!,
      gpus: shapes[sessions.shape[s]!]!.gpuMillis / 1000,
      gpuType: trace.gpuTypes[sessions.gpuType[s]!]!,
      user: trace.users[sessions.user[s]!]!,
      cells: own,
    });
  }
  return out;
}

function refusal(code: NbosError['code']): (error: unknown) => boolean {
  return (error) => error instanceof NbosError && error.code === code;
}

test('a window keeps every session open in it, clipped, with the cells submitted in it', () => {
  fc.assert(
    fc.property(plans, fc.nat(300), fc.integer({ min: 1, max: 300 }), (sessions, a, length) => {
      const trace = traceOf(sessions);
      const b = a + length;
      fc.pre(b <= trace.endMs);
      const expected = new Map<string, PlainSession>();
      for (const [id, s] of plain(trace)) {
        const empty = s.startMs === s.endMs && s.startMs >= a && s.startMs < b;
        if (!(s.startMs < b && s.endMs > a) && !empty) continue;
        expected.set(id, {
          ...s,
          startMs: Math.max(a, s.startMs) - a,
          endMs: Math.min(b, s.endMs) - a,
          cells: s.cells
            .filter((c) => c.submitMs >= a && c.submitMs < b)
            .map((c) => ({ ...c, submitMs: c.submitMs - a })),
        });
      }
      if (expected.size === 0) {
        assert.throws(() => windowOf(trace, a, b), refusal('trace-unreachable'));
        return;
      }
      const window = windowOf(trace, a, b);
      assert.is(window.endMs, length);
      assert.equal(plain(window), expected);
    }),
    { seed: 21, numRuns: 500 },
  );
});

test('a window outside the trace is refused', () => {
  const trace = traceOf([{ startMs: 0, cells: [[0, 10, 1]], tailMs: 0 }]);
  for (const [a, b] of [
    [-1, 5],
    [5, 5],
    [6, 5],
    [0, 11],
    [Number.NaN, 5],
  ] as const) {
    assert.throws(() => windowOf(trace, a, b), refusal('trace-unreachable'));
  }
});

test('a sample stays within its peak, and one more session would not', () => {
  const trace = synthesize({ profile: 'adobe-15s', sessions: 150, hours: 720, seed: 1 });
  for (let seed = 1; seed <= 5; seed++) {
    const cut = sample(trace, { windowMs: 17.5 * HOUR_MS, peakGpus: 100, seed });
    assert.is(cut.endMs, 17.5 * HOUR_MS);
    const peak = peakReservedGpus(cut);
    assert.ok(peak <= 100 && peak > 100 - 8, `peak ${peak}`);
    assert.is(sample(trace, { windowMs: 17.5 * HOUR_MS, peakGpus: 100, seed }).hash, cut.hash);
  }
  const wide = sample(trace, { windowMs: 17.5 * HOUR_MS, seed: 1 });
  const most = sample(trace, { windowMs: 17.5 * HOUR_MS, seed: 1, peakGpus: 1e6 });
  assert.is(most.hash, wide.hash, 'a limit that is never met leaves the window as it is');
});

test('a sample takes the window it is told, the whole trace without one', () => {
  const trace = traceOf([{ startMs: 0, cells: [[0, 10, 1]], tailMs: 90 }]);
  assert.is(sample(trace, { windowMs: 50, fromMs: 20, seed: 1 }).endMs, 50);
  assert.equal(plain(sample(trace, { seed: 1 })), plain(trace));
  assert.throws(() => sample(trace, { windowMs: 101, seed: 1 }), refusal('trace-unreachable'));
  assert.throws(() => sample(trace, { peakGpus: 0, seed: 1 }), refusal('trace-unreachable'));
});

test('the peak of reserved GPUs equals a count at every moment', () => {
  fc.assert(
    fc.property(plans, (sessions) => {
      const trace = traceOf(sessions);
      let peak = 0;
      for (let t = 0; t <= trace.endMs; t++) {
        let now = 0;
        for (const s of plain(trace).values()) {
          if (s.startMs <= t && t < s.endMs) now += s.gpus;
        }
        peak = Math.max(peak, now);
      }
      assert.is(peakReservedGpus(trace), peak);
    }),
    { seed: 22, numRuns: 60 },
  );
});

test('a bootstrap has as many sessions, each one of the trace, under ids of their own', () => {
  fc.assert(
    fc.property(plans, fc.nat(1_000), (sessions, seed) => {
      const trace = traceOf(sessions);
      const drawn = resample(trace, seed);
      assert.is(drawn.sessions.count, trace.sessions.count);
      assert.is(drawn.endMs, trace.endMs);
      const originals = plain(trace);
      for (const [id, session] of plain(drawn)) {
        assert.equal(session, originals.get(id.split('#')[0]!));
      }
      assert.is(resample(trace, seed).hash, drawn.hash);
    }),
    { seed: 23, numRuns: 100 },
  );
  const trace = synthesize({ profile: 'adobe-60s', sessions: 200, hours: 720, seed: 1 });
  const distinct = new Set(resample(trace, 1).sessions.ids.map((id) => id.split('#')[0]));
  assert.ok(distinct.size > 105 && distinct.size < 150, `${distinct.size} of 200 were drawn`);
});

test('scaled gaps: think times times the factor, the rest unchanged', () => {
  fc.assert(
    fc.property(plans, fc.constantFrom(0.5, 1, 2, 3.7), (sessions, factor) => {
      const trace = traceOf(sessions);
      const scaled = scaleGaps(trace, factor);
      const thinks = [...gapsOf(trace).thinkMs].map((think) => Math.round(think * factor));
      const found = [...gapsOf(sortedLike(scaled, trace)).thinkMs];
      assert.equal(found, thinks);
      for (const [id, s] of plain(scaled)) {
        const before = plain(trace).get(id)!;
        assert.is(s.startMs, before.startMs);
        assert.is(tailOf(s), tailOf(before));
        assert.equal(
          s.cells.map((c) => c.durationMs),
          before.cells.map((c) => c.durationMs),
        );
      }
    }),
    { seed: 24, numRuns: 200 },
  );
  const one = traceOf([{ startMs: 0, cells: [[0, 1, 1]], tailMs: 0 }]);
  for (const factor of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => scaleGaps(one, factor), refusal('usage'));
  }
});

/** Starts do not change, so sessions keep their order. */
function sortedLike(scaled: Trace, trace: Trace): Trace {
  assert.equal(scaled.sessions.ids, trace.sessions.ids);
  return scaled;
}

function tailOf(s: PlainSession): number {
  const last = s.cells.at(-1);
  return s.endMs - (last === undefined ? s.startMs : last.submitMs + last.durationMs);
}

test('split sessions: no part idles longer, no cell is lost or moved', () => {
  fc.assert(
    fc.property(plans, fc.nat(50), fc.boolean(), (sessions, gapMs, onGpuChange) => {
      const trace = traceOf(sessions);
      const cut = splitSessions(trace, { gapMs, onGpuChange });
      for (const think of gapsOf(cut).thinkMs) assert.ok(think <= gapMs);
      if (onGpuChange)
        for (const s of plain(cut).values()) {
          assert.ok(new Set(s.cells.map((c) => c.gpus)).size <= 1);
        }
      assert.equal(cellList(cut), cellList(trace));
      assert.is(cut.endMs, trace.endMs);
      assert.ok(gpuTimeOf(cut).reservedGpuMs <= gpuTimeOf(trace).reservedGpuMs);
    }),
    { seed: 25, numRuns: 300 },
  );
});

function cellList(trace: Trace): string[] {
  return [...plain(trace).values()]
    .flatMap((s) => s.cells.map((c) => `${c.submitMs} ${c.durationMs} ${c.gpus} ${c.model}`))
    .sort();
}

test('parts of a session: ids, starts, ends and claims', () => {
  const minute = 60_000;
  const trace = traceOf([
    {
      startMs: 0,
      cells: [
        [minute, minute, 1],
        [30 * minute, minute, 8],
        [minute, minute, 4],
      ],
      tailMs: 5 * minute,
    },
  ]);
  const cut = plain(splitSessions(trace, { gapMs: 10 * minute }));
  assert.equal([...cut.keys()], ['s0.1', 's0.2']);
  const [first, second] = [cut.get('s0.1')!, cut.get('s0.2')!];
  assert.equal([first.startMs, first.endMs, first.gpus], [0, 2 * minute, 1]);
  assert.equal([second.startMs, second.endMs, second.gpus], [30 * minute, 40 * minute, 8]);
  const padded = plain(
    splitSessions(trace, { gapMs: 10 * minute, startPadMs: 5 * minute, endPadMs: 7 * minute }),
  );
  assert.is(padded.get('s0.1')!.endMs, 9 * minute);
  assert.is(padded.get('s0.2')!.startMs, 27 * minute);
  const met = plain(splitSessions(trace, { gapMs: 10 * minute, endPadMs: 60 * minute }));
  assert.is(met.get('s0.1')!.endMs, 30 * minute, 'a part closes when the next opens');
  assert.equal([...plain(splitSessions(trace, { onGpuChange: true })).keys()].length, 3);
  assert.equal(plain(splitSessions(trace, {})), plain(trace));
});

test('padded sessions close later and stay the same otherwise', () => {
  fc.assert(
    fc.property(plans, fc.nat(500), (sessions, padMs) => {
      const trace = traceOf(sessions);
      const padded = plain(padSessions(trace, padMs));
      for (const [id, s] of plain(trace)) {
        assert.equal(padded.get(id), { ...s, endMs: s.endMs + padMs });
      }
    }),
    { seed: 26, numRuns: 100 },
  );
});

testOnTrace(test, 'tiresias.csv.gz', 'reserved GPU-hours of the real file by cut', async (path) => {
  const { loadTrace } = await import('../../traces/load.ts');
  const { trace } = await loadTrace(path);
  const reserved = (cut: Trace) => Math.round(gpuTimeOf(cut).reservedGpuMs / HOUR_MS / 1000);
  assert.is(trace.sessions.count, 344);
  assert.is(reserved(trace), 693);
  assert.is(reserved(splitSessions(trace, { gapMs: 24 * HOUR_MS })), 277);
  assert.is(reserved(splitSessions(trace, { gapMs: 8 * HOUR_MS })), 234);
  assert.is(reserved(splitSessions(trace, { gapMs: 2 * HOUR_MS })), 218);
  assert.is(splitSessions(trace, { onGpuChange: true }).sessions.count, 456);
});

test.run();
