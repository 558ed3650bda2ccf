/** The four dimensions of every book: integers, so that sums are exact. */
export interface ResourceVector {
  /** thousandths of a CPU core */
  cpuMillis: number;
  /** host memory, MB */
  memoryMb: number;
  /** thousandths of a GPU; below 1,000 a share of one device, above it whole devices only */
  gpuMillis: number;
  /** GPU memory, MB */
  vramMb: number;
}

export function vector(
  cpuMillis: number,
  memoryMb: number,
  gpuMillis: number,
  vramMb: number,
): ResourceVector {
  return { cpuMillis, memoryMb, gpuMillis, vramMb };
}

export const ZERO: Readonly<ResourceVector> = Object.freeze(vector(0, 0, 0, 0));

export function copyVector(v: Readonly<ResourceVector>): ResourceVector {
  return vector(v.cpuMillis, v.memoryMb, v.gpuMillis, v.vramMb);
}

/** Adds `v` to `into`, in place. */
export function addInto(into: ResourceVector, v: Readonly<ResourceVector>): void {
  into.cpuMillis += v.cpuMillis;
  into.memoryMb += v.memoryMb;
  into.gpuMillis += v.gpuMillis;
  into.vramMb += v.vramMb;
}

/** Takes `v` off `from`, in place. The caller has checked that it fits. */
export function subtractFrom(from: ResourceVector, v: Readonly<ResourceVector>): void {
  from.cpuMillis -= v.cpuMillis;
  from.memoryMb -= v.memoryMb;
  from.gpuMillis -= v.gpuMillis;
  from.vramMb -= v.vramMb;
}

/** Whether `need` is at most `have` in every dimension. */
export function fitsIn(need: Readonly<ResourceVector>, have: Readonly<ResourceVector>): boolean {
  return (
    need.gpuMillis <= have.gpuMillis &&
    need.cpuMillis <= have.cpuMillis &&
    need.memoryMb <= have.memoryMb &&
    need.vramMb <= have.vramMb
  );
}

/** The smallest vector that both `a` and `b` fit in. */
export function maxOf(a: Readonly<ResourceVector>, b: Readonly<ResourceVector>): ResourceVector {
  return vector(
    Math.max(a.cpuMillis, b.cpuMillis),
    Math.max(a.memoryMb, b.memoryMb),
    Math.max(a.gpuMillis, b.gpuMillis),
    Math.max(a.vramMb, b.vramMb),
  );
}

export function equalVectors(a: Readonly<ResourceVector>, b: Readonly<ResourceVector>): boolean {
  return (
    a.gpuMillis === b.gpuMillis &&
    a.cpuMillis === b.cpuMillis &&
    a.memoryMb === b.memoryMb &&
    a.vramMb === b.vramMb
  );
}

export function isNonNegative(v: Readonly<ResourceVector>): boolean {
  return v.cpuMillis >= 0 && v.memoryMb >= 0 && v.gpuMillis >= 0 && v.vramMb >= 0;
}

/**
 * The vector of a request that names only its GPUs: 4,000 mCPU and 16,000 MB of memory per GPU (at
 * least one GPU's worth), 16,000 MB of VRAM per GPU.
 */
export function vectorForGpus(gpuMillis: number): ResourceVector {
  const share = Math.max(1000, gpuMillis);
  return vector(4 * share, 16 * share, gpuMillis, 16 * gpuMillis);
}
