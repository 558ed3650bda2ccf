import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';

/**
 * Source of the thread, as text: a file of its own would need another loader in development than
 * when built. It reads a file up to what is written and goes on from there at the next order.
 */
const SOURCE = `
const { parentPort } = require('node:worker_threads');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const open = new Map();
const piece = Buffer.allocUnsafe(1 << 20);
parentPort.on('message', ({ id, path, upTo, last }) => {
  try {
    let file = open.get(id);
    if (file === undefined && path === '') return;
    if (file === undefined) {
      file = { fd: fs.openSync(path, 'r'), at: 0, hash: createHash('sha256') };
      open.set(id, file);
    }
    while (file.at < upTo) {
      const got = fs.readSync(file.fd, piece, 0, Math.min(piece.length, upTo - file.at), file.at);
      if (got === 0) throw 'the file is shorter than it was';
      file.hash.update(piece.subarray(0, got));
      file.at += got;
    }
    if (!last) return;
    fs.closeSync(file.fd);
    open.delete(id);
    parentPort.postMessage({ id, hash: file.hash.digest('hex'), error: '' });
  } catch (error) {
    const file = open.get(id);
    if (file !== undefined) fs.closeSync(file.fd);
    open.delete(id);
    parentPort.postMessage({ id, hash: '', error: String(error) });
  }
});
`;

interface Waiting {
  resolve(hash: string): void;
  reject(error: Error): void;
}

let worker: Worker | undefined;
let made = 0;
const waiting = new Map<number, Waiting>();

/** SHA-256 of a file while it is being written, off the loop; one thread a process. */
export class FileHash {
  readonly #id = ++made;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Bytes before `upTo` are in the file now. */
  advance(upTo: number): void {
    thread().postMessage({ id: this.#id, path: this.#path, upTo, last: false });
  }

  /** Hex; rejects when the file cannot be read up to `total`. */
  finish(total: number): Promise<string> {
    return new Promise((resolve, reject) => {
      waiting.set(this.#id, { resolve, reject });
      thread().postMessage({ id: this.#id, path: this.#path, upTo: total, last: true });
    });
  }

  /** Lets go of the file before its end. */
  abandon(): void {
    worker?.postMessage({ id: this.#id, path: '', upTo: 0, last: true });
  }
}

/** Hex of SHA-256; for at most a MiB, which takes less than a millisecond. */
export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function thread(): Worker {
  if (worker !== undefined) return worker;
  const started = new Worker(SOURCE, { eval: true, name: 'nbos-hash' });
  started.on('message', ({ id, hash, error }: { id: number; hash: string; error: string }) => {
    const asker = waiting.get(id);
    waiting.delete(id);
    if (error === '') asker?.resolve(hash);
    else asker?.reject(new Error(error));
  });
  started.on('error', (error) => {
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  // A process that has nothing else to do may end. Listening makes it wait: so this comes last.
  started.unref();
  worker = started;
  return started;
}
