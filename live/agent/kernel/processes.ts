import { BareKernel, KERNEL_LIMITS } from './bare-kernel.ts';
import { launchOf, prepareLaunch } from './launch.ts';
import { endLeftovers } from './leftovers.ts';
import { ProcessRuntime, type RuntimeHost } from './process-runtime.ts';
import type {
  KernelRuntime,
  PooledKernel,
  PooledOptions,
  RuntimeFactory,
  RuntimeOptions,
} from './runtime.ts';

/** Kernels as plain processes of this host. */
export class ProcessFactory implements RuntimeFactory {
  readonly #host: RuntimeHost;

  constructor(host: RuntimeHost) {
    this.#host = host;
    prepareLaunch(host);
  }

  make(options: RuntimeOptions, pooled?: PooledKernel): KernelRuntime {
    const fits = pooled instanceof PooledProcess && pooled.fits(options);
    if (pooled !== undefined && !fits) void pooled.stop();
    return new ProcessRuntime(options, this.#host, fits ? pooled.take() : undefined);
  }

  async startPooled(options: PooledOptions): Promise<PooledKernel> {
    const { limits, log } = this.#host;
    const { argv, hashSeed, directory, niced, language } = options;
    const kernel = new BareKernel({
      ...(await launchOf(this.#host, { argv, language, hashSeed, env: {}, cwd: '' })),
      directory,
      niced,
      python: language === 'python',
      limits: { ...KERNEL_LIMITS, ...limits },
      log,
    });
    await kernel.launch();
    return new PooledProcess(options, kernel);
  }

  endLeftovers(root: string): Promise<readonly number[]> {
    return endLeftovers(root);
  }
}

class PooledProcess implements PooledKernel {
  readonly pooled: string;
  onDeath: (exit: string) => void = () => {};
  readonly #options: PooledOptions;
  #kernel: BareKernel | undefined;

  constructor(options: PooledOptions, kernel: BareKernel) {
    this.pooled = options.pooled;
    this.#options = options;
    this.#kernel = kernel;
    kernel.handlers = { ...kernel.handlers, exit: (exit) => this.onDeath(exit) };
  }

  get pid(): number {
    return this.#kernel?.pid ?? 0;
  }

  /** Its command, and what a process cannot change after its start, are those of the kernel. */
  fits({ meta }: RuntimeOptions): boolean {
    const { argv, hashSeed, language } = this.#options;
    return (
      this.#kernel?.dead === '' &&
      meta.hashSeed === hashSeed &&
      meta.language === language &&
      JSON.stringify(meta.argv) === JSON.stringify(argv)
    );
  }

  take(): BareKernel | undefined {
    const kernel = this.#kernel;
    this.#kernel = undefined;
    return kernel;
  }

  async stop(): Promise<void> {
    this.onDeath = () => {};
    await this.take()?.kill();
  }
}
