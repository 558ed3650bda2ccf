/** What becomes of an output that arrives: taken in order, held for a gap before it, or known. */
export type Arrival = 'next' | 'gap' | 'known';

/**
 * Numbers of outputs by the replica that sends them. Outputs are numbered by kernel, but an
 * executor whose predecessor was lost cannot know how far that one got, so each replica's are
 * followed alone.
 */
export class OutputStreams {
  readonly #next = new Map<number, number>();
  /** last number of any replica that clients have */
  last = -1;

  /** `after`: of this replica nothing lies between it and this output; other replicas' may. */
  arrive(member: number, seq: number, after: number): Arrival {
    const next = this.#next.get(member);
    if (next !== undefined && after >= next) return 'gap';
    if (next !== undefined && seq < next) return 'known';
    this.#next.set(member, seq + 1);
    this.last = seq;
    return 'next';
  }

  /** Next number expected of the replica; undefined before its first. */
  expected(member: number): number | undefined {
    return this.#next.get(member);
  }

  /** From here on its outputs are new. */
  expect(member: number, seq: number): void {
    this.#next.set(member, seq);
  }

  forget(member: number): void {
    this.#next.delete(member);
  }
}
