import { setTimeout as sleep } from 'node:timers/promises';
import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  interruption,
  isSet,
  printNote,
  textOf,
  wordsOf,
} from '../../traces/command-line.ts';
import type { Agent } from '../agent/agent-options.ts';
import { Nearby } from '../wire/nearby.ts';
import { AdminClient } from './admin-client.ts';
import { type Child, startChild } from './children.ts';
import { clusterUndo, dataFolder, knownCluster, readCluster } from './cluster-file.ts';
import { connectText } from './connect-text.ts';
import { DOCKER_FLAGS } from './docker-flags.ts';
import { openLog } from './log.ts';
import { runAgent } from './run-agent.ts';
import { runGateway } from './run-gateway.ts';
import { findSystem } from './running.ts';
import { type LoadPolicy, liveConfig } from './system-options.ts';
import { untilInterrupted } from './until-interrupted.ts';

/** Time for a process to start, and for hosts to say hello. */
const START_MS = 60_000;
const POLL_MS = 50;

type TellReady = (url: string, text: string) => void;

/** `nbos up`: gateway and hosts until Ctrl-C. */
export async function serveAll(given: Arguments, load: LoadPolicy): Promise<void> {
  const data = dataFolder(textOf(given, 'data'));
  refuseCommand(data);
  const forget = clusterUndo(data);
  let isReady = false;
  const ready = (url: string, text: string): void => {
    isReady = true;
    tellReady(given, url, text);
  };
  try {
    await (isSet(given, 'split') ? serveSplit : serveTogether)(given, load, ready);
  } catch (error) {
    // Options with which it cannot start are not those of the next start.
    if (!isReady) forget();
    throw error;
  }
  process.exit(0);
}

/** A program that ends hosts would end this one process. */
function refuseCommand(data: string): void {
  if ((readCluster(data)?.elastic?.command ?? '') === '') return;
  throw new NbosError(
    'usage',
    `hosts of the system in ${data} are started by its --provision-command`,
    'Start its gateway: nbos gateway --data DIR.',
  );
}

async function serveTogether(given: Arguments, load: LoadPolicy, ready: TellReady): Promise<void> {
  const nearby = new Nearby();
  const gateway = await runGateway(given, load, nearby);
  const { data, cluster } = gateway;
  const log = openLog(data, 'hosts', true);
  let agents: Agent[];
  try {
    agents = await Promise.all(
      cluster.hosts.map((host) =>
        runAgent({ data, cluster, host, nearby, log: log.child({ host: host.id }) }),
      ),
    );
    await untilHostsUp(new AdminClient({ url: gateway.url, token: gateway.token }));
  } catch (error) {
    await gateway.close(false);
    throw error;
  }
  ready(gateway.url, gateway.text);
  await untilInterrupted();
  await gateway.close(true);
  await Promise.all(agents.map((agent) => agent.close()));
}

async function serveSplit(given: Arguments, load: LoadPolicy, ready: TellReady): Promise<void> {
  const data = dataFolder(textOf(given, 'data'));
  const children: Child[] = [];
  const stopAll = async (): Promise<void> => {
    await Promise.all(children.map((child) => child.stop()));
  };
  try {
    const words = ['gateway', ...passedOn(given), '--data', data];
    const { child, ready: url } = await startChild('the gateway', words, START_MS);
    children.push(child);
    const cluster = knownCluster(data);
    const started = await Promise.all(
      cluster.hosts.map(({ id }) =>
        startChild(`host ${id}`, ['agent', '--host', id, '--data', data], START_MS),
      ),
    );
    children.push(...started.map((each) => each.child));
    const { token } = findSystem({ ...process.env, NBOS_URL: url });
    await untilHostsUp(new AdminClient({ url, token }));
    const { config } = await liveConfig(cluster, load);
    const { policy, hosts } = cluster;
    const { replicas } = config;
    ready(url, connectText({ url, token, hosts, policy, replicas, data }));
    for (const each of children) tellOfEnd(given, each, data);
    await untilInterrupted();
  } finally {
    await stopAll();
  }
}

function tellReady(given: Arguments, url: string, text: string): void {
  if (interruption.signal.aborted) return;
  process.stdout.write(`ready ${url}\n`);
  if (!isSet(given, 'quiet')) process.stdout.write(`${text}\n`);
}

/** A part that ends by itself is only told of: whoever killed it starts it again, or not. */
function tellOfEnd(given: Arguments, { name, pid, ended }: Child, data: string): void {
  const host = /^host (.*)$/.exec(name)?.[1];
  const again =
    host === undefined ? `nbos gateway --data ${data}` : `nbos agent --host ${host} --data ${data}`;
  void ended.then((how) => {
    if (interruption.signal.aborted) return;
    printNote(given, `${name} (pid ${pid}) has ended: ${how}; again: ${again}`);
  });
}

const PASSED_WORDS = [
  'hosts',
  'min-hosts',
  'port',
  'host',
  'policy',
  'replicas',
  'config',
  'gpus-per-host',
  'python',
  'kernel-spec',
  'workspace',
  'store',
  'tls-cert',
  'tls-key',
  ...Object.keys(DOCKER_FLAGS),
];
const PASSED_FLAGS = ['enable-faults', 'behind-proxy', 'quiet'];

/** Options of `nbos up` for its gateway. */
function passedOn(given: Arguments): string[] {
  const words = PASSED_WORDS.flatMap((name) => {
    const text = textOf(given, name);
    if (text === undefined) return [];
    // --docker may be alone.
    return text === '' ? [`--${name}`] : [`--${name}`, text];
  });
  const flags = PASSED_FLAGS.filter((name) => isSet(given, name)).map((name) => `--${name}`);
  const lists = ['set', 'gpu-device'].flatMap((name) => {
    const all = wordsOf(given, name);
    return all.length === 0 ? [] : [`--${name}`, ...all];
  });
  return [...words, ...flags, ...lists];
}

/** Waits until every host has been heard: from then on nothing has to wait for one. */
async function untilHostsUp(client: AdminClient): Promise<void> {
  const late = performance.now() + START_MS;
  while (!interruption.signal.aborted) {
    const { hosts } = await client.status();
    const missing = hosts.filter(({ state }) => state === 'down').map(({ id }) => id);
    if (hosts.length > 0 && missing.length === 0) return;
    if (performance.now() > late)
      throw new NbosError(
        'child-failed',
        `no word from ${missing.join(', ')} within ${START_MS / 1000} s`,
        'The folder logs in the data directory says more.',
      );
    await sleep(POLL_MS);
  }
}
