import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { NbosError } from '../../../core/errors.ts';
import type { KnownHosts, Provisioner } from './provisioner.ts';

export interface HostCommandOptions {
  /** absolute path of a program of the user: run as PATH up HOST, PATH down HOST */
  path: string;
  hosts: KnownHosts;
  log: Logger;
  /** where the user's settings for it come from */
  outer: NodeJS.ProcessEnv;
  /** ms that one run may take */
  runMs: number;
}

const LOOK_MS = 50;
/** between being asked to end and being ended */
const END_MS = 2_000;
const MOST_LINES = 200;
const LINE_LENGTH = 500;
/** What the command inherits: nothing that opens this system, and the user's settings for it. */
const INHERITED = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'XDG_RUNTIME_DIR'],
  ...['SSH_AUTH_SOCK', 'DOCKER_HOST'],
];
const OWN_PREFIX = 'NBOS_PROVISION_';

/**
 * A program of the user that starts and ends machines, and has an agent on them join. No shell
 * reads its arguments. A run that fails or takes too long is ended with all that it started.
 */
export class HostCommand implements Provisioner {
  readonly #options: HostCommandOptions;
  /** hosts that a run brings up right now */
  readonly #coming = new Set<string>();

  /** @throws NbosError file-not-found */
  constructor(options: HostCommandOptions) {
    this.#options = options;
    try {
      accessSync(options.path, constants.X_OK);
    } catch {
      throw new NbosError(
        'file-not-found',
        `--provision-command: ${options.path} is no program that may be run`,
        'Name an executable file; it is run as PATH up HOST and PATH down HOST.',
      );
    }
  }

  async enable(signal: AbortSignal): Promise<{ host: string }> {
    const { hosts } = this.#options;
    const host = hosts.silent().find((id) => !this.#coming.has(id));
    if (host === undefined)
      throw new NbosError(
        'provision-failed',
        `no host is left to be brought up: ${hosts.described()}`,
        'Allow more with --hosts, or enable one with nbos hosts enable HOST.',
      );
    this.#coming.add(host);
    try {
      await this.#run('up', host, signal);
      await this.#heard(host, signal);
      return { host };
    } finally {
      this.#coming.delete(host);
    }
  }

  /** Waits for the hello of its agent; a machine that stays silent is given back. */
  async #heard(host: string, signal: AbortSignal): Promise<void> {
    const { hosts, log, path } = this.#options;
    while (!hosts.isHeard(host)) {
      if (signal.aborted) {
        const isClosing = signal.reason === 'closing';
        const down = AbortSignal.timeout(this.#options.runMs);
        if (!isClosing)
          await this.#run('down', host, down).catch((error) =>
            log.warn({ err: error, host }, 'a host that stayed silent was not given back'),
          );
        throw new NbosError(
          'provision-failed',
          `${path} up ${host} has ended well, and no agent of ${host} has joined in time`,
          'It must start: nbos agent --host HOST, with keys of this system.',
        );
      }
      await sleep(LOOK_MS);
    }
  }

  async disable(host: string, signal: AbortSignal): Promise<void> {
    await this.#run('down', host, signal);
  }

  async #run(word: 'up' | 'down', host: string, signal: AbortSignal): Promise<void> {
    const { path, outer, runMs, log } = this.#options;
    const what = `${path} ${word} ${host}`;
    // A group of its own, so that it can be ended with all that it started.
    const child = spawn(path, [word, host], {
      env: allowed(outer),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr])
      report(stream, (line) => log.info({ host, word }, line));
    const stop = AbortSignal.any([signal, AbortSignal.timeout(runMs)]);
    const how = await endOf(child, stop);
    if (how === 'exit 0') return;
    const late = how === 'late' ? `has not ended within its time, and was ended` : `ended: ${how}`;
    throw new NbosError('provision-failed', `${what} ${late}`, 'Its output is in the log.');
  }
}

function allowed(outer: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isAllowed = (name: string) => INHERITED.includes(name) || name.startsWith(OWN_PREFIX);
  return Object.fromEntries(Object.entries(outer).filter(([name]) => isAllowed(name)));
}

/** Tells the first lines. What it leaves behind may go on to write, and must not fail for it. */
function report(stream: Readable & { unref?: () => void }, tell: (line: string) => void): void {
  let lines = 0;
  createInterface({ input: stream }).on('line', (line) => {
    if (++lines <= MOST_LINES) tell(line.slice(0, LINE_LENGTH));
  });
  stream.on('error', () => undefined);
  stream.unref?.();
}

/** 'exit 0', how else it ended, or 'late' when it had to be ended. */
async function endOf(child: ChildProcess, stop: AbortSignal): Promise<string> {
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
  });
  const stopped = new Promise<'late'>((resolve) => {
    if (stop.aborted) resolve('late');
    else stop.addEventListener('abort', () => resolve('late'), { once: true });
  });
  const how = await Promise.race([ended, stopped]);
  if (how !== 'late') return how;
  signalGroup(child, 'SIGTERM');
  await Promise.race([ended, sleep(END_MS)]);
  signalGroup(child, 'SIGKILL');
  return how;
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}
