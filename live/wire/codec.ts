import { compact } from '../jupyter/compact.ts';
import type { JupyterMessage } from '../jupyter/message.ts';

/** A message's JSON part. `t` names its kind, `rq` numbers a request and its answer. */
export interface Head {
  t: string;
  rq?: number;
}

/**
 * Fields that must be there for a message of a kind to be taken, as `name:type` with type s(tring),
 * n(umber), b(oolean), a(rray), o(bject).
 */
export type Shapes = Readonly<Record<string, string>>;

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  s: (value) => typeof value === 'string',
  n: (value) => typeof value === 'number',
  b: (value) => typeof value === 'boolean',
  a: Array.isArray,
  o: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
};

/** Compiled shapes of one direction of a link. */
export class Vocabulary {
  readonly #kinds = new Map<string, readonly (readonly [string, (value: unknown) => boolean])[]>();

  constructor(shapes: Shapes) {
    for (const [kind, fields] of Object.entries(shapes))
      this.#kinds.set(
        kind,
        fields
          .split(' ')
          .filter((field) => field !== '')
          .map((field) => {
            const [name, type] = field.split(':') as [string, string];
            return [name, TYPES[type]!] as const;
          }),
      );
  }

  /** The head in a message's first frame; undefined for anything that is not of this direction. */
  read(frame: Uint8Array | undefined): Head | undefined {
    if (frame === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(textOf(frame));
    } catch {
      return undefined;
    }
    return this.check(value);
  }

  /** The value, if it is a head of this direction. */
  check(value: unknown): Head | undefined {
    if (typeof value !== 'object' || value === null) return undefined;
    const fields = value as Record<string, unknown>;
    const kind = fields['t'];
    const shape = typeof kind === 'string' ? this.#kinds.get(kind) : undefined;
    if (shape === undefined) return undefined;
    for (const [name, holds] of shape) if (!holds(fields[name])) return undefined;
    const { rq } = fields;
    if (rq !== undefined && !(Number.isSafeInteger(rq) && (rq as number) >= 0)) return undefined;
    return value as Head;
  }
}

export function textOf(frame: Uint8Array): string {
  return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength).toString('utf8');
}

/** Frames of a Jupyter message behind a head: header, parent, metadata, content, buffers… */
export function framesOf(message: JupyterMessage): readonly Uint8Array[] {
  const { header, parent, metadata, content, buffers } = message;
  return [header, parent, metadata, content, ...buffers];
}

/** The Jupyter message in frames; undefined when some are missing. */
export function jupyterOf(frames: readonly Uint8Array[]): JupyterMessage | undefined {
  const [header, parent, metadata, content] = frames;
  if (header === undefined || parent === undefined) return undefined;
  if (metadata === undefined || content === undefined) return undefined;
  return compact({ header, parent, metadata, content, buffers: frames.slice(4) });
}
