import { admitsMigration, admitsReplica } from './admission.ts';
import type { Container } from './books/container-book.ts';
import { type Execution, enterStep, STEP } from './books/execution-book.ts';
import type { Host } from './books/host-book.ts';
import { isUsable, type Migration, type Session } from './books/session-book.ts';
import { startReplicaContainer, stopContainer } from './containers.ts';
import { beginRun, kernelReady, noteReason } from './execution.ts';
import type { HostQuery } from './host-index.ts';
import { cancelDrain } from './hosts.ts';
import { placeMissing } from './kernels.ts';
import { changed, commit, subscribe, uncommit, unsubscribe } from './ledger.ts';
import { retry } from './outcomes.ts';
import { fact, type State } from './state.ts';
import { mostClaimed, noteLimited } from './subscription.ts';
import type { Served } from './wait-queue.ts';

/**
 * Moving one replica to another host: choose and commit the target, start a container there, let it
 * join the kernel, then drop the old replica. The old one serves until the new one has joined, so a
 * failure at any step leaves the kernel as it was.
 */

/** Moves a replica of the session to a host that can run the execution now, if there is one. */
export function migrateFor(state: State, session: Session, execution: Execution): Served {
  if (session.migrations.length > 0) return 'blocked-self';
  const query: HostQuery = {
    need: execution.need,
    accept: (host) => admitsMigration(state, host, session, execution),
    claim: session.need.gpuMillis,
    mostClaimed: mostClaimed(state),
  };
  const target = state.index.bestFit(query, true);
  if (target === undefined) {
    noteLimited(state, session.need);
    return state.index.mayFit(execution.need) ? 'blocked-self' : 'blocked-class';
  }
  const victim = chooseVictim(state, session);
  commit(state, execution, target);
  enterStep(execution, STEP.container_start, state.now);
  execution.state = 'container-wait';
  execution.immediate = false;
  execution.migrations++;
  noteReason(execution, 'migrated');
  startMove(state, session, victim, target, execution);
  const gpus = execution.need.gpuMillis;
  fact(state, 'migrate', target.id, session.id, execution.cell, gpus, `replica ${victim}`);
  return 'served';
}

/**
 * A missing replica, if any; else never the last executor while another exists, then the one on the
 * host with least idle GPUs, then the lowest host id.
 */
function chooseVictim(state: State, session: Session): number {
  let victim = -1;
  for (const [index, replica] of session.replicas.entries()) {
    if (replica.state === 'missing') return index;
    if (replica.state !== 'ready') continue;
    if (index === session.lastReplica && session.replicas.length > 1) continue;
    if (victim === -1) {
      victim = index;
      continue;
    }
    const host = state.hosts[replica.host]!;
    const best = state.hosts[session.replicas[victim]!.host]!;
    const less = host.idle.gpuMillis - best.idle.gpuMillis || host.id - best.id;
    if (less < 0) victim = index;
  }
  return victim === -1 ? Math.max(0, session.lastReplica) : victim;
}

/** Starts a container on the target, which takes the replica's place once it has joined. */
export function startMove(
  state: State,
  session: Session,
  replica: number,
  target: Host,
  execution: Execution | null,
): void {
  subscribe(state, target, session.need);
  session.placements++;
  const container = startReplicaContainer(state, target, session, replica, execution);
  session.migrations.push({
    replica,
    container: container.id,
    host: target.id,
    execution: execution === null ? -1 : execution.slot,
  });
}

/**
 * Moves every replica off a host that is to be released. False, with the books as they were, when
 * some replica has no legal target or is being moved already.
 */
export function drainReplicas(state: State, host: Host): boolean {
  const moves: { session: Session; replica: number; target: Host }[] = [];
  for (const id of host.containers) {
    const session = state.sessions[state.containers.get(id)!.session]!;
    const replica = session.replicas.findIndex((candidate) => candidate.container === id);
    const movable = replica !== -1 && session.migrations.length === 0;
    const ready = movable && session.replicas[replica]!.state === 'ready';
    const target = ready ? drainTarget(state, host, session) : undefined;
    if (target === undefined) {
      for (const move of moves) unsubscribe(state, move.target, move.session.need);
      return false;
    }
    // Claimed at once, so that the next replica sees it.
    subscribe(state, target, session.need);
    moves.push({ session, replica, target });
  }
  for (const { session, replica, target } of moves) {
    unsubscribe(state, target, session.need);
    startMove(state, session, replica, target, null);
  }
  return true;
}

