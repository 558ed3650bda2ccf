import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveConfig } from '../../core/config/config.ts';
import type { PartialConfig, ScheduledFault } from '../../core/config/options.ts';
import { FaultPlan } from '../../sim/faults.ts';

const DAY_MS = 86_400_000;
const MANY = 50_000;

function plan(options: PartialConfig = {}): FaultPlan {
  return new FaultPlan(resolveConfig(options));
}

function near(value: number, expected: number, standardError: number, what: string): void {
  assert.ok(Math.abs(value - expected) < 5 * standardError, `${what}: ${value}, not ${expected}`);
}

test('by default nothing fails, ever', () => {
  const faults = plan();
  assert.equal(faults.scheduled, []);
  for (let i = 0; i < 1000; i++) {
    assert.is(faults.nextHostLossMs(i, 5), Infinity);
    assert.is(faults.nextDeviceExclusionMs(i, 0, 5), Infinity);
    assert.is(faults.nextContainerCrashMs(i, 0, 5), Infinity);
    assert.not(faults.scaleOutFails(i, 5));
    assert.not(faults.containerStartFails(i, 0, 0));
    assert.not(faults.yields(i, 0, 0));
  }
  assert.is(faults.slowStartFactorAt(5), 1);
  assert.is(faults.storeServesAtMs(5), 5);
});

test('scheduled faults of one moment come by time, equal ones in the order given', () => {
  const given: ScheduledFault[] = [
    { atMs: 50, kind: 'host-loss', target: 1 },
    { atMs: 10, kind: 'yield-next', target: 3, detail: 2 },
    { atMs: 20, kind: 'slow-start', target: 0, forMs: 5 },
    { atMs: 50, kind: 'container-crash', target: 0 },
    { atMs: 0, kind: 'device-excluded', target: 2, detail: 7 },
  ];
  const faults = plan({ faults: given });
  assert.equal(faults.scheduled, [given[4], given[1], given[0], given[3]]);
});

test('losses of hosts: exponential lives with the given rate, from the moment each came up', () => {
  const faults = plan({ hostLossPerDay: 2 });
  let [sum, squares] = [0, 0];
  for (let host = 0; host < MANY; host++) {
    const upMs = host * 1000;
    const lifeMs = faults.nextHostLossMs(host, upMs) - upMs;
    assert.ok(Number.isInteger(lifeMs) && lifeMs > 0);
    sum += lifeMs;
    squares += lifeMs ** 2;
  }
  const meanMs = DAY_MS / 2;
  near(sum / MANY, meanMs, meanMs / Math.sqrt(MANY), 'mean life');
  near(squares / MANY, 2 * meanMs ** 2, (Math.sqrt(20) * meanMs ** 2) / Math.sqrt(MANY), 'square');
});

test('crashes and exclusions of one ordinal: a process with the given rate', () => {
  const faults = plan({ containerCrashPerDay: 100, deviceExcludedPerDay: 10 });
  let [crashes, atMs] = [0, 0];
  while ((atMs = faults.nextContainerCrashMs(7, crashes, atMs)) < 100 * DAY_MS) crashes++;
  near(crashes, 10_000, 100, 'crashes in 100 days');
  let exclusions = 0;
  atMs = 0;
  while ((atMs = faults.nextDeviceExclusionMs(7, exclusions, atMs)) < 1000 * DAY_MS) exclusions++;
  near(exclusions, 10_000, 100, 'exclusions in 1,000 days');
});

test('every device and every replica is hit equally often', () => {
  const faults = plan();
  const devices = new Float64Array(8);
  const replicas = new Float64Array(3);
  for (let k = 0; k < MANY; k++) {
    devices[faults.excludedDevice(k >> 4, k & 15, 8)]!++;
    replicas[faults.crashedReplica(k >> 4, k & 15, 3)]!++;
  }
  for (const count of devices) near(count, MANY / 8, Math.sqrt((MANY * 7) / 64), 'device');
  for (const count of replicas) near(count, MANY / 3, Math.sqrt((MANY * 2) / 9), 'replica');
});

