import type { Effect, Execute, JoinReplica, StartContainer } from '../../core/effects.ts';
import type {
  Event,
  ExecutionReleased,
  ExecutionReplied,
  ReplicaJoined,
} from '../../core/events.ts';
import { quantileSorted, sortedCopy } from '../../traces/quantiles.ts';
import { type JournalPart, replayPart } from './journal.ts';
import { renewalSamples } from './renewal.ts';

/** ms of each step of a live run that the simulator draws, one value an occurrence. */
export interface StepSamples {
  /** from the client until core knows the cell */
  readonly requestHop: number[];
  readonly replyHop: number[];
  /** until the last executor is elected again, and is in step */
  readonly election: number[];
  /** until another replica is elected and has taken in the state of the cells before */
  readonly executorChange: number[];
  /** the same of a kernel with one replica that is there, and so its executor */
  readonly soloStart: number[];
  readonly stateCommit: number[];
  readonly soloCommit: number[];
  readonly deviceLoad: number[];
  /** of a kernel that opens: its user waits for it before the first cell */
  readonly openingStart: number[];
  /**
   * of a replica or container that a cell waits for; of a container that is there for this cell
   * until the cell starts in it: the faster one is there, the more is left to do then
   */
  readonly coldStart: number[];
  readonly poolStart: number[];
  /** of one that a cell waits for */
  readonly prewarmedStart: number[];
  /** a pool container that ran another session, from its return until a process was there again */
  readonly renewal: number[];
  readonly hostStart: number[];
  /** commits that moved a replica, once its process was there */
  readonly migration: number[];
  /** large state: into a moved replica, or before a cell */
  readonly stateRead: number[];
  /** large state after a cell, which waits for it */
  readonly stateWrite: number[];
}

export function noSamples(): StepSamples {
  return {
    requestHop: [],
    replyHop: [],
    election: [],
    executorChange: [],
    soloStart: [],
    stateCommit: [],
    soloCommit: [],
    deviceLoad: [],
    openingStart: [],
    coldStart: [],
    poolStart: [],
    prewarmedStart: [],
    renewal: [],
    hostStart: [],
    migration: [],
    stateRead: [],
    stateWrite: [],
  };
}

/**
 * Collects what a recorded run says about how long things take.
 * @param isCounted which sessions are looked at; what belongs to none always is
 */
export function stepSamples(
  part: JournalPart,
  isCounted: (session: number) => boolean = () => true,
): StepSamples {
  const collector = new Collector(isCounted);
  replayPart(part, {
    watch: () => undefined,
    before: () => undefined,
    after: (event, effects) => {
      collector.event(event);
      for (const effect of effects) collector.effect(effect, event.at);
    },
  });
  collector.end();
  return collector.samples;
}

/** A container that was asked for. */
interface SeenStart {
  readonly effect: StartContainer;
  readonly at: number;
  /** since a cell has left it; Infinity for a new one */
  readonly idleMs: number;
  /** when its process was there; -1 before */
  startedAt: number;
  /** from then until its cell started, without the reading of state */
  untilCellMs: number;
}

/** A replica that was moved, or is being moved. */
interface SeenJoin {
  readonly effect: JoinReplica;
  event?: ReplicaJoined;
  /** what it took in before its first cell */
  readMs: number;
}

/** A run under way: what was asked for, and what it has told so far. */
interface SeenRun {
  readonly effect: Execute;
  readonly changes: boolean;
  released?: ExecutionReleased;
}

class Collector {
  readonly samples = noSamples();
  readonly #isCounted: (session: number) => boolean;
  readonly #starts: SeenStart[] = [];
  /** the latest start, by container */
  readonly #latest = new Map<number, SeenStart>();
  /** when each host was asked for */
  readonly #hosts = new Map<number, number>();
  /** by container */
  readonly #joins = new Map<number, SeenJoin>();
  /** by execution */
  readonly #runs = new Map<number, SeenRun>();
  /** container of the last executor, by session */
  readonly #executors = new Map<number, number>();
  /** when a cell has last left it, by container */
  readonly #leftAt = new Map<number, number>();

  constructor(isCounted: (session: number) => boolean) {
    this.#isCounted = isCounted;
  }

  effect(effect: Effect, at: number): void {
    switch (effect.kind) {
      case 'start-container':
        if (effect.start !== 'same') this.#asked(effect, at);
        break;
      case 'provision-host':
        this.#hosts.set(effect.host, at);
        break;
      case 'join-replica':
        this.#joins.set(effect.container, { effect, readMs: 0 });
        break;
      case 'execute': {
        const { execution, session, container } = effect;
        const changes = this.#executors.get(session) !== container;
        this.#runs.set(execution, { effect, changes });
        break;
      }
      default: // takes no time that is drawn
    }
  }

  event(event: Event): void {
    switch (event.kind) {
      case 'cell-submitted':
        this.#add('requestHop', event.session, event.at - event.submittedAt);
        break;
      case 'container-started':
        this.#started(event.container, event.at);
        break;
      case 'host-up': {
        const asked = this.#hosts.get(event.host);
        if (asked !== undefined) this.samples.hostStart.push(event.at - asked);
        break;
      }
      case 'replica-joined': {
        const join = this.#joins.get(event.container);
        if (join !== undefined) join.event = event;
        break;
      }
      case 'execution-released': {
        const run = this.#runs.get(event.execution);
        if (run === undefined || run.effect.ticket !== event.ticket) break;
        run.released = event;
        this.#executors.set(run.effect.session, run.effect.container);
        this.#leftAt.set(run.effect.container, event.at);
        break;
      }
      case 'execution-replied':
        this.#replied(event);
        break;
      default: // says nothing about steps
    }
  }

