import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addressOf,
  encodeChange,
  encodeIdentity,
  encodeSnapshot,
  parseIdentity,
  parseSnapshot,
} from '../../../live/agent/group-identity.ts';
import type { Peers } from '../../../live/agent/ports.ts';
import {
  Fence,
  type LeaseOf,
  quorumSilence,
  RunningLease,
} from '../../../live/agent/replica-fence.ts';
import {
  differenceOf,
  filesOf,
  inLoadingOrder,
  inlineBytes,
  mergeDeltas,
  unreplicatedWith,
  withFewerInline,
} from '../../../live/agent/replica-table.ts';
import type { Delta } from '../../../live/log/entries.ts';
import { unitOf } from './fake-python.ts';
import { META } from './world.ts';

function deltaOf(delta: Partial<Delta>): Delta {
  const nothing = { units: [], dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };
  return { ...nothing, ...delta };
}

test('a fence pauses after the lease, ends after another, and resumes on lasting contact', () => {
  const fence = new Fence(1_000, 100);
  assert.is(fence.check(0, 900), undefined);
  assert.is(fence.check(100, 1_001), 'pause');
  assert.is(fence.check(200, 1_101), undefined);
  assert.is(fence.check(300, 0), undefined, 'contact is too young');
  assert.is(fence.check(350, 1_200), undefined, 'and was lost again');
  assert.is(fence.check(400, 0), undefined);
  assert.is(fence.check(500, 50), 'resume');
  assert.is(fence.paused, false);
  assert.is(fence.check(2_000, 2_000), 'pause');
  assert.is(fence.check(3_000, 3_000), undefined);
  assert.is(fence.check(3_001, 3_001), 'end');
});

test('a cell that ends while its process is paused leaves none that stands still', () => {
  const told: string[] = [];
  const cell = { phase: 'running', givenUp: false };
  const heard = { host: 'me', lastContact: () => 0 };
  const process = { pause: () => told.push('pause'), resume: () => told.push('resume') };
  const of = { runner: { current: cell }, process, peers: heard, voterHosts: () => ['a', 'b'] };
  const lease = new RunningLease(of as unknown as LeaseOf, 1_000, 100);
  lease.tick(500);
  lease.tick(1_500);
  assert.equal(told, ['pause']);
  cell.phase = 'saving';
  lease.tick(1_600);
  assert.equal(told, ['pause', 'resume']);
  cell.phase = 'running';
  lease.tick(1_700);
  lease.reset();
  assert.equal(told, ['pause', 'resume', 'pause', 'resume']);
});

test('a majority is heard as long as its slowest member', () => {
  const heard: Record<string, number> = { a: 90, b: 40 };
  const lastContact = (host: string): number => heard[host] ?? Number.NEGATIVE_INFINITY;
  const peers = { host: 'me', lastContact } as Peers;
  assert.is(quorumSilence(['me'], peers, 100), 0);
  assert.is(quorumSilence(['me', 'a', 'b'], peers, 100), 10);
  assert.is(quorumSilence(['me', 'a', 'b', 'gone'], peers, 100), 60);
  assert.is(quorumSilence(['me', 'gone', 'lost'], peers, 100), Number.POSITIVE_INFINITY);
});

test('what a process lacks is what differs in version', () => {
  const table = new Map([unitOf('x', 2, '2'), unitOf('y', 1, '1')].map((unit) => [unit.id, unit]));
  const { units, dropped } = differenceOf(
    table,
    new Map([
      ['x', 1],
      ['z', 1],
      ['y', 1],
    ]),
  );
  assert.equal([units.map(({ id }) => id), dropped], [['x'], ['z']]);
});

test('two changes are as one, whatever was dropped between', () => {
  const first = deltaOf({ units: [unitOf('x', 1, '1'), unitOf('y', 1, '1')], dropped: ['z'] });
  const second = deltaOf({ units: [unitOf('z', 1, '9')], dropped: ['y'], stateBytes: 5 });
  const merged = mergeDeltas(first, second);
  assert.equal(
    merged.units.map(({ id }) => id),
    ['x', 'z'],
  );
  assert.equal([merged.dropped, merged.stateBytes], [['y'], 5]);
});

test('the largest parts leave an entry that is too large, until it fits', async () => {
  const units = [unitOf('small', 1, '1'), unitOf('large', 1, JSON.stringify('x'.repeat(9_000)))];
  const delta = deltaOf({ units });
  assert.is(await withFewerInline(delta, 50_000, async () => assert.unreachable()), delta);
  const written: string[] = [];
  const fits = await withFewerInline(delta, 5_000, async ({ hash }, bytes) => {
    assert.is(bytes.length, 9_002);
    written.push(hash);
  });
  assert.ok(inlineBytes(fits) <= 5_000);
  assert.equal(
    filesOf(fits.units).map(({ hash }) => hash),
    written,
  );
  assert.is(fits.units[0]?.skeleton.inline, units[0]?.skeleton.inline);
});

test('definitions load first, and what failed is told by name', () => {
  const kinds = ['names', 'definition', 'ambient'];
  const units = kinds.map((kind) => ({ ...unitOf(kind, 1, '1'), kind }));
  assert.equal(
    inLoadingOrder(units).map(({ kind }) => kind),
    ['definition', 'ambient', 'names'],
  );
  const failed = [{ names: ['a', 'b'], message: 'no module named torch' }];
  assert.equal(unreplicatedWith([{ name: 'a', reason: 'a file' }], failed), [
    { name: 'a', reason: 'no module named torch' },
    { name: 'b', reason: 'no module named torch' },
  ]);
});

test('what a host keeps beside a log is read back, and damage is refused', () => {
  const members = [{ member: 1, host: 'h1' }];
  const identity = { member: 1, meta: META, members };
  const text = encodeIdentity(identity);
  assert.equal(parseIdentity('k', text), identity);
  assert.equal(parseSnapshot('k', encodeSnapshot({ members, state: { a: 1 } })), {
    members,
    state: { a: 1 },
  });
  assert.is(parseSnapshot('k', ''), undefined);
  assert.equal(addressOf(encodeChange(members[0])), members[0]);
  assert.is(addressOf(encodeChange(undefined)), undefined);
  const codeOf = (damaged: string): string => {
    try {
      parseIdentity('k', damaged);
      return '';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  for (let cut = 0; cut < text.length; cut += 7)
    assert.is(codeOf(text.slice(0, cut)), 'log-corrupt');
  assert.is(codeOf(text.replace('"v":1', '"v":9')), 'format-version');
});

test.run();
