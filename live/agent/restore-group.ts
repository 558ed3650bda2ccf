import { NbosError } from '../../core/errors.ts';
import type { Blob } from '../log/entries.ts';
import { KernelLog } from '../log/kernel-log.ts';
import type { Claims } from '../stores/claims.ts';
import type { SavedTable } from '../stores/kernel-store.ts';
import type { Beginning, Begun } from '../wire/messages.ts';
import type { LogStore } from './ports.ts';
import { BEYOND, beginAlone } from './recover-group.ts';
import { filesOf } from './replica-table.ts';

/** Where a kernel's table is that no host has any more; see KernelStore and its claims. */
export interface TableSource {
  readonly name: string;
  readonly claims?: Pick<Claims, 'claim' | 'begin' | 'giveUp'>;
  latestTable(kernel: string): Promise<(SavedTable & { key?: string }) | undefined>;
}

/** The host on which it is to be. */
export interface Ground {
  readonly host: string;
  readonly logs: LogStore;
  /** Brings files of the table here. */
  fetch(files: readonly Blob[]): Promise<void>;
  /** What was there of the kernel before gives way. */
  clear(): Promise<void>;
}

const LOST = 'The hosts that had this kernel were lost before this cell ended.';

/**
 * Begins a kernel's log anew, in a group of one member, with the newest table of the store; empty
 * when there is none. Nothing is changed here before all of the table's files are there, and from
 * then on nothing counts in the store that former hosts of the kernel save. Rejects as
 * KernelStore.latestTable and `fetch` do, `format-version`, `log-corrupt`, `change-refused`.
 */
export async function restoreGroup(
  ground: Ground,
  source: TableSource | undefined,
  beginning: Beginning,
): Promise<Begun> {
  const generation = await claimed(source, beginning);
  try {
    return await beginAs(generation, ground, source, beginning);
  } catch (error) {
    // Else those who had it would wait for us.
    if (generation > 0)
      await source?.claims?.giveUp(beginning.meta.kernel, generation).catch(() => undefined);
    throw error;
  }
}

/** 0 where nobody else is kept from saving. */
async function claimed(
  source: TableSource | undefined,
  { meta, empty }: Beginning,
): Promise<number> {
  try {
    return (await source?.claims?.claim(meta.kernel)) ?? 0;
  } catch (error) {
    // An outage does not keep a kernel from being empty.
    if (empty && error instanceof NbosError && error.code === 'store-unreachable') return 0;
    throw error;
  }
}

async function beginAs(
  generation: number,
  { host, logs, fetch, clear }: Ground,
  source: TableSource | undefined,
  beginning: Beginning,
): Promise<Begun> {
  const { meta, member, beyond, after, empty } = beginning;
  const saved = empty ? undefined : await source?.latestTable(meta.kernel);
  const table = saved !== undefined && saved.index >= after ? saved : undefined;
  const log = logOf(table, beginning);
  await fetch(filesOf([...log.units.values()]));
  if (generation > 0 && !(await source?.claims?.begin(meta.kernel, generation, table?.key ?? '')))
    throw new NbosError(
      'change-refused',
      `kernel ${meta.kernel} was taken up by another host while it was begun anew on ${host}`,
      'It goes on there; nothing is lost.',
    );
  await clear();
  const index = Math.max(beyond, table?.index ?? 0) + BEYOND;
  // Of what lived on in its process nothing is left that would tie it to a host.
  const state = {
    ...{ ...log.state(), meta, applied: index, pinned: [] },
    ...{ saved: table?.index ?? 0, generation },
  };
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