/** Where a replica may go when nothing waits for it. */
export function drainTarget(state: State, from: Host, session: Session): Host | undefined {
  return state.index.find(state.orders['least-subscribed'], {
    need: null,
    accept: (host) => host.id !== from.id && admitsReplica(state, host, session),
    claim: session.need.gpuMillis,
    mostClaimed: mostClaimed(state),
  });
}

export function migrationOf(session: Session, container: number): Migration | undefined {
  return session.migrations.find((migration) => migration.container === container);
}

/** The container of a migration has started: it joins the kernel. */
export function moveStarted(state: State, session: Session, migration: Migration): void {
  const execution = executionOf(state, migration);
  if (execution !== null) enterStep(execution, STEP.migration, state.now);
  state.effects.push({
    kind: 'join-replica',
    container: migration.container,
    host: migration.host,
    session: session.id,
    commits: state.policy.replicated,
    readState: session.executed > 0,
    cell: execution === null ? -1 : execution.cell,
    attempt: execution === null ? session.placements * 8 + migration.replica : execution.attempt,
  });
}

/** The new replica has joined: the old one goes, and the execution starts. */
export function moveJoined(
  state: State,
  session: Session,
  migration: Migration,
  stateReadMs: number,
): void {
  session.migrations.splice(session.migrations.indexOf(migration), 1);
  const replica = session.replicas[migration.replica]!;
  const old = replica.state === 'missing' ? undefined : state.containers.get(replica.container);
  const oldHost = old === undefined ? undefined : state.hosts[old.host]!;
  if (old !== undefined && oldHost !== undefined) {
    unsubscribe(state, oldHost, session.need);
    stopContainer(state, old);
  }
  replica.container = migration.container;
  replica.host = migration.host;
  replica.state = 'ready';
  if (migration.replica === session.lastReplica) session.lastReplica = -1;
  session.migrated++;
  const execution = executionOf(state, migration);
  if (execution === null) {
    state.totals.drainMigrations++;
    kernelReady(state, session);
  } else {
    state.totals.migrations++;
    enterStep(execution, STEP.queue, state.now);
    // The time since the join began was charged to migration; part of it was reading state.
    const from = execution.started ? STEP.suspended : STEP.migration;
    const to = execution.started ? STEP.suspended : STEP.state_read;
    execution.steps[from]! -= stateReadMs;
    execution.steps[to]! += stateReadMs;
    if (isUsable(session))
      beginRun(state, session, execution, migration.replica, migration.container);
    else {
      // So many replicas were lost meanwhile that those left cannot agree on an executor.
      uncommit(state, execution);
      state.relieved = true;
      retry(state, execution);
    }
  }
  if (oldHost !== undefined) changed(state, oldHost);
}

/** The target of a migration is lost or never started: the kernel stays as it was. */
export function moveFailed(state: State, session: Session, migration: Migration): void {
  session.migrations.splice(session.migrations.indexOf(migration), 1);
  unsubscribe(state, state.hosts[migration.host]!, session.need);
  state.totals.failedMigrations++;
  const execution = executionOf(state, migration);
  const from = session.replicas[migration.replica]!;
  if (execution !== null) {
    uncommit(state, execution);
    retry(state, execution);
  } else if (from.state !== 'missing') {
    cancelDrain(state, state.hosts[from.host]!);
    kernelReady(state, session);
  }
  // The old replica may have been lost meanwhile.
  if (from.state === 'missing' && session.kernel === 'placed') placeMissing(state, session);
}

/** Drops all migrations of a kernel that is being stopped; none of them serves an execution. */
export function cancelMigrations(state: State, session: Session): void {
  for (const migration of [...session.migrations]) {
    session.migrations.splice(0, 1);
    unsubscribe(state, state.hosts[migration.host]!, session.need);
    const container: Container | undefined = state.containers.get(migration.container);
    if (container !== undefined) stopContainer(state, container);
  }
}

function executionOf(state: State, migration: Migration): Execution | null {
  return migration.execution === -1 ? null : state.executions.slots[migration.execution]!;
}
