/**
 * A stateless 32-bit hash of four integers (xxHash32's round and avalanche constants). It stands in
 * for a random generator wherever a choice must depend only on what it is for: the same words give
 * the same number in every process and in whatever order they are asked.
 */
export function hash4(a: number, b: number, c: number, d: number): number {
  let h = 0x165667b1;
  h = round(h, a | 0);
  h = round(h, b | 0);
  h = round(h, c | 0);
  h = round(h, d | 0);
  h ^= h >>> 15;
  h = Math.imul(h, 0x85ebca77);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae3d);
  h ^= h >>> 16;
  return h >>> 0;
}

function round(h: number, word: number): number {
  const mixed = (h + Math.imul(word, 0xc2b2ae3d)) | 0;
  return Math.imul((mixed << 17) | (mixed >>> 15), 0x27d4eb2f);
}
