/**
 * The one list of error codes. Every error a person can meet carries one of these, names the place
 * and says what to do; the command line prints `code: message` and never a stack trace for it.
 */
export const ERROR_CODES = {
  usage: 'The command line is wrong: an unknown command, a missing or contradictory option.',
  'config-unknown-key': 'An option or configuration key that does not exist.',
  'config-bad-value': 'A configuration value of the wrong type or outside its bounds.',
  'policy-unknown': 'A policy or placement name that is not registered.',
  'policy-invalid': 'A policy file that does not export a valid policy.',
  'policy-failed': "A policy's own function threw or returned something that is not allowed.",
  'file-not-found': 'A file or folder that does not exist or cannot be read.',
  'file-exists': 'An output that exists already and would be overwritten.',
  'file-unwritable': 'An output that cannot be written: permission, full disk, not a folder.',
  'file-corrupt': 'A file that is truncated, not what its name says, or fails its checksum.',
  'format-unknown': 'A trace whose format cannot be told; name it with --format.',
  'format-version': 'A file written by a newer version of NotebookOS.',
  'trace-bad-header': 'A table without the columns that its format needs.',
  'trace-bad-value': 'A field that is not what its column holds.',
  'trace-order': 'Time runs backwards inside a session.',
  'trace-duplicate': 'Two rows that claim the same identity.',
  'trace-empty': 'A trace without any session.',
  'trace-oversize': 'A cell that needs more than any host has.',
  'trace-unreachable': 'A sample or synthesis that cannot meet what was asked.',
  'run-incomplete': 'A run folder without its closing run.json.',
  'run-mismatch': 'A run folder or result that belongs to another configuration.',
  'experiment-invalid': 'An experiment file that is not valid.',
  'experiment-failed': 'A run of an experiment failed.',
  'shard-invalid': 'A shard that is not i/n with 1 <= i <= n.',
  'system-not-found': 'No running system to speak to.',
  'gateway-unreachable': 'A gateway that does not answer, or is none.',
  'token-invalid': 'A token that is missing, wrong, or not enough for what was asked.',
  'kernel-unknown': 'A kernel, replica or cell that does not exist.',
  'request-refused': 'A request that the gateway refuses, with its reason.',
  'port-taken': 'A port that another program listens on.',
  'child-failed': 'A process of the system that did not start.',
  'data-locked': 'A data directory that another process uses.',
  'journal-invalid': 'A recorded journal that cannot be replayed.',
  interrupted: 'The command was interrupted.',
  'snapshot-invalid': 'A snapshot that does not fit the configuration or the version.',
  'invariant-violated': 'A bug: the books contradict themselves.',
  'event-invalid': 'An event that no sane driver sends.',
  'message-invalid': 'A Jupyter message or frame that is not one.',
  'request-invalid': 'A request to the gateway with a missing or wrong field.',
  'spec-unknown': 'A kernelspec that is not installed.',
  quota: 'A user who has as many kernels as allowed.',
  'kernel-failed': 'A kernel that did not start or answer.',
  'migrate-refused': 'A replica that cannot move.',
  'bind-insecure': 'An address that others reach, without TLS.',
  'user-exists': 'A user who has a token already.',
  'user-unknown': 'A user without a token.',
  'key-invalid': 'A key of the links between processes that is missing or damaged.',
  'link-lost': 'A host or gateway without a connection at the moment.',
  'link-timeout': 'A host that did not answer a request in time.',
  'agent-failed': 'A request that failed on a host, for the reason given.',
  'peer-unreachable': 'A host that another host cannot reach.',
  'blob-lost': 'A part of the state of a kernel that no host holds.',
  'disk-full': 'A disk that takes no more writes.',
  'store-unreachable': 'A store of state that does not answer at the moment.',
  'store-denied': 'A store of state that refuses our credentials, or has no such place.',
  'store-corrupt': 'An object in a store of state that is damaged.',
  'log-corrupt': "A kernel's log on disk that cannot be read.",
  'kernel-died': 'A kernel process that ended while something was asked of it.',
  'kernel-timeout': 'A kernel process that did not answer in time.',
  'path-too-long': 'A runtime directory too long for the paths of unix sockets.',
  'entry-invalid': "An entry for a kernel's log that is not one.",
  'entry-too-large': "An entry above what a kernel's log takes.",
  'no-quorum': 'A kernel whose log finds no majority of its hosts.',
  'not-leader': 'A change of members asked of a member that does not lead.',
  'change-refused': "A change of a kernel's members that cannot be made.",
  'replica-stopped': 'A replica that has stopped on its host.',
  'provision-failed': 'A further host that did not come, or one that could not be given back.',
  'environment-invalid': 'A variable that a kernel cannot get.',
  'image-failed': 'An image of kernels that could not be built.',
  'python-missing': 'No Python interpreter with ipykernel.',
  'engine-absent': 'A container engine that does not answer.',
  'engine-denied': 'A container engine that does not let this user in.',
  'engine-failed': 'A request that a container engine refused, for the reason given.',
  'image-missing': 'A container image that the engine does not have.',
  'gpu-device-invalid': 'A device that cannot stand in for a GPU.',
  'gpu-unusable': 'GPUs of a host whose driver does not answer.',
  'gpu-lease-failed': 'A device that could not be given to a kernel, or taken back.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An error for people: `code` is stable, `message` names the place and what was expected. */
export class NbosError extends Error {
  readonly code: ErrorCode;
  /** What to do about it; printed on the same line, after the message. */
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint = '') {
    super(message);
    this.name = 'NbosError';
    this.code = code;
    this.hint = hint;
  }
}

/** Asserts a condition that only a bug can break. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition)
    throw new NbosError('invariant-violated', what, 'This is a bug: please report it.');
}
