import { pathToFileURL } from 'node:url';
import type { Skip } from './skip.ts';

/** What one test file came to, sent to the runner over IPC. */
export interface FileResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly Skip[];
}

type Suite = () => Promise<[errors: string | true, ran: number, skipped: number, total: number]>;
type Queues = { UVU_DEFER?: number; UVU_INDEX?: number; UVU_QUEUE?: (string | null | Suite)[][] };

/**
 * Runs the suites that a file registers with uvu; a suite whose `before` threw counts as failed.
 */
async function runFile(file: string): Promise<FileResult> {
  const queues = globalThis as unknown as Queues;
  const suites: (string | null | Suite)[] = [];
  queues.UVU_DEFER = 1;
  queues.UVU_INDEX = 0;
  queues.UVU_QUEUE = [suites];
  globalThis.nbosSkips = [];
  await import(pathToFileURL(file).href);
  let passed = 0;
  let total = 0;
  let skipped = 0;
  for (const suite of suites) {
    if (typeof suite !== 'function') continue;
    const [errors, ran, left, all] = await suite();
    if (errors !== true) process.stdout.write(`\n${errors}\n`);
    else if (ran < all) process.stdout.write('\na before or after hook threw\n');
    passed += ran;
    total += all;
    skipped += left;
  }
  return { passed, failed: total - passed, skipped, skips: globalThis.nbosSkips };
}

const file = process.argv[2];
if (file === undefined || process.send === undefined)
  throw new Error('run-file is started by the test runner: node dist/test/run.js');
const result = await runFile(file);
// Exits by itself: a test that left a server or a timer open must not hold the runner.
process.send(result, () => process.exit(result.failed > 0 ? 1 : 0));
