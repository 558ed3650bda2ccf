import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchResult } from './bench.ts';

const KERNELS = 100;
const LIMIT_MS = 180_000;

/** What kernels cost that nobody uses: gateway and four agents in one process, stubs for kernels. */
export async function run(): Promise<BenchResult[] | string> {
  const child = fileURLToPath(new URL('live-idle-child.js', import.meta.url));
  const words = ['--expose-gc', child, String(KERNELS)];
  const ended = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: LIMIT_MS });
  if (ended.status !== 0) throw new Error(`the idle system failed: ${ended.stderr.slice(-2000)}`);
  const { share, mbAKernel } = JSON.parse(ended.stdout) as { share: number; mbAKernel: number };
  const name = `${KERNELS} idle kernels of 3 replicas`;
  return [
    { name: `${name}, of a core`, value: share * 100, unit: '%', target: 5, less: true },
    { name: `${name}, memory`, value: mbAKernel, unit: 'MB each', target: 2, less: true },
  ];
}
