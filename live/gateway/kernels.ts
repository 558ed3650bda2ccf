import { randomBytes, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { couldEverFit } from '../../core/admission.ts';
import { NbosError } from '../../core/errors.ts';
import type { KernelMeta } from '../log/entries.ts';
import { needOfGpus } from './cell-request.ts';
import type { Cells } from './cells.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Delivery } from './delivery.ts';
import { kernelFolder } from './folders.ts';
import { LiveKernel } from './kernel.ts';
import type {
  Attachment,
  CreateKernel,
  KernelClient,
  KernelModel,
  KernelService,
  KernelSpecs,
  SessionFields,
  User,
} from './kernel-service.ts';
import type { KernelTable } from './kernel-table.ts';
import { lacksHosts, late, tooFewHosts, tooLarge } from './not-started.ts';
import type { Outcomes } from './outcomes.ts';
import { POOLED_HASH_SEED } from './pools.ts';
import type { Proposals } from './proposals.ts';
import { restartVisiting } from './restart-visiting.ts';
import type { Router } from './router.ts';
import { outputsOfCell } from './shown-again.ts';
import type { Visits } from './visits.ts';

export interface KernelsOptions {
  loop: CoreLoop;
  table: KernelTable;
  cells: Cells;
  outcomes: Outcomes;
  delivery: Delivery;
  proposals: Proposals;
  router: Router;
  /** where kernels have a process for their cells only */
  visits: Visits | undefined;
  isUp: (host: string) => boolean;
  log: Logger;
  specs: () => Promise<KernelSpecs>;
  /** resolves when kernels of a gateway before this one are known */
  recovered: Promise<void>;
  isDraining: () => boolean;
  /** where kernels start whose client names no folder */
  workspace: string;
  /** GPUs that a kernel subscribes to when nothing says how many */
  defaultGpus: number;
  replicas: number;
  /** processes of the default kernelspec are started ahead */
  isPooled: boolean;
  /** ms until a kernel must answer */
  startMs: number;
  /** ms for which a new kernel waits for hosts where none are started for it */
  hostsMs: number;
  kernelsPerUser: number;
  /** a kernel's numbers and names, for the record */
  onNamed: (kernel: LiveKernel) => void;
}

/** Where a kernel goes on elsewhere with what can be carried. */
const FORGETS =
  'NotebookOS: state of this language is not carried between cells, and this policy ends the ' +
  'process after each.\n';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface Waiter {
  resolve: () => void;
  reject: (error: NbosError) => void;
}

/** The kernels that clients see; what the Jupyter API asks for. */
export class Kernels implements KernelService {
  readonly #options: KernelsOptions;
  readonly #waiters = new Map<LiveKernel, Set<Waiter>>();

  constructor(options: KernelsOptions) {
    this.#options = options;
  }

  specs(): Promise<KernelSpecs> {
    return this.#options.specs();
  }

  async create(request: CreateKernel): Promise<KernelModel> {
    await this.#options.recovered;
    const { table, loop, log } = this.#options;
    if (this.#options.isDraining())
      throw new NbosError('request-refused', 'the gateway is shutting down and takes no kernels');
    const { env, path } = request;
    const { workspace } = this.#options;
    const { cwd, notice } = await kernelFolder(env['KERNEL_WORKING_DIR'] ?? '', path, workspace);
    const meta = await this.#metaOf(request, cwd);
    const kernel = new LiveKernel(meta);
    const isCarried = !kernel.visits || meta.language === 'python';
    kernel.notice = isCarried ? notice : `${notice}${FORGETS}`;
    table.add(kernel);
    this.#options.onNamed(kernel);
    const { session } = kernel;
    const { need, gpuType, replicas } = meta;
    const started = kernel.visits ? Promise.resolve() : this.#whenReady(kernel);
    loop.post({ kind: 'session-opened', session, need, gpuType, replicas });
    try {
      const { state } = loop.core;
      const isPlaced = state.sessions[session]?.kernel === 'placed';
      if (!(kernel.visits ? couldEverFit(state, need, gpuType) : isPlaced)) throw tooLarge(meta);
      await this.#unlessHostsLack(kernel, started);
      // There is nothing to start before its first cell.
      if (kernel.visits) this.ready(kernel);
    } catch (error) {
      log.warn({ err: error, kernel: kernel.id }, 'a kernel did not start');
      this.#settle(kernel, error as NbosError);
      started.catch(() => undefined);
      await this.remove(kernel.id);
      throw error;
    }
    return this.#model(kernel);
  }

  /** As `started`, but without hosts nobody waits for all the time that a start may take. */
  async #unlessHostsLack(kernel: LiveKernel, started: Promise<void>): Promise<void> {
    const { loop, hostsMs } = this.#options;
    const timer = setTimeout(() => {
      if (lacksHosts(loop, kernel)) this.#settle(kernel, tooFewHosts(loop, kernel));
    }, hostsMs);
    await started.finally(() => clearTimeout(timer));
  }

  async #metaOf(request: CreateKernel, cwd: string): Promise<KernelMeta> {
    const { table, replicas, defaultGpus, visits } = this.#options;
    const { user, env } = request;
    const { specs, default: usual } = await this.#options.specs();
    const name = request.spec === '' ? usual : request.spec;
    const found = specs[name];
    if (found === undefined) {
      throw new NbosError(
        'spec-unknown',
        `no kernelspec is called "${name}"`,
        `Installed are: ${Object.keys(specs).join(', ')}.`,
      );
    }
    this.#checkQuota(user);
    const { argv, env: ownEnv, language, metadata } = found.spec;
    const nbos = (metadata as { nbos?: { gpus?: unknown; gpuType?: unknown } } | undefined)?.nbos;
    const gpus = gpusOf(env['KERNEL_GPUS'] ?? nbos?.gpus, defaultGpus);
    const wished = env['KERNEL_ID'] ?? '';
    const isKnown = table.get(wished) !== undefined || table.wasRemoved(wished);
    const isFree = UUID.test(wished) && !isKnown;
    return {
      kernel: isFree ? wished : randomUUID(),
      spec: name,
      language: typeof language === 'string' ? language : '',
      argv: Array.isArray(argv) ? (argv as string[]) : [],
      userId: user.id,
      path: request.path,
      name: request.name,
      sessionType: request.type,
      jupyterSession: request.id,
      env: { ...(ownEnv as Record<string, string> | undefined), ...env },
      cwd,
      need: needOfGpus(gpus),
      gpuType: typeof nbos?.gpuType === 'string' ? nbos.gpuType : '',
      // State of other languages cannot be carried.
      replicas: language === 'python' && visits === undefined ? replicas : 1,
      hashSeed:
        this.#options.isPooled && name === usual ? POOLED_HASH_SEED : randomBytes(4).readUInt32LE(),
      stateKey: randomBytes(32).toString('hex'),
      createdAt: Date.now(),
      session: table.newSession(),
      ...(visits === undefined ? {} : { visits: true as const }),
    };
  }

  #checkQuota(user: User): void {
    const { kernelsPerUser } = this.#options;
    const own = this.#of(user).filter(({ meta }) => meta.userId === user.id).length;
    if (own < kernelsPerUser) return;
    throw new NbosError(
      'quota',
      `${user.id} has ${own} kernels, as many as allowed`,
      'Shut one down first.',
    );
  }

  #of(user: User): LiveKernel[] {
    return [...this.#options.table].filter(
      ({ meta, closing }) => !closing && (user.admin || meta.userId === user.id),
    );
  }

  list(user: User): KernelModel[] {
    return this.#of(user).map((kernel) => this.#model(kernel));
  }

  get(id: string, user: User): KernelModel | undefined {
    const kernel = this.#options.table.get(id);
    if (kernel === undefined || kernel.closing) return undefined;
    if (!user.admin && kernel.meta.userId !== user.id) return undefined;
    return this.#model(kernel);
  }

  #model(kernel: LiveKernel): KernelModel {
    const { id, meta, state, links, lastActivityMs } = kernel;
    const busy = state === 'busy' ? Date.now() : lastActivityMs;
    return {
      id,
      name: meta.spec,
      last_activity: `${new Date(busy).toISOString().slice(0, -1)}000Z`,
      execution_state: state,
      connections: links.size,
    };
  }

  #known(id: string): LiveKernel {
    const kernel = this.#options.table.get(id);
    if (kernel !== undefined && !kernel.closing) return kernel;
    throw new NbosError('kernel-unknown', `kernel does not exist: ${id}`);
  }

  async remove(id: string): Promise<void> {
    const { table, outcomes, delivery, loop, visits } = this.#options;
    const kernel = table.get(id);
    if (kernel === undefined || kernel.closing) return;
    outcomes.close(kernel);
    kernel.closing = true;
    delivery.status(kernel, 'dead');
    this.#settle(kernel, new NbosError('kernel-failed', `kernel ${id} was shut down`));
    loop.post({ kind: 'session-closed', session: kernel.session });
    visits?.closed(kernel);
    table.delete(kernel);
  }

  async interrupt(id: string): Promise<void> {
    const kernel = this.#known(id);
    if (!this.interruptWaiting(kernel) && kernel.running !== undefined)
      this.#options.outcomes.interrupt(kernel, kernel.running);
  }

  /** True when it concerned cells that wait; those that run are their process's business. */
  interruptWaiting(kernel: LiveKernel): boolean {
    return this.#options.cells.interruptWaiting(kernel);
  }

  async restart(id: string): Promise<KernelModel> {
    const kernel = this.#known(id);
    const { proposals, delivery } = this.#options;
    if (kernel.visits) {
      await restartVisiting(this.#options, kernel);
      return this.#model(kernel);
    }
    if (this.#isGivenUp(kernel)) {
      // There is no log to say it in, and nothing of it is to come back any more.
      Object.assign(kernel, { beginsEmpty: true, count: 0, lastFailure: '' });
      return this.#model(kernel);
    }
    kernel.restarting = true;
    kernel.resetDue = true;
    delivery.status(kernel, 'restarting');
    const ready = this.#whenReady(kernel);
    const entry = { v: 1, type: 'reset', epoch: ++kernel.epoch } as const;
    try {
      // The first of two: a refusal, or a replica that is ready after it.
      await Promise.race([proposals.commit(kernel, entry).then(() => ready), ready]);
    } finally {
      kernel.restarting = false;
      ready.catch(() => undefined);
    }
    return this.#model(kernel);
  }

  /** Its hosts are lost and the store was asked in vain: it begins anew with its next cell. */
  #isGivenUp({ restoring, session }: LiveKernel): boolean {
    return restoring && this.#options.loop.core.state.sessions[session]?.kernel !== 'placed';
  }

  async annotate(id: string, fields: SessionFields): Promise<void> {
    const kernel = this.#known(id);
    const { path, name, type: sessionType, id: jupyterSession } = fields;
    kernel.meta = { ...kernel.meta, path, name, sessionType, jupyterSession };
    this.#options.onNamed(kernel);
    const entry = { v: 1, type: 'annotate', path, name, sessionType, jupyterSession } as const;
    const said = this.#options.proposals.commit(kernel, entry);
    // Its log is told with its next cell, and whoever begins that has the new names.
    if (kernel.visits && !kernel.hasLog(this.#options.isUp)) said.catch(() => undefined);
    else await said;
  }

  sessionOf(id: string): SessionFields {
    const { path, name, sessionType: type, jupyterSession } = this.#known(id).meta;
    return { path, name, type, id: jupyterSession };
  }

  attach(id: string, client: KernelClient): Attachment {
    const kernel = this.#known(id);
    const { delivery, router } = this.#options;
    const link = delivery.attach(kernel, client);
    return {
      receive: (channel, message) => {
        if (link.open && !kernel.closing) router.receive(kernel, link, channel, message);
      },
      detach: () => delivery.detach(kernel, link),
    };
  }

  outputsOf(id: string, msgId: string): readonly unknown[] | undefined {
    const kernel = this.#known(id);
    const cell = [...kernel.known.values()].find(({ submit }) => submit.msgId === msgId);
    if (cell === undefined) return undefined;
    return outputsOfCell(kernel, cell);
  }

  /** A replica can be used. */
  ready(kernel: LiveKernel): void {
    const first = !kernel.everReady;
    kernel.everReady = true;
    if (kernel.restarting && kernel.resetDue) return;
    const restarted = kernel.restarting;
    kernel.restarting = false;
    if (first || restarted) this.#options.delivery.status(kernel, kernel.state);
    this.#settle(kernel);
  }

  /** Nobody waits for a kernel any more: the gateway ends. */
  close(): void {
    for (const kernel of [...this.#waiters.keys()])
      this.#settle(kernel, new NbosError('request-refused', 'the gateway was shut down'));
  }

  /** A replica did not start: as many failures as replicas, and none that runs, are the end. */
  failed(kernel: LiveKernel): void {
    kernel.failedStarts++;
    if (kernel.everReady || kernel.failedStarts < kernel.meta.replicas) return;
    this.#settle(kernel, new NbosError('kernel-failed', kernel.lastFailure));
  }

  /** Resolves with the next replica that gets ready. */
  #whenReady(kernel: LiveKernel): Promise<void> {
    const { startMs } = this.#options;
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(kernel) ?? new Set();
      this.#waiters.set(kernel, waiters);
      const timer = setTimeout(() => waiter.reject(late(kernel, startMs)), startMs);
      const end = (): void => {
        clearTimeout(timer);
        waiters.delete(waiter);
      };
      const waiter: Waiter = {
        resolve: () => {
          end();
          resolve();
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      waiters.add(waiter);
    });
  }

  #settle(kernel: LiveKernel, error?: NbosError): void {
    for (const waiter of [...(this.#waiters.get(kernel) ?? [])]) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
    this.#waiters.delete(kernel);
  }
}

function gpusOf(asked: unknown, usual: number): number {
  if (asked === undefined || asked === '') return usual;
  const gpus = Number(asked);
  if (Number.isFinite(gpus) && gpus >= 0 && gpus <= 1024) return gpus;
  throw new NbosError(
    'request-invalid',
    `KERNEL_GPUS or the kernelspec's nbos.gpus is "${String(asked).slice(0, 40)}"`,
    'Give a number of GPUs, such as 0, 0.5 or 2.',
  );
}
