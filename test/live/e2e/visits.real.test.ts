// time-limit: 600 s
// runs-alone
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { missingKernel } from './parts.ts';
import { System } from './system.ts';

const test = suite<Record<string, never>>('visits');
const WAIT = { limitMs: 120_000 };
const CELLS = 10;

const STATE = [
  'import numpy as np, hashlib, os',
  'big = np.arange(6_250_000, dtype=np.float64)',
  'digest = hashlib.sha256(big.tobytes()).hexdigest()',
  'count = 1',
  'def double(n): return 2 * n',
  'print(os.getpid())',
].join('\n');
const NEXT = [
  'import os',
  'count += 1',
  'ok = hashlib.sha256(big.tobytes()).hexdigest() == digest',
  'print(os.getpid(), ok, double(count), big.nbytes)',
].join('\n');

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function hostOf(system: System, kernel: string): Promise<string> {
  return (await system.kernel(kernel)).replicas.map(({ host }) => host).join();
}

/** Runs the cells one after the other: the hosts that they ran on. */
async function carried(system: System, isEnded: boolean): Promise<string[]> {
  const { id, client } = await system.notebook({ KERNEL_GPUS: '1' });
  const info = await client.ask('shell', 'kernel_info_request');
  assert.is((info.content['language_info'] as { name: string }).name, 'python');
  const hosts: string[] = [];
  const times: number[] = [];
  for (let cell = 1; cell <= CELLS; cell++) {
    const from = performance.now();
    const { reply, text } = await client.run(cell === 1 ? STATE : NEXT, WAIT);
    times.push(Math.round(performance.now() - from));
    assert.is(reply['status'], 'ok', JSON.stringify(reply));
    assert.is(reply['execution_count'], cell);
    const [pid, ...rest] = text.trim().split(' ');
    if (cell > 1) assert.equal(rest, ['True', String(2 * cell), '50000000']);
    if (isEnded) await system.until('its process ends', async () => !isAlive(Number(pid)));
    hosts.push(await hostOf(system, id));
  }
  process.stderr.write(`${hosts.join(' ')}: ${times.join(', ')} ms\n`);
  return hosts;
}

for (const policy of ['batch-fcfs', 'lcp']) {
  testWithPart(
    test,
    missingKernel,
    `${policy}: state goes with the kernel to its cells`,
    async () => {
      const system = await System.up(['--policy', policy, '--hosts', '4']);
      try {
        const hosts = await carried(system, policy === 'batch-fcfs');
        if (policy === 'batch-fcfs') assert.ok(new Set(hosts).size > 1, 'it was on several hosts');
      } finally {
        assert.equal(await system.stop(), [], 'processes left behind');
      }
    },
  );
}

test.run();
