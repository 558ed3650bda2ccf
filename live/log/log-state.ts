import { NbosError } from '../../core/errors.ts';
import type { DecidedCell } from '../wire/messages.ts';
import type { KernelMeta, StartEntry, SubmitEntry, Unit, Unreplicated } from './entries.ts';
import { isDelta, isEntry, isMeta } from './entry-shapes.ts';
import { areAll, isCount, isObject, isText } from './shapes.ts';

/** The format of a kernel's state in snapshots that this build writes, and the newest it reads. */
export const STATE_FORMAT = 1;

/** A KernelLog as plain data; see there for the meaning of the fields. */
export interface KernelLogState {
  v: number;
  applied: number;
  meta: KernelMeta | null;
  epoch: number;
  executor: number;
  count: number;
  nextCell: number;
  nextAttempt: number;
  lastOutput: number;
  saved: number;
  changedAt: number;
  resets: number;
  /** 0 where it is not said */
  resetAt?: number;
  generation?: number;
  stateSeq: number;
  open: readonly { submit: SubmitEntry; start: StartEntry | null }[];
  decided: readonly DecidedCell[];
  requests: readonly (readonly [string, number])[];
  units: readonly Unit[];
  unreplicated: readonly Unreplicated[];
  pinned: readonly string[];
  stateBytes: number;
}

const COUNTS = [
  'applied',
  'epoch',
  'executor',
  'count',
  'nextCell',
  'nextAttempt',
  'saved',
  'changedAt',
];

/** Checks what a snapshot holds. Throws `format-version` or `log-corrupt`. */
export function readState(value: unknown): KernelLogState {
  if (!isObject(value)) throw corrupt('it is no object');
  const v = value['v'];
  if (typeof v === 'number' && v > STATE_FORMAT)
    throw new NbosError(
      'format-version',
      `the state of a kernel has format version ${v}; this build reads up to ${STATE_FORMAT}`,
      'Start the newer version again, or upgrade this one.',
    );
  if (v !== STATE_FORMAT) throw corrupt('it has no format version');
  for (const name of COUNTS) if (!isCount(value[name])) throw corrupt(`${name} is no count`);
  for (const name of ['resets', 'stateBytes'])
    if (!isCount(value[name])) throw corrupt(`${name} is no count`);
  for (const name of ['resetAt', 'generation'])
    if (!isCount(value[name] ?? 0)) throw corrupt(`${name} is no count`);
  for (const name of ['lastOutput', 'stateSeq'])
    if (!Number.isSafeInteger(value[name])) throw corrupt(`${name} is no integer`);
  const { meta, open, decided, requests, units, unreplicated, pinned, stateBytes } = value;
  if (meta !== null && !isMeta(meta)) throw corrupt('meta is not what describes a kernel');
  if (!areAll(open, isOpen)) throw corrupt('an open cell is damaged');
  if (!areAll(decided, isDecided)) throw corrupt('a decided cell is damaged');
  if (!areAll(requests, isRequest)) throw corrupt('a remembered request is damaged');
  if (!isDelta({ units, dropped: [], unreplicated, pinned, stateBytes }))
    throw corrupt('the table of units is damaged');
  return value as unknown as KernelLogState;
}

function isOpen(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { submit, start } = value;
  if (!isEntry(submit) || submit.type !== 'submit') return false;
  return start === null || (isEntry(start) && start.type === 'start');
}

function isDecided(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { cell, session, msgId, header, count, entry } = value;
  if (!isCount(cell) || !isText(session) || !isText(msgId) || !isText(header)) return false;
  return isCount(count) && isObject(entry) && /^(end|abort)$/.test(String(entry['type']));
}

function isRequest(value: unknown): boolean {
  return Array.isArray(value) && isText(value[0]) && isCount(value[1]);
}

function corrupt(why: string): NbosError {
  return new NbosError(
    'log-corrupt',
    `the state of a kernel in a snapshot cannot be read: ${why}`,
    "Remove this host's copy of the kernel: another member holds it too.",
  );
}
