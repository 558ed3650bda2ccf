/** Limits of the gateway; times in ms. */
export interface GatewayLimits {
  /** between two beats, in both directions */
  beatMs: number;
  /** without a beat, until a host counts as lost */
  hostLeaseMs: number;
  /** after the first host has reported, until those that have not are left out */
  recoveryMs: number;
  /** without a majority of its hosts, until a kernel is shown as it is */
  majorityMs: number;
  /** until a kernel must have started */
  startMs: number;
  /** for which a new kernel waits for hosts that are not there; Jupyter's clients wait for 42 s */
  hostsMs: number;
  /** until a kernel whose hosts are lost must be back from the store */
  restoreMs: number;
  /** for which a store that does not answer holds the reply of a cell whose kernel has no host */
  saveMs: number;
  /** one answer of an agent to a proposal */
  proposeMs: number;
  /** one change of a group's members */
  changeMs: number;
  /** that a reply waits for outputs that are missing */
  outputWaitMs: number;
  /** after which a person is told why a cell waits */
  waitNoticeMs: number;
  /** waiting cells of one kernel */
  kernelQueue: number;
  kernelsPerUser: number;
  /** that a drain waits for running cells */
  drainMs: number;
  /** until a host that is asked for must be there */
  provisionMs: number;
  /** that a host which is given back may take to be rid of its replicas, and then to go */
  releaseMs: number;
  /** before hosts are asked for again after a failure; twice as long after each further one */
  backoffMs: number;
}

export const GATEWAY_LIMITS: Readonly<GatewayLimits> = {
  beatMs: 250,
  hostLeaseMs: 1500,
  recoveryMs: 2500,
  majorityMs: 10_000,
  startMs: 60_000,
  hostsMs: 20_000,
  restoreMs: 600_000,
  saveMs: 10_000,
  proposeMs: 5_000,
  changeMs: 60_000,
  outputWaitMs: 1_000,
  waitNoticeMs: 2_000,
  kernelQueue: 1_000,
  kernelsPerUser: 1_000,
  drainMs: 10_000,
  provisionMs: 300_000,
  releaseMs: 60_000,
  backoffMs: 1_000,
};
