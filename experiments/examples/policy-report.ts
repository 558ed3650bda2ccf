// Which policy serves this workload best? Writes one CSV row a policy, with the difference to the
// first one and its confidence interval.
//
//   node policy-report.js TRACE OUT.csv [POLICY …]
//
// A copy of this file runs in any project in which notebookos is installed.
import { writeFileSync } from 'node:fs';
import { compare, loadTrace, simulate } from 'notebookos';

const [path, out, ...named] = process.argv.slice(2);
if (path === undefined || out === undefined) {
  console.error('usage: node policy-report.js TRACE OUT.csv [POLICY …]');
  process.exit(2);
}
const policies = named.length > 0 ? named : ['reservation', 'batch-fcfs', 'notebookos', 'lcp'];
const { trace } = await loadTrace(path);

// How many hosts does the first policy use when it may have as many as it wants?
const free = await simulate({ trace, policy: policies[0]!, config: { hosts: 1_000 } });
const hosts = Number(free.summary['hosts_peak']);

// The same trace and draws for every policy on a cluster of that size, over five resamples.
const comparison = await compare({ trace, policies, config: { hosts }, seeds: 5, resample: true });

const rows = comparison.policies.map(({ policy, measures }) => {
  const wanted = ['provisioned_gpu_hours', 'delay_p95_ms', 'immediate_share'];
  const cells = wanted.flatMap((name) => {
    const { value, difference } = measures.find(({ measure }) => measure.name === name)!;
    return [value.mean, difference.mean, difference.low, difference.high];
  });
  return [policy, hosts, ...cells].join(',');
});
const columns = ['gpu_hours', 'delay_p95_s', 'immediate_pct'].flatMap((name) => [
  name,
  `${name}_difference`,
  `${name}_low`,
  `${name}_high`,
]);
writeFileSync(out, `${['policy', 'hosts', ...columns].join(',')}\n${rows.join('\n')}\n`);
console.log(`${trace.cells.count} cells, ${policies.length} policies, ${hosts} hosts: ${out}`);
