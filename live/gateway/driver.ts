import type { Logger } from 'pino';
import type { Effect, StartContainer, StopContainer } from '../../core/effects.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel } from './kernel.ts';
import type { Agents } from './links.ts';
import type { Outcomes } from './outcomes.ts';
import type { Replicas } from './replicas.ts';

export interface DriverOptions {
  loop: CoreLoop;
  hosts: Hosts;
  links: Agents;
  replicas: Replicas;
  outcomes: Outcomes;
  kernelOf: (session: number) => LiveKernel | undefined;
  pooledName: (container: number) => string;
  /** argv of the process that pools hold */
  pooledSpec: () => { spec: string; argv: readonly string[] };
  log: Logger;
  startMs: number;
}

/** Has core's effects performed by those whose business they are, in order. */
export class Driver {
  readonly #options: DriverOptions;
  /** kernel of each container, also after core has closed its session */
  readonly #kernels = new Map<number, LiveKernel>();

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  /** A container that was there before core was. */
  adopted(container: number, kernel: LiveKernel): void {
    this.#kernels.set(container, kernel);
  }

  perform(effects: readonly Effect[]): void {
    const { loop, hosts, outcomes } = this.#options;
    const started = new Set<number>();
    for (const effect of effects) {
      switch (effect.kind) {
        case 'execute':
          outcomes.execute(effect);
          break;
        case 'abort':
          outcomes.aborted(effect);
          break;
        case 'reply':
          outcomes.replied(effect);
          break;
        case 'start-container':
          if (effect.session === -1) this.#startPooled(effect);
          else if (!started.has(effect.session)) {
            started.add(effect.session);
            this.#start(effect.session, effects);
          }
          break;
        case 'stop-container':
          this.#stop(effect);
          break;
        case 'join-replica': {
          const kernel = this.#options.kernelOf(effect.session);
          if (kernel !== undefined) this.#options.replicas.join(kernel, effect);
          break;
        }
        case 'set-timer':
          loop.setTimer(effect.timer, effect.key, effect.at);
          break;
        case 'provision-host':
          hosts.wanted(effect.host);
          break;
        case 'release-host':
          hosts.released(effect.host);
          break;
        default: // rates, suspensions and checkpoints are not asked for by policies that run here
      }
    }
  }

  /** All containers of the session that this step starts: the first replicas know of each other. */
  #start(session: number, effects: readonly Effect[]): void {
    const kernel = this.#options.kernelOf(session);
    const own = effects.filter(
      (effect): effect is StartContainer =>
        effect.kind === 'start-container' && effect.session === session,
    );
    if (kernel === undefined || kernel.closing) {
      for (const { container } of own)
        this.#options.loop.post({ kind: 'container-failed', container });
      return;
    }
    for (const { container } of own) this.#kernels.set(container, kernel);
    // Effects are the books' own: copies outlive the step.
    this.#options.replicas.start(
      kernel,
      own.map((effect) => ({ ...effect })),
    );
  }

  #startPooled({ container, host }: StartContainer): void {
    const { hosts, links, loop, log, startMs } = this.#options;
    const id = hosts.byNumber(host)?.id ?? '';
    const pooled = this.#options.pooledName(container);
    const request = { t: 'start-pooled' as const, pooled, ...this.#options.pooledSpec() };
    links.request(id, request, startMs).catch((error) => {
      log.warn({ err: error, host: id }, 'no pooled process');
      loop.post({ kind: 'container-failed', container });
    });
  }

  #stop(effect: StopContainer): void {
    const { hosts, links, replicas, log } = this.#options;
    const kernel = this.#kernels.get(effect.container);
    if (kernel !== undefined) {
      this.#kernels.delete(effect.container);
      replicas.stop(kernel, effect);
      return;
    }
    const id = hosts.byNumber(effect.host)?.id ?? '';
    const pooled = this.#options.pooledName(effect.container);
    links
      .request(id, { t: 'stop-pooled', pooled })
      .catch((error) => log.warn({ err: error, host: id }, 'pooled process not stopped'));
  }
}
