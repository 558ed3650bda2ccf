import { type ChildProcess, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { whyNoKernel } from '../commands/started.ts';
import { startEngines, type TestEngine, type TestEngines } from '../container/engines.ts';
import { System } from '../e2e/system.ts';

const LINK_PORT = 7400;

/** Why there can be no machines with networks of their own; '' when there can. */
export async function whyNoMachines(): Promise<string> {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const program of ['ip', 'nsenter'])
    if (spawnSync(program, ['-V']).error !== undefined) return `there is no ${program}`;
  return whyNoKernel();
}

/** A gateway on one machine and hosts on others, which have nothing in common but a network. */
export class Machines {
  readonly system: System;
  readonly hosts: readonly TestEngine[];
  readonly workspace: string;
  /** where nbos keys puts its files */
  readonly keys: string;
  /** everything that each agent has said, by its data directory */
  readonly said = new Map<string, string>();
  readonly #gateway: TestEngine;
  readonly #engines: TestEngines;

  private constructor(engines: TestEngines) {
    this.#engines = engines;
    this.#gateway = engines.all.at(-1)!;
    this.hosts = engines.all.slice(0, -1);
    this.workspace = join(engines.folder, 'workspace');
    this.keys = join(engines.folder, 'keys');
    this.system = System.on(join(engines.folder, 'gateway'));
    mkdirSync(this.workspace);
  }

  /** As many hosts, and the gateway's machine; nothing runs on them but engines, if wanted. */
  static async connect(hosts: number, engines = false): Promise<Machines> {
    return new Machines(await startEngines(hosts + 1, engines, engines));
  }

  get folder(): string {
    return this.#engines.folder;
  }

  /** what --join takes */
  get gatewayLink(): string {
    return `tcp://${this.#gateway.address}:${LINK_PORT}`;
  }

  /** Runs `nbos keys` for the gateway's data directory, or for another. */
  async makeKeys(hosts: string, words: readonly string[] = [], data = this.system.data) {
    const all = ['keys', '--data', data, '--hosts', hosts, '--out', this.keys, ...words];
    const { status, stderr } = await this.system.nbos(all);
    if (status !== 0) throw new Error(stderr);
  }

  startGateway(words: readonly string[] = []): Promise<ChildProcess> {
    const { address, prefix } = this.#gateway;
    const listen = ['--listen', `${address}:${LINK_PORT}`];
    const http = ['--host', address, '--port', '8888', '--behind-proxy'];
    const place = words.includes('--workspace') ? [] : ['--workspace', this.workspace];
    const all = ['gateway', ...listen, ...http, ...place, ...words];
    return this.system.start(all, prefix);
  }

  /** Starts the agent of a machine with a data directory of its own. */
  startAgent(at: TestEngine, keys: string, words: readonly string[] = [], name = keys) {
    const data = join(this.folder, `data-${name}`);
    const join_ = ['--join', this.gatewayLink, '--keys', join(this.keys, `${keys}.keys`)];
    const place = words.includes('--workspace') ? [] : ['--workspace', this.workspace];
    const own = ['--data', data, ...place, '--trust-network', ...words];
    const child = this.system.spawn(['agent', ...join_, ...own], at.prefix);
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (text: Buffer) => {
        this.said.set(name, (this.said.get(name) ?? '') + text.toString());
      });
    return child;
  }

  /** Resolves when exactly these hosts are up. */
  untilUp(...ids: string[]): Promise<true> {
    return this.system.until(`${ids.join(', ')} are up`, async () => {
      const { hosts } = await this.system.status();
      const up = hosts.filter((host) => host.up).map(({ id }) => id);
      return up.sort().join() === ids.join();
    }) as Promise<true>;
  }

  /** Resolves when an agent has said this. */
  untilSaid(name: string, text: RegExp, limitMs = 20_000): Promise<true> {
    const ask = async (): Promise<boolean> => text.test(this.said.get(name) ?? '');
    return this.system.until(`${name} says ${text}`, ask, limitMs) as Promise<true>;
  }

  /** Links that the gateway has refused so far. */
  async refused(): Promise<number> {
    const text = await (await this.system.fetch('/metrics')).text();
    return Number(/^nbos_links_refused_total (\d+)$/m.exec(text)?.[1]);
  }

  /** Ends and removes everything; what was left behind, in words. */
  async stop(): Promise<string[]> {
    const left = await this.system.stop();
    return [...left.map((pid) => `process ${pid}`), ...this.#engines.stop()];
  }
}
