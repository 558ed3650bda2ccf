import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import Docker from 'dockerode';
import { PROJECT_ROOT } from '../../skip.ts';
import {
  claim,
  endContainers,
  folderOf,
  killAll,
  nameOf,
  pidsIn,
  plugOf,
  remainsOf,
  removeAll,
  sweepRemains,
  unmountBelow,
} from './engine-remains.ts';

/** The data root of an engine that has the image of kernels. */
const READY = join(PROJECT_ROOT, '.cache', 'kernel-engine');
const START_MS = 30_000;
const PROGRAMS = ['dockerd', 'containerd', 'ip', 'nsenter'];
const SEARCH = ['/usr/sbin', '/usr/bin', '/sbin', '/usr/local/sbin', '/usr/local/bin'];

/** Why no Docker Engines can be started here; '' when they can. */
export const missingEngines = whyNone();

function whyNone(): string {
  if (process.getuid?.() !== 0) return 'Docker Engines of the tests need root';
  const absent = PROGRAMS.find((name) => !SEARCH.some((path) => existsSync(join(path, name))));
  if (absent !== undefined) return `there is no ${absent} (Debian: docker.io, iproute2)`;
  return existsSync(join(READY, 'complete'))
    ? ''
    : '.cache/kernel-engine is not there (.ci/engine)';
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/**
 * One machine of the tests: a Docker Engine with a data root, an address and a network of its own.
 */
export class TestEngine {
  /** as `--docker` takes it */
  readonly engine: string;
  /** at which the other machines reach it */
  readonly address: string;
  readonly docker: Docker;
  readonly #mark: string;
  readonly #name: string;
  readonly #home: string;
  /** of the engine itself, 0 before its first start */
  pid = 0;

  constructor(mark: string, name: string, address: string) {
    this.#mark = mark;
    this.#name = name;
    this.#home = join(folderOf(mark), name);
    this.address = address;
    const socketPath = join(this.#home, 'sock');
    this.engine = `unix://${socketPath}`;
    this.docker = new Docker({ socketPath });
  }

  get #namespace(): string {
    return nameOf(this.#mark, this.#name);
  }

  /** The words before a command that is to run on this machine. */
  get prefix(): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.#namespace}`];
  }

  /** Plugs the machine into the network of all. */
  connect(): void {
    const [space, hub, plug] = [this.#namespace, nameOf(this.#mark, 'hub'), this.#name];
    ip('netns', 'add', space);
    ip('-n', hub, 'link', 'add', plug, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
    ip('-n', hub, 'link', 'set', plug, 'master', 'bridge', 'up');
    ip('-n', space, 'address', 'add', `${this.address}/24`, 'dev', 'eth0');
    ip('-n', space, 'link', 'set', 'eth0', 'up');
    ip('-n', space, 'link', 'set', 'lo', 'up');
  }

  /** Starts the engine, for the first time or after `kill`. */
  async start(): Promise<void> {
    mkdirSync(this.#home, { recursive: true });
    const at = (file: string): string => join(this.#home, file);
    const log = openSync(at('log'), 'a');
    const [program, ...words] = [
      ...this.prefix,
      'dockerd',
      '--storage-driver=overlay2',
      `--data-root=${at('data')}`,
      `--exec-root=${at('exec')}`,
      `--pidfile=${at('pid')}`,
      `--host=${this.engine}`,
      `--cgroup-parent=/${this.#namespace}`,
      '--bridge=none',
      '--iptables=false',
      '--ip-forward=false',
    ];
    const child = spawn(program!, words, { stdio: ['ignore', log, log] });
    closeSync(log);
    child.on('error', () => undefined);
    this.pid = child.pid ?? 0;
    const end = Date.now() + START_MS;
    while (!(await this.docker.ping().catch(() => undefined))) {
      if (child.exitCode !== null || Date.now() > end)
        throw new Error(`the engine does not start: ${tail(at('log'))}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * Gives the engine the image of kernels before its first start. An engine never writes into the
   * layers of an image, so that those are shared with the others as links where they can be.
   */
  takeImage(): void {
    const [from, to] = [join(READY, 'data'), join(this.#home, 'data')];
    mkdirSync(to, { recursive: true });
    const linked = spawnSync('cp', ['-al', join(from, 'overlay2'), to]);
    for (const part of readdirSync(from))
      if (part !== 'overlay2' || linked.status !== 0)
        execFileSync('cp', ['-a', join(from, part), to]);
  }

  /** Nothing reaches the machine any more, and it reaches nobody. */
  linkDown(): void {
    ip('-n', nameOf(this.#mark, 'hub'), 'link', 'set', this.#name, 'down');
  }

  linkUp(): void {
    ip('-n', nameOf(this.#mark, 'hub'), 'link', 'set', this.#name, 'up');
  }

  /** The machine loses power: its engine, its containers and all else that runs on it. */
  kill(): void {
    killAll(pidsIn(this.#namespace));
    endContainers(this.#mark, this.#name);
    unmountBelow(this.#home);
    // As /run is empty when a machine comes up again.
    execFileSync('rm', ['-rf', join(this.#home, 'exec'), join(this.#home, 'pid')]);
  }
}

/** Several machines with Docker Engines on one network, which this machine is on as well. */
export interface TestEngines {
  readonly all: readonly TestEngine[];
  /** this machine's address among them */
  readonly address: string;
  /** for files of the test, removed with the rest */
  readonly folder: string;
  /** Ends and removes everything; what could not be, in words. */
  stop(): string[];
}

/**
 * Starts engines, each with the image of kernels unless `image` says no. With `engines` false the
 * machines are there and no engine is started.
 */
export async function startEngines(
  count: number,
  image = true,
  engines = true,
): Promise<TestEngines> {
  sweepRemains();
  const mark = randomBytes(2).toString('hex');
  const folder = folderOf(mark);
  mkdirSync(folder, { mode: 0o755 });
  claim(mark);
  const onExit = (): void => removeAll(mark);
  process.once('exit', onExit);
  const network = freeNetwork();
  const all = Array.from(
    { length: count },
    (_, at) => new TestEngine(mark, `h${at + 1}`, `${network}.${11 + at}`),
  );
  const stop = (): string[] => {
    removeAll(mark);
    process.off('exit', onExit);
    return remainsOf(mark);
  };
  try {
    connectHub(mark, `${network}.1`);
    for (const each of all) each.connect();
    if (image) for (const each of all) each.takeImage();
    if (engines) await Promise.all(all.map((each) => each.start()));
  } catch (error) {
    stop();
    throw error;
  }
  mkdirSync(join(folder, 'files'));
  return { all, address: `${network}.1`, folder: join(folder, 'files'), stop };
}

/**
 * The switch that all machines hang on. It has a namespace of its own: an engine in this one may
 * have told the kernel to drop what bridges forward.
 */
function connectHub(mark: string, address: string): void {
  const hub = nameOf(mark, 'hub');
  const plug = plugOf(mark);
  ip('netns', 'add', hub);
  ip('-n', hub, 'link', 'add', 'bridge', 'type', 'bridge');
  ip('-n', hub, 'link', 'set', 'bridge', 'up');
  ip('link', 'add', plug, 'type', 'veth', 'peer', 'name', 'root', 'netns', hub);
  ip('-n', hub, 'link', 'set', 'root', 'master', 'bridge', 'up');
  ip('address', 'add', `${address}/24`, 'dev', plug);
  ip('link', 'set', plug, 'up');
}

/** The first three numbers of addresses that nothing here uses. */
function freeNetwork(): string {
  const routes = execFileSync('ip', ['route'], { encoding: 'utf8' });
  for (;;) {
    const [third] = randomBytes(1);
    const network = `10.213.${third}`;
    if (!routes.includes(`${network}.`)) return network;
  }
}

function tail(file: string): string {
  return spawnSync('tail', ['-n', '5', file], { encoding: 'utf8' }).stdout;
}
