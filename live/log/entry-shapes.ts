import type { AbortReason, Delta, KernelMeta, LogEntry, LogEntryType } from './entries.ts';
import {
  areAll,
  type Fields,
  hasShape,
  isCount,
  isDuration,
  isObject,
  isText,
  optional,
} from './shapes.ts';

type Shape = Readonly<Record<string, (field: unknown) => boolean>>;

const REASONS: Readonly<Record<AbortReason, true>> = {
  'executor-died': true,
  'host-lost': true,
  fenced: true,
  interrupted: true,
  'stop-on-error': true,
  'kernel-restarted': true,
  'kernel-closed': true,
  rejected: true,
  drained: true,
};

const NEED: Shape = {
  cpuMillis: isCount,
  memoryMb: isCount,
  gpuMillis: isCount,
  vramMb: isCount,
};

const BLOB: Shape = {
  hash: (hash) => isText(hash) && /^[0-9a-f]{64}$/.test(hash),
  bytes: isCount,
  mac: (mac) => isText(mac) && /^[0-9a-f]*$/.test(mac),
  inline: optional(isText),
};
const isBlob = (blob: unknown): boolean => hasShape(blob, BLOB);

const UNIT: Shape = {
  id: isText,
  version: isCount,
  kind: isText,
  names: (names) => areAll(names, isText),
  skeleton: isBlob,
  buffers: (buffers) => areAll(buffers, isBlob),
};

const UNREPLICATED: Shape = { name: isText, reason: isText };

const DELTA: Shape = {
  units: (units) => areAll(units, (unit) => hasShape(unit, UNIT)),
  dropped: (dropped) => areAll(dropped, isText),
  unreplicated: (names) => areAll(names, (each) => hasShape(each, UNREPLICATED)),
  pinned: (pinned) => areAll(pinned, isText),
  stateBytes: isCount,
};

const META: Shape = {
  kernel: isText,
  spec: isText,
  language: isText,
  argv: (argv) => areAll(argv, isText),
  userId: isText,
  path: isText,
  name: isText,
  sessionType: isText,
  jupyterSession: isText,
  env: (env) => isObject(env) && Object.values(env).every(isText),
  cwd: isText,
  need: (need) => hasShape(need, NEED),
  gpuType: isText,
  replicas: isCount,
  hashSeed: isCount,
  stateKey: isText,
  createdAt: isDuration,
  session: isCount,
  visits: optional((visits) => visits === true),
};

const TIMINGS: Shape = {
  prepareMs: isDuration,
  runMs: isDuration,
  captureMs: isDuration,
  saveMs: isDuration,
};

const CELL: Shape = { cell: isCount, attempt: isCount, epoch: isCount };

const SHAPES: Readonly<Record<LogEntryType, Shape>> = {
  create: { meta: isMeta },
  submit: {
    cell: isCount,
    session: isText,
    msgId: isText,
    userId: isText,
    submittedAt: isDuration,
    need: (need) => hasShape(need, NEED),
    header: isText,
    metadata: isText,
    content: isText,
    buffers: (buffers) => areAll(buffers, isText),
  },
  start: {
    ...CELL,
    attempt: isFromOne,
    executor: isFromOne,
    count: isCount,
    devices: (devices) => areAll(devices, isCount),
    firstOutput: optional(isCount),
  },
  yield: CELL,
  state: { epoch: isCount, executor: optional(isCount), n: optional(isCount), delta: isDelta },
  end: {
    ...CELL,
    reply: (reply) => hasShape(reply, { content: isText, metadata: isText }),
    lastOutput: (last) => Number.isSafeInteger(last) && (last as number) >= -1,
    n: optional(isCount),
    delta: isDelta,
    timings: (timings) => hasShape(timings, TIMINGS),
  },
  abort: {
    ...CELL,
    reason: (reason) => isText(reason) && Object.hasOwn(REASONS, reason),
    message: isText,
  },
  saved: { index: isCount, generation: optional(isCount) },
  reset: { epoch: isCount },
  annotate: {
    path: optional(isText),
    name: optional(isText),
    sessionType: optional(isText),
    jupyterSession: optional(isText),
  },
};

function isFromOne(value: unknown): boolean {
  return isCount(value) && value > 0;
}

export function isMeta(value: unknown): value is KernelMeta {
  return hasShape(value, META);
}

export function isDelta(value: unknown): value is Delta {
  return hasShape(value, DELTA);
}

/** Whether a value has the shape of an entry; its format version is the caller's affair. */
export function isEntry(value: unknown): value is LogEntry {
  return firstMistake(value) === '';
}

/** Name of the first field that is missing or wrong, '' when all are right. */
export function firstMistake(value: unknown): string {
  if (!isObject(value)) return 'entry';
  const type = value['type'];
  if (!isText(type) || !Object.hasOwn(SHAPES, type)) return 'type';
  return wrongField(value, SHAPES[type as LogEntryType]);
}

function wrongField(value: Fields, shape: Shape): string {
  for (const name in shape) if (!shape[name]!(value[name])) return name;
  return '';
}
