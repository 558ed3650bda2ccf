import { createSocket } from 'node:dgram';
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  demandedText,
  interruption,
  isSet,
  printNote,
  textOf,
} from '../../traces/command-line.ts';
import { unwritable } from '../../traces/output-file.ts';
import { startAgent } from '../agent/agent.ts';
import type { Agent, Reach } from '../agent/agent-options.ts';
import type { GpuAccess } from '../agent/gpu/access.ts';
import type { RuntimeFactory } from '../agent/kernel/runtime.ts';
import { replicaOpener } from '../agent/open-replica.ts';
import { isLoopback } from '../gateway/http/access.ts';
import { Seal } from '../stores/seal.ts';
import { type HostKeys, readHostKeys } from '../wire/host-keys.ts';
import { KnownHosts } from '../wire/known-hosts.ts';
import { dataFolder } from './cluster-file.ts';
import { checkWorkspace, containersOf, describedDocker } from './docker-options.ts';
import { describedGpus, gpusOf, type HostGpus } from './gpu-options.ts';
import { openLog } from './log.ts';
import { processesOf, runtimeFolder } from './run-agent.ts';
import { addressOf, describedStore, kernelStoreAt } from './system-options.ts';
import { untilInterrupted } from './until-interrupted.ts';

/** Without a word from the gateway for so long, a person is told what to look at; and then anew. */
const QUIET_MS = 10_000;
const QUIET_AGAIN_MS = 300_000;
/** How long a name or a way to the gateway may take to be there. */
const NAME_MS = 30_000;
const NAME_AGAIN_MS = 1_000;

interface Joining {
  id: string;
  data: string;
  keys: HostKeys;
  gateway: { host: string; port: number };
  reach: Reach;
  workspace: string;
  log: Logger;
}

