import {
  type Config,
  type HostType,
  OPTIONS,
  type OptionName,
  type PartialConfig,
} from './options.ts';

/** Per-GPU share of the default host (64,000 mCPU, 488,000 MB, 128,000 MB VRAM at 8 GPUs). */
const CPU_MILLIS_PER_GPU = 8_000;
const MEMORY_MB_PER_GPU = 61_000;
const VRAM_MB_PER_GPU = 16_000;
const DEFAULT_HOST_GPUS = 8;

/** Layers configurations over the defaults; later layers win. */
export function resolveConfig(...layers: readonly PartialConfig[]): Config {
  const config: Record<string, unknown> = {};
  for (const key of Object.keys(OPTIONS) as OptionName[]) config[key] = OPTIONS[key].default;
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer)) {
      if (value !== undefined) config[key] = value;
    }
  }
  // A copy, because V8 keeps an object that grew key by key as a slow hash table.
  return { ...config } as unknown as Config;
}

/** The host types of a configuration, with the default one made explicit. */
export function hostTypesOf(config: Config): readonly HostType[] {
  if (config.hostTypes.length > 0) return config.hostTypes;
  const gpus = config.gpusPerHost;
  const share = Math.max(1, gpus);
  return [
    {
      name: 'default',
      gpus,
      cpuMillis: CPU_MILLIS_PER_GPU * share,
      memoryMb: MEMORY_MB_PER_GPU * share,
      vramMb: VRAM_MB_PER_GPU * gpus,
      gpuType: '',
      speed: 1,
      maxHosts: config.hosts,
      pricePerHour: (config.hostPricePerHour * gpus) / DEFAULT_HOST_GPUS,
    },
  ];
}

export interface HostBounds {
  readonly min: number;
  readonly initial: number;
  readonly max: number;
}

/**
 * How many hosts there may be: min and initial (min + buffer) are lowered to the maximum, which is
 * `hosts` or, if fewer, what all host types allow together.
 */
export function hostBoundsOf(config: Config): HostBounds {
  const allowed = hostTypesOf(config).reduce((sum, type) => sum + type.maxHosts, 0);
  const max = Math.min(config.hosts, allowed);
  if (config.fixed) return { min: max, initial: max, max };
  const min = Math.min(config.minHosts, max);
  return { min, initial: Math.min(min + config.bufferHosts, max), max };
}
