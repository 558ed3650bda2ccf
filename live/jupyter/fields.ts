import type { MessageHeader } from './message.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const decoder = new TextDecoder();

/**
 * A string field of a JSON object in bytes, without parsing the whole: undefined when the bytes are
 * not an object, have no such field at their top level, or it is not a string. The first of two
 * fields of one name counts. For headers, which pass by the thousand.
 */
export function readField(json: Uint8Array, name: string): string | undefined {
  let at = 0;
  let depth = 0;
  let keyNext = false;
  while (at < json.length) {
    const byte = json[at]!;
    if (byte === QUOTE) {
      const end = endOfString(json, at);
      if (end < 0) return undefined;
      if (depth === 1 && keyNext && isKey(json, at, end, name)) return valueAfter(json, end + 1);
      keyNext = false;
      at = end;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (depth === 0 && byte === 0x5b) return undefined;
      depth++;
      keyNext = true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
    else if (byte === 0x2c) keyNext = true;
    at++;
  }
  return undefined;
}

/** Index of the closing quote of the string that opens at `open`, -1 when it does not close. */
function endOfString(json: Uint8Array, open: number): number {
  for (let at = open + 1; at < json.length; at++) {
    const byte = json[at]!;
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  return -1;
}

function isKey(json: Uint8Array, open: number, end: number, name: string): boolean {
  if (end - open - 1 !== name.length) return false;
  for (let at = 0; at < name.length; at++)
    if (json[open + 1 + at] !== name.charCodeAt(at)) return false;
  return true;
}

function valueAfter(json: Uint8Array, from: number): string | undefined {
  let at = skipSpace(json, from);
  if (json[at] !== COLON) return undefined;
  at = skipSpace(json, at + 1);
  if (json[at] !== QUOTE) return undefined;
  const end = endOfString(json, at);
  if (end < 0) return undefined;
  const raw = json.subarray(at + 1, end);
  if (!raw.includes(BACKSLASH)) return decoder.decode(raw);
  const value = parseJson(json.subarray(at, end + 1));
  return typeof value === 'string' ? value : undefined;
}

function skipSpace(json: Uint8Array, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x0a || json[at] === 0x0d || json[at] === 0x09) at++;
  return at;
}

/** The value of UTF-8 JSON; undefined when it is none. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}

/** A JSON object in bytes; undefined when the bytes are anything else. */
export function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  const value = parseJson(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Record<string, unknown>;
}

/** A header whole; undefined unless it has the two fields without which nothing can be answered. */
export function parseHeader(bytes: Uint8Array): MessageHeader | undefined {
  const header = parseObject(bytes);
  if (typeof header?.['msg_id'] !== 'string' || typeof header['msg_type'] !== 'string')
    return undefined;
  return header as MessageHeader;
}
