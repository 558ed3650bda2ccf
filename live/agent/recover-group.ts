import { NbosError } from '../../core/errors.ts';
import { configurationOf, LOG_FORMAT } from '../../core/raft/index.ts';
import type { AbortEntry, KernelMeta } from '../log/entries.ts';
import { parseEntry } from '../log/entry-codec.ts';
import { KernelLog } from '../log/kernel-log.ts';
import type { KernelLogState } from '../log/log-state.ts';
import { encodeIdentity, encodeSnapshot, parseIdentity, parseSnapshot } from './group-identity.ts';
import type { LogStore, StoredGroup } from './ports.ts';

/** So far beyond its log a recovered group begins: its reports are newer than any of the old one. */
export const BEYOND = 1_000_000;

/**
 * Makes what this host has of a kernel's log the whole of it: a group of one member, `as`, a
 * number that none had before, so that no message of the old group reaches it. Entries that no
 * majority had are taken as well; a cell that ran is aborted. The replica must have been stopped.
 * Durable when it resolves. Rejects `kernel-unknown`, `log-corrupt`.
 */
export async function recoverGroup(
  store: LogStore,
  kernel: string,
  host: string,
  as: number,
): Promise<void> {
  const stored = await store.load(kernel);
  if (stored === undefined)
    throw new NbosError(
      'kernel-unknown',
      `host ${host} has no log of kernel ${kernel}`,
      'Choose a replica whose host has one: `nbos kernels` lists them.',
    );
  const identity = parseIdentity(kernel, stored.identity);
  const log = logOf(kernel, stored);
  abortRunning(log);
  const last = stored.entries.at(-1) ?? stored.snapshot!;
  const { term } = stored.hardState;
  const at = { index: last.index + BEYOND, term: last.term, nextTerm: term + 1 };
  await beginAlone(store, { meta: identity.meta, member: as, host, ...at }, log.state());
}

export interface AloneGroup {
  meta: KernelMeta;
  member: number;
  host: string;
  /** index and term in which its log begins */
  index: number;
  term: number;
  /** term that its first election is held beyond */
  nextTerm: number;
}

/** A group of one member whose log begins with this state. Durable when it resolves. */
export async function beginAlone(
  store: LogStore,
  { meta, member, host, index, term, nextTerm }: AloneGroup,
  state: KernelLogState,
): Promise<void> {
  const members = [{ member, host }];
  await store.create(meta.kernel, {
    identity: encodeIdentity({ member, meta, members }),
    hardState: { term: nextTerm, vote: 0, commit: index },
    snapshot: {
      v: LOG_FORMAT,
      index,
      term,
      config: configurationOf([member]),
      data: encodeSnapshot({ members, state }),
    },
    entries: [],
  });
}

/** Everything that this host's log has, committed or not. */
function logOf(kernel: string, { snapshot, entries }: StoredGroup): KernelLog {
  if (snapshot === undefined)
    throw new NbosError('log-corrupt', `the log of kernel ${kernel} has no beginning`);
  const data = parseSnapshot(kernel, snapshot.data);
  const log = data === undefined ? new KernelLog() : KernelLog.from(data.state);
  for (const { index, kind, data: payload } of entries)
    if (kind === 'data' && index > snapshot.index) log.apply(index, parseEntry(payload));
  return log;
}

function abortRunning(log: KernelLog): void {
  const start = log.running?.start;
  if (start === undefined) return;
  const { cell, attempt, epoch } = start;
  const message =
    'The kernel was recovered from one replica while this cell ran: what it did is lost, or was ' +
    'never known to that replica.';
  const abort: AbortEntry = {
    v: 1,
    type: 'abort',
    cell,
    attempt,
    epoch,
    message,
    reason: 'host-lost',
  };
  log.apply(log.applied, abort);
}
