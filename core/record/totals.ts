/**
 * Running counts of the cluster and their integrals over time: what GPU-hours, shares and money are
 * made of. Counts are GPU-millis, hosts, replicas; integrals are those times ms. Plain data.
 */
export interface Totals {
  at: number;
  // counts now
  hosts: number;
  provisionedGpuMillis: number;
  reservedGpuMillis: number;
  /** committed on hosts, whether bound to an execution or reserved */
  leasedGpuMillis: number;
  committedGpuMillis: number;
  demandedGpuMillis: number;
  subscribedGpuMillis: number;
  standbyReplicas: number;
  pricePerHour: number;
  // integrals from 0 to `at`
  hostMs: number;
  provisionedGpuMs: number;
  reservedGpuMs: number;
  committedGpuMs: number;
  demandedGpuMs: number;
  standbyMs: number;
  priceMs: number;
  /** of the subscription ratio while hosts are up */
  ratioMs: number;
  ratioMax: number;
  // counters
  sessionsOpen: number;
  running: number;
  runningGpuMillis: number;
  migrations: number;
  drainMigrations: number;
  failedMigrations: number;
  coldStarts: number;
  warmStarts: number;
  scaleOuts: number;
  scaleIns: number;
  hostsLost: number;
  hostsPeak: number;
  poolContainers: number;
  lostGpuMs: number;
}

export function newTotals(): Totals {
  return {
    at: 0,
    hosts: 0,
    provisionedGpuMillis: 0,
    reservedGpuMillis: 0,
    leasedGpuMillis: 0,
    committedGpuMillis: 0,
    demandedGpuMillis: 0,
    subscribedGpuMillis: 0,
    standbyReplicas: 0,
    pricePerHour: 0,
    hostMs: 0,
    provisionedGpuMs: 0,
    reservedGpuMs: 0,
    committedGpuMs: 0,
    demandedGpuMs: 0,
    standbyMs: 0,
    priceMs: 0,
    ratioMs: 0,
    ratioMax: 0,
    sessionsOpen: 0,
    running: 0,
    runningGpuMillis: 0,
    migrations: 0,
    drainMigrations: 0,
    failedMigrations: 0,
    coldStarts: 0,
    warmStarts: 0,
    scaleOuts: 0,
    scaleIns: 0,
    hostsLost: 0,
    hostsPeak: 0,
    poolContainers: 0,
    lostGpuMs: 0,
  };
}

/** Cluster-wide subscription ratio: subscribed / (provisioned x replicas per kernel). */
export function subscriptionRatio(totals: Readonly<Totals>, replicas: number): number {
  const capacity = totals.provisionedGpuMillis * replicas;
  return capacity === 0 ? 0 : totals.subscribedGpuMillis / capacity;
}

/** Integrates the counts up to `at`. */
export function advanceTotals(totals: Totals, at: number, replicas: number): void {
  const elapsed = at - totals.at;
  if (elapsed <= 0) return;
  totals.at = at;
  totals.hostMs += totals.hosts * elapsed;
  totals.provisionedGpuMs += totals.provisionedGpuMillis * elapsed;
  totals.reservedGpuMs += totals.reservedGpuMillis * elapsed;
  totals.committedGpuMs += totals.committedGpuMillis * elapsed;
  totals.demandedGpuMs += totals.demandedGpuMillis * elapsed;
  totals.standbyMs += totals.standbyReplicas * elapsed;
  totals.priceMs += totals.pricePerHour * elapsed;
  const ratio = subscriptionRatio(totals, replicas);
  totals.ratioMs += ratio * elapsed;
  if (ratio > totals.ratioMax) totals.ratioMax = ratio;
}
