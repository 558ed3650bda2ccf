import {
  type BooleanOption,
  type ChoiceOption,
  choice,
  flag,
  integer,
  type NameOption,
  type NumberOption,
  name,
  number,
  type StructureOption,
  structure,
} from './option.ts';

const DAY_MS = 86_400_000;
const MANY = 1_000_000_000;

/**
 * A kind of host that can be provisioned; the first that fits and is below its maximum is added.
 */
export interface HostType {
  readonly name: string;
  readonly gpus: number;
  readonly cpuMillis: number;
  readonly memoryMb: number;
  readonly vramMb: number;
  /** GPU model that sessions can ask for; '' matches only sessions that ask for none */
  readonly gpuType: string;
  /** work per wall time against the machine the trace was recorded on */
  readonly speed: number;
  /** most hosts of this type at once */
  readonly maxHosts: number;
  readonly pricePerHour: number;
}

/** A fault at a given moment; `target` is a host, device or session ordinal, as the kind says. */
export interface ScheduledFault {
  readonly atMs: number;
  readonly kind:
    | 'host-loss'
    | 'device-excluded'
    | 'device-restored'
    | 'container-crash'
    | 'slow-start'
    | 'store-failure'
    | 'scale-out-failure'
    | 'yield-next';
  /**
   * ordinal of the host (host and device faults) or of the session (container-crash, yield-next)
   */
  readonly target: number;
  /** device id for device faults; how many replicas to hit for yield-next; else unused */
  readonly detail?: number;
  /** how long slow-start, store-failure and scale-out-failure last, ms */
  readonly forMs?: number;
  /** slow-start: container starts take this many times as long */
  readonly factor?: number;
}

/** Points (percent, ms) of a quantile function, log-linear between them. */
export type Quantiles = readonly (readonly [percent: number, ms: number])[];
/** Sizes in MB by name. */
export type Sizes = Readonly<Record<string, number>>;

/** A step as it was measured; where the table is empty, the step is drawn as `otherwise` says. */
const measured = (step: string, otherwise: string): StructureOption<Quantiles> =>
  structure('quantiles', [], 'latency', 'ms', 'guess', `${step}; when empty: ${otherwise}`);

/**
 * Every option of NotebookOS, in the order in which they are shown. A policy may bring defaults of
 * its own (`Policy.defaults`), a file or `--set` overrides both. Read at the edges by zod.
 */
