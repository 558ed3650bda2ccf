import type { DecidedCell, KernelReport } from '../wire/messages.ts';
import { isFailure } from './cell-request.ts';
import type { LiveKernel } from './kernel.ts';

/** What can be told from the reports of one kernel's hosts. */

export interface Report {
  host: string;
  report: KernelReport;
}

export function reportsOf(byHost: ReadonlyMap<string, KernelReport>): Report[] {
  return Array.from(byHost, ([host, report]) => ({ host, report }));
}

export function latestOf(reports: readonly Report[]): KernelReport {
  return reports.reduce((a, b) => (b.report.applied > a.report.applied ? b : a)).report;
}

export function hasMajority(reports: readonly Report[]): boolean {
  const { members } = latestOf(reports);
  const told = members.filter(({ member, host }) =>
    reports.some((each) => each.host === host && each.report.member === member),
  );
  return told.length * 2 > members.length;
}

/** Cells behind this one must not run: it failed, and no gateway was there to see it. */
export function failedCell(
  { decided, open }: KernelReport,
  kernel: LiveKernel,
  replied: number | undefined,
): number {
  const stopped = ({ entry }: DecidedCell): boolean =>
    entry.type === 'abort' && entry.entry.reason === 'stop-on-error';
  const last = decided.findLast((each) => !stopped(each));
  const runs = open.some(({ attempt }) => attempt > 0);
  if (last === undefined || runs || last.goesOn === true) return Number.POSITIVE_INFINITY;
  const { cell, entry } = last;
  const fails = entry.type === 'end' ? isFailure(entry.reply.content) : entry.entry.attempt > 0;
  return isMissed(kernel, last, replied) && fails ? cell : Number.POSITIVE_INFINITY;
}

/** Whether its reply has not left yet, as far as can be told. */
export function isMissed(
  { seenBefore }: LiveKernel,
  { entry, at = 0 }: DecidedCell,
  replied: number | undefined,
): boolean {
  if (replied !== undefined) return at > replied;
  return entry.type === 'end' && entry.lastOutput > (seenBefore.get(entry.executor) ?? -1);
}

/** Replies up to this index of the log have left, as far as some host was told. */
export function repliedIn(reports: readonly Report[]): number | undefined {
  const told = reports.flatMap(({ report: { outputs } }) => outputs.replied ?? []);
  return told.length === 0 ? undefined : Math.max(...told);
}
