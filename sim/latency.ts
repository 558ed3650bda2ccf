import type { Config, Quantiles, Sizes } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { logNormal, pick, QuantileTable, STREAMS, uniform, uniformBetween } from './draws.ts';
import { normal } from './normal.ts';

const BYTES_PER_MB = 1e6;
const MS_PER_S = 1000;
/** Most commits of one migration: room for the commit's number beside the attempt in one key. */
const COMMITS_PER_ATTEMPT = 128;

interface Category {
  readonly models: readonly string[];
  readonly datasets: readonly string[];
}

/** What the reference's sessions draw from: vision, language, speech. */
const CATEGORIES: readonly Category[] = [
  {
    models: ['ResNet-18', 'VGG-16', 'Inception v3'],
    datasets: ['CIFAR-10', 'Tiny ImageNet'],
  },
  { models: ['BERT', 'GPT-2'], datasets: ['CoLA', 'IMDb'] },
  { models: ['Deep Speech 2'], datasets: ['LibriSpeech'] },
];

/**
 * How long everything takes, compiled from the options of the group `latency` and the shares of
 * slow starts and store failures of the group `faults`. Each method is one draw, a pure function of
 * the seed and its key; times are whole ms, rounded to the nearest.
 *
 * Keys: what belongs to an execution is drawn for (session, cell, attempt). The start of a
 * container is drawn for any three numbers that tell it apart from the other starts of its session,
 * and that of a pool container for (POOL, its ordinal, 0). Hosts and sessions are drawn for their
 * ordinal.
 */
export class Latencies {
  /** Names of the models; `modelOf` and `deviceLoadMs` speak of their positions. */
  readonly models: readonly string[];
  /** Names of the data sets, likewise. */
  readonly datasets: readonly string[];

  readonly #options: ReturnType<typeof numbersOf>;
  readonly #seed: number;
  readonly #commit: QuantileTable;
  readonly #stateCommit: QuantileTable;
  readonly #measured: ReturnType<typeof measuredOf>;
  readonly #modelMb: Float64Array;
  readonly #datasetMb: Float64Array;
  readonly #categories: readonly CompiledCategory[];

  /** @throws NbosError config-bad-value for a range or table that contradicts itself */
  constructor(config: Config) {
    checkRange(config.gatewayMinMs, config.gatewayMaxMs, 'gatewayMinMs', 'gatewayMaxMs');
    checkRange(config.prewarmedMinMs, config.prewarmedMaxMs, 'prewarmedMinMs', 'prewarmedMaxMs');
    const quantiles: Quantiles = config.raftCommitMs;
    this.#options = numbersOf(config);
    this.#seed = config.latencySeed === -1 ? config.seed : config.latencySeed;
    this.#commit = new QuantileTable(quantiles, 'raftCommitMs');
    const { stateCommitMs } = config;
    this.#stateCommit =
      stateCommitMs.length === 0 ? this.#commit : new QuantileTable(stateCommitMs, 'stateCommitMs');
    this.#measured = measuredOf(config);
    this.models = Object.keys(config.modelSizesMb);
    this.datasets = Object.keys(config.datasetSizesMb);
    this.#modelMb = sizesOf(config.modelSizesMb, 'modelSizesMb');
    this.#datasetMb = sizesOf(config.datasetSizesMb, 'datasetSizesMb');
    this.#categories = compileCategories(this.models, this.datasets);
  }

  /** One hop of a request from the client to the executor's agent. */
  gatewayHopMs(session: number, cell: number, attempt: number): number {
    return this.#hopMs(
      uniform(this.#seed, STREAMS.gatewayHop, session, cell, attempt),
      this.#measured.requestHopMs,
    );
  }

  /** One hop of a reply to the client. */
  replyHopMs(session: number, cell: number, attempt: number): number {
    const { replyHopMs, requestHopMs } = this.#measured;
    return this.#hopMs(
      uniform(this.#seed, STREAMS.replyHop, session, cell, attempt),
      replyHopMs ?? requestHopMs,
    );
  }

