import { pino } from 'pino';
import { findGpus } from '../../live/agent/gpu/discovery.ts';
import { HostGpuAccess } from '../../live/agent/gpu/host-access.ts';
import { missingEngines, startEngines } from '../live/container/engines.ts';
import { deviceContainer, pretendDevices } from '../live/gpu/device-container.ts';
import { type BenchResult, median } from './bench.ts';

const LEASES = 1_000;
const CONTAINERS = 8;
const TARGET_MS = 5;

/** What it takes to let a container use two devices, and to take them back. */
export async function run(): Promise<BenchResult[] | string> {
  if (missingEngines !== '') return missingEngines;
  const devices = pretendDevices();
  const engines = await startEngines(1);
  try {
    const inventory = await findGpus({ devices: devices.paths, count: undefined });
    const access = new HostGpuAccess(inventory, pino({ level: 'silent' }));
    if (access.enforced === 'none') return access.reason;
    const containers = [];
    for (let at = 0; at < CONTAINERS; at++)
      containers.push(await deviceContainer(engines.all[0]!, access, engines.folder, `k${at}`));
    const [on, off]: [number[], number[]] = [[], []];
    for (let at = 0; at < LEASES; at++) {
      const container = containers[at % CONTAINERS]!;
      const from = performance.now();
      await access.lease(container, [0, 1]);
      const leased = performance.now();
      await access.end(container, [0, 1]);
      on.push(leased - from);
      off.push(performance.now() - leased);
    }
    return [...results('on', on), ...results('off', off)];
  } finally {
    devices.remove();
    await engines.stop();
  }
}

function results(what: string, times: number[]): BenchResult[] {
  const late = times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
  const name = `lease of two devices ${what}`;
  return [
    { name: `${name}, p50`, value: median(times), unit: 'ms', target: TARGET_MS, less: true },
    { name: `${name}, p99`, value: late, unit: 'ms' },
  ];
}