  #add(step: keyof StepSamples, session: number, ms: number): void {
    if (session === -1 || this.#isCounted(session)) this.samples[step].push(ms);
  }

  #asked(effect: StartContainer, at: number): void {
    const idleMs = at - (this.#leftAt.get(effect.container) ?? Number.NEGATIVE_INFINITY);
    const start = { effect, at, idleMs, startedAt: -1, untilCellMs: 0 };
    this.#starts.push(start);
    this.#latest.set(effect.container, start);
  }

  /**
   * A live replica that is moved is there for the scheduler before its process is, and says so a
   * second time. Others that say it again have begun anew, which no cell waited for.
   */
  #started(container: number, now: number): void {
    const start = this.#latest.get(container);
    if (start === undefined) return;
    const join = this.#joins.get(container);
    const isMoving = join !== undefined && join.event === undefined;
    if (start.startedAt === -1 || isMoving) start.startedAt = now;
  }

  #replied(event: ExecutionReplied): void {
    const run = this.#runs.get(event.execution);
    const released = run?.released;
    if (run === undefined || released === undefined || released.ticket !== event.ticket) return;
    this.#runs.delete(event.execution);
    const { effect, changes } = run;
    const { session, voters, container } = effect;
    this.#add('replyHop', session, event.replyMs);
    if (effect.gpuMillis > 0) this.#add('deviceLoad', session, released.deviceLoadMs);
    let { stateReadMs, electionMs } = released;
    const join = this.#joins.get(container);
    if (join?.effect.readState && join.effect.cell === effect.cell) {
      // What a moved replica takes in before its first cell is part of the move.
      join.readMs = stateReadMs;
      stateReadMs = 0;
    } else if (effect.readState) {
      this.#add('stateRead', session, stateReadMs);
      stateReadMs = 0;
    }
    electionMs += stateReadMs;
    const start = this.#latest.get(container);
    const isFor = start?.effect.session === session && start.effect.cell === effect.cell;
    if (voters <= 1 && isFor && start !== undefined) start.untilCellMs = electionMs;
    else if (voters <= 1) this.#add('soloStart', session, electionMs);
    else this.#add(changes ? 'executorChange' : 'election', session, electionMs);
    const commitMs = released.stateCommitMs + event.stateCommitMs;
    if (effect.writeState === 'critical') this.#add('stateWrite', session, commitMs);
    else this.#add(voters <= 1 ? 'soloCommit' : 'stateCommit', session, commitMs);
  }

  /** What took longer than one event, once all is known of it. */
  end(): void {
    const done = this.#starts.filter(({ startedAt }) => startedAt !== -1);
    for (const start of done) {
      const { session, cell } = start.effect;
      if (session === -1) continue;
      if (cell === -1) this.#add('openingStart', session, lasted(start));
      else if (start.effect.start === 'cold') this.#add('coldStart', session, lasted(start));
      else if (start.idleMs === Infinity) this.#add('prewarmedStart', session, lasted(start));
    }
    this.#pooled(done);
    this.#retaken(
      done.filter(({ effect, idleMs }) => effect.start === 'prewarmed' && idleMs < Infinity),
    );
    for (const [container, { effect, event, readMs }] of this.#joins) {
      if (event === undefined) continue;
      const since = this.#latest.get(container)?.startedAt ?? event.at - event.migrationMs;
      this.#add('migration', effect.session, event.at - event.stateReadMs - since);
      if (effect.readState) this.#add('stateRead', effect.session, event.stateReadMs + readMs);
    }
  }

  /**
   * Starts for the pool. Kernels that open all at once are simulated as if each were alone, so what
   * starts beside them, and slower for it, does not count unless there is nothing else.
   */
  #pooled(starts: readonly SeenStart[]): void {
    const opening = starts.filter(({ effect: { session, cell } }) => session !== -1 && cell === -1);
    const all = starts.filter(({ effect }) => effect.session === -1);
    const [first, last] = [
      Math.min(...opening.map(({ at }) => at)),
      Math.max(...opening.map(({ startedAt }) => startedAt)),
    ];
    const apart = all.filter(({ at, startedAt }) => startedAt < first || at > last);
    this.samples.poolStart.push(...(apart.length > 0 ? apart : all).map(lasted));
  }

  /**
   * Containers that another session had left start as a prewarmed one when a process is there for
   * them again, else as a cold one: nearer to which of both, as a ratio.
   */
  #retaken(starts: readonly SeenStart[]): void {
    const { coldStart, poolStart, prewarmedStart } = this.samples;
    const coldMs = medianOf(coldStart.length > 0 ? coldStart : poolStart);
    const between = Math.sqrt(coldMs * Math.max(1, medianOf(prewarmedStart)));
    const taken = starts
      .filter(({ effect }) => this.#isCounted(effect.session))
      .map((start) => ({ ...start, isReady: !(lasted(start) > between) }));
    this.samples.renewal.push(...renewalSamples(taken));
    for (const start of taken) (start.isReady ? prewarmedStart : coldStart).push(lasted(start));
  }
}

function medianOf(values: readonly number[]): number {
  return quantileSorted(sortedCopy(Float64Array.from(values)), 0.5);
}

/** ms until there was nothing left to wait for. */
function lasted({ at, startedAt, untilCellMs }: SeenStart): number {
  return startedAt - at + untilCellMs;
}
