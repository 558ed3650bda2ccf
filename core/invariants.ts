import { excludedGpuMillis, type Host } from './books/host-book.ts';
import { isBeingMoved } from './books/session-book.ts';
import { assert } from './errors.ts';
import { isFailing } from './kernels.ts';
import { addInto, equalVectors, isNonNegative, type ResourceVector, vector } from './resources.ts';
import type { State } from './state.ts';

/** What must hold after every step; a violation is a bug. Costs a pass over all books. */
export function checkInvariants(state: State): void {
  const committed = state.hosts.map(() => vector(0, 0, 0, 0));
  const subscribed = state.hosts.map(() => vector(0, 0, 0, 0));
  const devices = state.hosts.map(() => 0);
  const running = state.hosts.map(() => 0);
  sumSessions(state, committed, subscribed, devices);
  sumExecutions(state, committed, devices, running);
  for (const host of state.hosts) {
    if (host.state === 'gone') continue;
    checkHost(state, host, committed[host.id]!, subscribed[host.id]!, devices[host.id]!);
    assert(host.running === running[host.id], `host ${host.id}: count of running executions`);
  }
  checkContainers(state);
  checkTotals(state);
}

function sumSessions(
  state: State,
  committed: ResourceVector[],
  subscribed: ResourceVector[],
  devices: number[],
): void {
  for (const session of state.sessions) {
    if (session === undefined || session.state === 'closed') continue;
    const hosts = new Set<number>();
    for (const [index, replica] of session.replicas.entries()) {
      if (replica.state === 'missing') continue;
      assert(!hosts.has(replica.host), `session ${session.id}: two replicas on ${replica.host}`);
      hosts.add(replica.host);
      addInto(subscribed[replica.host]!, session.need);
      const container = state.containers.get(replica.container);
      assert(container?.host === replica.host, `session ${session.id}: replica ${index} astray`);
      if (state.policy.commit === 'placement') {
        addInto(committed[replica.host]!, session.need);
        claimDevices(devices, replica.host, replica.devices, session.id);
      }
    }
    for (const migration of session.migrations) {
      assert(!hosts.has(migration.host), `session ${session.id}: migrates to a host it is on`);
      hosts.add(migration.host);
      addInto(subscribed[migration.host]!, session.need);
    }
    const forgotten = session.replicas.some(
      ({ state: place }, index) =>
        place === 'missing' &&
        !session.waitingForHosts &&
        !isFailing(state, session) &&
        !isBeingMoved(session, index),
    );
    assert(!forgotten, `session ${session.id}: a missing replica that nothing will place`);
    assert(
      !session.waitingForHosts || state.placementQueue.includes(session.id),
      `session ${session.id}: waits for hosts outside the queue`,
    );
  }
}

function sumExecutions(
  state: State,
  committed: ResourceVector[],
  devices: number[],
  running: number[],
): void {
  let waiting = 0;
  for (const execution of state.executions.slots) {
    if (execution.state === 'done') continue;
    const session = state.sessions[execution.session]!;
    const isActive = session.active === execution.slot;
    assert(
      isActive || session.queue.includes(execution.slot),
      `execution ${execution.id}: its session does not know it`,
    );
    if (execution.state === 'gpu-wait') waiting++;
    assert(
      execution.state !== 'new' || session.active !== execution.slot || state.held,
      `execution ${execution.id}: nothing will start it`,
    );
    assert(
      (execution.state === 'gpu-wait') === (execution.waitingSince !== -1),
      `execution ${execution.id}: waits without being in the queue`,
    );
    const runs = execution.state === 'running' || execution.state === 'suspending';
    if (runs) running[execution.host]!++;
    assert(!runs || isActive, `execution ${execution.id}: runs beside another of its kernel`);
    if (execution.state === 'kernel-wait' && isActive) {
      const coming = session.waitingForHosts || session.replicas.length > 0;
      assert(coming, `execution ${execution.id}: waits for a kernel that will not come`);
    }
    const ownsGpus = state.policy.container !== 'session' || state.policy.commit === 'execution';
    if (execution.host === -1 || !ownsGpus) continue;
    addInto(committed[execution.host]!, execution.need);
    claimDevices(devices, execution.host, execution.devices, execution.session);
  }
  assert(waiting === state.queue.size, 'the queue holds other executions than those that wait');
}

function claimDevices(devices: number[], host: number, mask: number, session: number): void {
  assert((devices[host]! & mask) === 0, `host ${host}: a device is leased twice (${session})`);
  devices[host]! |= mask;
}

function checkHost(
  state: State,
  host: Host,
  committed: ResourceVector,
  subscribed: ResourceVector,
  devices: number,
): void {
  const place = `host ${host.id}`;
  assert(isNonNegative(host.idle), `${place}: negative idle`);
  assert(
    equalVectors(host.committed, committed),
    `${place}: committed is not the sum of its parts`,
  );
  assert(equalVectors(host.subscribed, subscribed), `${place}: subscribed is not the sum`);
  const sum = vector(0, 0, excludedGpuMillis(host), 0);
  addInto(sum, host.idle);
  addInto(sum, host.committed);
  assert(equalVectors(sum, host.spec), `${place}: idle + committed + excluded is not spec`);
  if (!state.config.deviceIds) return;
  const inUse = host.freeDevices & (devices | host.excludedDevices);
  assert(inUse === 0, `${place}: a leased or excluded device is free`);
  let whole = 0;
  for (let mask = devices; mask !== 0; mask &= mask - 1) whole += 1000;
  const shares = host.sharedMillis.reduce((total, used) => total + used, 0);
  for (const used of host.sharedMillis) assert(used >= 0 && used <= 1000, `${place}: shares`);
  assert(whole + shares === host.committed.gpuMillis, `${place}: devices and GPUs differ`);
}

function checkContainers(state: State): void {
  let pooled = 0;
  for (const host of state.hosts) {
    if (host.state === 'gone') continue;
    pooled += host.pool.length;
    for (const id of [...host.pool, ...host.containers]) {
      assert(state.containers.get(id)?.host === host.id, `host ${host.id}: container ${id} astray`);
    }
    assert(host.poolStarting >= 0 && host.poolTaken >= 0, `host ${host.id}: counts of the pool`);
  }
  assert(pooled === state.totals.poolContainers, 'count of prewarmed containers');
}

function checkTotals(state: State): void {
  const { totals } = state;
  let provisioned = 0;
  let leased = 0;
  let subscribed = 0;
  for (const host of state.hosts) {
    if (host.state === 'gone' || host.state === 'pending') continue;
    provisioned += host.spec.gpuMillis;
    leased += host.committed.gpuMillis;
    subscribed += host.subscribed.gpuMillis;
  }
  assert(provisioned === totals.provisionedGpuMillis, 'total of provisioned GPUs');
  assert(leased === totals.leasedGpuMillis, 'total of committed GPUs');
  assert(subscribed === totals.subscribedGpuMillis, 'total of subscribed GPUs');
  let demanded = 0;
  for (const session of state.sessions) {
    if (session !== undefined && session.state !== 'closed') demanded += session.need.gpuMillis;
  }
  assert(demanded === totals.demandedGpuMillis, 'total of demanded GPUs');
  assert(
    state.up.length <= state.bounds.max && totals.hosts <= state.bounds.max,
    'more hosts than the maximum',
  );
}
