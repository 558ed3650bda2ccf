/**
 * Why an execution got its GPUs when it did. Every decision carries one of these into cells.csv,
 * the logs and the dashboard; `explain` prints the sentence. For a completed execution it names the
 * heaviest thing that had to happen before it could start.
 */
export const REASONS = {
  immediate: 'a replica could commit its GPUs at the first attempt',
  'executor-reused': 'the last executor could commit its GPUs at the first attempt',
  prewarmed: 'a prewarmed container was taken',
  'cold-start': 'a container had to be started',
  migrated: 'a replica was moved to a host that could commit',
  'waited-for-gpus': 'no host could commit; it waited until GPUs came back',
  'scaled-out': 'it waited for a host to be provisioned',
  'kernel-busy': 'it waited for an earlier execution of its own kernel',
  'kernel-starting': "it waited for its kernel's containers",
  restarted: 'its executor was lost and it ran again from its start',
  suspended: 'the policy suspended it in favour of others',
  'rejected-queue-full': 'the queue of waiting executions was full',
  'rejected-kernel-queue-full': 'the queue of its kernel was full',
  'rejected-attempts': 'every attempt failed and the limit was reached',
  'rejected-too-large': 'no host type could ever hold it',
  'aborted-executor-lost': 'its executor was lost while it ran',
  'aborted-cancelled': 'its client took it back before it ran',
} as const;

export type Reason = keyof typeof REASONS;

/** Why one host was refused for one piece of work; `explain` prints them host by host. */
export const REFUSALS = {
  'not-up': 'the host is not up',
  draining: 'the host is about to be released',
  'replica-present': 'it holds another replica of this kernel',
  'gpu-type': 'its GPUs are of another type',
  'idle-gpus': 'too few idle GPUs',
  'idle-devices': 'enough idle GPU shares, but too few whole devices',
  'idle-cpu': 'too little idle CPU',
  'idle-memory': 'too little idle memory',
  'idle-vram': 'too little idle GPU memory',
  'too-small': 'the host is smaller than the request',
  'subscription-limit': 'its subscription ratio would exceed the limit',
  reserved: 'it is reserved for an execution that waited too long',
  yielded: 'its replica yielded this execution already',
} as const;

export type Refusal = keyof typeof REFUSALS;
