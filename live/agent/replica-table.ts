import type { Blob, Delta, Unit, Unreplicated } from '../log/entries.ts';

/** Arithmetic on the table of state, unit → version, and on its changes. */

/** What a process lacks of the table, and what it has beyond it. */
export interface Difference {
  readonly units: Unit[];
  readonly dropped: string[];
}

export function differenceOf(
  table: ReadonlyMap<string, Unit>,
  have: ReadonlyMap<string, number>,
): Difference {
  const units: Unit[] = [];
  for (const unit of table.values()) if (have.get(unit.id) !== unit.version) units.push(unit);
  const dropped: string[] = [];
  for (const id of have.keys()) if (!table.has(id)) dropped.push(id);
  return { units, dropped };
}

/** Two changes as one: `second` came after `first`. */
export function mergeDeltas(first: Delta, second: Delta): Delta {
  const units = new Map(first.units.map((unit) => [unit.id, unit]));
  const dropped = new Set(first.dropped);
  for (const id of second.dropped) {
    units.delete(id);
    dropped.add(id);
  }
  for (const unit of second.units) {
    units.set(unit.id, unit);
    dropped.delete(unit.id);
  }
  const { unreplicated, pinned, stateBytes } = second;
  return { units: [...units.values()], dropped: [...dropped], unreplicated, pinned, stateBytes };
}

/** Blobs that lie in files rather than in the entry. */
export function filesOf(units: readonly Unit[]): Blob[] {
  const blobs = new Map<string, Blob>();
  for (const { skeleton, buffers } of units)
    for (const blob of [skeleton, ...buffers])
      if (blob.inline === undefined) blobs.set(blob.hash, blob);
  return [...blobs.values()];
}

/** Bytes that a change takes up in an entry, about. */
export function inlineBytes({ units }: Delta): number {
  let sum = 0;
  for (const { skeleton, buffers } of units)
    for (const { inline } of [skeleton, ...buffers]) sum += (inline?.length ?? 0) + 200;
  return sum;
}

/**
 * The change with its largest inline parts taken out until it is within `most` bytes; `write` must
 * have put each of them into a file when it resolves.
 */
export async function withFewerInline(
  delta: Delta,
  most: number,
  write: (blob: Blob, bytes: Uint8Array) => Promise<void>,
): Promise<Delta> {
  let over = inlineBytes(delta) - most;
  if (over <= 0) return delta;
  const inline = delta.units
    .flatMap(({ skeleton, buffers }) => [skeleton, ...buffers])
    .filter((blob) => blob.inline !== undefined)
    .sort((a, b) => b.inline!.length - a.inline!.length);
  const moved = new Set<string>();
  for (const blob of inline) {
    if (over <= 0) break;
    over -= blob.inline!.length;
    if (moved.has(blob.hash)) continue;
    moved.add(blob.hash);
    await write(blob, Buffer.from(blob.inline!, 'base64'));
  }
  const outside = (blob: Blob): Blob =>
    moved.has(blob.hash) ? { hash: blob.hash, bytes: blob.bytes, mac: blob.mac } : blob;
  const units = delta.units.map((unit) => ({
    ...unit,
    skeleton: outside(unit.skeleton),
    buffers: unit.buffers.map(outside),
  }));
  return { ...delta, units };
}

/** Where one unit must be there before another can be loaded. */
const KINDS = ['definition', 'ambient', 'names'];

export function inLoadingOrder(units: readonly Unit[]): Unit[] {
  return [...units].sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
}

/** What the user is told of names: the table's, and what this process could not load. */
export function unreplicatedWith(
  names: readonly Unreplicated[],
  failed: Iterable<{ readonly names: readonly string[]; readonly message: string }>,
): Unreplicated[] {
  const all = new Map(names.map((each) => [each.name, each]));
  for (const { names: lost, message } of failed)
    for (const name of lost) all.set(name, { name, reason: message });
  return [...all.values()];
}
