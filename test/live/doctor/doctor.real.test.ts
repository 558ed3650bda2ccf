import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_IMAGE } from '../../../live/agent/container/names.ts';
import { type DockerSettings, STANDARD_DOCKER } from '../../../live/commands/docker-flags.ts';
import { containerDeath } from '../../../live/doctor/dead-kernels.ts';
import type { Finding } from '../../../live/doctor/finding.ts';
import { testWithPart } from '../../skip.ts';
import {
  missingEngines,
  startEngines,
  type TestEngine,
  type TestEngines,
} from '../container/engines.ts';
import { findingsOf, subjectWith, withEngine } from './subject-kit.ts';

const OF_ENGINE = ['engine', 'cgroups', 'limits', 'storage', 'seccomp', 'image', 'clock'];

/** An image of nothing, or of a `program` that is its Python and its shell. */
async function importImage(
  { docker }: TestEngine,
  folder: string,
  name: string,
  program?: { text: string; mode: number },
): Promise<string> {
  const root = join(folder, name);
  mkdirSync(join(root, 'usr', 'bin'), { recursive: true });
  mkdirSync(join(root, 'bin'));
  // What cannot be run as a program is tried as a script of the shell.
  for (const file of program === undefined ? [] : ['usr/bin/python3', 'bin/sh'])
    writeFileSync(join(root, file), program!.text, { mode: program!.mode });
  const tar = spawnSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 1e8 }).stdout;
  const answer = await docker.importImage(Readable.from([tar]), { repo: name, tag: '1' });
  answer.resume();
  await new Promise((resolve, reject) => answer.on('end', resolve).on('error', reject));
  return `${name}:1`;
}

/** The end of a container of the usual image that runs Python code. */
async function endOf(machine: TestEngine, code: string): Promise<Finding> {
  const container = await machine.docker.createContainer({
    ...{ Image: DEFAULT_IMAGE, Entrypoint: ['python3'], Cmd: ['-c', code] },
    HostConfig: {
      Init: true,
      NetworkMode: 'none',
      Memory: 64 * 1024 * 1024,
      MemorySwap: 64 * 1024 * 1024,
    },
  });
  await container.start();
  await container.wait();
  const [finding] = await containerDeath(withEngine(machine.engine).engine!, container.id);
  await container.remove({ force: true });
  return finding!;
}

async function looksAtImages({ all, folder }: TestEngines): Promise<void> {
  const [machine] = all as [TestEngine];
  const workspace = join(folder, 'work');
  mkdirSync(workspace);
  const look = (docker: Partial<DockerSettings>, ...names: string[]): Promise<Finding[]> => {
    const settings = { ...STANDARD_DOCKER, ...docker };
    const subject = subjectWith({ ...withEngine(machine.engine, settings), workspace });
    return findingsOf(subject, ...names);
  };
  const one = async (docker: Partial<DockerSettings>): Promise<Finding> =>
    (await look(docker, 'image'))[0]!;

  chmodSync(workspace, 0o777);
  const well = await look({}, ...OF_ENGINE);
  const problems = well.filter(({ level }) => level === 'problem');
  assert.equal(problems, []);
  const text = well.map(({ found }) => found).join('\n');
  assert.match(text, /Docker Engine \d+/);
  assert.match(text, /Python 3\.\d+\.\d+, ipykernel \d+.*glibc/);
  assert.match(text, /uid 1000.*can write and lock/);

  chmodSync(workspace, 0o755);
  const [, closed] = await look({}, 'image');
  assert.is(closed!.level, 'problem');
  assert.match(closed!.found, /uid 1000.*cannot write/);

  const empty = await importImage(machine, folder, 'empty');
  assert.match((await one({ image: empty })).found, /exit code 127/);
  const elf = '\u007fELF not for here';
  const foreign = await importImage(machine, folder, 'foreign', { text: elf, mode: 0o755 });
  assert.match((await one({ image: foreign })).found, /built for another processor/);
  const idle = await importImage(machine, folder, 'idle', { text: elf, mode: 0o644 });
  assert.match((await one({ image: idle })).found, /exit code 126: .*cannot be run/);
  assert.match((await one({ memoryMb: 6 })).found, /memory/);
  assert.match((await one({ image: 'none:1' })).found, /image-missing/);
  assert.match((await one({ network: 'nowhere' })).found, /nowhere/);
  assert.equal(await machine.docker.listContainers({ all: true }), [], 'nothing is left');
}

async function decodesEnds({ all }: TestEngines): Promise<void> {
  const [machine] = all as [TestEngine];
  const abort = await endOf(machine, 'import os; print("at work", flush=True); os.abort()');
  assert.match(abort.found, /exit code 134: aborted.*at work/);
  const fault = await endOf(machine, 'import ctypes; ctypes.string_at(0)');
  assert.match(fault.found, /exit code 139: crashed by a bad memory access/);
  const memory = await endOf(
    machine,
    'b = bytearray(10**9)\nfor i in range(0, 10**9, 4096): b[i] = 1',
  );
  assert.match(memory.found, /exit code 137: ended because its memory limit was reached/);
  const killed = await endOf(machine, 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)');
  assert.is(killed.level, 'problem');
  const module = await endOf(machine, 'raise SystemExit("No module named ipykernel_launcher")');
  assert.match(module.found, /has no ipykernel/);
}

testWithPart(
  test,
  missingEngines,
  'a real engine, its images and its dead containers',
  async () => {
    const engines = await startEngines(1);
    try {
      await looksAtImages(engines);
      await decodesEnds(engines);
    } finally {
      assert.equal(await engines.stop(), []);
    }
  },
);

test.run();
