import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PartialConfig } from '../../core/config/options.ts';
import { PROJECT_ROOT } from '../skip.ts';
import type { EngineTimes } from './engine-child.ts';

/** A child that says how much memory it had at most, in KiB, as the last thing it does. */
const REPORT_MEMORY =
  "data:text/javascript,process.on('exit',()=>process._rawDebug('maxrss '+process.resourceUsage().maxRSS))";

export interface CommandCost {
  readonly seconds: number;
  readonly peakMb: number;
}

/** Runs the engine in a process of its own, several times over. */
export function engineTimes(
  trace: string,
  policy: string,
  runs: number,
  config: PartialConfig,
): EngineTimes {
  const child = fileURLToPath(new URL('./engine-child.js', import.meta.url));
  const words = [child, trace, policy, String(runs), JSON.stringify(config)];
  const { stdout, stderr, status } = spawnSync(process.execPath, words, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`the engine's process failed:\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as EngineTimes;
}

/** Runs the built command line as a user would, once, in a folder that is removed afterwards. */
export function commandCost(words: readonly string[]): CommandCost {
  return inScratch((scratch) => {
    const program = join(PROJECT_ROOT, 'dist', 'cli.js');
    const all = ['--import', REPORT_MEMORY, program, ...words, '--out', join(scratch, 'out')];
    const started = performance.now();
    const { stderr, status } = spawnSync(process.execPath, all, { encoding: 'utf8' });
    const seconds = (performance.now() - started) / 1000;
    if (status !== 0) throw new Error(`nbos ${words.join(' ')} failed:\n${stderr}`);
    const kib = Number(/maxrss (\d+)/.exec(stderr)?.[1] ?? Number.NaN);
    return { seconds, peakMb: kib / 1024 };
  });
}

/** Calls `work` with a folder that exists only for it. */
export function inScratch<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-bench-'));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
