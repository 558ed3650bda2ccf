import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type ContainerHost, containerFactory } from '../../../live/agent/container/containers.ts';
import { DEFAULT_IMAGE, KERNEL_ARGV, LABELS } from '../../../live/agent/container/names.ts';
import type { KernelFactory } from '../../../live/agent/kernel/processes.ts';
import type { PooledKernel, RuntimeOptions } from '../../../live/agent/kernel/runtime.ts';
import type { KernelMeta } from '../../../live/log/entries.ts';
import { testWithPart } from '../../skip.ts';
import { TestKernel } from '../kernel/kernel-kit.ts';
import { missingEngines, startEngines, type TestEngines } from './engines.ts';

/** An engine that runs already and has the image, in place of one that is started. */
const NAMED = process.env['NBOS_TEST_ENGINE'] ?? '';
export const MISSING = NAMED === '' ? missingEngines : '';
/** What tests need that do harm to an engine. */
export const MISSING_OWN =
  NAMED === '' ? missingEngines : 'it would harm the engine that was named';
export const SYSTEM = 'c0ffee';
export const USER = 1000;
export const MEMORY_MB = 300;

let engines: TestEngines | undefined;
const folders: string[] = [];

/** The engine of this file's tests, started by the first that asks. */
export async function engineOf(): Promise<{ engine: string; docker: Docker }> {
  if (NAMED !== '')
    return { engine: NAMED, docker: new Docker({ socketPath: NAMED.replace('unix://', '') }) };
  engines ??= await startEngines(1);
  return engines.all[0]!;
}

/** The machine whose engine was started for the tests. */
export function ownMachine(): TestEngines['all'][number] | undefined {
  return engines?.all[0];
}

/** Ends the engine; nothing of these tests may be left, nor anything that they have made. */
export function stopEngine(): void {
  for (const folder of folders.splice(0))
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  assert.equal(engines?.stop() ?? [], []);
  engines = undefined;
}

/** A folder that kernels in containers may write to. */
export function workspaceFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nbw-'));
  folders.push(folder);
  chownSync(folder, USER, USER);
  return folder;
}

export async function factoryOf(fields: Partial<ContainerHost> = {}): Promise<KernelFactory> {
  const { engine } = await engineOf();
  return containerFactory({
    engine,
    image: DEFAULT_IMAGE,
    workspace: '',
    workspaceMount: '',
    host: 'h1',
    system: SYSTEM,
    user: '',
    network: 'none',
    limits: { cpus: 1, memoryMb: MEMORY_MB, pids: 100, shmMb: 64 },
    quotaBytes: 0,
    gpus: undefined,
    log: { info: () => {}, warn: () => {} },
    ...fields,
  });
}

export interface ContainerOptions {
  host?: Partial<ContainerHost>;
  options?: Partial<RuntimeOptions>;
  meta?: Partial<KernelMeta>;
  pooled?: PooledKernel;
}

/** A kernel in a container, not started yet. */
export async function containerKernel(given: ContainerOptions = {}): Promise<TestKernel> {
  const factory = await factoryOf(given.host);
  const workspace = given.host?.workspace ?? '';
  const meta = { argv: [...KERNEL_ARGV], cwd: workspace, ...given.meta };
  return new TestKernel(meta, given.options, workspace, factory, given.pooled);
}

/** The container of a kernel, or of what was started in `directory`. */
export async function containerIn(directory: string): Promise<Docker.Container> {
  const { docker } = await engineOf();
  const label = [`${LABELS.directory}=${directory}`];
  const [found] = await docker.listContainers({ all: true, filters: { label } });
  assert.ok(found, `no container for ${directory}`);
  return docker.getContainer(found.Id);
}

/** Containers of the tests' system that are there, in whatever state. */
export async function containersLeft(): Promise<string[]> {
  const { docker } = await engineOf();
  const label = [`${LABELS.system}=${SYSTEM}`];
  const found = await docker.listContainers({ all: true, filters: { label } });
  return found.map(({ Names }) => Names.join());
}

/** Waits for a fact that comes about within `ms`. */
export async function untilSo(what: string, fact: () => unknown, ms = 15_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    if (await fact()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.unreachable(`not within ${ms} ms: ${what}`);
}

/** A test with a started kernel in a container, which is gone without a trace after it. */
export function containerTest(
  name: string,
  body: (kernel: TestKernel) => Promise<void>,
  given: ContainerOptions = {},
): void {
  testWithPart(test, MISSING, name, async () => {
    const kernel = await containerKernel(given);
    try {
      await kernel.runtime.start();
      assert.is(kernel.runtime.helperError, '');
      await body(kernel);
    } finally {
      await kernel.stop();
    }
    assert.equal(await containersLeft(), []);
  });
}
