import type { Arguments } from '../../traces/command-line.ts';
import type { LoadPolicy } from './system-options.ts';
export function serveAll(_given: Arguments, _load: LoadPolicy): Promise<void> {
  return Promise.resolve();
}
