/**
 * The quantile of ascending values at p in 0 … 1, linear between order statistics: definition 7 of
 * Hyndman and Fan (1996), as in R, NumPy and spreadsheets. NaN for no values.
 */
export function quantileSorted(sorted: Float64Array, p: number): number {
  const last = sorted.length - 1;
  if (last < 0) return Number.NaN;
  const position = Math.min(1, Math.max(0, p)) * last;
  const below = Math.floor(position);
  const low = sorted[below]!;
  if (below === last) return low;
  const high = sorted[below + 1]!;
  // Without this, equal neighbours could come back changed in their last bit.
  return low === high ? low : low + (high - low) * (position - below);
}

/** The values in ascending order, in a new array. */
export function sortedCopy(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** Arithmetic mean; NaN for no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}
