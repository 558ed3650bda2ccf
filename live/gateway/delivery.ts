import type { Logger } from 'pino';
import { readField } from '../jupyter/fields.ts';
import { streamNote } from '../jupyter/headers.ts';
import type { Channel, JupyterMessage } from '../jupyter/message.ts';
import type { KernelReport } from '../wire/messages.ts';
import { statusMessage } from './answers.ts';
import type { Cell, ClientLink, LiveKernel } from './kernel.ts';
import type { KernelClient } from './kernel-service.ts';
import type { Agents } from './links.ts';
import type { ReplayEntry } from './replay-buffer.ts';
import { shownAgain } from './shown-again.ts';

export interface DeliveryOptions {
  links: Agents;
  isUp: (host: string) => boolean;
  log: Logger;
  /** how long missing outputs are waited for, ms */
  outputWaitMs: number;
}

/** Output of a kernel's process as an agent numbered it. */
export interface NumberedOutput {
  member: number;
  seq: number;
  after: number;
  cell: number;
}

interface Waiter {
  cell: Cell;
  member: number;
  lastOutput: number;
  done: () => void;
  timers: NodeJS.Timeout[];
}

const SEEN_GAP_MS = 20;
const POSITIONS_KEPT = 1000;
const RESEND_AFTER_MS = 100;

