import { monitorEventLoopDelay, type Histogram as NodeHistogram } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { delayOf } from '../../core/books/execution-book.ts';
import { tctOf } from '../../core/record/cell-row.ts';
import { loopTurns } from '../wire/loop-turns.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { KernelTable } from './kernel-table.ts';
import { storeMetrics } from './store-standing.ts';

export interface MetricsOptions {
  registry: Registry;
  loop: CoreLoop;
  table: KernelTable;
  hosts: Hosts;
  /** links of agents that were not let in */
  refused: () => number;
}

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const LOOP_RESOLUTION_MS = 20;

/** What the gateway tells Prometheus of kernels, cells, hosts and its own loop. Returns the end. */
export function gatewayMetrics(options: MetricsOptions): () => void {
  const { registry, loop, table } = options;
  const registers = [registry];
  const cells = new Counter({
    name: 'nbos_cells_total',
    help: 'Ended cells by outcome',
    labelNames: ['status'],
    registers,
  });
  const delay = new Histogram({
    name: 'nbos_cell_delay_seconds',
    help: 'From submission until user code starts',
    buckets: SECONDS,
    registers,
  });
  const tct = new Histogram({
    name: 'nbos_cell_completion_seconds',
    help: 'From submission until the reply',
    buckets: SECONDS,
    registers,
  });
  const elections = new Counter({
    name: 'nbos_elections_total',
    help: 'Executors named',
    registers,
  });
  loop.observers.push((_event, effects) => {
    for (const effect of effects) {
      if (effect.kind === 'execute') elections.inc();
      if (effect.kind !== 'reply') continue;
      cells.inc({ status: effect.status });
      if (effect.status !== 'completed') continue;
      delay.observe(delayOf(effect.execution) / 1000);
      tct.observe(tctOf(effect.execution) / 1000);
    }
  });
  gauges(registers, options);
  storeMetrics(registry, table);
  return watchLoop(registers);
}

function gauges(registers: Registry[], { loop, table, hosts, refused }: MetricsOptions): void {
  const { state } = loop.core;
  const values: [name: string, help: string, value: () => number][] = [
    ['nbos_kernels', 'Kernels', () => table.size],
    ['nbos_hosts_up', 'Hosts that are heard', () => state.up.length],
    ['nbos_hosts', 'Hosts that belong to the system', () => hosts.all().length],
    ['nbos_cells_running', 'Cells that hold their GPUs', () => state.totals.running],
    ['nbos_cells_waiting', 'Cells that wait for GPUs', () => state.queue.size],
    ['nbos_gpus_committed', 'GPUs bound to cells', () => state.totals.leasedGpuMillis / 1000],
    ['nbos_gpus', 'GPUs of hosts that are up', () => state.totals.provisionedGpuMillis / 1000],
    ['nbos_migrations_total', 'Replicas moved for a cell', () => state.totals.migrations],
    ['nbos_hosts_lost_total', 'Hosts lost', () => state.totals.hostsLost],
    ['nbos_links_refused_total', 'Links of agents that were not let in', refused],
  ];
  for (const [name, help, value] of values) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  }
}

/**
 * How long turns of this process's loop take; and how late timers were, which also counts what is
 * nobody's turn: waits for a core, collections of garbage.
 */
function watchLoop(registers: Registry[]): () => void {
  const late = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  late.enable();
  quantilesOf(registers, {
    name: 'nbos_loop_turn_seconds',
    help: 'Synchronous time of a turn of the event loop that had something to do, since the start',
    histogram: loopTurns,
    seconds: (ns) => ns / 1e9,
  });
  quantilesOf(registers, {
    name: 'nbos_loop_late_seconds',
    help: `How late a timer of ${LOOP_RESOLUTION_MS} ms was, since the start`,
    histogram: late,
    seconds: (ns) => Math.max(0, ns / 1e9 - LOOP_RESOLUTION_MS / 1000),
  });
  return () => {
    late.disable();
  };
}

interface Quantiles {
  name: string;
  help: string;
  histogram: NodeHistogram;
  seconds: (ns: number) => number;
}

function quantilesOf(registers: Registry[], { name, help, histogram, seconds }: Quantiles): void {
  new Gauge({
    ...{ name, help, registers },
    labelNames: ['quantile'],
    collect() {
      this.set({ quantile: 'p50' }, seconds(histogram.percentile(50)));
      this.set({ quantile: 'p99.9' }, seconds(histogram.percentile(99.9)));
      this.set({ quantile: 'max' }, seconds(histogram.max));
    },
  });
}
