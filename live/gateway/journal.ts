import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Logger } from 'pino';
import type { Config } from '../../core/config/options.ts';
import type { Effect } from '../../core/effects.ts';
import type { Event } from '../../core/events.ts';
import { JOURNAL_VERSION, type JournalLine } from '../../core/record/journal.ts';

export interface JournalOptions {
  folder: string;
  policy: string;
  config: Config;
  epochMs: number;
  log: Logger;
  /** bytes of all parts together; the oldest go at a start */
  keepBytes?: number;
}

const FLUSH_MS = 50;
const KEEP_BYTES = 256 << 20;
const HASH_EVERY = 1000;
const PART = /^\d+\.ndjson$/;

/**
 * What the scheduler was given and answered, for replays and statistics: one part of lines for each
 * start, written in groups. It is a cache: losing its end, or all of it, loses no kernel or cell.
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #path: string;
  readonly #hash = createHash('sha256');
  #pending: string[] = [];
  #bytes = 0;
  #events = 0;
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    const { folder, policy, config, epochMs } = options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, `${epochMs}.ndjson`);
    this.#dropOld();
    this.#line({ t: 'start', v: JOURNAL_VERSION, policy, config, epochMs });
  }

  #dropOld(): void {
    const { folder, keepBytes = KEEP_BYTES } = this.#options;
    let left = keepBytes;
    for (const name of partsIn(folder).reverse()) {
      left -= statSync(join(folder, name)).size;
      if (left < 0) rmSync(join(folder, name), { force: true });
    }
  }

  append(event: Event, effects: readonly Effect[]): void {
    if (this.#stopped) return;
    this.#line({ t: 'event', event });
    this.#hash.update(`${JSON.stringify(effects.filter(({ kind }) => kind !== 'fact'))}\n`);
    if (++this.#events % HASH_EVERY === 0) this.#hashLine();
  }

  session(line: Extract<JournalLine, { t: 'session' }>): void {
    this.#line(line);
  }

  #hashLine(): void {
    const hash = this.#hash.copy().digest('hex');
    this.#line({ t: 'effects', events: this.#events, hash });
  }

  #line(line: JournalLine): void {
    if (this.#stopped) return;
    const text = `${JSON.stringify(line)}\n`;
    this.#bytes += text.length;
    if (this.#bytes > (this.#options.keepBytes ?? KEEP_BYTES)) {
      this.#stopped = true;
      this.#options.log.warn({ path: this.#path }, 'the journal is full; this run is cut there');
      return;
    }
    this.#pending.push(text);
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS);
  }

  /** Resolves when everything so far is written, or could not be. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const text = this.#pending.join('');
    this.#pending = [];
    if (text === '') return;
    try {
      this.#file ??= await open(this.#path, 'a', 0o600);
      await this.#file.appendFile(text);
    } catch (error) {
      if (!this.#stopped) this.#options.log.error({ err: error }, 'the journal cannot be written');
      this.#stopped = true;
    }
  }

  /** All parts that are kept, oldest first. A last line that was cut off is left out. */
  async *lines(): AsyncGenerator<JournalLine> {
    this.#hashLine();
    await this.flush();
    for (const name of partsIn(this.#options.folder)) {
      const input = createReadStream(join(this.#options.folder, name));
      for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
        const line = parse(text);
        if (line !== undefined) yield line;
      }
    }
  }

  async close(): Promise<void> {
    this.#hashLine();
    await this.flush();
    this.#stopped = true;
    await this.#file?.close();
  }
}

function partsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => PART.test(name))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

function parse(text: string): JournalLine | undefined {
  try {
    return JSON.parse(text) as JournalLine;
  } catch {
    return undefined;
  }
}
