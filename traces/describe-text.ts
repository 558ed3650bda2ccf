import { DESCRIBED_QUANTILES, type Description } from './describe.ts';
import { shortNumber, textTable } from './text-table.ts';

/** A description as text for a terminal; ends with a newline. */
export function descriptionText(d: Description): string {
  const header = [
    'measure',
    'unit',
    'mean',
    ...DESCRIBED_QUANTILES.map((p) => `p${p * 100}`),
    'max',
  ];
  const rows = d.distributions.map((row) => [
    row.measure,
    row.unit,
    row.mean,
    ...row.quantiles,
    row.max,
  ]);
  const { minute, hour, day } = d.dispersion;
  const lines = [
    `${d.name}: ${shortNumber(d.sessions)} sessions (${d.sessionsWithoutCells} without cells), ` +
      `${shortNumber(d.cells)} cells, ${shortNumber(d.hours)} h`,
    `source: ${d.source}`,
    '',
    textTable(header, rows),
    `GPUs: ${gpuShareText(d)} of the cells; ${percent(d.gpuChangeShare)} of the sessions change the number`,
    `GPU-hours: ${shortNumber(Math.round(d.busyGpuHours))} busy, ` +
      `${shortNumber(Math.round(d.wholeHostGpuHours))} on whole hosts, ` +
      `${shortNumber(Math.round(d.reservedGpuHours))} reserved ` +
      `(${percent(d.busyGpuHours / d.reservedGpuHours)} of them busy)`,
    `the longest 1 % of the cells hold ${percent(d.topPercentShare)} of the run time`,
    `mean gap by session size (quarters, to p90, top tenth): ${d.meanGapBySize
      .map(shortNumber)
      .join(' / ')} min`,
    `dispersion of submissions (1 is Poisson): ${shortNumber(minute)} by minute, ` +
      `${shortNumber(hour)} by hour, ${shortNumber(day)} by day`,
  ];
  if (d.load)
    lines.push(
      `on ${d.load.hosts} hosts x ${d.load.gpusPerHost} GPUs: ${percent(d.load.busyShare)} busy ` +
        `(peak ${percent(d.load.peakBusyShare)}), ${percent(d.load.reservedShare)} reserved ` +
        `(peak ${percent(d.load.peakReservedShare)})`,
    );
  for (const warning of d.warnings) lines.push(`warning: ${warning.code}: ${warning.message}`);
  return `${lines.join('\n')}\n`;
}

const MOST_GPU_COUNTS = 6;

/** The commonest GPU counts, ascending, and the rest as one. */
function gpuShareText({ gpuShares }: Description): string {
  const common = new Set(
    [...gpuShares].sort((a, b) => b.share - a.share).slice(0, MOST_GPU_COUNTS),
  );
  const named = gpuShares.filter((entry) => common.has(entry));
  const parts = named.map(({ gpus, share }) => `${gpus} in ${percent(share)}`);
  const rest = gpuShares.reduce((sum, e) => (common.has(e) ? sum : sum + e.share), 0);
  if (rest > 0) parts.push(`other numbers in ${percent(rest)}`);
  return parts.join(', ') || 'none in any';
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : '-';
}
