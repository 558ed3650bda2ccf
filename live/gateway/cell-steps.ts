import type { SubmitEntry } from '../log/entries.ts';
import type { AppliedEntry } from '../wire/messages.ts';
import type { CoreLoop } from './core-loop.ts';
import type { Cell } from './kernel.ts';

/** Ids in a bit set of devices. */
export function devicesOf(bits: number): number[] {
  const devices: number[] = [];
  for (let device = 0; device < 31; device++)
    if ((bits & (1 << device)) !== 0) devices.push(device);
  return devices;
}

/** Parts of the time since `execute`, which add up to it. */
export function stepsOf(
  cell: Cell,
  { timings }: Extract<AppliedEntry, { type: 'end' }>,
  now: number,
) {
  let left = Math.max(0, now - cell.executedAt);
  const take = (ms: number): number => {
    const taken = Math.max(0, Math.min(left, Math.round(ms)));
    left -= taken;
    return taken;
  };
  const electionMs = take(cell.startedAt - cell.executedAt);
  const stateReadMs = take(timings.prepareMs);
  const runMs = take(timings.runMs - timings.captureMs);
  const stateCommitMs = left;
  return { stateReadMs, electionMs, deviceLoadMs: 0, runMs, deviceUnloadMs: 0, stateCommitMs };
}

/** On core's clock, and never in its future, whatever the clock of the day did since. */
export function submittedAtOf(loop: CoreLoop, { submittedAt }: SubmitEntry): number {
  return Math.min(loop.now(), submittedAt - loop.epochMs);
}
