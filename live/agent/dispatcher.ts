import type { Logger } from 'pino';
import { NbosError } from '../../core/errors.ts';
import { type Head, jupyterOf } from '../wire/codec.ts';
import type { AgentFault, GatewayNotice, GatewayRequest, HostAddress } from '../wire/messages.ts';
import { type Answer, answerError, answerOk } from '../wire/requests.ts';
import type { LinkFaults } from './link-faults.ts';
import type { Processes } from './pool.ts';
import { asNbosError, type Replicas } from './replicas.ts';
import { seesMark } from './workspace-sight.ts';

export interface DispatcherOf {
  replicas: Replicas;
  processes: Processes;
  faults: LinkFaults;
  log: Logger;
  answer(answer: Answer): void;
  setHosts(hosts: readonly HostAddress[]): void;
  /** folder that kernels work in; undefined where it is not known */
  workspace: string | undefined;
  /** The disk takes no more writes; or it does again. */
  setFull(full: boolean): void;
}

type RequestKind = GatewayRequest['t'];
type RequestOf<Kind extends RequestKind> = Extract<GatewayRequest, { t: Kind }>;

const MOST_FAULT_MS = 600_000;

/** What the gateway says to this agent: each request is answered exactly once. */
export class Dispatcher {
  readonly #of: DispatcherOf;
  #fullTimer: NodeJS.Timeout | undefined;

  readonly #requests: {
    [Kind in RequestKind]: (request: RequestOf<Kind>) => Promise<unknown> | unknown;
  } = {
    'start-replica': (request) => this.#of.replicas.start(request),
    'stop-replica': ({ kernel, member, closed }) =>
      this.#of.replicas.stop(kernel, member, closed === true),
    'rest-replica': ({ kernel, member }) => this.#of.replicas.rest(kernel, member),
    'save-replica': ({ kernel, member }) => this.#of.replicas.get(kernel, member).save(),
    propose: ({ kernel, entries }) => this.#of.replicas.get(kernel).propose(entries),
    'change-members': ({ kernel, add, remove }) =>
      this.#of.replicas.get(kernel).changeMembers(add, remove),
    'recover-replica': ({ kernel, member, as }) =>
      this.#of.replicas.recoverFrom(kernel, member, as),
    'restore-replica': (request) => this.#of.replicas.restore(request),
    'stored-kernel': ({ kernel }) => this.#of.replicas.stored(kernel),
    interrupt: ({ kernel, member }) => this.#of.replicas.get(kernel, member).interrupt(),
    // Answered at once: `pooled-ready` or `pooled-failed` follows.
    'start-pooled': ({ pooled, spec, argv }) => {
      void this.#of.processes.start(pooled, spec, argv);
    },
    'stop-pooled': ({ pooled }) => this.#of.processes.stop(pooled),
    'resend-outputs': ({ kernel, from }) => this.#of.replicas.get(kernel).resendOutputs(from),
    'see-workspace': ({ mark }) => seesMark(this.#of.workspace, mark),
    report: () => this.#of.replicas.reports(),
    fault: ({ fault }) => this.#fault(fault),
  };

  constructor(of: DispatcherOf) {
    this.#of = of;
  }

  /** Throws on a notice with wrong fields, which the link counts; a request is answered instead. */
  take(head: Head, frames: readonly Buffer[]): void {
    const { rq } = head;
    if (rq === undefined) {
      this.#notice(head as unknown as GatewayNotice, frames);
      return;
    }
    void this.#request(rq, head as unknown as GatewayRequest);
  }

  close(): void {
    clearTimeout(this.#fullTimer);
  }

  async #request(rq: number, request: GatewayRequest): Promise<void> {
    const { answer, log } = this.#of;
    try {
      const handle = Object.hasOwn(this.#requests, request.t)
        ? this.#requests[request.t]
        : undefined;
      if (handle === undefined)
        throw new NbosError('request-invalid', `agents do not answer '${request.t}'`);
      answer(answerOk(rq, await handle(request as never)));
    } catch (error) {
      // A refusal is an answer; anything else is a fault of ours and worth a line.
      if (!(error instanceof NbosError))
        log.error({ err: error, kind: request.t }, 'request failed');
      answer(answerError(rq, asNbosError(error)));
    }
  }

  #notice(notice: GatewayNotice, frames: readonly Buffer[]): void {
    const { replicas } = this.#of;
    switch (notice.t) {
      case 'hosts':
        this.#of.setHosts(notice.hosts);
        return;
      case 'to-kernel': {
        const message = jupyterOf(frames);
        const replica = replicas.find(notice.kernel);
        if (message !== undefined && replica?.member === notice.member)
          replica.toKernel(notice.channel, message);
        return;
      }
      case 'outputs-seen':
        replicas.outputsSeen(notice.kernel, notice.upTo, notice.replied);
        return;
      case 'gateway-beat':
        return;
      default:
        throw new NbosError('request-invalid', 'a request without a number');
    }
  }

  #fault(fault: AgentFault): void {
    const { replicas, faults, log } = this.#of;
    log.warn({ fault }, 'a fault was asked for');
    switch (fault.kind) {
      case 'disconnect':
        // The answer leaves first.
        setTimeout(() => faults.cut(boundedMs(fault.forMs)), 20);
        return;
      case 'slow':
        faults.slow(boundedMs(fault.delayMs), boundedMs(fault.forMs));
        return;
      case 'disk-full':
        this.#diskFull(boundedMs(fault.forMs));
        return;
      default:
        replicas.get(fault.kernel).fault(fault);
    }
  }

  #diskFull(forMs: number): void {
    const { setFull, replicas, log } = this.#of;
    setFull(true);
    clearTimeout(this.#fullTimer);
    this.#fullTimer = setTimeout(() => {
      setFull(false);
      replicas
        .restartStopped()
        .catch((error) => log.error({ err: error }, 'replicas did not come back'));
    }, forMs);
  }
}

function boundedMs(given: number): number {
  return Math.min(Math.max(0, Number(given) || 0), MOST_FAULT_MS);
}
