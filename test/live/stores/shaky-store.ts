import type {
  Content,
  ObjectInfo,
  ObjectStore,
  PutMode,
  Reading,
} from '../../../live/stores/store.ts';
import { denied, storeFull, unreachable } from '../../../live/stores/store-errors.ts';

export type Trouble = 'outage' | 'silence' | 'denied' | 'full' | 'short' | 'wrong' | '';

/** Objects in memory, behind a network that can be troubled. */
export class ShakyStore implements ObjectStore {
  readonly name = 'shaky:';
  readonly objects = new Map<string, { data: Buffer; modifiedAt: number }>();
  /** for so many operations yet */
  trouble: Trouble = '';
  times = Number.POSITIVE_INFINITY;
  /** what was asked of it, as "put KEY" */
  readonly asked: string[] = [];
  /** ms that each piece takes to come */
  pieceMs = 0;
  pieceBytes = 65_536;

  async put(key: string, content: Content, mode: PutMode, signal: AbortSignal): Promise<boolean> {
    await this.#ask(`put ${key}`, signal);
    if (mode === 'create' && this.objects.has(key)) return false;
    const pieces: Uint8Array[] = [];
    for await (const piece of content.open()) pieces.push(Buffer.from(piece));
    if (mode === 'create' && this.objects.has(key)) return false;
    this.objects.set(key, { data: Buffer.concat(pieces), modifiedAt: Date.now() });
    return true;
  }

  async get(key: string, from: number, signal: AbortSignal): Promise<Reading | undefined> {
    const trouble = await this.#ask(`get ${key} ${from}`, signal);
    const found = this.objects.get(key);
    if (found === undefined) return undefined;
    return { bytes: found.data.length, stream: this.#pieces(found.data.subarray(from), trouble) };
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    await this.#ask(`head ${key}`, signal);
    return this.#info(key);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    await this.#ask(`list ${prefix}`, signal);
    for (const key of this.objects.keys()) if (key.startsWith(prefix)) yield this.#info(key)!;
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#ask(`remove ${keys.length}`, signal);
    for (const key of keys) this.objects.delete(key);
  }

  async close(): Promise<void> {}

  keys(part = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.includes(part)).sort();
  }

  #info(key: string): ObjectInfo | undefined {
    const found = this.objects.get(key);
    return found && { key, bytes: found.data.length, modifiedAt: found.modifiedAt };
  }

  async *#pieces(data: Buffer, trouble: Trouble): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < data.length; at += this.pieceBytes) {
      if (this.pieceMs > 0) await new Promise((resolve) => setTimeout(resolve, this.pieceMs));
      if (trouble === 'short' && at >= data.length / 2) return;
      const piece = Buffer.from(data.subarray(at, at + this.pieceBytes));
      if (trouble === 'wrong' && at === 0) piece[0]! ^= 1;
      yield piece;
    }
  }

  async #ask(what: string, signal: AbortSignal): Promise<Trouble> {
    this.asked.push(what);
    if (this.trouble === '' || this.times-- <= 0) return '';
    if (this.trouble === 'outage') throw unreachable(this.name, 'connection refused');
    if (this.trouble === 'denied') throw denied(this.name, 'the token has expired');
    if (this.trouble === 'full') throw storeFull(this.name, 'no space left');
    if (this.trouble === 'silence')
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(new Error('aborted'))),
      );
    return this.trouble;
  }
}
