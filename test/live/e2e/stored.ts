import { join } from 'node:path';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { KernelStore } from '../../../live/stores/kernel-store.ts';
import { openStore } from '../../../live/stores/open-store.ts';
import { sealOf } from '../../../live/stores/seal.ts';
import type { System } from './system.ts';

/** The store of a system, read from outside. */
export async function storeOf({ data }: System): Promise<KernelStore> {
  const files = new CheckedStore(openStore(`file:${join(data, 'store')}`));
  return new KernelStore(files, await sealOf(join(data, 'keys')));
}

/** Until the store has what the last cell left under this name, and the gateway knows. */
export async function untilSaved(system: System, kernel: string, name: string): Promise<void> {
  const from = await storeOf(system);
  await system.until(`${name} is saved`, async () => {
    const units = (await from.latestTable(kernel))?.state.units ?? [];
    return units.some(({ names }) => names.includes(name));
  });
  await system.until('that is told', async () => (await system.kernel(kernel)).store?.saved);
}
