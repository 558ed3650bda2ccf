import { NbosError } from '../core/errors.ts';
import { type OnProgress, readBytes } from './input-file.ts';

/** Longest element, and longest text outside the array, in UTF-16 units. */
const MAX_TEXT = 1 << 26;
const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

/**
 * Reads one large array of objects inside a JSON file, element by element: the whole file when
 * `key` is null, else the member `key` of the object that the file is. `onElement` gets each
 * element and its position. Packed files are unpacked.
 * @returns the other members of the object ({} when `key` is null)
 * @throws NbosError file-corrupt for text that is not JSON or ends early, trace-bad-header when the
 * array is not there
 */
export async function streamJsonArray(
  path: string,
  key: string | null,
  onElement: (element: Record<string, unknown>, position: number) => void,
  onProgress?: OnProgress,
): Promise<Record<string, unknown>> {
  const splitter = new Splitter(path, key, onElement);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const chunk of readBytes(path, onProgress)) {
    let text: string;
    try {
      text = decoder.decode(chunk, { stream: true });
    } catch {
      throw corrupt(path, 'it is not UTF-8 text');
    }
    splitter.push(text);
  }
  return splitter.finish();
}

class Splitter {
  readonly #path: string;
  readonly #key: string | null;
  readonly #onElement: (element: Record<string, unknown>, position: number) => void;
  readonly #opening: RegExp;
  /** text outside the array; the array itself is left out as [] */
  #outside = '';
  /** begun element */
  #element = '';
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inArray = false;
  #found = false;
  #position = 0;

  constructor(
    path: string,
    key: string | null,
    onElement: (element: Record<string, unknown>, position: number) => void,
  ) {
    this.#path = path;
    this.#key = key;
    this.#onElement = onElement;
    this.#opening = key === null ? /^\ufeff?\s*$/ : new RegExp(`[{,]\\s*"${key}"\\s*:\\s*$`);
  }

  push(text: string): void {
    // Text from here to the current character is not yet copied to `#outside` or `#element`.
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (code === BACKSLASH) this.#escaped = true;
        else if (code === QUOTE) this.#inString = false;
      } else if (code === QUOTE) {
        this.#inString = true;
      } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
        this.#depth++;
        if (code === OPEN_ARRAY && this.#opens(text, from, at)) {
          this.#keep(text, from, at + 1);
          this.#inArray = this.#found = true;
          from = at + 1;
        }
      } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY || code === COMMA) {
        if (code !== COMMA) this.#depth--;
        if (this.#inArray && this.#depth <= this.#arrayDepth()) {
          from = this.#boundary(text, from, at, code);
        }
      }
    }
    this.#keep(text, from, text.length);
  }

  finish(): Record<string, unknown> {
    if (this.#outside.trim() === '') throw corrupt(this.#path, 'it is empty');
    if (this.#depth !== 0 || this.#inString) throw corrupt(this.#path, 'it ends in the middle');
    const rest = this.#parse(this.#outside.replace(/^\ufeff/, ''), 'outside the array');
    if (!this.#found)
      throw new NbosError(
        'trace-bad-header',
        `${this.#path}: no ${this.#key === null ? 'array' : `array "${this.#key}"`}`,
        'Check that the right file and format were named.',
      );
    return this.#key === null ? {} : (rest as Record<string, unknown>);
  }

  #arrayDepth(): number {
    return this.#key === null ? 1 : 2;
  }

  #opens(text: string, from: number, at: number): boolean {
    if (this.#found || this.#depth !== this.#arrayDepth()) return false;
    return this.#opening.test((this.#outside + text.slice(from, at)).slice(-256));
  }

  /** At a comma or a closing bracket that may end an element or the array. */
  #boundary(text: string, from: number, at: number, code: number): number {
    if (code === CLOSE_OBJECT && this.#depth === this.#arrayDepth()) {
      this.#keep(text, from, at + 1);
      this.#emit();
      return at + 1;
    }
    if (code === CLOSE_ARRAY && this.#depth < this.#arrayDepth()) {
      this.#keep(text, from, at);
      this.#between();
      this.#inArray = false;
      return at;
    }
    if (code === COMMA && this.#depth === this.#arrayDepth()) {
      this.#keep(text, from, at);
      this.#between();
      return at + 1;
    }
    return from;
  }

  #keep(text: string, from: number, to: number): void {
    if (this.#inArray) this.#element += text.slice(from, to);
    else this.#outside += text.slice(from, to);
    if (this.#element.length > MAX_TEXT || this.#outside.length > MAX_TEXT)
      throw corrupt(this.#path, 'one element is too large');
  }

  #emit(): void {
    const place = `in element ${this.#position}`;
    const element = this.#parse(this.#element, place);
    this.#element = '';
    this.#onElement(element as Record<string, unknown>, this.#position++);
  }

  /** What lies between elements must be blank. */
  #between(): void {
    if (this.#element.trim() !== '')
      throw corrupt(
        this.#path,
        `element ${this.#position} of the array is not an object: ${this.#element.trim().slice(0, 40)}`,
      );
    this.#element = '';
  }

  #parse(text: string, place: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw corrupt(this.#path, `not JSON ${place}: ${(error as Error).message}`);
    }
  }
}

function corrupt(path: string, why: string): NbosError {
  return new NbosError('file-corrupt', `${path}: ${why}`, 'Get the file again or correct it.');
}
