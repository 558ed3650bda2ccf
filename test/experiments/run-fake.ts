import { runExperiment } from '../../experiments/runner.ts';
import { FAKE_WORKER, matrix, study } from './fakes.ts';

/** Runs the fake experiment into a folder; a process of its own, so that a test can kill it. */
const [out, seeds] = process.argv.slice(2);
await runExperiment(study(matrix({ seeds: Number(seeds) })), { out: out!, worker: FAKE_WORKER });