  #hopMs(u: number, table: QuantileTable | undefined): number {
    const { gatewayMinMs, gatewayMaxMs } = this.#options;
    return Math.round(table?.at(u) ?? uniformBetween(u, gatewayMinMs, gatewayMaxMs));
  }

  /** The commit of a cell's small state; for one replica 0 unless it was measured. */
  raftCommitMs(replicas: number, session: number, cell: number, attempt: number): number {
    const table = replicas > 1 ? this.#stateCommit : this.#measured.soloCommitMs;
    if (table === undefined) return 0;
    return Math.round(table.at(uniform(this.#seed, STREAMS.stateCommit, session, cell, attempt)));
  }

  /**
   * The commit that makes a replica the executor; for one replica 0 unless it was measured.
   * @param changes whether another replica, or none, was it before
   */
  electionMs(
    replicas: number,
    session: number,
    cell: number,
    attempt: number,
    changes = false,
  ): number {
    const { soloStartMs, executorChangeMs } = this.#measured;
    let table: QuantileTable | undefined = soloStartMs;
    if (replicas > 1) table = changes ? (executorChangeMs ?? this.#commit) : this.#commit;
    if (table === undefined) return 0;
    return Math.round(table.at(uniform(this.#seed, STREAMS.election, session, cell, attempt)));
  }

  /**
   * The `migrationCommits` commits that move a replica, one after the other, or their sum as it was
   * measured; 0 for one replica.
   * @param attempt below 2^24; a move without a cell (off a draining host) takes cell -1 and counts
   *   the moves of its session here
   */
  migrationCommitsMs(replicas: number, session: number, cell: number, attempt: number): number {
    if (replicas <= 1) return 0;
    const measuredMs = this.#measured.migrationMs?.at(
      uniform(this.#seed, STREAMS.migrationCommit, session, cell, attempt * COMMITS_PER_ATTEMPT),
    );
    if (measuredMs !== undefined) return Math.round(measuredMs);
    let sumMs = 0;
    for (let i = 0; i < this.#options.migrationCommits; i++) {
      const key = attempt * COMMITS_PER_ATTEMPT + i;
      sumMs += this.#commit.at(uniform(this.#seed, STREAMS.migrationCommit, session, cell, key));
    }
    return Math.round(sumMs);
  }

  /** Start of a container from nothing, a slow start included. */
  coldStartMs(session: number, item: number, attempt: number): number {
    const { coldStartMedianMs, coldStartSigma } = this.#options;
    const u = uniform(this.#seed, STREAMS.coldStart, session, item, attempt);
    const { coldStartMs, poolStartMs } = this.#measured;
    const measuredMs = ((session === POOL ? poolStartMs : undefined) ?? coldStartMs)?.at(u);
    const ms = measuredMs ?? logNormal(u, coldStartMedianMs, coldStartSigma);
    return Math.round(ms * this.#startFactor(session, item, attempt));
  }

  /** Handing a started container to a kernel, a slow start included. */
  prewarmedStartMs(session: number, item: number, attempt: number): number {
    const { prewarmedMinMs, prewarmedMaxMs } = this.#options;
    const u = uniform(this.#seed, STREAMS.prewarmedStart, session, item, attempt);
    const measuredMs = this.#measured.prewarmedStartMs?.at(u);
    const ms = measuredMs ?? uniformBetween(u, prewarmedMinMs, prewarmedMaxMs);
    return Math.round(ms * this.#startFactor(session, item, attempt));
  }

  /** Until a pool container that a session has left is as a new one; 0 unless it was measured. */
  renewalMs(session: number, item: number, attempt: number): number {
    const table = this.#measured.renewalMs;
    if (table === undefined) return 0;
    return Math.round(table.at(uniform(this.#seed, STREAMS.renewal, session, item, attempt)));
  }

  /** Start of a container that no cell waits for, as any other unless it was measured. */
  openingStartMs(start: 'cold' | 'prewarmed', session: number, item: number, attempt: number) {
    const table = this.#measured.openingStartMs;
    if (table === undefined)
      return start === 'cold'
        ? this.coldStartMs(session, item, attempt)
        : this.prewarmedStartMs(session, item, attempt);
    const ms = table.at(uniform(this.#seed, STREAMS.coldStart, session, item, attempt));
    return Math.round(ms * this.#startFactor(session, item, attempt));
  }

  #startFactor(session: number, item: number, attempt: number): number {
    const { slowStartShare, slowStartFactor } = this.#options;
    if (slowStartShare === 0) return 1;
    const u = uniform(this.#seed, STREAMS.slowStart, session, item, attempt);
    return u < slowStartShare ? slowStartFactor : 1;
  }

  /** Provisioning of a host: normal, cut at 0. */
  hostStartMs(host: number): number {
    const z = normal(uniform(this.#seed, STREAMS.hostStart, host, 0, 0));
    return Math.max(0, Math.round(this.#options.hostStartMeanMs + z * this.#options.hostStartSdMs));
  }

  /** Release of a host: normal, cut at 0. */
  hostStopMs(host: number): number {
    const z = normal(uniform(this.#seed, STREAMS.hostStop, host, 0, 0));
    return Math.max(0, Math.round(this.#options.hostStopMeanMs + z * this.#options.hostStopSdMs));
  }

  /** Bytes of large state of a session whose trace gives none. */
  stateBytes(session: number): number {
    const { stateMedianMb, stateSigma } = this.#options;
    const u = uniform(this.#seed, STREAMS.stateBytes, session, 0, 0);
    return Math.round(logNormal(u, stateMedianMb * BYTES_PER_MB, stateSigma));
  }

  /** Reading `bytes` from the store; twice as long when the first try fails. */
  stateReadMs(bytes: number, session: number, cell: number, attempt: number): number {
    const u = uniform(this.#seed, STREAMS.stateRead, session, cell, attempt);
    const ms =
      this.#measured.stateReadMs?.at(u) ??
      this.#transferMs(bytes / BYTES_PER_MB, this.#options.storeReadMbPerS, u);
    const share = this.#options.storeFailureShare;
    if (share === 0) return Math.round(ms);
    const failure = uniform(this.#seed, STREAMS.stateReadFailure, session, cell, attempt);
    return Math.round(failure < share ? 2 * ms : ms);
  }

  /** Writing `bytes` to the store; twice as long when the first try fails. */
  stateWriteMs(bytes: number, session: number, cell: number, attempt: number): number {
    const u = uniform(this.#seed, STREAMS.stateWrite, session, cell, attempt);
    const ms =
      this.#measured.stateWriteMs?.at(u) ??
      this.#transferMs(bytes / BYTES_PER_MB, this.#options.storeWriteMbPerS, u);
    const share = this.#options.storeFailureShare;
    if (share === 0) return Math.round(ms);
    const failure = uniform(this.#seed, STREAMS.stateWriteFailure, session, cell, attempt);
    return Math.round(failure < share ? 2 * ms : ms);
  }

  /** At a rate that varies uniformly by `storeVariationPct` about its mean; not rounded. */
  #transferMs(mb: number, mbPerS: number, u: number): number {
    const variation = this.#options.storeVariationPct / 100;
    return ((mb / mbPerS) * MS_PER_S) / uniformBetween(u, 1 - variation, 1 + variation);
  }

  /** Download of a data set to a host for a session; 0 for data set -1. */
  datasetDownloadMs(dataset: number, session: number, host: number): number {
    if (dataset < 0) return 0;
    const u = uniform(this.#seed, STREAMS.datasetDownload, session, host, 0);
    return Math.round(
      this.#transferMs(this.#datasetMb[dataset]!, this.#options.storeReadMbPerS, u),
    );
  }

  /** The model that a session trains when its trace names none; -1 when there is none. */
  modelOf(session: number): number {
    const category = this.#categoryOf(session);
    if (category === undefined) return -1;
    const u = uniform(this.#seed, STREAMS.model, session, 0, 0);
    return category.models[pick(u, category.models.length)]!;
  }

  /** The data set, of the model's category; -1 when there is none. */
  datasetOf(session: number): number {
    const category = this.#categoryOf(session);
    if (category === undefined || category.datasets.length === 0) return -1;
    const u = uniform(this.#seed, STREAMS.dataset, session, 0, 0);
    return category.datasets[pick(u, category.datasets.length)]!;
  }

  #categoryOf(session: number): CompiledCategory | undefined {
    const categories = this.#categories;
    if (categories.length === 0) return undefined;
    const u = uniform(this.#seed, STREAMS.category, session, 0, 0);
    return categories[pick(u, categories.length)]!;
  }

  /** Position of the model of this name; -1 when the option modelSizesMb has none (then draw). */
  modelNamed(name: string): number {
    return this.models.indexOf(name);
  }

  /** Position of the data set of this name; -1 when the option datasetSizesMb has none. */
  datasetNamed(name: string): number {
    return this.datasets.indexOf(name);
  }

  /** Start of CUDA and the model's parameters to the device; only the start for model -1. */
  deviceLoadMs(model: number): number {
    const mb = model < 0 ? 0 : this.#modelMb[model]!;
    return Math.round(this.#options.deviceStartMs + mb / this.#options.hostToDeviceGbPerS);
  }

  /** The model's parameters back to the host; 0 for model -1. */
  deviceUnloadMs(model: number): number {
    const mb = model < 0 ? 0 : this.#modelMb[model]!;
    return Math.round(mb / this.#options.deviceToHostGbPerS);
  }
}

/** In place of the session in the key of a pool container. */
export const POOL = -1;

/** Positions in the lists of names. */
interface CompiledCategory {
  readonly models: readonly number[];
  readonly datasets: readonly number[];
}

/**
 * The categories that the configured names leave. Names that the reference does not know make one
 * more category, so that a list of one's own works without naming categories.
 */
function compileCategories(
  models: readonly string[],
  datasets: readonly string[],
): readonly CompiledCategory[] {
  const known = new Set(
    CATEGORIES.flatMap((category) => [...category.models, ...category.datasets]),
  );
  const others: Category = {
    models: models.filter((name) => !known.has(name)),
    datasets: datasets.filter((name) => !known.has(name)),
  };
  return [...CATEGORIES, others]
    .map((category) => ({
      models: positionsOf(category.models, models),
      datasets: positionsOf(category.datasets, datasets),
    }))
    .filter((category) => category.models.length > 0);
}

function positionsOf(names: readonly string[], all: readonly string[]): readonly number[] {
  return names.map((name) => all.indexOf(name)).filter((position) => position >= 0);
}

function checkRange(least: number, most: number, leastName: string, mostName: string): void {
  if (least <= most) return;
  throw new NbosError(
    'config-bad-value',
    `option ${leastName} is ${least}, more than ${mostName}, ${most}`,
    `Make ${leastName} at most ${mostName}.`,
  );
}

function sizesOf(sizes: Sizes, option: string): Float64Array {
  for (const [name, mb] of Object.entries(sizes)) {
    if (mb >= 0 && mb < Infinity) continue;
    throw new NbosError(
      'config-bad-value',
      `option ${option}: ${name} is ${mb}`,
      'Sizes are numbers of MB, 0 or more.',
    );
  }
  return Float64Array.from(Object.values(sizes));
}

type NameOfQuantiles = {
  [Name in keyof Config]: Config[Name] extends Quantiles ? Name : never;
}[keyof Config];

/** The tables of steps that were measured; undefined where none is given. */
function measuredOf(config: Config) {
  const tableOf = (name: NameOfQuantiles): QuantileTable | undefined =>
    config[name].length === 0 ? undefined : new QuantileTable(config[name], name);
  return {
    executorChangeMs: tableOf('executorChangeMs'),
    soloStartMs: tableOf('soloStartMs'),
    soloCommitMs: tableOf('soloCommitMs'),
    requestHopMs: tableOf('requestHopMs'),
    replyHopMs: tableOf('replyHopMs'),
    migrationMs: tableOf('migrationMs'),
    stateReadMs: tableOf('stateReadMs'),
    stateWriteMs: tableOf('stateWriteMs'),
    coldStartMs: tableOf('coldStartMs'),
    poolStartMs: tableOf('poolStartMs'),
    prewarmedStartMs: tableOf('prewarmedStartMs'),
    openingStartMs: tableOf('openingStartMs'),
    renewalMs: tableOf('renewalMs'),
  };
}

/**
 * The numbers that the methods read. A configuration is built key by key, which makes it slow to
 * read on a path taken several times a cell; an object literal is not.
 */
function numbersOf(config: Config) {
  return {
    gatewayMinMs: config.gatewayMinMs,
    gatewayMaxMs: config.gatewayMaxMs,
    migrationCommits: config.migrationCommits,
    coldStartMedianMs: config.coldStartMedianMs,
    coldStartSigma: config.coldStartSigma,
    prewarmedMinMs: config.prewarmedMinMs,
    prewarmedMaxMs: config.prewarmedMaxMs,
    slowStartShare: config.slowStartShare,
    slowStartFactor: config.slowStartFactor,
    hostStartMeanMs: config.hostStartMeanMs,
    hostStartSdMs: config.hostStartSdMs,
    hostStopMeanMs: config.hostStopMeanMs,
    hostStopSdMs: config.hostStopSdMs,
    stateMedianMb: config.stateMedianMb,
    stateSigma: config.stateSigma,
    storeReadMbPerS: config.storeReadMbPerS,
    storeWriteMbPerS: config.storeWriteMbPerS,
    storeVariationPct: config.storeVariationPct,
    storeFailureShare: config.storeFailureShare,
    deviceStartMs: config.deviceStartMs,
    hostToDeviceGbPerS: config.hostToDeviceGbPerS,
    deviceToHostGbPerS: config.deviceToHostGbPerS,
  };
}