test('shares: as many fail as the option says, and with 1 all do', () => {
  const share = 0.15;
  const some = plan({
    scaleOutFailureShare: share,
    containerFailureShare: share,
    yieldShare: share,
  });
  const [hosts, containers, yields] = [
    (i: number) => some.scaleOutFails(i, 0),
    (i: number) => some.containerStartFails(i >> 4, i & 15, 0),
    (i: number) => some.yields(i >> 4, i & 15, 1),
  ].map((fails) => Array.from({ length: MANY }, (_, i) => fails(i)).filter(Boolean).length);
  const error = Math.sqrt(MANY * share * (1 - share));
  near(hosts!, MANY * share, error, 'hosts');
  near(containers!, MANY * share, error, 'containers');
  near(yields!, MANY * share, error, 'yields');
  const all = plan({ scaleOutFailureShare: 1, containerFailureShare: 1, yieldShare: 1 });
  for (let i = 0; i < 1000; i++) {
    assert.ok(all.scaleOutFails(i, 0) && all.containerStartFails(i, 0, 0) && all.yields(i, 0, 0));
  }
});

test('the same faults in whatever order they are asked; another seed has others', () => {
  const options = { hostLossPerDay: 1, containerCrashPerDay: 3, yieldShare: 0.5 };
  const ask = (faults: FaultPlan, i: number) => [
    faults.nextHostLossMs(i, 1000),
    faults.nextContainerCrashMs(i, 4, 1000),
    faults.yields(i, 2, 0),
  ];
  const [one, two] = [plan(options), plan(options)];
  const forward = Array.from({ length: 300 }, (_, i) => ask(one, i));
  const backward = Array.from({ length: 300 }, (_, i) => ask(two, 299 - i)).reverse();
  assert.equal(forward, backward);
  assert.is(one.nextHostLossMs(3, 0), 35_560_914);
  const reseeded = plan({ ...options, seed: 2 });
  assert.is.not(one.nextHostLossMs(3, 0), reseeded.nextHostLossMs(3, 0));
});

test('slow-start windows: the worst that holds; the end is not part of one', () => {
  const faults = plan({
    slowStartFactor: 10,
    faults: [
      { atMs: 100, kind: 'slow-start', target: 0, forMs: 100, factor: 3 },
      { atMs: 150, kind: 'slow-start', target: 0, forMs: 20 },
      { atMs: 190, kind: 'slow-start', target: 0, forMs: 60, factor: 2 },
    ],
  });
  const moments = [0, 99, 100, 149, 150, 169, 170, 199, 200, 249, 250, 1e9];
  const factors = moments.map((ms) => faults.slowStartFactorAt(ms));
  assert.equal(factors, [1, 1, 3, 3, 10, 10, 3, 3, 2, 2, 1, 1]);
});

test('store outages: served again at the end of the last that overlaps or touches', () => {
  const faults = plan({
    faults: [
      { atMs: 500, kind: 'store-failure', target: 0, forMs: 10 },
      { atMs: 100, kind: 'store-failure', target: 0, forMs: 50 },
      { atMs: 140, kind: 'store-failure', target: 0, forMs: 60 },
      { atMs: 200, kind: 'store-failure', target: 0, forMs: 1 },
    ],
  });
  const served = [99, 100, 145, 160, 200, 201, 499, 505, 510].map((ms) =>
    faults.storeServesAtMs(ms),
  );
  assert.equal(served, [99, 201, 201, 201, 201, 201, 499, 510, 510]);
});

test('while scale-out fails, every host asked for is lost', () => {
  const faults = plan({ faults: [{ atMs: 10, kind: 'scale-out-failure', target: 0, forMs: 5 }] });
  const failing = [9, 10, 14, 15].map((ms) => faults.scaleOutFails(1, ms));
  assert.equal(failing, [false, true, true, false]);
});

test('refuses a fault without sense, naming its place and kind', () => {
  const bad: ScheduledFault[] = [
    { atMs: -1, kind: 'host-loss', target: 0 },
    { atMs: 1, kind: 'host-loss', target: -1 },
    { atMs: 1, kind: 'container-crash', target: 0.5 },
    { atMs: 1, kind: 'store-failure', target: 0 },
    { atMs: 1, kind: 'slow-start', target: 0, forMs: 0 },
    { atMs: 1, kind: 'slow-start', target: 0, forMs: 5, factor: 0.5 },
  ];
  for (const fault of bad) {
    assert.throws(
      () => plan({ faults: [{ atMs: 1, kind: 'host-loss', target: 0 }, fault] }),
      (error: { code: string; message: string }) =>
        error.code === 'config-bad-value' && error.message.includes(`faults[1] (${fault.kind})`),
    );
  }
});

test.run();
