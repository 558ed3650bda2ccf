import { NbosError } from '../../core/errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * The members of a JSON object as text, each exactly as it was written: numbers keep their form
 * (1.0 is no integer to Python, and 2⁶⁰ more than a double holds). Of a key that comes twice the
 * last counts, as with `JSON.parse`.
 * @throws NbosError message-invalid for what is not a JSON object
 */
export function membersOf(json: string): Map<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new NbosError(
      'message-invalid',
      `a message that is no JSON: ${(error as Error).message}`,
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new NbosError('message-invalid', 'a message that is no JSON object');
  return membersOfValid(json);
}

/** The text is known to be valid, so that strings and nesting are all there is to follow. */
function membersOfValid(json: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = json.indexOf('{') + 1;
  for (;;) {
    const keyStart = json.indexOf('"', at);
    if (keyStart === -1) return members;
    const keyEnd = endOfString(json, keyStart);
    const start = json.indexOf(':', keyEnd) + 1;
    const end = endOfValue(json, start);
    members.set(JSON.parse(json.slice(keyStart, keyEnd)), json.slice(start, end).trim());
    if (json[end] === '}') return members;
    at = end + 1;
  }
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  for (;;) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    at += code === BACKSLASH ? 2 : 1;
  }
}

/** Index of the comma or brace that follows the value at `start`. */
function endOfValue(json: string, start: number): number {
  let depth = 0;
  let at = start;
  for (;;) {
    const char = json[at]!;
    if (char === '"') {
      at = endOfString(json, at);
      continue;
    }
    if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') {
      if (depth === 0) return at;
      depth--;
    } else if (char === ',' && depth === 0) return at;
    at++;
  }
}
