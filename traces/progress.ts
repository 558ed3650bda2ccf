import { formatDuration } from './duration.ts';
import { shortNumber } from './text-table.ts';

const FIRST_AFTER_MS = 1_000;
const REDRAW_MS = 100;
const BAR_WIDTH = 24;

export interface ProgressOptions {
  /** what is counted: `cells`, `MB`, `runs` */
  readonly unit: string;
  /** one `unit` in the numbers given to `update`, such as 1e6 for bytes shown as MB */
  readonly scale?: number;
  readonly quiet?: boolean;
  readonly stream?: NodeJS.WriteStream;
  /** ms from any origin; for tests */
  readonly now?: () => number;
}

export interface Progress {
  /** `total` 0 or less: not known yet */
  readonly update: (done: number, total: number) => void;
  /** Clears the line. */
  readonly end: () => void;
}

/**
 * A bar with share, rate and time left on one line of stderr. It appears after a second, only on a
 * terminal, and is gone at the end, so that it never mixes with output.
 */
export function startProgress(label: string, options: ProgressOptions): Progress {
  const stream = options.stream ?? process.stderr;
  const now = options.now ?? (() => performance.now());
  if (options.quiet === true || stream.isTTY !== true) return SILENT;
  const scale = options.scale ?? 1;
  const started = now();
  let drawnAt = started + FIRST_AFTER_MS - REDRAW_MS;
  let drawn = false;
  return {
    update(done, total) {
      const at = now();
      if (at - drawnAt < REDRAW_MS) return;
      drawnAt = at;
      drawn = true;
      const rate = done / Math.max(1, at - started);
      stream.write(
        `\r\u001b[K${progressLine(label, done / scale, total / scale, rate / scale, options.unit)}`,
      );
    },
    end() {
      if (drawn) stream.write('\r\u001b[K');
    },
  };
}

/** The text of one line; `rate` is per ms. */
export function progressLine(
  label: string,
  done: number,
  total: number,
  rate: number,
  unit: string,
): string {
  const speed = `${shortNumber(Math.round(rate * 1_000))} ${unit}/s`;
  if (total <= 0) return `${label}  ${shortNumber(Math.round(done))} ${unit}  ${speed}`;
  const share = Math.min(1, done / total);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = `${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}`;
  const left = rate > 0 ? `${formatDuration(Math.max(0, total - done) / rate)} left` : '';
  return `${label} [${bar}] ${Math.floor(share * 100)} %  ${speed}  ${left}`.trimEnd();
}

const SILENT: Progress = { update: () => undefined, end: () => undefined };
