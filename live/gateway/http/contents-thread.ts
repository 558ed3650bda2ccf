import { Worker } from 'node:worker_threads';
import { Refusal } from './answers.ts';

/**
 * Source of the thread, as text: a file of its own would need another loader in development than
 * when built. Notebooks with figures have megabytes, which would stop the gateway's loop.
 */
const SOURCE = `
const { parentPort } = require('node:worker_threads');

// Keys in order, as Jupyter writes notebooks, so that versions compare.
const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
};

const asText = (bytes) => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
};

const shown = (bytes, as, format) => {
  if (as === 'notebook') {
    const text = new TextDecoder().decode(bytes);
    JSON.parse(text);
    return { format: 'json', mimetype: null, json: text };
  }
  const text = format === 'base64' ? undefined : asText(bytes);
  if (text !== undefined)
    return { format: 'text', mimetype: 'text/plain', json: JSON.stringify(text) };
  if (format === 'text') return { error: 'it is not UTF-8 encoded' };
  const json = JSON.stringify(Buffer.from(bytes).toString('base64'));
  return { format: 'base64', mimetype: 'application/octet-stream', json };
};

const fileOf = ({ type, format, content }) => {
  if (type === 'notebook')
    return typeof content === 'object' && content !== null && !Array.isArray(content)
      ? JSON.stringify(sorted(content), null, 1) + '\\n'
      : null;
  return typeof content === 'string' && (format === 'text' || format === 'base64')
    ? Buffer.from(content, format === 'text' ? 'utf8' : 'base64')
    : null;
};

const saved = (bytes) => {
  const body = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof body !== 'object' || body === null) return { fields: body, file: null };
  const { content, ...fields } = body;
  return { fields, file: fileOf(body) };
};

const plain = (data) => (data === null ? null : new Uint8Array(Buffer.from(data)));

parentPort.on('message', ({ id, task, bytes, as, format }) => {
  let answer;
  try {
    const { json, file, ...rest } = task === 'show' ? shown(bytes, as, format) : saved(bytes);
    answer = { ...rest, data: plain((task === 'show' ? json : file) ?? null) };
  } catch (error) {
    answer = { error: error.message };
  }
  parentPort.postMessage({ id, answer }, answer.data ? [answer.data.buffer] : []);
});
`;

/** A file's content as it stands in a model. */
export interface ShownContent {
  format: 'json' | 'text' | 'base64';
  mimetype: string | null;
  /** UTF-8 JSON of the field `content` */
  data: Uint8Array;
}

/** The body of a PUT. */
export interface SavedContent {
  /** all fields but `content`, unchecked */
  fields: unknown;
  /** the file's bytes; null when `content` does not fit `type` and `format` */
  data: Uint8Array | null;
}

interface Waiting {
  resolve(answer: never): void;
  reject(error: Error): void;
}

/** Reads and writes JSON of files off the gateway's loop; the thread starts at the first use. */
export class ContentsThread {
  #worker: Worker | undefined;
  #made = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** @throws Refusal 400 when the file is not what it is asked for as */
  show(bytes: Uint8Array, as: string, format: string | undefined): Promise<ShownContent> {
    return this.#ask({ task: 'show', bytes, as, format });
  }

  /** @throws Refusal 400 for a body that is no JSON */
  save(bytes: Uint8Array): Promise<SavedContent> {
    return this.#ask({ task: 'save', bytes });
  }

  #ask<Answer>(order: object): Promise<Answer> {
    const id = ++this.#made;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#thread().postMessage({ id, ...order });
    });
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(SOURCE, { eval: true });
    worker.unref();
    worker.on('message', ({ id, answer }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (answer.error === undefined) waiting?.resolve(answer as never);
      else waiting?.reject(new Refusal(400, answer.error));
    });
    worker.on('error', (error) => this.#ended(error.message));
    worker.on('exit', () => this.#ended('its thread has ended'));
    this.#worker = worker;
    return worker;
  }

  #ended(why: string): void {
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values())
      reject(new Refusal(500, `The file could not be handled: ${why}`));
    this.#waiting.clear();
  }
}
