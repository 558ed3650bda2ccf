import { randomBytes } from 'node:crypto';
import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import { contentOf, PIECE_BYTES } from '../../../live/stores/checked-content.ts';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { Claims } from '../../../live/stores/claims.ts';
import { Seal } from '../../../live/stores/seal.ts';
import type { Content, ObjectStore } from '../../../live/stores/store.ts';
import { testWithPart } from '../../skip.ts';

export interface ContractOf {
  name: string;
  /** why there is no such store here; '' when there is one */
  missing: string;
  /** One with nothing in it. */
  open(): Promise<ObjectStore>;
}

/** Content made piece by piece from a byte, so that a large one needs no memory. */
export function madeContent(bytes: number, fill: number, sha256: string): Content {
  return {
    bytes,
    sha256,
    async *open() {
      for (let at = 0; at < bytes; at += PIECE_BYTES)
        yield Buffer.alloc(Math.min(PIECE_BYTES, bytes - at), fill);
    },
  };
}

const never = new AbortController().signal;

async function keysOf(store: CheckedStore, prefix: string): Promise<string[]> {
  return (await store.list(prefix)).map(({ key }) => key);
}

type WithStore = (
  what: string,
  body: (store: CheckedStore, raw: ObjectStore) => Promise<void>,
) => void;

/** What every store of state must do, whatever is behind it. */
export function storeContract(test: Test, { name, missing, open }: ContractOf): void {
  const withStore: WithStore = (what, body) =>
    testWithPart(test, missing, `${name}: ${what}`, async () => {
      const raw = await open();
      const store = new CheckedStore(raw, { retryMs: 10, stallMs: 20_000 });
      try {
        await body(store, raw);
      } finally {
        await store.close();
      }
    });

  wholeObjects(withStore);
  listsAndClaims(withStore);
  mistakes(withStore);
  readings(withStore);
  generations(withStore);
}

function wholeObjects(withStore: WithStore): void {
  withStore('what was put is read again, of any size', async (store) => {
    for (const bytes of [0, 1, 1000, PIECE_BYTES, PIECE_BYTES + 1, 9_000_001, 20_000_003]) {
      const data = randomBytes(bytes);
      const content = contentOf(data);
      assert.is(await store.put(`a/of-${bytes}`, content), true);
      const read = await store.readWhole(`a/of-${bytes}`, content.sha256);
      assert.ok(read?.equals(data), `${bytes} bytes`);
      assert.is((await store.head(`a/of-${bytes}`))?.bytes, bytes);
    }
    assert.is((await store.list('a/')).length, 7);
  });

  withStore('what is not there is told as such', async (store) => {
    assert.is(await store.readWhole('not/there', ''), undefined);
    assert.is(await store.head('not/there'), undefined);
    assert.equal(await store.list('not/'), []);
    await store.remove(['not/there', 'nor/this']);
  });

  withStore('one that is there is replaced as a whole', async (store) => {
    const before = contentOf(randomBytes(17_000_000));
    const after = contentOf(Buffer.from('short'));
    await store.put('k/x', before);
    assert.is(await store.put('k/x', after), true);
    assert.is(String(await store.readWhole('k/x', after.sha256)), 'short');
    assert.equal(await keysOf(store, ''), ['k/x']);
  });
}

function listsAndClaims(withStore: WithStore): void {
  withStore('of two that create one wins, and its content stays', async (store) => {
    const contents = ['one', 'two', 'three', 'four'].map((text) => contentOf(Buffer.from(text)));
    const won = await Promise.all(contents.map((each) => store.put('k/claim', each, 'create')));
    assert.is(won.filter(Boolean).length, 1, String(won));
    const winner = contents[won.indexOf(true)]!;
    assert.ok(await store.readWhole('k/claim', winner.sha256));
    assert.is(await store.put('k/claim', contentOf(randomBytes(20_000_000)), 'create'), false);
    assert.ok(await store.readWhole('k/claim', winner.sha256));
  });

  withStore('a list has what its prefix says, however many', async (store) => {
    const some = contentOf(Buffer.from('x'));
    const names = Array.from({ length: 60 }, (_, at) => `kernels/k1/blobs/${at + 100}`);
    await Promise.all(names.map((key) => store.put(key, some)));
    for (const key of ['kernels/k10/blobs/1', 'kernels/k1/tables/1', 'other'])
      await store.put(key, some);
    assert.equal(await keysOf(store, 'kernels/k1/blobs/'), names);
    assert.is((await store.list('kernels/k1/')).length, 61);
    assert.is((await store.list('')).length, 63);
    const { modifiedAt } = (await store.list('kernels/k10/'))[0]!;
    assert.ok(Math.abs(modifiedAt - Date.now()) < 120_000, String(modifiedAt));
    await store.remove([...names, 'kernels/k1/tables/1']);
    assert.equal(await keysOf(store, ''), ['kernels/k10/blobs/1', 'other']);
  });
}

