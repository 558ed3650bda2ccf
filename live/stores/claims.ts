import { randomBytes } from 'node:crypto';
import { NbosError } from '../../core/errors.ts';
import { contentOf } from './checked-content.ts';
import type { CheckedStore } from './checked-store.ts';
import type { Seal } from './seal.ts';
import { corrupt } from './store-errors.ts';

/** A generation of a kernel that somebody has claimed. */
export interface Claim {
  /** from 1 on */
  readonly generation: number;
  /** it is decided what became of it */
  readonly ended: boolean;
  /** ms since the epoch, on the store's clock */
  readonly at: number;
}

/** A generation that began, and the key of the table that it goes on from: '' for none. */
export interface Begun {
  readonly generation: number;
  readonly from: string;
}

const CLAIM = /^kernels\/[^/]+\/claims\/(\d{16})(-end)?$/;
/** So many others may claim at the same moment. */
const MOST_TRIES = 8;

/**
 * Whose a kernel in the store is. A group that begins anew from the store claims the next
 * generation, then looks for the newest table, then says that it began, and with which. Who saves
 * for an older one finds the claim after it has written its table, before it says so to anybody or
 * removes anything: its table is either seen by the claimant, or of no use.
 *
 * kernels/ID/claims/N is created by one only, and so is kernels/ID/claims/N-end, which decides
 * between the claimant and who gives it up in its stead.
 */
export class Claims {
  readonly #store: CheckedStore;
  readonly #seal: Seal;

  constructor(store: CheckedStore, seal: Seal) {
    this.#store = store;
    this.#seal = seal;
  }

  /** Oldest first. */
  async list(kernel: string): Promise<Claim[]> {
    return claimsIn(await this.#store.list(`kernels/${kernel}/claims/`));
  }

  /** The next generation, which is nobody else's. */
  async claim(kernel: string): Promise<number> {
    for (let tried = 0; tried < MOST_TRIES; tried++) {
      const next = ((await this.list(kernel)).at(-1)?.generation ?? 0) + 1;
      if (await this.claimThis(kernel, next)) return next;
    }
    throw new NbosError(
      'change-refused',
      `kernel ${kernel} is begun anew by several hosts at the same time`,
      'One of them goes on with it; try again when none does.',
    );
  }

  /** False when it is another's. */
  async claimThis(kernel: string, generation: number): Promise<boolean> {
    return (await this.#decide(keyOf(kernel, generation), {})).ours;
  }

  /** It begins with this table, '' for none. False when it was given up meanwhile. */
  async begin(kernel: string, generation: number, from: string): Promise<boolean> {
    return (await this.#decide(`${keyOf(kernel, generation)}-end`, { from })).ours;
  }

  /** It shall not begin. False when it has. */
  async giveUp(kernel: string, generation: number): Promise<boolean> {
    const { said } = await this.#decide(`${keyOf(kernel, generation)}-end`, {});
    return said.from === undefined;
  }

  /** The newest generation that began; undefined while none did. */
  async begun(kernel: string, claims: readonly Claim[]): Promise<Begun | undefined> {
    for (const { generation, ended } of [...claims].reverse()) {
      if (!ended) continue;
      const { from } = (await this.#read(`${keyOf(kernel, generation)}-end`)) ?? {};
      if (from !== undefined) return { generation, from };
    }
    return undefined;
  }

  /** Of generations older than this one, of which nobody asks any more. */
  async forgetBefore(kernel: string, claims: readonly Claim[], generation: number): Promise<void> {
    const old = claims.filter((claim) => claim.generation < generation);
    const keys = old.map((claim) => keyOf(kernel, claim.generation));
    await this.#store.remove(keys.flatMap((key) => [key, `${key}-end`]));
  }

  /** What the object says, when it is there already; else what is said now. */
  async #decide(key: string, said: Said): Promise<{ ours: boolean; said: Said }> {
    const token = randomBytes(12).toString('hex');
    const text = Buffer.from(JSON.stringify({ v: 1, token, ...said }));
    const content = contentOf(Buffer.concat([...this.#seal.close(key, [text])]));
    if (await this.#store.put(key, content, 'create')) return { ours: true, said };
    const there = await this.#read(key);
    if (there === undefined) throw corrupt(this.#store.name, key, 'it went away');
    // An earlier try of ours whose answer was lost.
    return { ours: there.token === token, said: there };
  }

  async #read(key: string): Promise<(Said & { token: string }) | undefined> {
    const sealed = await this.#store.readWhole(key, '');
    if (sealed === undefined) return undefined;
    const text = this.#seal.open(key, sealed);
    if (text === undefined)
      throw corrupt(this.#store.name, key, 'it was sealed by another system, or changed');
    return JSON.parse(text.toString());
  }
}

interface Said {
  readonly from?: string;
}

/** The claims among objects of a kernel, oldest first. */
export function claimsIn(objects: readonly { key: string; modifiedAt: number }[]): Claim[] {
  const claims = new Map<number, Claim>();
  for (const { key, modifiedAt: at } of objects) {
    const [, number, end] = CLAIM.exec(key) ?? [];
    if (number === undefined) continue;
    const generation = Number(number);
    const ended = end !== undefined || claims.get(generation)?.ended === true;
    claims.set(generation, { generation, ended, at });
  }
  return [...claims.values()].sort((a, b) => a.generation - b.generation);
}

function keyOf(kernel: string, generation: number): string {
  return `kernels/${kernel}/claims/${String(generation).padStart(16, '0')}`;
}
