/**
 * A system whose kernels are stubs, in a process of its own: prints one line of JSON with what many
 * idle kernels cost. Its argument is their number.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runAgent } from '../../live/commands/run-agent.ts';
import { runGateway } from '../../live/commands/run-gateway.ts';
import type { LoadPolicy } from '../../live/commands/system-options.ts';
import { configFor, resolvePolicy } from '../../sim/policy-file.ts';
import { NotebookClient } from '../live/e2e/notebook-client.ts';
import { StubFactory } from '../live/stub-runtime.ts';

const SETTLE_MS = 8000;
const MEASURE_MS = 10_000;
const count = Number(process.argv[2]);
const data = mkdtempSync(join(tmpdir(), 'nbos-idle-'));
// Room for all of them: idle kernels subscribe to GPUs, and that is limited.
const settings = ['maxSubscriptionRatio=1000000'];
const loadPolicy: LoadPolicy = async (name, layers) => {
  const { policy } = await resolvePolicy(name);
  return { policy, config: configFor(policy, ...layers) };
};
const gateway = await runGateway({ _: [], $0: '', data, port: 0, set: settings }, loadPolicy);
const { cluster, log, url, token } = gateway;
const agents = await Promise.all(
  cluster.hosts.map((host) => runAgent({ data, cluster, host, log, runtimes: new StubFactory() })),
);

function residentMb(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss / 2 ** 20;
}

async function newKernel(): Promise<void> {
  const response = await fetch(`${url}/api/kernels`, {
    method: 'POST',
    headers: { authorization: `token ${token}` },
    body: JSON.stringify({ name: 'python3', env: { KERNEL_GPUS: '0' } }),
  });
  if (!response.ok) throw new Error(await response.text());
  const { id } = (await response.json()) as { id: string };
  const client = await NotebookClient.open(url, token, id);
  await client.run('pass');
  client.close();
}

/** Share of one core that this process takes while nobody does anything. */
async function idleShare(): Promise<number> {
  await sleep(SETTLE_MS);
  const before = process.cpuUsage();
  const from = performance.now();
  await sleep(MEASURE_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / (performance.now() - from);
}

await newKernel();
const emptyMb = residentMb();
for (let kernel = 0; kernel < count; kernel++) await newKernel();
const share = await idleShare();
const mbAKernel = (residentMb() - emptyMb) / count;
process.stdout.write(`${JSON.stringify({ share, mbAKernel })}\n`);
await gateway.close(false);
await Promise.all(agents.map((agent) => agent.close()));
rmSync(data, { recursive: true, force: true });
process.exit(0);
