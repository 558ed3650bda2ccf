import type { DecidedCell, KernelReport, StoredKernel } from '../wire/messages.ts';
import { isFailure } from './cell-request.ts';
import { LiveKernel } from './kernel.ts';

/** What can be told from the reports of one kernel's hosts. */

/** Numbers that a gateway before this one may have given out in entries that are on their way. */
const NUMBERS_APART = 1_000;
/** More than any gateway gives out: each begins beyond all before it, committed or not. */
const NUMBERS_A_MS = 16;

/** Less than a visit takes, which begins a log on a disk. */
const VISIT_MS = 10;

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

/**
 * Whether a kernel without a process of its own was begun there later than what is known of it: its
 * hosts could not be told, and reported first. Numbers in a log that begins anew are higher.
 */
export function isSuccessor(kernel: LiveKernel, { member, applied }: KernelReport): boolean {
  const { visits, moving, members, appliedIndex, heardIndex } = kernel;
  const isAway = [...members.values()].some(({ container }) => container !== -1);
  if (!visits || moving || isAway || members.has(member)) return false;
  return applied > Math.max(appliedIndex, heardIndex);
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

/** As its log told of it last: nothing else is known of it. */
export function kernelOf(best: StoredKernel): LiveKernel {
  const kernel = new LiveKernel(best.meta);
  kernel.created = true;
  const highest = Math.max(0, ...(best.members ?? []).map(({ member }) => member));
  // Numbers of members that were removed are not known: time alone says which were never used.
  const seconds = Math.floor((Date.now() - best.meta.createdAt) / 1000);
  // The clock may have been set back, but numbers in the log grow with the time of its gateways.
  const { nextCell, nextAttempt, epoch } = best;
  const logged = Math.ceil(Math.max(nextCell, nextAttempt, epoch) / NUMBERS_A_MS / 1000);
  // One without a process of its own has another member after each cell that runs elsewhere.
  const visits = Math.ceil((Date.now() - best.meta.createdAt) / VISIT_MS);
  const passed = kernel.visits ? visits : seconds;
  kernel.nextMember = Math.max(highest, best.meta.replicas + Math.max(passed, logged)) + 1;
  // An entry of the gateway before may be committed yet, and must not be taken for one of ours.
  const own = Math.max(0, Math.floor(Date.now() - best.meta.createdAt)) * NUMBERS_A_MS;
  kernel.nextCell = Math.max(own, best.nextCell + NUMBERS_APART);
  kernel.nextAttempt = Math.max(own, best.nextAttempt + NUMBERS_APART);
  kernel.epoch = Math.max(own, best.epoch + NUMBERS_APART);
  kernel.count = best.count;
  kernel.executor = best.executor;
  kernel.executed = best.count;
  kernel.resetAt = best.resetAt ?? 0;
  kernel.appliedIndex = best.applied;
  kernel.unreplicated = best.unreplicated ?? [];
  kernel.pinned = best.pinned ?? [];
  kernel.stateBytes = best.stateBytes ?? 0;
  kernel.lastActivityMs = Date.now();
  return kernel;
}
