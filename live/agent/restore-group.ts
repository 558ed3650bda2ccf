import type { Blob } from '../log/entries.ts';
import { KernelLog } from '../log/kernel-log.ts';
import type { SavedTable } from '../stores/kernel-store.ts';
import type { Beginning, Begun } from '../wire/messages.ts';
import type { LogStore } from './ports.ts';
import { BEYOND, beginAlone } from './recover-group.ts';
import { filesOf } from './replica-table.ts';

/** Where a kernel's table is that no host has any more; see KernelStore. */
export interface TableSource {
  readonly name: string;
  latestTable(kernel: string): Promise<SavedTable | undefined>;
}

const LOST = 'The hosts that had this kernel were lost before this cell ended.';

/**
 * Begins a kernel's log anew, in a group of one member, with the newest table of the store; empty
 * when there is none. `fetch` brings the table's files to this host, and nothing is changed here
 * before all are there. Rejects as KernelStore.latestTable and `fetch` do, `format-version`,
 * `log-corrupt`.
 */
export async function restoreGroup(
  logs: LogStore,
  source: TableSource | undefined,
  fetch: (files: readonly Blob[]) => Promise<void>,
  host: string,
  beginning: Beginning,
): Promise<Begun> {
  const { meta, member, beyond, after, empty } = beginning;
  const saved = empty ? undefined : await source?.latestTable(meta.kernel);
  const table = saved !== undefined && saved.index >= after ? saved : undefined;
  const log = logOf(table, beginning);
  await fetch(filesOf([...log.units.values()]));
  const index = Math.max(beyond, table?.index ?? 0) + BEYOND;
  // Of what lived on in its process nothing is left that would tie it to a host.
  const state = { ...log.state(), meta, applied: index, pinned: [], saved: table?.index ?? 0 };
  await beginAlone(logs, { meta, member, host, index, term: 1, nextTerm: 1 }, state);
  return { index: table?.index ?? -1, store: source?.name ?? '' };
}

function logOf(table: SavedTable | undefined, { meta, waiting }: Beginning): KernelLog {
  const log = table === undefined ? new KernelLog() : KernelLog.from(table.state);
  if (table === undefined) log.apply(1, { v: 1, type: 'create', meta });
  for (const [cell, { start }] of [...log.open]) {
    if (start === undefined && waiting.includes(cell)) continue;
    const { attempt, epoch } = start ?? { attempt: 0, epoch: log.epoch };
    const abort = { cell, attempt, epoch, reason: 'host-lost', message: LOST } as const;
    log.apply(log.applied, { v: 1, type: 'abort', ...abort });
  }
  return log;
}
