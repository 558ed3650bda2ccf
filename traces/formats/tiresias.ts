import { NbosError } from '../../core/errors.ts';
import { hash4 } from '../../core/hash.ts';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../build.ts';
import { readTable } from '../table.ts';
import { MS_PER_S, noteIgnored, rowGpuMillis, rowMs, SeenOnce } from './fields.ts';
import type { ImportContext, Imported, Importer } from './importer.ts';

const COLUMNS = ['job_id', 'num_gpu', 'submit_time', 'duration'] as const;
/** always 0, or drawn at random where these files come from */
const IGNORED = ['iterations', 'model_name', 'interval'] as const;
const MINUTE_MS = 60_000;
/** keeps these draws apart from others with the same seed */
const OFFSET_STREAM = 0x6f666673;

/**
 * Rows lie grouped by session, in time order inside one, and name neither sessions nor their ends:
 * a session starts where a cell is submitted before the cell ahead of it has ended. With times in
 * minutes each session is moved by one seeded offset of 0 … 59,999 ms, so that sessions do not all
 * submit on the full minute.
 */
async function read(context: ImportContext): Promise<Imported> {
  const { options, notes, path } = context;
  const unitMs = options.timeUnit === 'minutes' ? MINUTE_MS : MS_PER_S;
  const builder = new TraceBuilder();
  const jobs = new SeenOnce();
  let session = -1;
  let offset = 0;
  let previousEnd = Number.POSITIVE_INFINITY;
  const table = await readTable(
    path,
    { required: COLUMNS, optional: IGNORED },
    (row) => {
      const id = row.text(0);
      if (id === '') row.fail(0, 'an id');
      if (jobs.seen(id))
        throw new NbosError(
          'trace-duplicate',
          `${row.where(0)}: job "${id}" exists twice`,
          'Keep one of the two rows.',
        );
      const shape = vectorForGpus(rowGpuMillis(row, 1, notes));
      const submit = rowMs(row, 2, unitMs);
      const durationMs = rowMs(row, 3, unitMs);
      if (submit < previousEnd || session < 0) {
        const ordinal = builder.sessionCount;
        offset =
          unitMs === MINUTE_MS ? hash4(options.seed, OFFSET_STREAM, ordinal, 0) % MINUTE_MS : 0;
        const startMs = submit + offset - options.startPadMs;
        const name = `s${String(ordinal + 1).padStart(5, '0')}`;
        session = builder.addSession({ id: name, startMs, endMs: startMs });
      }
      previousEnd = submit + durationMs;
      builder.addCell({ session, submitMs: submit + offset, durationMs, shape });
      builder.setSessionEnd(session, previousEnd + offset + options.endPadMs);
    },
    context.onProgress,
  );
  noteIgnored(table, notes, path);
  const { name, source, licence } = context;
  return { trace: builder.build({ name, source, licence, rebase: true }) };
}

export const tiresias: Importer = {
  format: 'tiresias',
  title: 'job_id,num_gpu,submit_time,iterations,model_name,duration,interval in minutes or seconds',
  tellingColumns: COLUMNS,
  read,
};
