import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HostCommand } from '../../../live/gateway/provision/host-command.ts';
import type { KnownHosts } from '../../../live/gateway/provision/provisioner.ts';
import { type Kit, pause, startKit, stopKit, until } from './brain-kit.ts';

let folder: string;
let heard: Set<string>;
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'nbos-command-'));
  heard = new Set();
});
test.after.each(() => {
  rmSync(folder, { recursive: true, force: true });
});

const HOSTS: KnownHosts = {
  free: () => [],
  silent: () => ['h1', 'h2'].filter((id) => !heard.has(id)),
  isHeard: (id) => heard.has(id),
  described: () => 'h1, h2',
};

function program(lines: string): string {
  const path = join(folder, 'provision');
  writeFileSync(path, `#!/bin/sh\ncd ${folder}\n${lines}\n`, { mode: 0o755 });
  return path;
}

function command(
  path: string,
  more: { log?: string[]; runMs?: number; hosts?: KnownHosts } = {},
): HostCommand {
  const log = pino({ level: 'info' }, { write: (line: string) => void more.log?.push(line) });
  const outer = {
    PATH: process.env['PATH'],
    NBOS_TOKEN: 'secret',
    AWS_SECRET_ACCESS_KEY: 'secret',
    NBOS_PROVISION_ZONE: 'a',
  };
  const { hosts = HOSTS, runMs = 60_000 } = more;
  return new HostCommand({ path, hosts, log, outer, runMs });
}

function said(): string {
  const path = join(folder, 'said');
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

async function refused(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: Error & { code?: string }) => reason,
  );
  assert.is(error?.code, 'provision-failed');
  return error!.message;
}

test('its words are up HOST and down HOST; it sees what it may, and its output is logged', async () => {
  const log: string[] = [];
  const own = command(program('echo "$@" >> said; env >> said; echo "bringing $2"'), { log });
  const enabled = own.enable(AbortSignal.timeout(60_000));
  await until(() => log.some((line) => line.includes('bringing h1')), 'its output is logged');
  heard.add('h1');
  assert.equal(await enabled, { host: 'h1' });
  await own.disable('h1', AbortSignal.timeout(60_000));
  const lines = said().split('\n');
  assert.ok(lines.includes('up h1'));
  assert.ok(lines.includes('down h1'));
  assert.ok(lines.includes('NBOS_PROVISION_ZONE=a'));
  assert.not.match(said(), 'secret');
});

test('two hosts at a time are two; then there is none left', async () => {
  const own = command(program('exit 0'));
  const limit = AbortSignal.timeout(60_000);
  const both = [own.enable(limit), own.enable(limit)];
  assert.match(await refused(own.enable(limit)), 'no host is left to be brought up');
  heard.add('h1').add('h2');
  assert.equal(await Promise.all(both), [{ host: 'h1' }, { host: 'h2' }]);
});

test('a run that fails says how it ended', async () => {
  const own = command(program('echo no quota >&2; exit 3'));
  assert.match(await refused(own.enable(AbortSignal.timeout(60_000))), 'up h1 ended: exit 3');
});

test('a run that hangs is ended with all that it started', async () => {
  const own = command(program('sleep 60 & echo $! > child; wait'), { runMs: 2_000 });
  assert.match(await refused(own.enable(AbortSignal.timeout(60_000))), 'has not ended within');
  const child = Number(readFileSync(join(folder, 'child'), 'utf8'));
  await until(() => !isRunning(child), 'the child has ended');
});

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a host whose agent stays silent is given back', async () => {
  // Its time is over when the program has ended and its agent is looked for.
  const time = new AbortController();
  const isHeard = (): boolean => {
    time.abort();
    return false;
  };
  const own = command(program('echo "$@" >> said'), { hosts: { ...HOSTS, isHeard } });
  assert.match(await refused(own.enable(time.signal)), 'no agent of h1 has joined');
  assert.is(said(), 'up h1\ndown h1\n');
});

test('what is no program is refused at once', () => {
  const path = join(folder, 'absent');
  assert.throws(
    () => command(path),
    (error: Error & { code: string }) =>
      error.code === 'file-not-found' && error.message.includes(path),
  );
});

test('a gateway: failures are waited out, agents join, hosts go when it is quiet', async () => {
  // Fails once; then the "machine" is a file, and this test is its agent.
  const path = program(`case $1 in
up) if [ ! -e failed ]; then touch failed; exit 1; fi; touch $2;;
down) rm $2; echo "down $2" >> said;;
esac`);
  const log = pino({ level: 'silent' });
  let kit: Kit | undefined;
  const agent = setInterval(() => {
    for (const id of ['h1', 'h2', 'h3'])
      if (existsSync(join(folder, id)) && kit?.brain.hosts.isHeard(id) === false)
        kit.agents.hello(id);
      else if (!existsSync(join(folder, id)) && kit?.brain.hosts.isHeard(id) === true)
        kit.agents.kill(id);
  }, 10);
  try {
    kit = startKit({
      hosts: 3,
      connected: [],
      config: {
        ...{ minHosts: 1, bufferHosts: 0, scaleIntervalMs: 40, scaleInHoldMs: 400, replicas: 1 },
        gpusPerHost: 2,
      },
      limits: { backoffMs: 50, recoveryMs: 30 },
      provisioner: (hosts) => new HostCommand({ path, hosts, log, outer: {}, runMs: 60_000 }),
    });
    const { state } = kit.brain.loop.core;
    await until(() => state.up.length === 1, 'the first is up after one failure');
    assert.is(state.hosts.filter(({ end }) => end === 'failed').length, 1);
    kit.brain.loop.post({ kind: 'host-offered' });
    await until(() => state.up.length === 2, 'a second is asked for');
    await until(() => state.up.length === 1 && said() !== '', 'and given back');
    assert.match(said(), /^down h[12]\n$/);
    await pause(100);
    assert.is(state.up.length, 1);
  } finally {
    clearInterval(agent);
    if (kit !== undefined) stopKit(kit);
  }
});

test.run();
