import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Host, newHost } from '../../core/books/host-book.ts';
import type { HostType } from '../../core/config/options.ts';
import { HostIndex, type HostQuery } from '../../core/host-index.ts';
import { HOST_ORDERS } from '../../core/host-orders.ts';
import { fitsIn, vectorForGpus } from '../../core/resources.ts';

const ORDERS = Object.values(HOST_ORDERS);

function hostType(gpus: number): HostType {
  const room = { cpuMillis: 8_000 * gpus, memoryMb: 61_000 * gpus, vramMb: 16_000 * gpus };
  return { name: '', gpus, ...room, gpuType: '', speed: 1, maxHosts: 99, pricePerHour: 1 };
}

/** What an index must give, found by looking at every host. */
function scan(hosts: Host[], query: HostQuery, order: (a: Host, b: Host) => number) {
  return hosts
    .filter(
      (host) =>
        (query.need === null || fitsIn(query.need, host.idle)) &&
        host.subscribed.gpuMillis + query.claim <= query.mostClaimed * host.spec.gpuMillis &&
        query.accept(host),
    )
    .sort(order)[0];
}

const byIdle = (a: Host, b: Host) => a.idle.gpuMillis - b.idle.gpuMillis || a.id - b.id;
const warmth = (host: Host) => (host.pool.length > 0 ? 0 : 1);

const ACTION = fc.record({
  what: fc.constantFrom('add', 'add', 'remove', 'back', 'retire', 'change', 'change', 'find'),
  which: fc.nat(1000),
  gpus: fc.constantFrom(1, 2, 4, 8, 40),
  idle: fc.oneof(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 400 })),
  subscribed: fc.integer({ min: 0, max: 90 }),
  warm: fc.boolean(),
  need: fc.option(fc.oneof(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 400 }))),
  claimed: fc.constantFrom(1, 2, 7, 1e9),
  refused: fc.integer({ min: 1, max: 4 }),
});

type Action = typeof ACTION extends fc.Arbitrary<infer A> ? A : never;

/** A share of a GPU, or whole ones. */
function gpuMillis(tenths: number): number {
  return tenths < 10 ? 100 * tenths : 1000 * Math.floor(tenths / 10);
}

class Cluster {
  readonly index = new HostIndex(ORDERS);
  readonly up: Host[] = [];
  readonly down: Host[] = [];
  private count = 0;

  do(action: Action): void {
    const { what, which } = action;
    const host = this.up[which % Math.max(1, this.up.length)];
    if (what === 'add') {
      const added = newHost(this.count++, 0, hostType(action.gpus), 0);
      this.index.expect(added);
      this.index.add(added);
      this.up.push(added);
    } else if (what === 'remove' && host !== undefined) {
      this.index.remove(host);
      this.up.splice(this.up.indexOf(host), 1);
      this.down.push(host);
    } else if (what === 'back' && this.down.length > 0) {
      const back = this.down.splice(which % this.down.length, 1)[0]!;
      this.index.add(back);
      this.up.push(back);
    } else if (what === 'retire' && this.down.length > 0) {
      this.index.retire(this.down.splice(which % this.down.length, 1)[0]!);
    } else if (what === 'change' && host !== undefined) {
      host.idle.gpuMillis = Math.min(host.spec.gpuMillis, 100 * action.idle);
      host.idle.cpuMillis = 100 * action.idle;
      host.subscribed.gpuMillis = 1000 * action.subscribed;
      host.pool.length = 0;
      if (action.warm) host.pool.push(1);
      this.index.touch(host);
    } else if (what === 'find') {
      this.compare(action);
    }
  }

  private compare({ need, claimed, subscribed, refused }: Action): void {
    const query: HostQuery = {
      need: need === null ? null : { ...vectorForGpus(gpuMillis(need)), memoryMb: 0 },
      accept: (host) => host.id % refused === 0,
      claim: 100 * subscribed,
      mostClaimed: claimed,
    };
    for (const [at, order] of ORDERS.entries()) {
      assert.is(this.index.find(at, query)?.id, scan(this.up, query, order)?.id, `order ${at}`);
    }
    assert.is(this.index.bestFit(query, false)?.id, scan(this.up, query, byIdle)?.id, 'best fit');
    const warm = (a: Host, b: Host) => warmth(a) - warmth(b) || byIdle(a, b);
    assert.is(this.index.bestFit(query, true)?.id, scan(this.up, query, warm)?.id, 'warm');
    const any = query.need !== null && this.up.some((host) => fitsIn(query.need!, host.idle));
    if (any) assert.ok(this.index.mayFit(query.need!), 'mayFit');
  }
}

test('searches give what a scan of all hosts gives, whatever came and went', () => {
  fc.assert(
    fc.property(fc.array(ACTION, { minLength: 40, maxLength: 200 }), (actions) => {
      const cluster = new Cluster();
      for (const action of actions) cluster.do(action);
    }),
    { seed: 20_260_101, numRuns: 400 },
  );
});

test.run();
