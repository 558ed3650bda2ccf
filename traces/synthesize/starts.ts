import type { SessionSizes } from './counts.ts';
import type { Uniform } from './draws.ts';
import type { CellTimes } from './fit.ts';

/** Both files begin on Tuesday, 1 June 2021; minute 0 of a synthetic trace is a Tuesday too. */
const FIRST_WEEKEND_DAY = 4;
const DAY_MIN = 1440;
const CANDIDATES = 4;

export interface StartRoom {
  /** earliest minute of a first submission */
  readonly earliestMin: number;
  /** minute by which the last reply is due */
  readonly spanMin: number;
  /** how strongly weekdays are preferred; brings the weekday effect of the files */
  readonly weekdayPreference: number;
  /** how strongly either end of the trace is preferred; 1 is the arcsine law, 0.5 nearly even */
  readonly edgePreference: number;
}

/**
 * The minute of each session's first submission, where the session fits: of a few candidate places,
 * one is drawn with odds that fall with the share of the session's cells on weekends.
 */
export function drawStarts(
  times: CellTimes,
  sizes: SessionSizes,
  lives: Float64Array,
  room: StartRoom,
  uniform: Uniform,
): Float64Array {
  const starts = new Float64Array(lives.length);
  for (let s = 0; s < lives.length; s++) {
    const slack = Math.max(0, room.spanMin - room.earliestMin - lives[s]!);
    let chosen = 0;
    let total = 0;
    for (let k = 0; k < CANDIDATES; k++) {
      const place = placeInSlack(uniform(), room.edgePreference);
      const start = room.earliestMin + Math.floor(place * (slack + 1));
      const odds = Math.exp(-room.weekdayPreference * weekendShare(times, sizes, s, start));
      total += odds;
      if (uniform() * total < odds) chosen = start;
    }
    starts[s] = chosen;
  }
  return starts;
}

/**
 * Turns a uniform number into a place, 0 … 1, that is the more often near either end the larger
 * `preference`. Recording cuts the sessions that are open when it begins or ends, so many touch an
 * edge; spread evenly, sessions would leave the first and last days of the trace half empty.
 */
function placeInSlack(u: number, preference: number): number {
  const low = Math.sin((Math.PI / 2) * u) ** (2 * preference);
  const high = Math.cos((Math.PI / 2) * u) ** (2 * preference);
  return Math.min(low / (low + high), 1 - Number.EPSILON);
}

function weekendShare(times: CellTimes, sizes: SessionSizes, s: number, start: number): number {
  let minute = start;
  let weekend = 0;
  for (let c = sizes.firstCell[s]!; c < sizes.firstCell[s + 1]!; c++) {
    if (isWeekend(minute)) weekend++;
    minute += times.duration[c]! + times.think[c]!;
  }
  return weekend / sizes.cells[s]!;
}

/** Whether a minute of the trace falls on a Saturday or Sunday. */
export function isWeekend(minute: number): boolean {
  const day = Math.floor(minute / DAY_MIN) % 7;
  return day === FIRST_WEEKEND_DAY || day === FIRST_WEEKEND_DAY + 1;
}
