import type { LiveKernel, Member } from './kernel.ts';

/**
 * Members of a kernel's group that core has forgotten, beyond as many as it has replicas: a host
 * that is lost while its replica moves leaves one beside that in its place.
 */
export function surplusOf(kernel: LiveKernel): Member[] {
  const joined = [...kernel.members.values()].filter((member) => member.joined);
  const surplus = Math.max(0, joined.length - kernel.meta.replicas);
  return joined.filter(({ container }) => container === -1).slice(0, surplus);
}
