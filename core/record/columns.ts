/**
 * The columns of every report, in order: name, unit and meaning. `experiments/README.md` prints the
 * same tables, and a test keeps both equal. Units end the names; GPUs are whole or fractional GPUs.
 */
export type ColumnKind = 'text' | 'integer' | 'number';
export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly meaning: string;
}

function text(name: string, meaning: string): Column {
  return { name, kind: 'text', meaning };
}
function integer(name: string, meaning: string): Column {
  return { name, kind: 'integer', meaning };
}
function number(name: string, meaning: string): Column {
  return { name, kind: 'number', meaning };
}

/** The steps between submission and user code, in the order in which they are charged. */
export const DELAY_STEPS = [
  'gateway',
  'queue',
  'provisioning',
  'container_start',
  'migration',
  'state_read',
  'election',
  'device_load',
  'lost',
] as const;
export type DelayStep = (typeof DELAY_STEPS)[number];

/** The steps from user code to reply. */
export const RUN_STEPS = ['run', 'suspended', 'device_unload', 'state_commit', 'reply'] as const;
export type RunStep = (typeof RUN_STEPS)[number];

const STEP_MEANINGS: Record<DelayStep | RunStep, string> = {
  gateway: 'request hop from the client to the scheduler',
  queue: 'waiting for GPUs, or for earlier work of the same kernel',
  provisioning: 'waiting for a host that is being provisioned',
  container_start: 'waiting for a container to start, cold or prewarmed',
  migration: 'moving a replica: the commits that add the new one and remove the old',
  state_read: 'reading state or a data set from the store',
  election: 'agreeing on the executor',
  device_load: 'starting the device and loading the model onto it',
  lost: 'run time, and all before it, that a fault made void',
  run: 'user code, without time in suspension',
  suspended: 'from suspension by the policy until user code went on',
  device_unload: 'moving the model off the device',
  state_commit: 'replicating or storing state before the reply',
  reply: 'reply hop to the client',
};

function stepColumns(steps: readonly (DelayStep | RunStep)[]): Column[] {
  return steps.map((step) => integer(`${step}_ms`, STEP_MEANINGS[step]));
}

export const CELL_COLUMNS: readonly Column[] = [
  text('session_id', 'session, as in the trace'),
  integer('cell_index', 'number of the cell in its session, from 0'),
  integer('submit_ms', 'submission by the client in this run'),
  integer('duration_ms', 'run time in the trace'),
  integer('cpu_millis', 'CPU asked for, thousandths of a core'),
  integer('memory_mb', 'memory asked for'),
  number('gpus', 'GPUs asked for'),
  integer('vram_mb', 'GPU memory asked for'),
  text('status', 'completed, aborted, rejected or unfinished'),
  text('reason', 'why it started when it did, a code of core/reasons.ts'),
  integer('warmup', '1 when submitted during the warm-up'),
  integer(
    'immediate',
    '1 when GPUs were committed at the first attempt, without queue, migration, start or scale-out',
  ),
  integer('reused', "1 when the executor (or container) is that of the kernel's last execution"),
  integer('attempts', 'attempts to run it, at least 1'),
  integer('migrations', 'migrations made for it'),
  integer('host', 'ordinal of the host it ran on; -1 when it never ran'),
  integer('replica', 'replica that ran it; -1 when it never ran'),
  integer('delay_ms', 'interactivity delay: submission until user code starts'),
  integer('tct_ms', 'task completion time: submission until reply'),
  ...stepColumns(DELAY_STEPS),
  ...stepColumns(RUN_STEPS),
  number('slowdown', 'tct_ms / duration_ms; empty for a duration of 0'),
];

