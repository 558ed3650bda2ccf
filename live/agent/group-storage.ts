import { NbosError } from '../../core/errors.ts';
import { type HardState, MemoryStorage, type Ready } from '../../core/raft/index.ts';
import type { StoredGroup, StoredUpdate } from './ports.ts';

/** What of a Ready goes to disk. */
export function updateOf(ready: Ready, hardState: HardState): StoredUpdate {
  const { snapshot, entries } = ready;
  return {
    hardState,
    ...(snapshot === undefined ? {} : { snapshot, restored: true }),
    ...(entries.length === 0 ? {} : { entries }),
    mustSync: true,
  };
}

/** The readable half of a stored log. Entries that its snapshot stands for are left out. */
export function memoryOf(
  kernel: string,
  { snapshot, entries, hardState }: StoredGroup,
): MemoryStorage {
  if (snapshot === undefined)
    throw new NbosError(
      'log-corrupt',
      `the log of kernel ${kernel} on this host has no beginning`,
      "Remove this host's copy of the kernel: another member holds it too.",
    );
  const storage = new MemoryStorage(snapshot);
  storage.append(entries.filter(({ index }) => index > snapshot.index));
  storage.setHardState(hardState);
  return storage;
}

export function stoppedError(kernel: string, why: string): NbosError {
  return new NbosError(
    'replica-stopped',
    `the replica of kernel ${kernel} on this host has stopped: ${why}`,
    'See the log of the host.',
  );
}
