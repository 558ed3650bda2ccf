import { NbosError } from '../../core/errors.ts';
import type { SessionSizes } from './counts.ts';
import type { Uniform } from './draws.ts';

/** Whole minutes of each cell's run and of the think time after it (0 after a session's last). */
export interface CellTimes {
  readonly duration: Uint32Array;
  readonly think: Uint32Array;
}

const TRIES = 48;

/** Minutes from first submission to last reply of each session. */
export function livesOf(times: CellTimes, sizes: SessionSizes): Float64Array {
  const lives = new Float64Array(sizes.cells.length);
  for (let s = 0; s < lives.length; s++) {
    let life = 0;
    for (let c = sizes.firstCell[s]!; c < sizes.firstCell[s + 1]!; c++) {
      life += times.duration[c]! + times.think[c]!;
    }
    lives[s] = life;
  }
  return lives;
}

/**
 * Makes every session fit its limit without changing any marginal: a session that is too long swaps
 * its longest run or think time for a shorter one of a session of about the same size with room.
 *
 * @returns the lives, minutes. @throws NbosError trace-unreachable when no swap helps
 */
export function fitLives(
  times: CellTimes,
  sizes: SessionSizes,
  limits: Float64Array,
  uniform: Uniform,
): Float64Array {
  const lives = livesOf(times, sizes);
  const n = lives.length;
  // Swaps keep the total, so no order of swaps helps where that is too much.
  const largest = n - 1;
  if (sumOf(lives) > sumOf(limits)) refuse(sizes.cells[largest]!, limits[largest]!);
  for (let s = n - 1; s >= 0; s--) {
    // Neighbours by size keep the dependence on size; wider circles only when they are full.
    for (let reach = Math.max(8, n >> 5); lives[s]! > limits[s]!; reach *= 4) {
      shorten(s, reach, times, sizes, lives, limits, uniform);
      if (reach > n && lives[s]! > limits[s]!) refuse(sizes.cells[s]!, limits[s]!);
    }
  }
  return lives;
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function shorten(
  s: number,
  reach: number,
  times: CellTimes,
  sizes: SessionSizes,
  lives: Float64Array,
  limits: Float64Array,
  uniform: Uniform,
): void {
  const from = sizes.firstCell[s]!;
  const cells = sizes.cells[s]!;
  for (const item of longestFirst(times, from, cells)) {
    if (lives[s]! <= limits[s]!) return;
    const column = item < cells ? times.duration : times.think;
    const at = from + (item < cells ? item : item - cells);
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const other = s + Math.round((2 * uniform() - 1) * reach);
      if (other < 0 || other >= lives.length || other === s) continue;
      // The last think slot of a session is no think time.
      const slots = sizes.cells[other]! - (item < cells ? 0 : 1);
      const theirs = sizes.firstCell[other]! + Math.floor(uniform() * slots);
      const gain = column[at]! - column[theirs]!;
      if (slots === 0 || gain <= 0 || lives[other]! + gain > limits[other]!) continue;
      const kept = column[at]!;
      column[at] = column[theirs]!;
      column[theirs] = kept;
      lives[s]! -= gain;
      lives[other]! += gain;
      break;
    }
  }
}

/** Durations (0 … cells − 1) and think times (cells … 2 cells − 2) of a session, longest first. */
function longestFirst(times: CellTimes, from: number, cells: number): Uint32Array {
  const items = Uint32Array.from({ length: 2 * cells - 1 }, (_, i) => i);
  const value = (i: number): number =>
    i < cells ? times.duration[from + i]! : times.think[from + i - cells]!;
  return items.sort((a, b) => value(b) - value(a) || a - b);
}

function refuse(cells: number, limit: number): never {
  throw new NbosError(
    'trace-unreachable',
    `a session of ${cells} cells does not fit into ${Math.floor(limit / 60)} hours`,
    'Ask for more hours, fewer cells per session, or a smaller gap factor.',
  );
}
