import type { LogEntry, SubmitEntry } from './entries.ts';
import { KernelLog } from './kernel-log.ts';

/** The committed log of one member, as far as it is still there. */
export interface MemberHistory {
  readonly member: number;
  /** `state()` of a KernelLog from which the entries go on; left out when they begin at 1 */
  readonly state?: unknown;
  readonly entries: readonly { readonly index: number; readonly entry: LogEntry }[];
}

export interface Violation {
  readonly kind: 'diverged' | 'ran-twice' | 'ran-unstarted' | 'not-run' | 'lost' | 'order';
  readonly text: string;
}

export interface HistoryOptions {
  /** name of a cell in the witness; its msg_id by default */
  readonly idOf?: (submit: SubmitEntry) => string;
  /** everything was given time to end: an open cell is a lost one */
  readonly settled: boolean;
  /** cells that a client was told of as accepted or ended */
  readonly accepted?: readonly string[];
}

/**
 * Holds logs against an outside witness: a list of ids, each appended by a cell when it ran. Empty
 * when no accepted cell was lost or run twice, order was kept and the logs agree.
 */
export function checkHistory(
  histories: readonly MemberHistory[],
  witness: readonly string[],
  options: HistoryOptions,
): Violation[] {
  const violations: Violation[] = [];
  const merged = merge(histories, violations);
  const story = tell(histories, merged, options.idOf ?? (({ msgId }) => msgId));
  checkWitness(story, witness, violations);
  const known = new Set([...story.open.values(), ...story.ended, ...story.aborted]);
  for (const id of options.accepted ?? [])
    if (!known.has(id)) violations.push({ kind: 'lost', text: `cell ${id} was told as accepted` });
  if (options.settled)
    for (const id of story.open.values())
      violations.push({ kind: 'lost', text: `cell ${id} was accepted and is open still` });
  return violations;
}

/** All logs as one; two entries at one place are a violation. */
function merge(
  histories: readonly MemberHistory[],
  violations: Violation[],
): Map<number, { entry: LogEntry; text: string }> {
  const merged = new Map<number, { entry: LogEntry; text: string }>();
  for (const { member, entries } of histories) {
    for (const { index, entry } of entries) {
      const text = JSON.stringify(entry);
      const other = merged.get(index);
      if (other === undefined) merged.set(index, { entry, text });
      else if (other.text !== text)
        violations.push({
          kind: 'diverged',
          text: `entry ${index} of member ${member} is another than that of the others`,
        });
    }
  }
  return merged;
}

interface Story {
  /** ids of undecided cells by number */
  open: Map<number, string>;
  ended: string[];
  aborted: string[];
  /** ids by the order of their STARTs */
  started: string[];
  /** from which index on the story is known */
  from: number;
}

/** Replays the merged log from its beginning, or from the oldest state that reaches it. */
function tell(
  histories: readonly MemberHistory[],
  merged: Map<number, { entry: LogEntry }>,
  idOf: (submit: SubmitEntry) => string,
): Story {
  const states = histories.flatMap(({ state }) => (state === undefined ? [] : [state]));
  const logs = states.map((state) => KernelLog.from(state));
  const oldest = logs.sort((a, b) => a.applied - b.applied)[0];
  const begins = histories.some(({ state }) => state === undefined);
  const log = begins ? new KernelLog() : (oldest ?? new KernelLog());
  const story: Story = { open: new Map(), ended: [], aborted: [], started: [], from: log.applied };
  for (const { submit, start } of log.open.values()) {
    story.open.set(submit.cell, idOf(submit));
    if (start !== undefined) story.started.push(idOf(submit));
  }
  const last = Math.max(0, ...merged.keys());
  for (let index = log.applied + 1; index <= last; index++) {
    const entry = merged.get(index)?.entry;
    if (entry !== undefined) advance(log, index, entry, story, idOf);
  }
  return story;
}

function advance(
  log: KernelLog,
  index: number,
  entry: LogEntry,
  story: Story,
  idOf: (submit: SubmitEntry) => string,
): void {
  const { changed } = log.apply(index, entry);
  if (!changed) return;
  if (entry.type === 'submit') story.open.set(entry.cell, idOf(entry));
  else if (entry.type === 'start') story.started.push(story.open.get(entry.cell)!);
  else if (entry.type === 'end' || entry.type === 'abort') {
    const id = story.open.get(entry.cell)!;
    story.open.delete(entry.cell);
    (entry.type === 'end' ? story.ended : story.aborted).push(id);
  } else if (entry.type === 'reset') {
    story.aborted.push(...story.open.values());
    story.open.clear();
  }
}

function checkWitness(story: Story, witness: readonly string[], violations: Violation[]): void {
  const ran = new Set<string>();
  for (const id of witness) {
    if (ran.has(id)) violations.push({ kind: 'ran-twice', text: `cell ${id} ran twice` });
    ran.add(id);
  }
  const places = new Map(story.started.map((id, at) => [id, at]));
  let before = -1;
  for (const id of ran) {
    const place = places.get(id);
    if (place === undefined) {
      if (story.from === 0)
        violations.push({ kind: 'ran-unstarted', text: `cell ${id} ran without a START` });
      continue;
    }
    if (place < before)
      violations.push({ kind: 'order', text: `cell ${id} ran after one started later` });
    before = Math.max(before, place);
  }
  for (const id of story.ended)
    if (!ran.has(id))
      violations.push({ kind: 'not-run', text: `cell ${id} has a result and never ran` });
}
