import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { NbosError } from '../../core/errors.ts';
import type { Content } from './store.ts';
import { corrupt, reasonIn } from './store-errors.ts';

/** Large enough for few turns of the loop, small enough to be hashed in one of them. */
export const PIECE_BYTES = 256 * 1024;

/** Bytes in memory. */
export function contentOf(bytes: Uint8Array): Content {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    bytes: bytes.byteLength,
    sha256,
    async *open() {
      for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES)
        yield bytes.subarray(at, at + PIECE_BYTES);
    },
  };
}

/** A file that nobody writes to any more. */
export function contentOfFile(path: string, bytes: number, sha256: string): Content {
  return {
    bytes,
    sha256,
    path,
    open: () => createReadStream(path, { highWaterMark: PIECE_BYTES }),
  };
}

/**
 * The same content, whose last piece comes only if all of it has the right length and checksum:
 * whoever stores it never has all bytes of a wrong one.
 */
export function guarded(store: string, key: string, content: Content, onPiece: () => void) {
  return {
    ...content,
    async *open(): AsyncGenerator<Uint8Array> {
      const sum = new Sum();
      let held: Uint8Array | undefined;
      for await (const piece of readable(key, content)) {
        onPiece();
        if (piece.byteLength === 0) continue;
        sum.add(piece);
        if (held !== undefined) yield held;
        held = piece;
      }
      sum.check(store, key, content.bytes, content.sha256);
      if (held !== undefined) yield held;
    },
  } satisfies Content;
}

/** What cannot be read here is no fault of the store. */
async function* readable(key: string, content: Content): AsyncGenerator<Uint8Array> {
  try {
    yield* content.open();
  } catch (error) {
    throw new NbosError(
      'file-not-found',
      `what was to be stored as ${key} cannot be read: ${reasonIn(error)}`,
      'A newer version is stored instead, as soon as there is one.',
    );
  }
}

/** Length and checksum of what goes by. */
export class Sum {
  bytes = 0;
  readonly #hash: Hash = createHash('sha256');

  add(piece: Uint8Array): void {
    this.bytes += piece.byteLength;
    this.#hash.update(piece);
  }

  /** Hex of the SHA-256; nothing can be added after it. */
  digest(): string {
    return this.#hash.digest('hex');
  }

  /** Throws `store-corrupt`; `sha256` is not compared when ''. */
  check(store: string, key: string, bytes: number, sha256: string): void {
    if (this.bytes !== bytes) throw corrupt(store, key, `${this.bytes} bytes instead of ${bytes}`);
    if (sha256 !== '' && this.digest() !== sha256)
      throw corrupt(store, key, 'its SHA-256 is not the one it was stored under');
  }
}
