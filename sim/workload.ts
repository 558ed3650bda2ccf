import type { Config } from '../core/config/options.ts';
import type { Trace } from '../traces/trace.ts';
import type { EventHeap } from './heap.ts';
import type { Latencies } from './latency.ts';
import { MOMENT, PRIORITY } from './moments.ts';

/**
 * The users: they open sessions at trace time, submit cells and close sessions. In the closed loop
 * a user thinks after each reply as long as in the trace; in the open loop cells come at trace
 * time, whatever became of the ones before. At most one submission per session is in the heap.
 */
export class Workload {
  /** submission that is under way to the scheduler, per session, ms */
  readonly submittedAt: Float64Array;
  /** cells submitted so far */
  submitted = 0;
  private readonly trace: Trace;
  private readonly heap: EventHeap;
  private readonly latencies: Latencies;
  private readonly open: boolean;
  private opened = 0;

  constructor(trace: Trace, config: Config, heap: EventHeap, latencies: Latencies) {
    this.trace = trace;
    this.heap = heap;
    this.latencies = latencies;
    this.open = config.loop === 'open';
    this.submittedAt = new Float64Array(trace.sessions.count);
    this.openNext();
  }

  get allOpened(): boolean {
    return this.opened === this.trace.sessions.count;
  }

  /** Whether no cell comes any more unless a session that waits is answered. */
  get isExhausted(): boolean {
    return this.allOpened && (!this.open || this.submitted === this.trace.cells.count);
  }

  /** A session has opened: its first cell and the next session are on their way. */
  sessionOpened(session: number): void {
    const { sessions, cells } = this.trace;
    this.openNext();
    const first = sessions.firstCell[session]!;
    const last = sessions.firstCell[session + 1]! - 1;
    if (last < first) this.close(session, sessions.endMs[session]!);
    else this.submit(session, 0, cells.submitMs[first]!, 0);
  }

  /**
   * A cell has reached the scheduler at `at`. In the open loop the next one follows at its trace
   * time, not overtaking this one, and after the last the session closes at its own.
   */
  cellArrived(session: number, cell: number, at: number): void {
    this.submitted++;
    if (!this.open) return;
    const { sessions, cells } = this.trace;
    const next = sessions.firstCell[session]! + cell + 1;
    if (next < sessions.firstCell[session + 1]!) {
      this.submit(session, cell + 1, cells.submitMs[next]!, at);
    } else {
      this.close(session, Math.max(at, sessions.endMs[session]!));
    }
  }

  /** A cell was answered at `at`; in the closed loop the user thinks and goes on. */
  replied(session: number, cell: number, at: number): void {
    if (this.open) return;
    const { sessions, cells } = this.trace;
    const here = sessions.firstCell[session]! + cell;
    const ended = cells.submitMs[here]! + cells.durationMs[here]!;
    if (here + 1 < sessions.firstCell[session + 1]!) {
      const thinksMs = Math.max(0, cells.submitMs[here + 1]! - ended);
      this.submit(session, cell + 1, at + thinksMs, at);
    } else {
      this.close(session, at + Math.max(0, sessions.endMs[session]! - ended));
    }
  }

  private openNext(): void {
    if (this.opened === this.trace.sessions.count) return;
    const session = this.opened++;
    const at = this.trace.sessions.startMs[session]!;
    this.heap.push(Math.max(0, at), PRIORITY.session, MOMENT.sessionOpen, session, 0);
  }

  private submit(session: number, cell: number, at: number, notBefore: number): void {
    this.submittedAt[session] = at;
    const arrives = Math.max(notBefore, at + this.latencies.gatewayHopMs(session, cell, 1));
    this.heap.push(arrives, PRIORITY.cell, MOMENT.cell, session, cell);
  }

  private close(session: number, at: number): void {
    this.heap.push(at, PRIORITY.close, MOMENT.sessionClose, session, 0);
  }
}