/** `nbos agent --join`: one host of a system whose gateway is elsewhere, until Ctrl-C. */
export async function joinSystem(given: Arguments): Promise<void> {
  const keysFile = resolve(demandedText(given, 'keys'));
  const join = demandedText(given, 'join');
  const gateway = addressOf('join', join.replace(/^tcp:\/\//, ''));
  const keys = await readHostKeys(keysFile);
  const id = hostId(textOf(given, 'host'), keys);
  const data = dataFolder(textOf(given, 'data'));
  const workspace = workspaceOf(textOf(given, 'workspace'));
  const reach = await reachOf(given, gateway);
  const log = openLog(data, id, true);
  const place = { id, data, keys, gateway, reach, workspace, log };
  const gpus = await gpusOf(describedGpus(given), describedDocker(given, undefined), log);
  const runtimes = await runtimesOf(given, place, gpus.gpuAccess);
  const wait = new Acceptance(given, join, keysFile);
  const agent = await startJoined(given, place, { gpus, runtimes }, wait);
  const accepted = await Promise.race([wait.done.then(() => true), untilInterrupted()]);
  if (accepted === true) process.stdout.write(`ready ${id}\n`);
  await untilInterrupted();
  wait.close();
  await agent.close();
  process.exit(0);
}

function startJoined(
  given: Arguments,
  { id, data, keys, gateway, reach, workspace, log }: Joining,
  { gpus, runtimes }: { gpus: HostGpus; runtimes: RuntimeFactory },
  wait: Acceptance,
): Promise<Agent> {
  const allowed = new KnownHosts(keys);
  const store = describedStore(textOf(given, 'store')) ?? 'none';
  return startAgent({
    host: id,
    folder: join(data, 'hosts', id),
    runtimeDir: runtimeFolder(data),
    gateway: { endpoint: `tcp://${gateway.host}:${gateway.port}`, key: keys.gateway },
    keys: keys.pair,
    ...{ allowed, reach, runtimes, workspace, log },
    onHosts: (hosts, from) => {
      allowed.learn(hosts);
      if (from === 'gateway') wait.accepted();
    },
    onRefused: (why) => wait.refused(why),
    ...gpus,
    openReplica: replicaOpener(),
    store: kernelStoreAt(store, new Seal(Buffer.from(keys.seal, 'hex'))),
  });
}

/** A host with keys of its own is the one that they were made for. @throws NbosError usage */
function hostId(given: string | undefined, keys: HostKeys): string {
  if (keys.host === '') {
    const id = (given ?? hostname()).replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 32);
    if (given === undefined || id === given) return id;
    throw new NbosError('usage', `--host: "${given}": use 1 to 32 letters, digits, _ and -`);
  }
  if (given === undefined || given === keys.host) return keys.host;
  throw new NbosError(
    'usage',
    `--host: the keys are those of ${keys.host}, not of ${given}`,
    `Leave --host out, or make keys for ${given}: nbos keys --hosts ${given}.`,
  );
}

/** @throws NbosError file-unwritable */
function workspaceOf(given: string | undefined): string {
  const workspace = resolve(given ?? process.cwd());
  try {
    mkdirSync(workspace, { recursive: true });
  } catch (error) {
    throw unwritable(workspace, error);
  }
  return workspace;
}

async function runtimesOf(
  given: Arguments,
  place: Joining,
  gpus: GpuAccess | undefined,
): Promise<RuntimeFactory> {
  const { id, data, keys, reach, workspace, log } = place;
  const docker = describedDocker(given, undefined);
  if (docker !== undefined) {
    checkWorkspace(docker, workspace, log);
    return containersOf({
      ...{ docker, workspace, log },
      host: id,
      folder: join(data, 'hosts', id),
      gateway: keys.gateway,
      gpus,
    });
  }
  if (!isLoopback(reach.listen) && !isSet(given, 'trust-network'))
    throw new NbosError(
      'bind-insecure',
      `${reach.listen} can be reached from elsewhere, and kernels that are plain processes may ` +
        'do all that this user may',
      'Add --docker, or --trust-network when all who use the system may be this user here.',
    );
  return processesOf({ workspace, python: textOf(given, 'python') ?? '' }, log);
}

/** @throws NbosError usage, gateway-unreachable when no way leads to the gateway */
async function reachOf(given: Arguments, gateway: Joining['gateway']): Promise<Reach> {
  const advertise = addressWithPort('advertise', textOf(given, 'advertise'));
  const listen = addressWithPort('listen', textOf(given, 'listen'));
  const own = advertise?.host ?? listen?.host;
  const isAny = own === undefined || own === '0.0.0.0';
  const address = isAny ? await addressTowards(gateway) : own;
  return {
    listen: listen?.host ?? address,
    port: listen?.port ?? advertise?.port ?? 0,
    advertise: address,
    advertisePort: advertise?.port ?? 0,
  };
}

function addressWithPort(
  option: string,
  text: string | undefined,
): { host: string; port: number } | undefined {
  if (text === undefined) return undefined;
  if (text.includes(':')) return addressOf(option, text);
  return { host: addressOf(option, `${text}:1`).host, port: 0 };
}

/** As ownAddress; names may be there only a moment after this machine has started. */
async function addressTowards(gateway: Joining['gateway']): Promise<string> {
  const late = performance.now() + NAME_MS;
  for (;;) {
    try {
      return await ownAddress(gateway);
    } catch (error) {
      if (performance.now() > late || interruption.signal.aborted) throw error;
      await sleep(NAME_AGAIN_MS);
    }
  }
}

/** The address of this machine on the way to another; nothing is sent. */
function ownAddress({ host, port }: Joining['gateway']): Promise<string> {
  const socket = createSocket('udp4');
  return new Promise<string>((done, reject) => {
    const fail = (error: Error): void =>
      reject(
        new NbosError(
          'gateway-unreachable',
          `--join: no way leads to ${host}: ${error.message}`,
          "Check the gateway's address and this machine's network, or give --advertise.",
        ),
      );
    socket.once('error', fail);
    // Called with the error of a name that is not found, whatever its type says.
    socket.connect(port, host, (error?: Error | null) => {
      if (error instanceof Error) fail(error);
      else done(socket.address().address);
    });
  }).finally(() => socket.close());
}

/** Waits for the gateway's first word, and tells a person what may be wrong while none comes. */
class Acceptance {
  readonly done: Promise<void>;
  readonly #tell: (text: string) => void;
  #timer: NodeJS.Timeout;
  #resolve: () => void = () => undefined;
  #why = '';

  constructor(given: Arguments, gateway: string, keysFile: string) {
    this.#tell = (text) => printNote(given, text);
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const text =
      `no answer from ${gateway} yet, trying on. Check that a gateway runs there with --listen, ` +
      `that its port is open to this machine, and that ${keysFile} comes from nbos keys of that ` +
      "gateway's data directory: with keys of another it does not answer";
    const remind = (): void => {
      this.#tell(text);
      this.#timer = setTimeout(remind, QUIET_AGAIN_MS);
    };
    this.#timer = setTimeout(remind, QUIET_MS);
  }

  accepted(): void {
    clearTimeout(this.#timer);
    this.#why = '';
    this.#resolve();
  }

  /** Once for each reason. */
  refused(why: string): void {
    if (why === this.#why) return;
    this.#why = why;
    this.#tell(
      `key-invalid: the gateway refuses this host: ${why}. If it is the keys, make them again where ` +
        'the gateway runs (nbos keys --hosts ID --renew) and bring them here; trying on',
    );
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
