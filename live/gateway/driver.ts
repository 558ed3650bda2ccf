import type { Effect, StartContainer, StopContainer } from '../../core/effects.ts';
import type { CoreLoop } from './core-loop.ts';
import type { LiveKernel } from './kernel.ts';
import type { Outcomes } from './outcomes.ts';
import type { Pools } from './pools.ts';
import type { Provisioning } from './provision/provisioning.ts';
import type { Replicas } from './replicas.ts';
import type { Visits } from './visits.ts';

export interface DriverOptions {
  loop: CoreLoop;
  provisioning: Provisioning;
  replicas: Replicas;
  outcomes: Outcomes;
  kernelOf: (session: number) => LiveKernel | undefined;
  pools: Pools;
  /** where containers are for cells, not for kernels */
  visits: Visits | undefined;
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
    const { loop, provisioning, outcomes, visits } = this.#options;
    const started = new Set<number>();
    for (const effect of effects) {
      switch (effect.kind) {
        case 'execute':
          (visits ?? outcomes).execute(effect);
          break;
        case 'abort':
          outcomes.aborted(effect);
          break;
        case 'reply':
          outcomes.replied(effect);
          break;
        case 'start-container':
          if (effect.session === -1) this.#options.pools.start(effect);
          else if (visits !== undefined) visits.start(effect);
          else if (!started.has(effect.session)) {
            started.add(effect.session);
            this.#start(effect.session, effects);
          }
          break;
        case 'stop-container':
          if (visits === undefined) this.#stop(effect);
          else visits.stop(effect);
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
          provisioning.wanted(effect.host);
          break;
        case 'release-host':
          provisioning.released(effect.host);
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

  #stop(effect: StopContainer): void {
    const kernel = this.#kernels.get(effect.container);
    if (kernel === undefined) {
      this.#options.pools.stop(effect);
      return;
    }
    this.#kernels.delete(effect.container);
    this.#options.replicas.stop(kernel, effect);
  }
}
