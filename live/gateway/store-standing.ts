import { Gauge, type Registry } from 'prom-client';
import type { StoreStanding } from '../admin-types.ts';
import type { LiveKernel } from './kernel.ts';
import type { KernelTable } from './kernel-table.ts';

/** What the leader of a kernel says of its state in the store; nothing when nobody says any. */
export function storeOf(kernel: LiveKernel): { store?: StoreStanding } {
  for (const { position } of kernel.members.values()) {
    if (position?.role !== 'leader' || position.store === undefined) continue;
    const { saved, since, bytes } = position.store;
    return { store: { saved, behindMs: saved ? 0 : Math.max(0, Date.now() - since), bytes } };
  }
  return {};
}

/** How far the store is behind the kernels, for Prometheus. */
export function storeMetrics(registry: Registry, table: KernelTable): void {
  const unsaved = (): StoreStanding[] =>
    [...table].flatMap((kernel) => {
      const { store } = storeOf(kernel);
      return store === undefined || store.saved ? [] : [store];
    });
  const values: [name: string, help: string, value: () => number][] = [
    ['nbos_store_unsaved_kernels', 'Kernels that the store is behind of', () => unsaved().length],
    [
      'nbos_store_unsaved_bytes',
      'State on its way to the store',
      () => unsaved().reduce((sum, { bytes }) => sum + bytes, 0),
    ],
    [
      'nbos_store_lag_seconds',
      'How long the store has been behind of the kernel for which that is longest',
      () => unsaved().reduce((most, { behindMs }) => Math.max(most, behindMs), 0) / 1_000,
    ],
  ];
  for (const [name, help, value] of values)
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
}
