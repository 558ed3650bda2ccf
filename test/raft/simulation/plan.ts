import type { RaftLimits } from '../../../core/raft/index.ts';
import { Chance } from './chance.ts';

/** Everything a run varies, drawn from its seed; chances are per instant or per message. */
export interface Plan {
  readonly seed: number;
  readonly voters: number;
  readonly limits: Partial<RaftLimits>;
  /** instants with faults; then they end and the group must recover */
  readonly chaosInstants: number;
  readonly loss: number;
  readonly duplication: number;
  readonly maxDelayInstants: number;
  readonly crash: number;
  readonly restart: number;
  readonly partition: number;
  readonly heal: number;
  readonly oneWayShare: number;
  /** instants that a write takes at most */
  readonly maxWriteInstants: number;
  /** ticks per instant are drawn from 1 ± this, for each member */
  readonly clockSkew: number;
  readonly transfer: number;
  readonly memberChange: number;
  /** entries applied since the last snapshot; 0: no snapshots */
  readonly snapshotEvery: number;
  /** entries that stay before a snapshot */
  readonly keepEntries: number;
  readonly clients: number;
  readonly readShare: number;
  readonly batch: number;
  readonly applyPerInstant: number;
  /** instants until members hear that another's host is lost; only matters at rest */
  readonly hostWatchInstants: number;
}

/** Each kind of fault is off in some runs, so that one does not hide what another shows. */
export function planOf(seed: number): Plan {
  const chance = new Chance(seed, 1);
  const some = (share: number, most: number): number =>
    chance.hits(share) ? chance.next() * most : 0;
  const electionTicks = chance.between(5, 12);
  const checkQuorum = chance.hits(0.7);
  const memberChange = some(0.6, 0.1);
  return {
    seed,
    voters: chance.pick([1, 2, 3, 3, 3, 3, 4, 5, 5]),
    limits: {
      electionTicks,
      heartbeatTicks: chance.between(1, 2),
      // Against a removed member that does not know it, one of them is needed.
      preVote: chance.hits(0.7) || (!checkQuorum && memberChange > 0),
      checkQuorum,
      restAfterTicks: chance.hits(0.3) ? chance.between(2, 10) : 0,
      maxMessageBytes: chance.pick([1, 100, 400, 1_000_000]),
      maxInflight: chance.pick([1, 2, 4, 64]),
      maxInflightBytes: chance.pick([200, 1_000_000]),
      maxUncommittedBytes: chance.pick([600, 1_000_000]),
      maxApplyBytes: chance.pick([1, 200, 1_000_000]),
      maxOutbox: chance.pick([8, 4_096]),
      maxReads: chance.pick([2, 1_000]),
      snapshotTicks: chance.between(5, 20),
      promoteLag: chance.pick([0, 5, 50]),
    },
    chaosInstants: chance.between(300, 3_000),
    loss: some(0.7, 0.3),
    duplication: some(0.5, 0.2),
    maxDelayInstants: chance.pick([1, 1, 3, 8, 20]),
    crash: some(0.7, 0.03),
    restart: 0.02 + chance.next() * 0.1,
    partition: some(0.6, 0.04),
    heal: chance.pick([0.005, 0.015, 0.05]),
    oneWayShare: some(0.5, 1),
    maxWriteInstants: chance.pick([0, 0, 1, 5, 15]),
    clockSkew: some(0.5, 0.6),
    transfer: some(0.5, 0.05),
    memberChange,
    snapshotEvery: chance.hits(0.6) ? chance.between(2, 40) : 0,
    keepEntries: chance.pick([0, 0, 3, 20]),
    clients: chance.between(1, 6),
    readShare: chance.pick([0.1, 0.5]),
    batch: chance.pick([1, 1, 4]),
    applyPerInstant: chance.pick([1, 3, 1_000]),
    hostWatchInstants: chance.between(1, 30),
  };
}
