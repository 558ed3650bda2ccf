import type { PartialConfig } from '../../core/config/options.ts';

/** A cluster in which nothing but waiting for GPUs takes time. */
export const INSTANT: PartialConfig = {
  gatewayMinMs: 0,
  gatewayMaxMs: 0,
  raftCommitMs: [
    [0, 0],
    [100, 0],
  ],
  migrationCommits: 0,
  stateMedianMb: 0,
  coldStartMedianMs: 0,
  prewarmedMinMs: 0,
  prewarmedMaxMs: 0,
  hostStartMeanMs: 0,
  hostStartSdMs: 0,
  hostStopMeanMs: 0,
  hostStopSdMs: 0,
  deviceStartMs: 0,
  modelSizesMb: {},
  datasetSizesMb: {},
};
