import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { KernelTable } from './kernel-table.ts';

/** Ids that a start keeps of those in the file. */
const MOST_KEPT = 10_000;
const UUID = /^[0-9a-f-]{36}$/;

/**
 * Remembers in a file which kernels were shut down, so that a host which was away does not bring
 * them back after a restart of the gateway. Without the file they come back, and nothing is lost.
 */
export function rememberRemoved(folder: string, table: KernelTable, log: Logger): void {
  const path = join(folder, 'removed-kernels');
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    const ids = lines.filter((line) => UUID.test(line)).slice(-MOST_KEPT);
    for (const id of ids) table.markRemoved(id);
    if (lines.length > 2 * MOST_KEPT) writeFileSync(path, `${ids.join('\n')}\n`, { mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') log.warn({ err: error, path }, 'removed kernels are not known');
  }
  table.onRemoved = (id) => {
    try {
      appendFileSync(path, `${id}\n`, { mode: 0o600 });
    } catch (error) {
      log.warn({ err: error, path }, 'a removed kernel was not written down');
    }
  };
}
