/**
 * The kinds of events in the simulator's heap, with what `a` and `b` hold. At one moment lower
 * priorities come first: what frees capacity, before what asks for it, before scaling rounds.
 */
export const MOMENT = {
  hostUp: 0, // a: host
  hostFailed: 1, // a: host
  hostReleased: 2, // a: host
  containerStarted: 3, // a: container
  containerFailed: 4, // a: container
  replicaJoined: 5, // a: container
  released: 6, // a: execution, b: ticket
  replied: 7, // a: execution, b: ticket
  yielded: 8, // a: execution, b: ticket
  suspended: 9, // a: execution, b: ticket
  timer: 10, // a: index of the timer's kind, b: key
  sessionOpen: 11, // a: session
  sessionClose: 12, // a: session
  cell: 13, // a: session, b: cell
  fault: 14, // a: index in the fault plan
  // random faults, and what ends them, come last
  hostLoss: 15, // a: host
  deviceFault: 16, // a: host, b: how many it had before
  deviceBack: 17, // a: host, b: device
  crash: 18, // a: session, b: how many it had before
} as const;

export const PRIORITY = {
  outcome: 1,
  fault: 2,
  session: 3,
  cell: 4,
  close: 5,
  timer: 6,
  scaling: 100,
} as const;
