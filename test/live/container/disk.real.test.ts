// time-limit: 240 s
// runs-alone
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { diskCases } from '../e2e/disk-cases.ts';
import { missingEngines, startEngines } from './engines.ts';

/** Whom containers run as when root starts the system. */
const KERNEL_USER = 1000;

const test = diskCases('disk under containers', missingEngines, async () => {
  const engines = await startEngines(1);
  const files = join(engines.folder, 'workspace');
  mkdirSync(files);
  chownSync(files, KERNEL_USER, KERNEL_USER);
  const words = ['--docker', engines.all[0]!.engine, '--workspace', files];
  return { words, stop: () => engines.stop() };
});

test.run();