export const OPTIONS = {
  // cluster
  hosts: integer(32, 1, 1_000_000, 'cluster', 'hosts', 'code', 'most hosts at once'),
  gpusPerHost: integer(
    8,
    0,
    1_000_000,
    'cluster',
    'GPUs',
    'code',
    'GPUs of a host of the default type; CPU, memory and VRAM follow in proportion (64,000 mCPU, 488,000 MB, 128,000 MB at 8)',
  ),
  minHosts: integer(
    4,
    0,
    1_000_000,
    'cluster',
    'hosts',
    'code',
    'fewest hosts; lowered to `hosts` when that is smaller',
  ),
  fixed: flag(
    false,
    'cluster',
    '',
    'code',
    'all hosts are up from the start to the end: min = initial = max',
  ),
  hostTypes: structure<readonly HostType[]>(
    'host-types',
    [],
    'cluster',
    '',
    'code',
    'kinds of hosts in order of preference; empty: one default type of gpusPerHost GPUs',
  ),
  deviceIds: flag(
    true,
    'cluster',
    '',
    'code',
    'book individual devices (at most 31 a host); off: GPUs are one sum per host',
  ),

  // policy
  replicas: integer(1, 1, 5, 'policy', 'replicas', 'code', 'replicas of a kernel: 1, 3 or 5'),
  placement: name(
    'least-loaded',
    'policy',
    '',
    'code',
    'which host a container goes to; `nbos policy list` names the placements',
  ),
  seed: integer(1, 0, 2_147_483_647, 'policy', '', 'code', 'seed of every draw and random choice'),

  // scaling
  scaling: choice(
    'on-demand',
    ['predictive', 'on-demand', 'none'],
    'scaling',
    '',
    'code',
    'predictive: follow the committed load and ask on demand; on-demand: only when work finds no host',
  ),
  bufferHosts: integer(
    3,
    0,
    1_000_000,
    'scaling',
    'hosts',
    'code',
    'hosts kept beyond what the load needs; the run starts with minHosts + bufferHosts',
  ),
  loadBufferHosts: integer(
    -1,
    -1,
    1_000_000,
    'scaling',
    'hosts',
    'code',
    'hosts beyond the load in predictive rounds, where a policy differs; -1: bufferHosts',
  ),
  scaleIntervalMs: integer(
    30_000,
    1,
    DAY_MS,
    'scaling',
    'ms',
    'code',
    'scaling rounds and subscription samples fall on its multiples',
  ),
  scaleOutFactor: number(
    1.05,
    0,
    100,
    'scaling',
    '',
    'code',
    'f: hosts wanted = ceil(f x load / GPUs of a host) + buffer',
  ),
  scaleInFactor: number(
    1.1,
    0,
    100,
    'scaling',
    '',
    'code',
    'l: hosts are released above ceil(l x load / GPUs of a host) + buffer',
  ),
  scaleInHoldMs: integer(
    300_000,
    0,
    DAY_MS,
    'scaling',
    'ms',
    'guess',
    'how long hosts must exceed the limit before one is released',
  ),
  scaleInMax: integer(
    2,
    1,
    1_000_000,
    'scaling',
    'hosts',
    'code',
    'most hosts released in one round',
  ),
  emptyHostHoldMs: integer(
    300_000,
    0,
    DAY_MS,
    'scaling',
    'ms',
    'guess',
    'on-demand policies release a host this long after it became empty',
  ),
  maxStandbyPerReleasedHost: integer(
    1_000_000,
    0,
    1_000_000,
    'scaling',
    'replicas',
    'guess',
    'a host with more standby replicas is not released',
  ),

  // subscription
  maxSubscriptionRatio: number(
    7,
    1,
    1_000_000,
    'subscription',
    '',
    'code',
    'cap of the cluster-wide subscription limit, and its value while nothing is busy',
  ),
  subscriptionSamples: integer(
    5,
    1,
    100,
    'subscription',
    'samples',
    'code',
    'length of the moving average of demanded / busy GPUs',
  ),

  // execution
  queueLimit: integer(
    100_000,
    1,
    MANY,
    'execution',
    'executions',
    'guess',
    'most executions waiting for GPUs; one more is rejected',
  ),
  placementQueueLimit: integer(
    100_000,
    1,
    MANY,
    'execution',
    'kernels',
    'guess',
    'most kernels waiting for a host',
  ),
  kernelQueueLimit: integer(
    10_000,
    1,
    MANY,
    'execution',
    'executions',
    'guess',
    'most executions waiting for their own kernel',
  ),
  queueOrder: choice(
    'fifo',
    ['fifo', 'sjf', 'policy'],
    'execution',
    '',
    'code',
    "order of waiting executions; policy: the policy's own `order`",
  ),
  strictOrder: flag(false, 'execution', '', 'guess', 'nothing overtakes the head of the queue'),
  starvationMs: integer(
    300_000,
    0,
    30 * DAY_MS,
    'execution',
    'ms',
    'guess',
    'after this wait the oldest execution reserves the next host that could suit it; 0: never',
  ),
  maxAttempts: integer(
    5,
    1,
    1000,
    'execution',
    'attempts',
    'code',
    'elections, migrations and restarts of one execution before it is rejected',
  ),
  pinWaitMs: integer(
    10_000,
    0,
    DAY_MS,
    'execution',
    'ms',
    'guess',
    'how long a cell waits for the last executor of a kernel that holds what cannot be moved',
  ),
  retryAborted: flag(
    true,
    'execution',
    '',
    'guess',
    'an execution whose executor died runs again from its start; off: it is answered with an error',
  ),
  replyAfter: choice(
    'commit',
    ['run', 'commit', 'write'],
    'execution',
    '',
    'code',
    'the reply leaves after the run, after small state is on a quorum, or after large objects are stored',
  ),

  releaseAfter: choice(
    'run',
    ['run', 'commit'],
    'execution',
    '',
    'code',
    'GPUs are free after the run, or, as in the live system, once its small state is on a quorum',
  ),

  // prewarm
  prewarmPool: choice(
    'none',
    ['none', 'minimum', 'fixed', 'littles-law'],
    'prewarm',
    '',
    'code',
    'how many started containers are kept',
  ),
  prewarmPerHost: integer(
    1,
    -1,
    10_000,
    'prewarm',
    'containers',
    'guess',
    'minimum: containers kept on each host; -1: as many as it has GPUs',
  ),
  prewarmMaxPerHost: integer(
    8,
    -1,
    10_000,
    'prewarm',
    'containers',
    'guess',
    'most idle containers of the pool on a host; -1: as many as it has GPUs',
  ),
  prewarmFixed: integer(
    16,
    0,
    1_000_000,
    'prewarm',
    'containers',
    'guess',
    'fixed: containers kept in the cluster',
  ),
  prewarmWindowMs: integer(
    600_000,
    1,
    DAY_MS,
    'prewarm',
    'ms',
    'guess',
    'littles-law: window over which arrivals and holding times are estimated',
  ),

  // reclamation
  reclamation: choice(
    'none',
    ['none', 'adobe', 'colab', 'custom'],
    'reclamation',
    '',
    'code',
    'stop the containers of idle sessions: never, after 30 min, after 90 min, after reclaimAfterMs',
  ),
  reclaimAfterMs: integer(
    1_800_000,
    1,
    30 * DAY_MS,
    'reclamation',
    'ms',
    'code',
    'custom: idle time; 1.5 times that when nothing was ever executed',
  ),

  // latency
  latencySeed: integer(
    -1,
    -1,
    2_147_483_647,
    'latency',
    '',
    'code',
    'seed of what takes how long, where that alone is to vary; -1: seed',
  ),
  gatewayMinMs: number(1, 0, MANY, 'latency', 'ms', 'code', 'request hop, least'),
  gatewayMaxMs: number(5, 0, MANY, 'latency', 'ms', 'code', 'request hop, most'),
  raftCommitMs: structure<Quantiles>(
    'quantiles',
    [
      [0, 2],
      [50, 8],
      [90, 54.8],
      [95, 66.7],
      [99, 268],
      [100, 400],
    ],
    'latency',
    'ms',
    'summary',
    'one Raft commit (p90, p95, p99 from the paper, the rest guessed); 0 for one replica',
  ),
  stateCommitMs: structure<Quantiles>(
    'quantiles',
    [],
    'latency',
    'ms',
    'guess',
    "the commit of a cell's state before its reply; as raftCommitMs when empty",
  ),
  executorChangeMs: measured(
    'commit by which another replica than the last becomes executor, and takes in its state',
    'raftCommitMs',
  ),
  soloStartMs: measured('start of a cell of a kernel with one replica or none', 'at once'),
  soloCommitMs: measured("commit of such a cell's state before its reply", 'at once'),
  requestHopMs: measured('request hop', 'uniform from gatewayMinMs to gatewayMaxMs'),
  replyHopMs: measured('reply hop', 'as the request hop, drawn anew'),
  migrationMs: measured('moving a replica, without its state', 'migrationCommits of raftCommitMs'),
  stateReadMs: measured('reading large state', 'by its size and storeReadMbPerS'),
  stateWriteMs: measured('writing large state', 'by its size and storeWriteMbPerS'),
  coldStartMs: measured('cold container start', 'log-normal as coldStartMedianMs says'),
  poolStartMs: measured('cold start of a container for the pool', 'as any other cold start'),
  prewarmedStartMs: measured(
    'prewarmed container start',
    'uniform from prewarmedMinMs to prewarmedMaxMs',
  ),
  renewalMs: measured(
    'a pool container that another session left, until it is as a new one; before, it starts cold',
    'at once',
  ),
  openingStartMs: measured(
    'start of a container for a kernel, before a cell waits for it',
    'as any other start',
  ),
  migrationCommits: integer(
    3,
    0,
    100,
    'latency',
    'commits',
    'guess',
    'commits that move a replica: learner, promotion, removal',
  ),
  storeReadMbPerS: number(250, 0.001, MANY, 'latency', 'MB/s', 'code', 'large objects, read'),
  storeWriteMbPerS: number(175, 0.001, MANY, 'latency', 'MB/s', 'code', 'large objects, written'),
  storeVariationPct: number(
    5,
    0,
    100,
    'latency',
    '%',
    'code',
    'uniform variation of the store rates',
  ),
  stateMedianMb: number(
    100,
    0,
    MANY,
    'latency',
    'MB',
    'guess',
    'large state of a session without `state_bytes`: log-normal median',
  ),
  stateSigma: number(0.99, 0, 10, 'latency', '', 'summary', 'its sigma (p99 about 1 GB)'),
  coldStartMedianMs: number(
    15_000,
    0,
    MANY,
    'latency',
    'ms',
    'guess',
    'cold container start: log-normal median',
  ),
  coldStartSigma: number(0.25, 0, 10, 'latency', '', 'guess', 'its sigma'),
  prewarmedMinMs: number(100, 0, MANY, 'latency', 'ms', 'code', 'prewarmed container start, least'),
  prewarmedMaxMs: number(500, 0, MANY, 'latency', 'ms', 'code', 'prewarmed container start, most'),
  hostStartMeanMs: number(
    15_000,
    0,
    MANY,
    'latency',
    'ms',
    'code',
    'provisioning of a host: normal, mean',
  ),
  hostStartSdMs: number(2_000, 0, MANY, 'latency', 'ms', 'code', 'its standard deviation'),
  hostStopMeanMs: number(
    10_000,
    0,
    MANY,
    'latency',
    'ms',
    'code',
    'release of a host: normal, mean',
  ),
  hostStopSdMs: number(1_000, 0, MANY, 'latency', 'ms', 'code', 'its standard deviation'),
  deviceStartMs: number(
    174,
    0,
    MANY,
    'latency',
    'ms',
    'code',
    'start of CUDA before a model is loaded',
  ),
  hostToDeviceGbPerS: number(
    11.1,
    0.001,
    MANY,
    'latency',
    'GB/s',
    'code',
    'model parameters, host to device',
  ),
  deviceToHostGbPerS: number(
    12.5,
    0.001,
    MANY,
    'latency',
    'GB/s',
    'code',
    'model parameters, device to host',
  ),
  modelSizesMb: structure<Sizes>(
    'sizes',
    {
      'ResNet-18': 45,
      'VGG-16': 528,
      'Inception v3': 104,
      BERT: 420,
      'GPT-2': 548,
      'Deep Speech 2': 155,
    },
    'latency',
    'MB',
    'guess',
    'parameters of each model',
  ),
  datasetSizesMb: structure<Sizes>(
    'sizes',
    { 'CIFAR-10': 170, 'Tiny ImageNet': 240, CoLA: 1, IMDb: 84, LibriSpeech: 6300 },
    'latency',
    'MB',
    'guess',
    'size of each data set, downloaded at the first placement on a host',
  ),

  // faults
  faults: structure<readonly ScheduledFault[]>(
    'faults',
    [],
    'faults',
    '',
    'guess',
    'faults at given moments',
  ),
  hostLossPerDay: number(0, 0, 1e6, 'faults', '1/(host day)', 'guess', 'random losses of a host'),
  deviceExcludedPerDay: number(
    0,
    0,
    1e6,
    'faults',
    '1/(host day)',
    'guess',
    'random exclusions of one device of a host, for an hour',
  ),
  containerCrashPerDay: number(
    0,
    0,
    1e6,
    'faults',
    '1/(session day)',
    'guess',
    'random crashes of one container of a session',
  ),
  slowStartShare: number(
    0,
    0,
    1,
    'faults',
    '',
    'guess',
    'share of container starts that take slowStartFactor times as long',
  ),
  slowStartFactor: number(10, 1, 1e6, 'faults', '', 'guess', 'how much slower a slow start is'),
  storeFailureShare: number(
    0,
    0,
    1,
    'faults',
    '',
    'guess',
    'share of state reads and writes that fail once and are repeated',
  ),
  scaleOutFailureShare: number(
    0,
    0,
    1,
    'faults',
    '',
    'guess',
    'share of provisioned hosts that never come up',
  ),
  containerFailureShare: number(
    0,
    0,
    1,
    'faults',
    '',
    'guess',
    'share of container starts that fail',
  ),
  yieldShare: number(
    0,
    0,
    1,
    'faults',
    '',
    'guess',
    'share of elections in which the chosen replica yields',
  ),

  // money
  hostPricePerHour: number(
    24.48,
    0,
    MANY,
    'money',
    '$/h',
    'guess',
    'price of a default host of 8 GPUs; other sizes in proportion',
  ),
  userPriceFactor: number(
    1.5,
    0,
    MANY,
    'money',
    '',
    'summary',
    "user price of a GPU-hour / the provider's cost of one",
  ),
  standbyRate: number(
    0.125,
    0,
    MANY,
    'money',
    '',
    'summary',
    "standby replica-hour / the provider's cost of a GPU-hour",
  ),

  // replay
  loop: choice(
    'closed',
    ['closed', 'open'],
    'replay',
    '',
    'code',
    'closed: think time starts at the reply; open: cells are submitted at their trace time',
  ),
  untilMs: integer(
    0,
    0,
    1e13,
    'replay',
    'ms',
    'code',
    'cut the run at this moment; 0: run until drained',
  ),
  warmupMs: integer(
    3_600_000,
    0,
    1e13,
    'replay',
    'ms',
    'guess',
    'cells submitted before it are marked in the column warmup',
  ),
  oversize: choice(
    'error',
    ['error', 'drop', 'clip'],
    'replay',
    '',
    'code',
    'a cell bigger than any host: refuse the trace, drop it, or clip it to the largest host',
  ),

  // output
  timelineMs: integer(
    60_000,
    1,
    DAY_MS,
    'output',
    'ms',
    'guess',
    'interval of the rows of timeline.csv',
  ),
} as const satisfies Record<
  string,
  NumberOption | BooleanOption | ChoiceOption<string> | NameOption | StructureOption<unknown>
>;

export type OptionName = keyof typeof OPTIONS;

type ValueOf<O> = O extends NumberOption
  ? number
  : O extends BooleanOption
    ? boolean
    : O extends ChoiceOption<infer C>
      ? C
      : O extends NameOption
        ? string
        : O extends StructureOption<infer T>
          ? T
          : never;

/** A complete configuration: one value for every option. */
export type Config = { readonly [K in OptionName]: ValueOf<(typeof OPTIONS)[K]> };
export type PartialConfig = Partial<Config>;
