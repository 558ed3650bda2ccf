/**
 * A place for objects, whole or not there: never seen half-written. Adapters only carry bytes;
 * checksums, retries and time limits are CheckedStore's.
 *
 * All reject with NbosErrors: `store-unreachable` (an outage, for now), `store-denied`
 * (credentials, permissions), `disk-full` (no room there), `store-corrupt` (what is stored is no
 * object of ours). A signal that is aborted makes them reject soon.
 */
export interface ObjectStore {
  /** its URL without secrets, for messages */
  readonly name: string;
  /**
   * Durable when it resolves. False when `create` was asked for and the object is there already;
   * otherwise one that is there is replaced, in one step for readers.
   */
  put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean>;
  /** From byte `from` on; undefined when there is no such object. */
  get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined>;
  head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined>;
  /** All whose key starts with `prefix`, which ends with '/' or is ''. In no certain order. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo>;
  /** What is not there is no error. */
  remove(keys: readonly string[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export type PutMode = 'replace' | 'create';

/** Bytes that can be read again, for another try. */
export interface Content {
  /** exactly so many */
  readonly bytes: number;
  /** of all of it; what is stored has this one, or nothing is stored */
  readonly sha256: string;
  /** file with exactly this content that nobody writes to any more, for stores of the same disk */
  readonly path?: string;
  open(): AsyncIterable<Uint8Array>;
}

export interface Reading {
  /** of the whole object, wherever the reading begins */
  readonly bytes: number;
  readonly stream: AsyncIterable<Uint8Array>;
}

export interface ObjectInfo {
  readonly key: string;
  readonly bytes: number;
  /** ms since the epoch, on the store's clock */
  readonly modifiedAt: number;
}

/** Keys are paths of these words, so that every store takes them as they are. */
const KEY = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}(\/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}){0,7}$/;

export function isKey(key: string): boolean {
  return KEY.test(key);
}
