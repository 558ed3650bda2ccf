import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Has the kernels that this process starts keep what they cache in a folder of its own. One that is
 * killed while it writes there leaves half a file, with which completion fails in all later ones.
 */
export function ownCache(): void {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-cache-'));
  process.env['XDG_CACHE_HOME'] = folder;
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
}
