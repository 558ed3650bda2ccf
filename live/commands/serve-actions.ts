import type { Arguments } from '../../traces/command-line.ts';
import type { LoadPolicy } from './system-options.ts';
export function serveGateway(_given: Arguments, _load: LoadPolicy): Promise<void> {
  return Promise.resolve();
}
export function serveAgent(_given: Arguments): Promise<void> {
  return Promise.resolve();
}
