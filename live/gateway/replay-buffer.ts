import type { Channel, JupyterMessage } from '../jupyter/message.ts';

/** Something that clients were given. */
export interface ReplayEntry {
  readonly index: number;
  readonly channel: Channel;
  readonly message: JupyterMessage;
  /** cell that it belongs to, -1 for none */
  readonly cell: number;
  /** clients of a gateway before this one had it */
  readonly known: boolean;
  /** session that it is for; '' for all */
  readonly to: string;
}

const MAX_BYTES = 32 << 20;
const MAX_ENTRIES = 50_000;
/** Decided cells whose entries are kept. */
const MAX_CELLS = 64;
/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 200;

/**
 * What a kernel's clients were given lately, in order, so that one that comes back gets what it
 * missed. The oldest is dropped above 32 MiB or 50,000 entries; the running cell goes last.
 */
export class ReplayBuffer {
  #entries: ReplayEntry[] = [];
  /** entries before this one are dropped */
  #first = 0;
  #bytes = 0;
  #next = 0;
  /** the latest decided cells: entries of cells before the first may go */
  #kept: number[] = [];

  /** Index that the next entry gets. */
  get next(): number {
    return this.#next;
  }

  add(entry: Omit<ReplayEntry, 'index'>): ReplayEntry {
    const added = { ...entry, index: this.#next++ };
    this.#entries.push(added);
    this.#bytes += sizeOf(added.message);
    while (this.#bytes > MAX_BYTES || this.#entries.length - this.#first > MAX_ENTRIES)
      this.#dropOldest();
    return added;
  }

  /** The first entry that is kept, when some after `position` are not. */
  firstKept(position: number): { entry: ReplayEntry; dropped: number } | undefined {
    const entry = this.#entries[this.#first];
    const dropped = (entry?.index ?? 0) - position - 1;
    return entry === undefined || dropped <= 0 ? undefined : { entry, dropped };
  }

  /** Entries after `position`. */
  *after(position: number): Generator<ReplayEntry> {
    for (let at = this.#first; at < this.#entries.length; at++) {
      const entry = this.#entries[at]!;
      if (entry.index > position) yield entry;
    }
  }

  /** Entries of one cell. */
  *ofCell(cell: number): Generator<ReplayEntry> {
    for (let at = this.#first; at < this.#entries.length; at++) {
      const entry = this.#entries[at]!;
      if (entry.cell === cell) yield entry;
    }
  }

  /**
   * The cell is decided: entries of cells before the latest `most` of these are forgotten, and of
   * none. They are counted, as numbers of cells leave wide gaps from gateway to gateway.
   */
  decided(cell: number, most = MAX_CELLS): void {
    this.#kept.push(cell);
    if (this.#kept.length <= most) return;
    this.#kept.shift();
    const from = Math.min(...this.#kept);
    while (this.#first < this.#entries.length) {
      const oldest = this.#entries[this.#first]!;
      if (oldest.cell >= from) break;
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const oldest = this.#entries[this.#first];
    if (oldest === undefined) return;
    this.#bytes -= sizeOf(oldest.message);
    this.#first++;
    if (this.#first < 1024 || this.#first * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#first);
    this.#first = 0;
  }
}

function sizeOf({ header, parent, metadata, content, buffers }: JupyterMessage): number {
  let bytes = ENTRY_BYTES + header.length + parent.length + metadata.length + content.length;
  for (const buffer of buffers) bytes += buffer.length;
  return bytes;
}
