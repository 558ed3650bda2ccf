import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Host, newHost } from '../../core/books/host-book.ts';
import { hostTypesOf } from '../../core/config/config.ts';
import { PLACEMENTS } from '../../core/placements/index.ts';
import { POLICIES } from '../../core/policies/index.ts';
import { advanceTotals, newTotals } from '../../core/record/totals.ts';
import { vector } from '../../core/resources.ts';
import { newState, type State } from '../../core/state.ts';
import {
  addSamples,
  currentSample,
  exceedsLimit,
  limitAt,
  limitOf,
  ratioWith,
  samplesUntil,
} from '../../core/subscription.ts';
import { configFor } from '../../sim/policy-file.ts';

const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-12 * Math.max(1, a, b);

function stateWith(options: Record<string, number>): State {
  const config = configFor(POLICIES['notebookos']!, options);
  const placement = PLACEMENTS[config.placement]!;
  return newState(config, POLICIES['notebookos']!, placement, {});
}

function hostOf(state: State, subscribed: readonly number[]): Host {
  const host = newHost(0, 0, hostTypesOf(state.config)[0]!, 0);
  Object.assign(
    host.subscribed,
    vector(subscribed[0]!, subscribed[1]!, subscribed[2]!, subscribed[3]!),
  );
  return host;
}

const FOUR = fc.array(fc.nat(2_000_000), { minLength: 4, maxLength: 4 });

test('the ratio of a host is the largest over its dimensions; above the limit is refused', () => {
  const property = fc.property(
    FOUR,
    FOUR,
    fc.constantFrom(1, 3, 5),
    fc.constantFrom(0, 8),
    fc.double({ min: 1, max: 7, noNaN: true }),
    (claims, need, replicas, gpusPerHost, limit) => {
      const state = stateWith({ replicas, gpusPerHost, hosts: 9 });
      const host = hostOf(state, claims);
      const spec = [host.spec.cpuMillis, host.spec.memoryMb, host.spec.gpuMillis, host.spec.vramMb];
      const ratios = spec.map((most, d) =>
        most === 0 ? 0 : (claims[d]! + need[d]!) / most / replicas,
      );
      const wanted = vector(need[0]!, need[1]!, need[2]!, need[3]!);
      const ratio = ratioWith(state, host, wanted);
      assert.ok(near(ratio, Math.max(...ratios)), `${ratio} of ${ratios}`);
      state.scaling.limit = limit;
      assert.is(exceedsLimit(state, host, wanted), ratio > limit);
      assert.is(state.scaling.wantedLimit, ratio > limit ? ratio : Number.POSITIVE_INFINITY);
    },
  );
  fc.assert(property, { seed: 20_260_104, numRuns: 500 });
});

const LOAD = fc.record({
  demanded: fc.nat(100),
  running: fc.nat(100),
  leased: fc.nat(100),
  rounds: fc.integer({ min: 1, max: 12 }),
});

test('the limit is the mean of the last samples, however many rounds are counted at once', () => {
  const property = fc.property(
    fc.array(LOAD, { minLength: 1, maxLength: 20 }),
    fc.integer({ min: 1, max: 6 }),
    (loads, window) => {
      const state = stateWith({ subscriptionSamples: window, hosts: 9 });
      const samples: number[] = [];
      for (const { demanded, running, leased, rounds } of loads) {
        const { totals } = state;
        totals.demandedGpuMillis = demanded;
        totals.runningGpuMillis = running;
        totals.leasedGpuMillis = leased;
        const busy = Math.max(running, leased);
        const sample = busy === 0 ? 7 : demanded / busy;
        assert.is(currentSample(state), sample);
        for (let round = 0; round < rounds; round++) samples.push(sample);
        addSamples(state, rounds);
        const last = samples.slice(-window);
        const mean = last.reduce((sum, x) => sum + x, 0) / last.length;
        assert.ok(near(state.scaling.limit, Math.min(7, Math.max(1, mean))));
      }
    },
  );
  fc.assert(property, { seed: 20_260_105, numRuns: 300 });
});

test('the round that reaches a wanted limit is the first that does', () => {
  const property = fc.property(
    LOAD,
    LOAD,
    fc.integer({ min: 1, max: 6 }),
    fc.double({ min: 1, max: 7, noNaN: true }),
    (before, now, window, wanted) => {
      const state = stateWith({ subscriptionSamples: window, hosts: 9 });
      state.totals.demandedGpuMillis = before.demanded;
      state.totals.leasedGpuMillis = before.leased;
      addSamples(state, before.rounds);
      state.totals.demandedGpuMillis = now.demanded;
      state.totals.leasedGpuMillis = now.leased;
      const { scaleIntervalMs } = state.config;
      const rounds = samplesUntil(state, wanted);
      for (let count = 1; count <= 2 * window; count++) {
        const limit = limitAt(state, (state.scaling.lastTick + count) * scaleIntervalMs + 1);
        if (count < rounds) assert.ok(limit < wanted, `reached after ${count}, not ${rounds}`);
        else if (count === rounds) assert.ok(limit >= wanted, `not reached after ${rounds}`);
      }
    },
  );
  fc.assert(property, { seed: 20_260_106, numRuns: 500 });
});

test('without samples the limit is the maximum', () => {
  assert.is(limitOf([], 7), 7);
  assert.is(limitOf([0.1], 7), 1);
  assert.is(limitOf([50], 7), 7);
});

test('totals integrate whatever the steps', () => {
  const step = fc.record({ ms: fc.nat(100_000), gpus: fc.nat(500), hosts: fc.nat(50) });
  const property = fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
    const totals = newTotals();
    let [at, gpuMs, hostMs] = [0, 0, 0];
    for (const { ms, gpus, hosts } of steps) {
      totals.committedGpuMillis = gpus;
      totals.hosts = hosts;
      at += ms;
      gpuMs += gpus * ms;
      hostMs += hosts * ms;
      advanceTotals(totals, at - Math.floor(ms / 2), 1);
      advanceTotals(totals, at, 1);
    }
    assert.equal([totals.at, totals.committedGpuMs, totals.hostMs], [at, gpuMs, hostMs]);
  });
  fc.assert(property, { seed: 20_260_107, numRuns: 200 });
});

test.run();
