import { NbosError } from '../../core/errors.ts';
import { counting, type KernelStore } from '../stores/kernel-store.ts';

/** A claim whose claimant has said nothing for so long is given up in its stead, ms. */
const PENDING_MS = 60_000;

/** Whether what this host saves of a kernel is the kernel's still; see Claims. */
export class SavingFence {
  readonly #kernel: string;
  readonly #store: KernelStore;
  #superseded = 0;

  constructor(kernel: string, store: KernelStore) {
    this.#kernel = kernel;
    this.#store = store;
  }

  /** Another group has begun in its place: nothing of this one is saved any more. */
  get isSuperseded(): boolean {
    return this.#superseded > 0;
  }

  /**
   * What was written under this generation before it was asked is of use. Rejects
   * `replica-stopped` for good, `not-leader` while another host tries to begin in its place.
   */
  async check(generation: number): Promise<void> {
    if (this.isSuperseded) throw this.#stopped();
    const { claims } = this.#store;
    const all = await claims.list(this.#kernel);
    const newer = all.filter((claim) => claim.generation > generation);
    const begun = await claims.begun(this.#kernel, newer);
    if (begun !== undefined) throw this.#stopped(begun.generation);
    for (const claim of newer) {
      if (claim.ended) continue;
      if (Date.now() - claim.at < PENDING_MS)
        throw new NbosError('not-leader', `kernel ${this.#kernel} is being begun anew elsewhere`);
      if (!(await claims.giveUp(this.#kernel, claim.generation)))
        throw this.#stopped(claim.generation);
    }
  }

  /**
   * The kernel is this group's again, which saved under `generation` before: under which it saves
   * from now on. Undefined when nobody else had claimed it, or somebody just has again.
   */
  async takeBack(generation: number): Promise<number | undefined> {
    const { claims } = this.#store;
    const found = await this.#store.objects(this.#kernel);
    const newest = found.claims.at(-1)?.generation ?? 0;
    if (newest <= generation) return undefined;
    const own = found.claims.filter((claim) => claim.generation <= generation);
    const begun = await claims.begun(this.#kernel, own);
    const from = counting(found.tables, begun).at(-1)?.key ?? '';
    // Once only: a claim that comes in between is newer than what was asked of us.
    if (!(await claims.claimThis(this.#kernel, newest + 1))) return undefined;
    if (!(await claims.begin(this.#kernel, newest + 1, from))) return undefined;
    this.#superseded = 0;
    return newest + 1;
  }

  #stopped(by = this.#superseded): NbosError {
    this.#superseded = by;
    return new NbosError(
      'replica-stopped',
      `kernel ${this.#kernel} began anew elsewhere from ${this.#store.name}, as generation ${by}`,
      'What this host has of it is not brought there any more.',
    );
  }
}
