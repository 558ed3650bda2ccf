import type { MemberAddress } from '../wire/messages.ts';
import type { Hosts } from './hosts.ts';
import type { LiveKernel, Member } from './kernel.ts';

const LOOK_MS = 200;

/** Of those that take part in the kernel's log. */
export function addresses(kernel: LiveKernel): MemberAddress[] {
  return joinedOf(kernel).map(({ member, host }) => ({ member, host }));
}

function joinedOf(kernel: LiveKernel): Member[] {
  return [...kernel.members.values()].filter(({ joined }) => joined);
}

/**
 * Members that core has forgotten, beyond as many as the kernel has replicas: a host that is lost,
 * or a gateway that ends, while a replica moves leaves one beside that in its place.
 */
export function surplusOf(kernel: LiveKernel): Member[] {
  const joined = joinedOf(kernel);
  const surplus = Math.max(0, joined.length - kernel.meta.replicas);
  return joined.filter(({ container }) => container === -1).slice(0, surplus);
}

/**
 * Members to ask for a change of their group, the leader first. One that is to be removed is asked
 * only if it leads: then nobody else can do it, until its word has become old.
 */
export function askedToChange(kernel: LiveKernel, hosts: Hosts, removed?: number): Member[] {
  return joinedOf(kernel)
    .filter((each) => hosts.isUp(each.host) && (each.member !== removed || isLeader(each)))
    .sort((a, b) => Number(isLeader(b)) - Number(isLeader(a)) || a.member - b.member);
}

/** Shut down, or given up by core, or begun anew without this one, while an agent was asked. */
export function isUnwanted(kernel: LiveKernel, member: Member): boolean {
  const isLeftOut = kernel.members.get(member.member) !== member;
  return kernel.closing || member.container === -1 || isLeftOut;
}

/** Of a member that was left out: whether core waits for it still once there is a log to join. */
export async function isAwaited(kernel: LiveKernel, isKnown: () => boolean): Promise<boolean> {
  const isOpen = (): boolean => !kernel.closing && isKnown();
  while (kernel.restoring && isOpen()) await new Promise((next) => setTimeout(next, LOOK_MS));
  return isOpen();
}

function isLeader({ position }: Member): boolean {
  return position?.role === 'leader';
}