export const SESSION_COLUMNS: readonly Column[] = [
  text('session_id', 'session, as in the trace'),
  text('user_id', 'user, as in the trace'),
  integer('start_ms', 'opening'),
  integer('end_ms', 'closing in this run; empty when it was still open at the end'),
  number('gpus', 'GPUs that its replicas subscribe to'),
  integer('cells', 'cells submitted'),
  integer('completed', 'cells completed'),
  integer('migrations', 'migrations of its replicas, for executions or for draining hosts'),
  number('reserved_gpu_hours', 'gpus x hours open'),
  number('busy_gpu_hours', 'GPU-hours of user code'),
  number('busy_share', 'busy / reserved GPU-hours'),
  integer('delay_sum_ms', 'sum of interactivity delays'),
  integer('delay_max_ms', 'largest interactivity delay'),
  integer('tct_sum_ms', 'sum of task completion times'),
  integer('lost_ms', 'run time lost to faults'),
];

export const HOST_COLUMNS: readonly Column[] = [
  integer('host', 'ordinal of the host'),
  text('host_type', 'its type'),
  number('gpus', 'its GPUs'),
  integer('requested_ms', 'when it was asked for'),
  integer('up_ms', 'when it was up; empty when it never came up'),
  integer('end_ms', 'when it was released or lost; empty when up at the end'),
  text('end', 'up, released, lost or failed'),
  number('provisioned_gpu_hours', 'GPU-hours from up to end'),
  number('committed_gpu_hours', 'GPU-hours bound to executions'),
  number('utilization', 'committed / provisioned GPU-hours'),
  integer('executions', 'executions that ran on it'),
  integer('replicas_max', 'most replicas it held at once'),
];

export const TIMELINE_COLUMNS: readonly Column[] = [
  integer('time_ms', 'moment of the sample, after all events before it'),
  integer('hosts', 'hosts that are up'),
  integer('hosts_pending', 'hosts that are being provisioned'),
  number('provisioned_gpus', 'GPUs of the hosts that are up'),
  number('reserved_gpus', 'GPUs held by containers that commit at placement'),
  number('committed_gpus', 'GPUs bound to executions'),
  number('demanded_gpus', 'GPUs of all open sessions'),
  number('subscribed_gpus', 'GPUs that placed replicas subscribe to'),
  number('subscription_ratio', 'subscribed / (provisioned x replicas per kernel)'),
  number('subscription_limit', 'smoothed demanded / busy GPUs, the limit for placements'),
  integer('sessions_open', 'open sessions'),
  integer('executions_running', 'executions that hold GPUs'),
  integer('executions_waiting', 'executions that wait for GPUs'),
  integer('placements_waiting', 'kernels that wait for a host'),
  integer('prewarmed_containers', 'idle containers of the prewarm pool'),
  number(
    'oracle_gpus',
    'GPUs of the cells that would run had every cell started at its submission',
  ),
  integer('oracle_hosts', 'the same rounded up to whole hosts of the first type'),
];

export const EVENT_COLUMNS: readonly Column[] = [
  integer('time_ms', 'moment'),
  text(
    'event',
    'host-up, host-down, reserve, unreserve, commit, release, wait, keep, refuse, migrate, start, suspend, reply, reject, replica-lost',
  ),
  integer('host', 'host concerned; -1 for none'),
  text('session_id', 'session concerned; empty for none'),
  integer('cell_index', 'cell concerned; -1 for none'),
  number('gpus', 'GPUs concerned'),
  text('detail', 'reason or kind'),
];

const PERCENTILES = [50, 90, 95, 99] as const;

