import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NbosError } from '../../core/errors.ts';
import { SUMMARY_COLUMNS } from '../../core/record/columns.ts';
import { serveRuns } from '../../experiments/worker-loop.ts';
import { CRASHES, FAILS, HANGS } from './fakes.ts';

/** A worker of the runner whose results follow from the run's key alone. */
serveRuns(async (run, folder, onProgress) => {
  await mkdir(folder);
  writeFileSync(join(folder, 'trail.txt'), run.title);
  onProgress(1, 2);
  const { queueLimit } = run.config;
  if (queueLimit === FAILS) throw new NbosError('policy-failed', 'it cannot drain', 'More hosts.');
  if (queueLimit === CRASHES) process.kill(process.pid, 'SIGKILL');
  if (queueLimit === HANGS) await sleep(600_000);
  await sleep(Number(process.env['NBOS_FAKE_MS'] ?? 20));
  const entries = SUMMARY_COLUMNS.map(({ name, kind }, i) => {
    if (name === 'policy') return [name, run.policy];
    if (kind === 'text') return [name, 'fake'];
    return [name, Number.parseInt(run.key.slice(i % 20, (i % 20) + 6), 16) / 7];
  });
  return { summary: Object.fromEntries(entries), timings: { engineMs: Math.random() } };
});