function mistakes(withStore: WithStore): void {
  withStore('a content that is not what it says leaves nothing', async (store) => {
    for (const bytes of [10, 3_000_000, 18_000_000]) {
      const content = contentOf(randomBytes(bytes));
      const bad = { ...content, sha256: 'f'.repeat(64) };
      await rejects(store.put('bad/sum', bad), 'store-corrupt');
      await rejects(store.put('bad/long', { ...content, bytes: bytes + 1 }), 'store-corrupt');
      await rejects(store.put('bad/short', { ...content, bytes: bytes - 1 }), 'store-corrupt');
    }
    assert.equal(await keysOf(store, ''), []);
  });

  withStore('a source that fails leaves nothing', async (store) => {
    const content: Content = {
      bytes: 20_000_000,
      sha256: '0'.repeat(64),
      async *open() {
        yield Buffer.alloc(18_000_000);
        throw new Error('the disk is gone');
      },
    };
    await rejects(store.put('bad/source', content), 'file-not-found');
    assert.equal(await keysOf(store, ''), []);
  });

  withStore('keys that are none are refused', async (store) => {
    for (const key of ['', '/a', 'a/', '../up', 'a/../b', '.parts/x', 'a//b', 'a b', 'ä'])
      await rejects(store.put(key, contentOf(Buffer.from('x'))), 'request-invalid');
    await rejects(store.list('up'), 'request-invalid');
  });
}

function readings(withStore: WithStore): void {
  withStore('other bytes than were stored are refused when read', async (store, raw) => {
    const stored = contentOf(randomBytes(500_000));
    await raw.put('k/y', stored, 'replace', never);
    await rejects(store.readWhole('k/y', 'a'.repeat(64)), 'store-corrupt');
    const nothing = (): void => undefined;
    const longer = { bytes: 500_001, sha256: stored.sha256 };
    await rejects(store.read('k/y', longer, nothing), 'store-corrupt');
    assert.ok(await store.read('k/y', { bytes: 500_000, sha256: stored.sha256 }, nothing));
  });

  withStore('a reading may begin anywhere', async (_, raw) => {
    const data = randomBytes(9_000_000);
    await raw.put('k/z', contentOf(data), 'replace', never);
    for (const from of [0, 1, 4_194_304, 8_999_999, 9_000_000]) {
      const reading = await raw.get('k/z', from, never);
      assert.is(reading?.bytes, data.length);
      const pieces: Uint8Array[] = [];
      for await (const piece of reading!.stream) pieces.push(piece);
      assert.ok(Buffer.concat(pieces).equals(data.subarray(from)), `from ${from}`);
    }
  });

  withStore('readers beside writers see whole objects only', async (store) => {
    const contents = [1, 2, 3].map((fill) => contentOf(Buffer.alloc(5_000_000, fill)));
    await store.put('k/busy', contents[0]!);
    let writing = true;
    const write = (async () => {
      for (let turn = 0; turn < 9; turn++) await store.put('k/busy', contents[turn % 3]!);
      writing = false;
    })();
    let read = 0;
    while (writing) {
      const got = await store.readWhole('k/busy', '').catch((error) => {
        assert.is(error.code, 'store-unreachable');
        return undefined;
      });
      if (got === undefined) continue;
      assert.ok(got.every((byte) => byte === got[0]));
      read++;
    }
    await write;
    assert.ok(read > 0);
  });
}

function generations(withStore: WithStore): void {
  withStore("each generation of a kernel is one claimant's, and is decided once", async (store) => {
    const seal = new Seal(randomBytes(32));
    const hosts = Array.from({ length: 4 }, () => new Claims(store, seal));
    const [one, two, three] = hosts as [Claims, Claims, Claims];
    assert.equal(await one.list('k1'), []);
    assert.is(await one.begun('k1', []), undefined);
    const claimed = await Promise.all(hosts.map((claims) => claims.claim('k1')));
    assert.equal(claimed.sort(), [1, 2, 3, 4]);
    assert.is(await two.claimThis('k1', 4), false);
    await one.claim('k10');
    const said = await Promise.all([one.begin('k1', 2, 'kernels/k1/x'), two.giveUp('k1', 2)]);
    assert.is(said[0], !said[1], 'it began, or was given up');
    assert.is(await three.giveUp('k1', 3), true);
    assert.is(await one.begin('k1', 3, ''), false);
    assert.is(await one.begin('k1', 1, 'kernels/k1/base'), true);
    assert.is(await three.giveUp('k1', 1), false);
    assert.is(await one.begin('k1', 4, ''), true);
    const list = await three.list('k1');
    assert.equal(
      list.map(({ generation, ended }) => [generation, ended]),
      [1, 2, 3, 4].map((generation) => [generation, true]),
    );
    assert.equal(await three.begun('k1', list), { generation: 4, from: '' });
    assert.equal(await three.begun('k1', list.slice(0, 1)), {
      ...{ generation: 1, from: 'kernels/k1/base' },
    });
    await three.forgetBefore('k1', list, 4);
    assert.equal(
      (await one.list('k1')).map(({ generation }) => generation),
      [4],
    );
    assert.is(await one.claim('k1'), 5);
    const stranger = new Claims(store, new Seal(randomBytes(32)));
    await rejects(stranger.begun('k1', list), 'store-corrupt');
  });
}

export async function rejects(work: Promise<unknown>, code: string): Promise<void> {
  let said: unknown;
  try {
    await work;
  } catch (error) {
    said = error;
  }
  assert.is((said as { code?: string })?.code, code, String(said));
}
