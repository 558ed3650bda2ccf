import { NbosError } from '../core/errors.ts';

/** Part `index` (from 1) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The part that this process has to do: `text` is `i/n`; `auto` or nothing takes it from a Slurm
 * array (SLURM_ARRAY_TASK_ID with _MIN, _COUNT or _MAX, _STEP) or a Kubernetes indexed job
 * (JOB_COMPLETION_INDEX with JOB_COMPLETIONS); undefined where there is neither. Throws
 * `shard-invalid`.
 */
export function shardOf(text: string | undefined, environment: Environment): Shard | undefined {
  if (text !== undefined && text !== 'auto') {
    const parts = /^(\d+)\/(\d+)$/.exec(text.trim());
    if (parts === null) throw invalid(`--shard: expected i/n, found "${text}"`);
    return checked(Number(parts[1]), Number(parts[2]), `--shard ${text}`);
  }
  const shard = slurmShard(environment) ?? kubernetesShard(environment);
  if (shard === undefined && text === 'auto')
    throw invalid('--shard auto: neither a Slurm array nor a Kubernetes indexed job is in sight');
  return shard;
}

/** The members of `runs` that belong to a shard: every n-th. */
export function shareOf<T>(runs: readonly T[], shard: Shard | undefined): T[] {
  if (shard === undefined) return [...runs];
  return runs.filter((_, i) => i % shard.count === shard.index - 1);
}

function slurmShard(environment: Environment): Shard | undefined {
  if (environment['SLURM_ARRAY_TASK_ID'] === undefined) return undefined;
  const id = whole(environment, 'SLURM_ARRAY_TASK_ID');
  const min = whole(environment, 'SLURM_ARRAY_TASK_MIN', 0);
  const step = whole(environment, 'SLURM_ARRAY_TASK_STEP', 1) || 1;
  const max = environment['SLURM_ARRAY_TASK_MAX'];
  const count =
    environment['SLURM_ARRAY_TASK_COUNT'] !== undefined || max === undefined
      ? whole(environment, 'SLURM_ARRAY_TASK_COUNT')
      : Math.floor((whole(environment, 'SLURM_ARRAY_TASK_MAX') - min) / step) + 1;
  const position = (id - min) / step;
  if (!Number.isInteger(position))
    throw invalid(`the Slurm array is no range: task ${id}, first ${min}, step ${step}`);
  return checked(position + 1, count, `the Slurm array (task ${id}, first ${min}, step ${step})`);
}

function kubernetesShard(environment: Environment): Shard | undefined {
  if (environment['JOB_COMPLETION_INDEX'] === undefined) return undefined;
  const index = whole(environment, 'JOB_COMPLETION_INDEX');
  if (environment['JOB_COMPLETIONS'] === undefined)
    throw invalid(
      'JOB_COMPLETION_INDEX is set, but JOB_COMPLETIONS is not',
      'Set JOB_COMPLETIONS to the number of completions of the job, or give --shard i/n.',
    );
  return checked(index + 1, whole(environment, 'JOB_COMPLETIONS'), 'the Kubernetes job');
}

function whole(environment: Environment, name: string, absent?: number): number {
  const text = environment[name];
  if (text === undefined && absent !== undefined) return absent;
  if (text !== undefined && /^\d+$/.test(text)) return Number(text);
  throw invalid(`${name}: expected a whole number, found "${text ?? ''}"`);
}

function checked(index: number, count: number, where: string): Shard {
  if (index >= 1 && index <= count) return { index, count };
  throw invalid(`${where}: part ${index} of ${count} does not exist`);
}

function invalid(message: string, hint = 'Give --shard i/n with 1 <= i <= n.'): NbosError {
  return new NbosError('shard-invalid', message, hint);
}
