/** Draws 0 ≤ x < 1 from a seed of `NBOS_SEED`, else of the clock; failures print the seed. */
export function seeded(): { seed: number; next: () => number } {
  const seed = Number(process.env['NBOS_SEED'] ?? Date.now() % 1_000_000);
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
  return { seed, next };
}

export function randomBytesOf(next: () => number, most: number): Buffer {
  return Buffer.from(Array.from({ length: Math.floor(next() * most) }, () => next() * 256));
}
