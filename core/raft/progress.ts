import { assert } from '../errors.ts';
import { Inflights } from './inflights.ts';

/**
 * How a leader feeds one member. `probe`: where the logs meet is not known, one append at a time;
 * `replicate`: known, appends are sent ahead of their answers; `snapshot`: what the member needs
 * next is compacted away, nothing is sent until the snapshot arrived or is given up.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export class Progress {
  state: ProgressState = 'probe';
  /** the member's log is known to equal ours up to here, on its disk */
  match = 0;
  /** index of the next entry to send */
  next: number;
  /** in `probe`: an append is out, and the next waits for its answer or a heartbeat's */
  probing = false;
  /** in `snapshot`: the index of the snapshot that is out */
  pendingSnapshot = 0;
  /** in `snapshot`: ticks since it was sent */
  snapshotTicks = 0;
  /** heard from since the last check of the quorum */
  active = false;
  /** the latest heartbeat round it answered */
  round = 0;
  /** the highest commit index it was sent with entries */
  sentCommit = 0;
  readonly inflights: Inflights;

  constructor(next: number, maxInflight: number, maxInflightBytes: number) {
    this.next = next;
    this.inflights = new Inflights(maxInflight, maxInflightBytes);
  }

  becomeProbe(): void {
    // After a snapshot the member is known to have it, if it had said so.
    this.next = this.match + 1;
    this.#become('probe');
  }

  /** Probes again from where a delivered snapshot ends. */
  becomeProbeAfterSnapshot(): void {
    assert(this.state === 'snapshot', 'a snapshot was out');
    this.next = Math.max(this.match, this.pendingSnapshot) + 1;
    this.#become('probe');
  }

  becomeReplicate(): void {
    this.next = this.match + 1;
    this.#become('replicate');
  }

  becomeSnapshot(index: number): void {
    this.#become('snapshot');
    this.pendingSnapshot = index;
  }

  #become(state: ProgressState): void {
    this.state = state;
    this.probing = false;
    this.pendingSnapshot = 0;
    this.snapshotTicks = 0;
    this.sentCommit = 0;
    this.inflights.clear();
  }

  get paused(): boolean {
    if (this.state === 'probe') return this.probing;
    return this.state === 'snapshot' || this.inflights.full;
  }

  /** Notes an append of entries up to `last`, or an empty one when `bytes` is 0. */
  sent(last: number, bytes: number): void {
    if (this.state === 'replicate') {
      if (bytes === 0) return;
      this.next = last + 1;
      this.inflights.add(last, bytes);
    } else {
      this.probing = true;
    }
  }

  /** The member has everything up to `index`; false when that is not news. */
  acknowledged(index: number): boolean {
    this.next = Math.max(this.next, index + 1);
    if (index <= this.match) return false;
    this.match = index;
    this.probing = false;
    return true;
  }

  /**
   * The member refused an append after `rejected`; its log can meet ours at `hint` at the latest.
   * False when the answer is older than what is known since.
   */
  refused(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(this.match + 1, Math.min(rejected, hint + 1));
    this.probing = false;
    return true;
  }
}