export const SUMMARY_COLUMNS: readonly Column[] = [
  text('trace', 'name of the trace'),
  text('policy', 'policy'),
  integer('seed', 'seed of the draws'),
  integer('replicas', 'replicas of a kernel'),
  integer('hosts_max', 'most hosts allowed'),
  integer('horizon_ms', 'end of the trace, or of the cut: GPU-hours are integrated up to here'),
  integer('drained_ms', 'when the last work ended, or the run was cut'),
  integer('sessions', 'sessions opened'),
  integer('cells', 'cells submitted'),
  integer('completed', 'cells completed'),
  integer('aborted', 'cells aborted by faults'),
  integer('rejected', 'cells rejected'),
  integer('unfinished', 'cells not finished at the cut'),
  number('provisioned_gpu_hours', 'GPUs of all hosts that are up, integrated to the horizon'),
  number('reserved_gpu_hours', 'GPUs held by containers that commit at placement, to the horizon'),
  number('committed_gpu_hours', 'GPUs bound to executions, to the horizon'),
  number(
    'busy_gpu_hours',
    'GPUs x run time in the trace of completed and cut cells, to the horizon',
  ),
  number('demanded_gpu_hours', 'GPUs of open sessions, to the horizon'),
  number('oracle_gpu_hours', 'GPUs of the cells at their trace times, to the horizon'),
  number('oracle_host_gpu_hours', 'the same rounded up to whole hosts at each moment'),
  number('provisioned_gpu_hours_drained', 'as provisioned, until drained'),
  number('committed_gpu_hours_drained', 'as committed, until drained'),
  number('busy_gpu_hours_drained', 'as busy, until drained: the work that was completed'),
  number('utilization', 'committed / provisioned GPU-hours'),
  number('immediate_share', 'share of completed cells that got GPUs at the first attempt'),
  number(
    'reuse_share',
    'share of completed cells after the first of their session that ran on the last executor or container',
  ),
  integer('migrations', 'completed migrations for executions'),
  integer('drain_migrations', 'replicas moved off hosts that were released'),
  integer('failed_migrations', 'migrations that failed'),
  integer('cold_starts', 'containers started cold'),
  integer('warm_starts', 'prewarmed containers taken'),
  integer('scale_outs', 'hosts asked for'),
  integer('scale_ins', 'hosts released'),
  integer('hosts_lost', 'hosts lost to faults'),
  integer('hosts_peak', 'most hosts up at once'),
  number('subscription_ratio_mean', 'time-weighted mean of the subscription ratio, to the horizon'),
  number('subscription_ratio_max', 'largest subscription ratio'),
  ...PERCENTILES.map((p) => number(`delay_p${p}_ms`, `interactivity delay, ${p}th percentile`)),
  number('delay_mean_ms', 'interactivity delay, mean'),
  ...PERCENTILES.map((p) => number(`tct_p${p}_ms`, `task completion time, ${p}th percentile`)),
  number('tct_mean_ms', 'task completion time, mean'),
  number('slowdown_p50', 'tct / duration, median'),
  number('slowdown_p99', 'tct / duration, 99th percentile'),
  ...[...DELAY_STEPS, ...RUN_STEPS].map((step) =>
    number(`${step}_mean_ms`, `${STEP_MEANINGS[step]}: mean over completed cells`),
  ),
  number('delay_p50_1gpu_ms', 'delay of cells of at most 1 GPU, median'),
  number('delay_p50_4gpu_ms', 'delay of cells of more than 1 and at most 4 GPUs, median'),
  number('delay_p50_8gpu_ms', 'delay of cells of more than 4 GPUs, median'),
  number('lost_gpu_hours', 'GPU-hours of run time lost to faults'),
  number('host_hours', 'hours of hosts, to the horizon'),
  number('cost', 'host-hours x price of their type, $'),
  number(
    'revenue',
    'committed GPU-hours x user price + standby replica-hours x standby rate (reservation: reserved GPU-hours x user price), $',
  ),
  number('margin', '(revenue - cost) / revenue'),
];

/** Every report of a run folder, by file name. */
export const REPORTS = {
  'cells.csv': CELL_COLUMNS,
  'sessions.csv': SESSION_COLUMNS,
  'hosts.csv': HOST_COLUMNS,
  'timeline.csv': TIMELINE_COLUMNS,
  'events.csv': EVENT_COLUMNS,
  'summary.csv': SUMMARY_COLUMNS,
} as const;
export type ReportName = keyof typeof REPORTS;
