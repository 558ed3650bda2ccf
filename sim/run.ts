/** One run of an execution on its host: what was drawn for it and how far it is. Reused by slot. */
export interface Run {
  /** 0 when void */
  ticket: number;
  session: number;
  cell: number;
  attempt: number;
  container: number;
  host: number;
  voters: number;
  writeState: 'none' | 'background' | 'critical';
  executedAt: number;
  stateReadMs: number;
  electionMs: number;
  deviceLoadMs: number;
  /** user code starts */
  startAt: number;
  /** work left at `startAt`, ms at rate 1 */
  workMs: number;
  /** work done up to `rateSince` */
  doneMs: number;
  rate: number;
  rateSince: number;
  /** user code ends */
  endAt: number;
  deviceUnloadMs: number;
  /** state write that holds the GPUs */
  writeMs: number;
  /** GPUs are free; -1 when that is past or void */
  releaseAt: number;
  commitMs: number;
  replyMs: number;
}

export function newRun(): Run {
  return {
    ticket: 0,
    session: -1,
    cell: -1,
    attempt: 1,
    container: -1,
    host: -1,
    voters: 0,
    writeState: 'none',
    executedAt: 0,
    stateReadMs: 0,
    electionMs: 0,
    deviceLoadMs: 0,
    startAt: 0,
    workMs: 0,
    doneMs: 0,
    rate: 1,
    rateSince: 0,
    endAt: 0,
    deviceUnloadMs: 0,
    writeMs: 0,
    releaseAt: -1,
    commitMs: 0,
    replyMs: 0,
  };
}