/**
 * Brings what kernels say to their clients: outputs in the order of their numbers and each once, to
 * all; answers to the one who asked; to one who comes back what was missed.
 */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #waiters = new Map<LiveKernel, Waiter[]>();
  /** kernels with outputs that agents have not been told of as seen */
  readonly #unseen = new Map<LiveKernel, number>();
  readonly #gaps = new WeakMap<LiveKernel, { seq: number; since: number; asked: number }>();
  #flushAt = 0;
  #flushing: NodeJS.Timeout | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  close(): void {
    clearTimeout(this.#flushing);
    this.#flush();
    for (const waiters of this.#waiters.values())
      for (const { timers } of waiters) for (const timer of timers) clearTimeout(timer);
    this.#waiters.clear();
  }

  output(kernel: LiveKernel, output: NumberedOutput, message: JupyterMessage): void {
    const { member, seq, after, cell } = output;
    // Only one replica speaks for the kernel; what others print between cells is theirs.
    if (member !== kernel.executor && member !== kernel.front()?.member) {
      const waited = this.#waiters.get(kernel)?.some((waiter) => waiter.member === member);
      if (waited !== true) return;
    }
    const arrival = kernel.streams.arrive(member, seq, after);
    if (arrival === 'known') return;
    if (arrival === 'gap') {
      this.#gap(kernel, output);
      return;
    }
    // A run that was given up may go on for a moment; nothing of it is shown.
    const decided = kernel.decided.get(cell);
    if (decided?.entry.type !== 'abort') this.#show(kernel, message, output);
    if (kernel.links.size > 0) this.#saw(kernel, member);
    this.#wake(kernel, member);
  }

  #show(kernel: LiveKernel, message: JupyterMessage, { member, seq, cell }: NumberedOutput): void {
    const isKnown = seq <= (kernel.seenBefore.get(member) ?? -1);
    const type = readField(message.header, 'msg_type');
    if (type === 'execute_input') {
      const known = kernel.cells.get(cell);
      if (known?.inputShown === true) return;
      if (known !== undefined) known.inputShown = true;
    }
    const isAsked = type === 'nbos_output';
    for (const each of isAsked ? shownAgain(kernel, message) : [message])
      this.broadcast(kernel, each, cell, isKnown);
  }

  /** Something is missing before this output: the agent has it. */
  #gap(kernel: LiveKernel, { member, seq, cell }: NumberedOutput): void {
    const from = kernel.streams.expected(member)!;
    const now = performance.now();
    let gap = this.#gaps.get(kernel);
    if (gap === undefined || gap.seq !== from) {
      this.#gaps.set(kernel, (gap = { seq: from, since: now, asked: Number.NEGATIVE_INFINITY }));
    }
    if (now - gap.since > this.#options.outputWaitMs) {
      this.#options.log.warn({ kernel: kernel.id, from, seq }, 'outputs are lost');
      const parent = kernel.cells.get(cell)?.header;
      if (parent !== undefined) this.#sayLost(kernel, parent, seq - from, cell);
      kernel.streams.expect(member, seq);
      this.#gaps.delete(kernel);
    }
    if (now - gap.asked < RESEND_AFTER_MS) return;
    gap.asked = now;
    this.resend(kernel, member, kernel.streams.expected(member)!);
  }

  resend(kernel: LiveKernel, member: number, from: number): void {
    const host = kernel.members.get(member)?.host;
    if (host === undefined) return;
    this.#options.links
      .request(host, { t: 'resend-outputs', kernel: kernel.id, from })
      .catch((error) => this.#options.log.warn({ err: error, kernel: kernel.id }, 'no resend'));
  }

  /** Outputs that an agent could not send while it had no link. */
  catchUp(kernel: LiveKernel, { member, outputs }: KernelReport): void {
    if (member !== kernel.executor) return;
    const from = kernel.streams.expected(member) ?? Math.max(outputs.first, outputs.seen + 1);
    kernel.streams.expect(member, from);
    if (outputs.next > from) this.resend(kernel, member, from);
  }

  /** To all clients on iopub; kept for those that come back. */
  broadcast(kernel: LiveKernel, message: JupyterMessage, cell = -1, known = false): void {
    const entry = kernel.replay.add({ channel: 'iopub', message, cell, known, to: '' });
    for (const link of kernel.links) this.#give(kernel, link, entry);
  }

  status(
    kernel: LiveKernel,
    state: 'starting' | 'busy' | 'idle' | 'restarting' | 'dead',
    parent?: Uint8Array,
    cell = -1,
  ): void {
    this.broadcast(kernel, statusMessage(kernel.id, told(state), parent), cell);
  }

  /**
   * An answer to one client: the connection that asked, else the same client connected anew, else,
   * because it may be a reloaded page, all; kept for the asker.
   */
  answer(
    kernel: LiveKernel,
    asker: { link: ClientLink | undefined; session: string },
    channel: Channel,
    message: JupyterMessage,
    cell = -1,
  ): void {
    const { link, session } = asker;
    const entry = kernel.replay.add({ channel, message, cell, known: false, to: session });
    if (link?.open === true) {
      this.#give(kernel, link, entry);
      return;
    }
    const same = [...kernel.links].find((each) => session !== '' && each.session === session);
    if (same !== undefined) this.#give(kernel, same, entry);
    else if (cell !== -1) for (const each of kernel.links) this.#give(kernel, each, entry);
  }

  #give(kernel: LiveKernel, link: ClientLink, entry: ReplayEntry): void {
    if (!link.open) return;
    if (link.client.send(entry.channel, entry.message)) link.position = entry.index;
    else this.detach(kernel, link);
  }

  attach(kernel: LiveKernel, client: KernelClient): ClientLink {
    const { session } = client;
    const link: ClientLink = { client, session, open: true, position: kernel.replay.next - 1 };
    for (const other of [...kernel.links]) {
      if (session === '' || other.session !== session) continue;
      this.detach(kernel, other);
      other.client.close(1001, 'replaced by another connection of the same client');
    }
    const missed = this.#missed(kernel, session);
    kernel.links.add(link);
    for (const cell of kernel.cells.values())
      if (cell.submit.session === session && cell.link?.open !== true) cell.link = link;
    const { state } = kernel;
    if (state !== 'idle') {
      client.send('iopub', statusMessage(kernel.id, told(state), kernel.running?.header));
    }
    this.#sayDropped(kernel, client);
    for (const entry of missed) if (!this.#replayed(kernel, link, entry)) return link;
    if (kernel.pendingInput !== undefined) client.send('stdin', kernel.pendingInput.message);
    const { executor } = kernel;
    if (kernel.streams.expected(executor) !== undefined) this.#saw(kernel, executor);
    return link;
  }

  /** Tells a client that comes back where what it missed is not kept any more. */
  #sayDropped(kernel: LiveKernel, client: KernelClient): void {
    const { running, replay, positions } = kernel;
    const position = positions.get(client.session) ?? -1;
    const cut = replay.firstKept(position);
    if (cut === undefined || cut.entry.cell === -1) return;
    if (position === -1 && cut.entry.cell !== running?.cell) return;
    const text =
      `NotebookOS: ${cut.dropped} messages before this one came while you were away and are not` +
      ' kept for you; nbos logs shows the latest.\n';
    client.send('iopub', streamNote(text, cut.entry.message.parent, kernel.id));
  }

  #replayed(kernel: LiveKernel, link: ClientLink, entry: ReplayEntry): boolean {
    if (link.client.send(entry.channel, entry.message)) return true;
    this.detach(kernel, link);
    return false;
  }

  /** What a client that was here before has missed; for one that was not, the running cell. */
  #missed(kernel: LiveKernel, session: string): ReplayEntry[] {
    const position = session === '' ? undefined : kernel.positions.get(session);
    if (position === undefined) {
      return kernel.running === undefined ? [] : [...kernel.replay.ofCell(kernel.running.cell)];
    }
    // It was a client of the gateway before this one, and got from it what that one told as seen.
    return [...kernel.replay.after(position)].filter(
      ({ to, known }) => (to === '' || to === session) && (position !== -1 || !known),
    );
  }

  detach(kernel: LiveKernel, link: ClientLink): void {
    if (!link.open) return;
    link.open = false;
    kernel.links.delete(link);
    if (link.session === '') return;
    kernel.positions.delete(link.session);
    kernel.positions.set(link.session, link.position);
    if (kernel.positions.size <= POSITIONS_KEPT) return;
    kernel.positions.delete(kernel.positions.keys().next().value!);
  }

  /** Calls back once all outputs of the cell are delivered, or cannot come any more. */
  afterOutputs(kernel: LiveKernel, cell: Cell, lastOutput: number, done: () => void): void {
    const { executor: member } = cell;
    kernel.streams.last = Math.max(kernel.streams.last, lastOutput);
    const { outputWaitMs } = this.#options;
    const waiter: Waiter = { cell, member, lastOutput, done, timers: [] };
    if (this.#has(kernel, waiter) || !this.#mayCome(kernel, waiter)) {
      this.#end(kernel, waiter);
      return;
    }
    const waiters = this.#waiters.get(kernel) ?? [];
    this.#waiters.set(kernel, waiters);
    waiters.push(waiter);
    waiter.timers.push(
      setTimeout(() => this.#release(kernel, waiter), outputWaitMs),
      // Usually they are just behind; asked for when they are not.
      setTimeout(() => {
        const from = kernel.streams.expected(member) ?? cell.firstOutput;
        this.resend(kernel, member, from);
      }, RESEND_AFTER_MS),
    );
  }

  #has(kernel: LiveKernel, { member, lastOutput }: Waiter): boolean {
    return lastOutput < (kernel.streams.expected(member) ?? 0);
  }

  #mayCome(kernel: LiveKernel, { member }: Waiter): boolean {
    const host = kernel.members.get(member)?.host;
    return host !== undefined && this.#options.isUp(host);
  }

  #wake(kernel: LiveKernel, member: number): void {
    const waiters = this.#waiters.get(kernel);
    if (waiters === undefined) return;
    for (const waiter of [...waiters])
      if (waiter.member === member && this.#has(kernel, waiter)) this.#release(kernel, waiter);
  }

  /** A host is gone: what it had not sent does not come. */
  hostLost(kernel: LiveKernel, member: number): void {
    for (const waiter of [...(this.#waiters.get(kernel) ?? [])])
      if (waiter.member === member) this.#release(kernel, waiter);
  }

  #release(kernel: LiveKernel, waiter: Waiter): void {
    for (const timer of waiter.timers) clearTimeout(timer);
    const waiters = this.#waiters.get(kernel);
    const at = waiters?.indexOf(waiter) ?? -1;
    if (waiters === undefined || at === -1) return;
    waiters.splice(at, 1);
    if (waiters.length === 0) this.#waiters.delete(kernel);
    this.#end(kernel, waiter);
  }

  /** What is missing is said in its place. */
  #end(kernel: LiveKernel, waiter: Waiter): void {
    const { cell, member, lastOutput, done } = waiter;
    if (!this.#has(kernel, waiter)) {
      const count = lastOutput + 1 - (kernel.streams.expected(member) ?? cell.firstOutput);
      this.#options.log.warn({ kernel: kernel.id, cell: cell.cell, count }, 'outputs are missing');
      this.#sayLost(kernel, cell.header, count, cell.cell);
      if (kernel.streams.expected(member) !== undefined)
        kernel.streams.expect(member, lastOutput + 1);
    }
    done();
  }

  #sayLost(kernel: LiveKernel, parent: Uint8Array, count: number, cell: number): void {
    const text = `NotebookOS: ${count} messages of output were lost here.\n`;
    this.broadcast(kernel, streamNote(text, parent, kernel.id), cell);
  }

  /** Clients have what came from this replica: its agent is told soon, many outputs at once. */
  #saw(kernel: LiveKernel, member: number): void {
    this.#unseen.set(kernel, member);
    if (this.#flushing !== undefined) return;
    const wait = Math.max(0, this.#flushAt + SEEN_GAP_MS - performance.now());
    this.#flushing = setTimeout(() => this.#flush(), wait);
  }

  /** The reply of a cell has left: told even when it had no outputs. */
  replied(kernel: LiveKernel, member: number): void {
    if (kernel.links.size > 0) this.#saw(kernel, member);
  }

  #flush(): void {
    this.#flushing = undefined;
    this.#flushAt = performance.now();
    for (const [kernel, member] of this.#unseen) {
      const host = kernel.members.get(member)?.host;
      const next = kernel.streams.expected(member);
      if (host === undefined || next === undefined) continue;
      const seen = { t: 'outputs-seen' as const, kernel: kernel.id, upTo: next - 1 };
      this.#options.links.tell(host, { ...seen, replied: kernel.replied() });
    }
    this.#unseen.clear();
  }
}

/**
 * "restarting" is what a server says of a kernel that died: JupyterLab then tells its user so, and
 * connects anew. Here a kernel only restarts because a user wants it.
 */
function told(state: LiveKernel['state']): Exclude<LiveKernel['state'], 'restarting'> {
  return state === 'restarting' ? 'starting' : state;
}
