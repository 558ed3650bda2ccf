import { BareKernel, KERNEL_LIMITS } from './bare-kernel.ts';
import type { LaunchHost } from './launch.ts';
import { localPlace } from './local-place.ts';
import { ProcessRuntime, type RuntimeHost } from './process-runtime.ts';
import type { PooledKernel, PooledOptions, RuntimeFactory, RuntimeOptions } from './runtime.ts';

/** Makes kernels in a place, and keeps those that were started ahead apart. */
export class KernelFactory implements RuntimeFactory {
  readonly #host: RuntimeHost;

  constructor(host: RuntimeHost) {
    this.#host = host;
  }

  make(options: RuntimeOptions, pooled?: PooledKernel): ProcessRuntime {
    const fits = pooled instanceof PooledProcess && pooled.fits(options);
    if (pooled !== undefined && !fits) void pooled.stop();
    return new ProcessRuntime(options, this.#host, fits ? pooled.take() : undefined);
  }

  async startPooled(options: PooledOptions): Promise<PooledKernel> {
    const { place, limits, log } = this.#host;
    const { argv, hashSeed, directory, niced, language } = options;
    const kernel = new BareKernel({
      place,
      ...(await place.launch({ argv, language, hashSeed, env: {}, cwd: '' })),
      directory,
      niced,
      pooled: true,
      python: language === 'python',
      limits: { ...KERNEL_LIMITS, ...limits },
      log,
    });
    await kernel.launch();
    if (place.pausesPooled) kernel.process?.pause();
    return new PooledProcess(options, kernel);
  }

  endLeftovers(root: string): Promise<readonly number[]> {
    return this.#host.place.endLeftovers(root);
  }
}

/** Kernels as plain processes of this host. */
export class ProcessFactory extends KernelFactory {
  constructor(host: LaunchHost & Omit<RuntimeHost, 'place'>) {
    super({ ...host, place: localPlace(host) });
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
    kernel.handlers = { ...kernel.handlers, exit: (exit) => this.#ended(exit) };
  }

  get pid(): number {
    return this.#kernel?.pid ?? 0;
  }

  #ended(exit: string): void {
    this.onDeath(exit);
    void this.#kernel?.kill();
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
    kernel?.process?.resume();
    return kernel;
  }

  async stop(): Promise<void> {
    this.onDeath = () => {};
    const kernel = this.#kernel;
    this.#kernel = undefined;
    await kernel?.kill();
  }
}
