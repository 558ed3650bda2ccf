/** One measured number of a bench. */
export interface BenchResult {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** the least (or, with `less`, the most) that the project promises, in `unit` */
  readonly target?: number;
  /** what the peer of the same run reached, in `unit` */
  readonly peer?: number;
  /** whether smaller is better */
  readonly less?: boolean;
  /** what a reader must know to judge the number */
  readonly note?: string;
}

/** What each `*.bench.ts` exports; it prints nothing but its progress, to standard error. */
export interface Bench {
  /** results, or why the bench is left out on this machine */
  run(): Promise<BenchResult[] | string>;
}

/** The middle value; of an even number of values the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
