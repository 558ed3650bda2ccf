import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import {
  oracleAt,
  oracleGpuMs,
  oracleHostGpuMs,
  oracleOf,
  oraclePeakGpuMillis,
} from '../../traces/oracle.ts';
import type { Trace } from '../../traces/trace.ts';

interface Cell {
  readonly submitMs: number;
  readonly durationMs: number;
  readonly gpuMillis: number;
}

function traceOf(cells: readonly Cell[]): Trace {
  const builder = new TraceBuilder();
  cells.forEach(({ submitMs, durationMs, gpuMillis }, i) => {
    const session = builder.addSession({ id: `s${i}`, startMs: submitMs, endMs: 1_000 });
    builder.addCell({ session, submitMs, durationMs, shape: vectorForGpus(gpuMillis) });
  });
  return builder.build({ name: 'oracle', source: 'test' });
}

/** Counts moment by moment. */
function recount(cells: readonly Cell[], atMs: number): number {
  return cells
    .filter((c) => c.submitMs <= atMs && atMs < c.submitMs + c.durationMs)
    .reduce((sum, c) => sum + c.gpuMillis, 0);
}

const someCells = fc.array(
  fc.record({
    submitMs: fc.nat(40),
    durationMs: fc.nat(30),
    gpuMillis: fc.constantFrom(0, 250, 1_000, 4_000, 8_000),
  }),
  { minLength: 1, maxLength: 25 },
);

test('a hand-made step function', () => {
  const cells = [
    { submitMs: 0, durationMs: 10, gpuMillis: 1_000 },
    { submitMs: 5, durationMs: 10, gpuMillis: 8_000 },
    { submitMs: 15, durationMs: 5, gpuMillis: 8_000 },
  ];
  const oracle = oracleOf(traceOf(cells));
  assert.equal([...oracle.timesMs], [0, 5, 10, 20], 'an end and a start that cancel are no step');
  assert.equal([...oracle.gpuMillis], [1_000, 9_000, 8_000, 0]);
  assert.is(oracleGpuMs(oracle, 1_000), 10 + 80 + 40);
  assert.is(oracleGpuMs(oracle, 7), 5 + 2 * 9);
  assert.is(oracleHostGpuMs(oracle, 1_000, 8), 5 * 8 + 5 * 16 + 10 * 8);
  assert.is(oraclePeakGpuMillis(oracle), 9_000);
});

test('cells without GPUs or duration, and no cells at all, give an empty oracle', () => {
  const oracle = oracleOf(
    traceOf([
      { submitMs: 3, durationMs: 0, gpuMillis: 8_000 },
      { submitMs: 4, durationMs: 9, gpuMillis: 0 },
    ]),
  );
  assert.is(oracle.timesMs.length, 0);
  assert.is(oracleAt(oracle, 4), 0);
  assert.is(oracleGpuMs(oracle, 100), 0);
});

test('equals a recount at every moment, and its integrals their sums', () => {
  fc.assert(
    fc.property(someCells, fc.nat(80), fc.constantFrom(1, 4, 8), (cells, untilMs, gpusPerHost) => {
      const oracle = oracleOf(traceOf(cells));
      let gpuMs = 0;
      let hostGpuMs = 0;
      for (let t = 0; t < untilMs; t++) {
        const now = recount(cells, t);
        assert.is(oracleAt(oracle, t), now);
        gpuMs += now / 1_000;
        hostGpuMs += Math.ceil(now / 1_000 / gpusPerHost) * gpusPerHost;
      }
      assert.is(oracleGpuMs(oracle, untilMs), gpuMs);
      assert.is(oracleHostGpuMs(oracle, untilMs, gpusPerHost), hostGpuMs);
    }),
    { seed: 11, numRuns: 300 },
  );
});

test('steps ascend, differ, and end at 0', () => {
  fc.assert(
    fc.property(someCells, (cells) => {
      const { timesMs, gpuMillis } = oracleOf(traceOf(cells));
      for (let i = 1; i < timesMs.length; i++) {
        assert.ok(timesMs[i]! > timesMs[i - 1]!);
        assert.is.not(gpuMillis[i], gpuMillis[i - 1]);
      }
      assert.is(gpuMillis.at(-1) ?? 0, 0);
    }),
    { seed: 12, numRuns: 300 },
  );
});

test.run();
