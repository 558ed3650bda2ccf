// time-limit: 240 s
// runs-alone
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { diskCases } from '../e2e/disk-cases.ts';
import { missingEngines, startEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

const test = diskCases('disk under containers', missingEngines, async () => {
  const engines = await startEngines(1);
  const files = join(engines.folder, 'workspace');
  mkdirSync(files);
  giveToKernels(files);
  const words = ['--docker', engines.all[0]!.engine, '--workspace', files];
  return { words, stop: () => engines.stop() };
});

test.run();
