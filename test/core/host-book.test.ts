import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  commitOn,
  devicesServe,
  excludeDevice,
  excludedGpuMillis,
  type Lease,
  newHost,
  releaseOn,
  restoreDevice,
} from '../../core/books/host-book.ts';
import {
  addInto,
  equalVectors,
  fitsIn,
  isNonNegative,
  type ResourceVector,
  vector,
  vectorForGpus,
} from '../../core/resources.ts';

const GPUS = 6;
const TYPE = {
  name: 'host',
  gpus: GPUS,
  cpuMillis: 30_000,
  memoryMb: 200_000,
  vramMb: 16_000 * GPUS,
  gpuType: '',
  speed: 1,
  maxHosts: 1,
  pricePerHour: 1,
};

const NEED = fc.oneof(
  fc.integer({ min: 1, max: 9 }).map((tenths) => vectorForGpus(100 * tenths)),
  fc.integer({ min: 1, max: GPUS }).map((gpus) => vectorForGpus(1000 * gpus)),
  fc.constant(vector(500, 1_000, 0, 0)),
);
const ACTION = fc.record({
  what: fc.constantFrom('commit', 'commit', 'release', 'exclude', 'restore'),
  need: NEED,
  which: fc.nat(100),
});

interface Held extends Lease {
  readonly need: ResourceVector;
}

function bits(mask: number): number {
  return mask === 0 ? 0 : 1 + bits(mask & (mask - 1));
}

test('leases, shares and exclusions add up; devices belong to one lease each', () => {
  const property = fc.property(fc.array(ACTION, { maxLength: 80 }), (actions) => {
    const host = newHost(0, 0, TYPE, 0);
    let held: Held[] = [];
    for (const { what, need, which } of actions) {
      if (what === 'commit' && fitsIn(need, host.idle) && devicesServe(host, need.gpuMillis)) {
        const lease: Held = { need, devices: 0, sharedDevice: -1 };
        commitOn(host, need, lease, true);
        held.push(lease);
      } else if (what === 'release' && held.length > 0) {
        const lease = held.splice(which % held.length, 1)[0]!;
        releaseOn(host, lease.need, lease, true);
      } else if (what === 'exclude') {
        const bit = 1 << (which % GPUS);
        if ((host.excludedDevices & bit) !== 0) continue;
        excludeDevice(host, which % GPUS);
        // As its caller does: what holds the device ends at once.
        for (const lease of held) {
          const uses = (lease.devices & bit) !== 0 || lease.sharedDevice === which % GPUS;
          if (uses) releaseOn(host, lease.need, lease, true);
        }
        held = held.filter(
          (lease) => lease.devices !== 0 || lease.sharedDevice !== -1 || lease.need.gpuMillis === 0,
        );
      } else if (what === 'restore' && (host.excludedDevices & (1 << (which % GPUS))) !== 0) {
        restoreDevice(host, which % GPUS);
      }
      checkBooks(host, held);
    }
  });
  fc.assert(property, { seed: 20_260_103, numRuns: 1_000 });
});

function checkBooks(host: ReturnType<typeof newHost>, held: readonly Held[]): void {
  const sum = vector(0, 0, 0, 0);
  const shares: number[] = Array.from({ length: GPUS }, () => 0);
  let leased = 0;
  for (const { need, devices, sharedDevice } of held) {
    addInto(sum, need);
    assert.is(leased & devices, 0, 'a device is leased twice');
    leased |= devices;
    if (sharedDevice !== -1) shares[sharedDevice]! += need.gpuMillis;
    assert.is(bits(devices) * 1000 + (sharedDevice === -1 ? 0 : need.gpuMillis), need.gpuMillis);
  }
  assert.ok(equalVectors(sum, host.committed), 'committed is the sum of what is held');
  assert.ok(isNonNegative(host.idle), 'idle is not negative');
  addInto(sum, host.idle);
  sum.gpuMillis += excludedGpuMillis(host);
  assert.ok(equalVectors(sum, host.spec), 'idle + committed + excluded is spec');
  for (const [device, used] of shares.entries()) {
    const bit = 1 << device;
    assert.is(host.sharedMillis[device] ?? 0, used, `shares of device ${device}`);
    assert.ok(used <= 1000 && (used === 0 || (leased & bit) === 0), 'shared and leased');
    const taken = used > 0 || (leased & bit) !== 0 || (host.excludedDevices & bit) !== 0;
    assert.is((host.freeDevices & bit) !== 0, !taken, `device ${device} is free or taken`);
  }
}

test('a share goes to the fullest device with room, whole GPUs to free ones', () => {
  const host = newHost(0, 0, TYPE, 0);
  const lease = (): Lease => ({ devices: 0, sharedDevice: -1 });
  const [a, b, c, d] = [lease(), lease(), lease(), lease()];
  commitOn(host, vectorForGpus(600), a, true);
  commitOn(host, vectorForGpus(700), b, true);
  commitOn(host, vectorForGpus(300), c, true);
  commitOn(host, vectorForGpus(4000), d, true);
  assert.equal([a.sharedDevice, b.sharedDevice, c.sharedDevice, d.devices], [0, 1, 1, 0b111100]);
  assert.ok(devicesServe(host, 400));
  assert.not.ok(devicesServe(host, 500));
});

test.run();
