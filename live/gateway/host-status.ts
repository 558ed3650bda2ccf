import type { HostState, HostStatus } from '../admin-types.ts';
import type { Brain } from './brain.ts';
import type { LiveHost } from './hosts.ts';

/** A host as people are told of it. */
export function hostStatus(brain: Brain, host: LiveHost): HostStatus {
  const { id, number, hello } = host;
  const booked = brain.loop.core.state.hosts[number];
  const state = stateOf(brain, host);
  const replicas = booked?.containers.length ?? 0;
  return {
    id,
    pid: hello?.pid ?? 0,
    up: number !== -1,
    state,
    gpus: hello?.gpus ?? 0,
    gpusCommitted: booked === undefined ? 0 : booked.committed.gpuMillis / 1000,
    replicas,
    note: noteOf(brain, host, state, replicas),
    ...(hello?.unguardedGpus === undefined ? {} : { unguardedGpus: hello.unguardedGpus }),
  };
}

function stateOf({ loop, hosts, drains }: Brain, { id, number }: LiveHost): HostState {
  if (number !== -1) return loop.core.state.hosts[number]?.state === 'up' ? 'up' : 'draining';
  if (!hosts.isHeard(id)) return 'down';
  return drains.has(id) ? 'drained' : 'idle';
}

function noteOf(brain: Brain, host: LiveHost, state: HostState, replicas: number): string {
  const { note, hello } = host;
  switch (state) {
    case 'drained':
      return `out of service; nbos hosts enable ${host.id} ends that`;
    case 'draining': {
      const runs = [...brain.table].filter(
        ({ running, members }) => members.get(running?.executor ?? -1)?.host === host.id,
      );
      if (replicas === 0) return 'is being given back';
      if (runs.length > 0) return `is being emptied; kernels whose cells run here: ${runs.length}`;
      return brain.loop.core.state.policy.migrates
        ? 'is being emptied; a replica that stays has no other host to go to'
        : 'waits until its kernels are shut down: the policy moves none';
    }
    case 'down':
      return hello === undefined || note !== 'not needed now' ? note : 'its agent is not connected';
    default:
      return note;
  }
}
