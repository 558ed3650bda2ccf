import { NbosError } from '../../core/errors.ts';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../build.ts';
import { readBytes } from '../input-file.ts';
import { streamJsonArray } from '../json-stream.ts';
import { readTable } from '../table.ts';
import { badMember, MS_PER_S, noteIgnored, parseDateTime, rowGpuMillis, rowMs } from './fields.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';

const COLUMNS = ['timestamp', 'duration', 'num_gpus', 'cluster'] as const;
const IGNORED = ['gpu_time'] as const;
const ID_DIGITS = 6;

type Json = Record<string, unknown>;

/**
 * Microsoft's Philly trace: batch jobs, each a session. The CSV has one run a job and its virtual
 * cluster, kept as the user; the original JSON job log has users and every attempt, each a cell.
 */
async function read(context: ImportContext): Promise<Imported> {
  const builder = new TraceBuilder();
  if (await startsWith(context.path, '[')) await readJobLog(context, builder);
  else await readCsv(context, builder);
  const { name, source, licence } = context;
  return { trace: builder.build({ name, source, licence, rebase: true }) };
}

async function startsWith(path: string, character: string): Promise<boolean> {
  for await (const chunk of readBytes(path)) {
    const text = chunk
      .toString('utf8', 0, 64)
      .replace(/^\ufeff/, '')
      .trimStart();
    if (text !== '') return text.startsWith(character);
  }
  return false;
}

async function readCsv(context: ImportContext, builder: TraceBuilder): Promise<void> {
  const table = await readTable(
    context.path,
    { required: COLUMNS, optional: IGNORED },
    (row) => {
      const startMs = parseDateTime(row.text(0));
      if (!(startMs >= 0)) row.fail(0, 'a time such as 2017-10-09 07:01:55');
      const durationMs = rowMs(row, 1, MS_PER_S);
      const gpuMillis = rowGpuMillis(row, 2, context.notes);
      const id = `job-${String(builder.sessionCount + 1).padStart(ID_DIGITS, '0')}`;
      const endMs = startMs + durationMs;
      const session = builder.addSession({ id, startMs, endMs, user: row.text(3) });
      const shape = vectorForGpus(gpuMillis);
      builder.addCell({ session, submitMs: startMs, durationMs, shape });
    },
    context.onProgress,
  );
  noteIgnored(table, context.notes, context.path);
}

async function readJobLog(context: ImportContext, builder: TraceBuilder): Promise<void> {
  await streamJsonArray(
    context.path,
    null,
    (job, position) => addJob(context, builder, job, `${context.path}: [${position}]`),
    context.onProgress,
  );
}

interface Attempt {
  readonly startMs: number;
  readonly endMs: number;
  readonly gpus: number;
}

function addJob(context: ImportContext, builder: TraceBuilder, job: Json, where: string): void {
  const { notes } = context;
  const id = job['jobid'];
  if (typeof id !== 'string' || id === '') badMember(`${where}.jobid`, id, 'a name');
  if (builder.sessionOf(id) !== undefined)
    throw new NbosError('trace-duplicate', `${where}: job "${id}" exists twice`, 'Keep one.');
  const submitted = parseDateTime(String(job['submitted_time']));
  if (!(submitted >= 0))
    badMember(
      `${where}.submitted_time`,
      job['submitted_time'],
      'a time such as 2017-10-09 07:01:55',
    );
  const listed = job['attempts'] ?? [];
  if (!Array.isArray(listed)) badMember(`${where}.attempts`, listed, 'a list');
  const attempts: Attempt[] = [];
  listed.forEach((attempt: Json, i) => {
    const read = attemptOf(context, attempt ?? {}, `${where}.attempts[${i}]`);
    if (read !== undefined) attempts.push(read);
  });
  const first = attempts[0];
  if (first === undefined) {
    notes.add('job-never-ran', 'dropped: jobs without an attempt that started and ended', where);
    return;
  }
  const user = typeof job['user'] === 'string' ? job['user'] : '';
  // Waiting before the first attempt was the old cluster's doing: replay decides its own.
  const moved = first.startMs - submitted;
  if (moved < 0)
    badMember(`${where}.attempts[0].start_time`, listed[0], 'a time not before submitted_time');
  const endMs = Math.max(...attempts.map((attempt) => attempt.endMs)) - moved;
  const session = builder.addSession({ id, startMs: submitted, endMs, user });
  let previous = first.startMs;
  for (const { startMs, endMs: end, gpus } of attempts) {
    if (startMs < previous)
      throw new NbosError(
        'trace-order',
        `${where}.attempts: an attempt starts before the one ahead of it`,
        'Put the attempts in order of time.',
      );
    previous = startMs;
    builder.addCell({
      session,
      submitMs: startMs - moved,
      durationMs: end - startMs,
      shape: vectorForGpus(gpus * 1_000),
    });
  }
}

function attemptOf(context: ImportContext, attempt: Json, where: string): Attempt | undefined {
  const times = (['start_time', 'end_time'] as const).map((name) => {
    const value = attempt[name];
    // The log writes Python's None for what did not happen.
    if (value === null || value === undefined || value === 'None' || value === '') return undefined;
    const ms = parseDateTime(String(value));
    if (!(ms >= 0)) badMember(`${where}.${name}`, value, 'a time such as 2017-10-09 07:01:55');
    return ms;
  });
  const [startMs, endMs] = times;
  if (startMs === undefined || endMs === undefined) {
    context.notes.add(
      'attempt-without-times',
      'dropped: attempts without a start or an end',
      where,
    );
    return undefined;
  }
  if (endMs < startMs)
    badMember(`${where}.end_time`, attempt['end_time'], 'a time after its start');
  const detail = attempt['detail'] ?? [];
  if (!Array.isArray(detail)) badMember(`${where}.detail`, detail, 'a list of hosts');
  let gpus = 0;
  detail.forEach((host: Json, i) => {
    const list = host?.['gpus'];
    if (!Array.isArray(list)) badMember(`${where}.detail[${i}].gpus`, list, 'a list');
    gpus += list.length;
  });
  if (detail.length > 1)
    context.notes.add(
      'multi-host-job',
      'attempts that ran on several hosts: taken as one cell with all their GPUs',
      where,
    );
  return { startMs, endMs, gpus };
}

export const philly: Importer = {
  format: 'philly',
  title:
    "Microsoft's Philly trace: timestamp,duration,num_gpus,gpu_time,cluster or its JSON job log",
  tellingColumns: COLUMNS,
  jsonStart: '[',
  read,
};
