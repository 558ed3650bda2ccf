// time-limit: 360 s
// runs-alone
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { LABELS } from '../../../live/agent/container/names.ts';
import { failureCases } from '../e2e/failure-cases.ts';
import { System } from '../e2e/system.ts';
import { missingEngines, startEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

const test = failureCases('failures in containers', missingEngines, async () => {
  const engines = await startEngines(1);
  const [{ engine, docker }] = engines.all as [(typeof engines.all)[0]];
  const files = join(engines.folder, 'workspace');
  mkdirSync(files);
  giveToKernels(files);
  const system = await System.up(['--split', '--docker', engine, '--workspace', files]).catch(
    (error) => {
      engines.stop();
      throw error;
    },
  );
  const stop = async (): Promise<unknown[]> => {
    const processes = await system.stop();
    const ours = await docker.listContainers({ all: true, filters: { label: [LABELS.system] } });
    return [...processes, ...ours.map(({ Names }) => Names), ...engines.stop()];
  };
  return { system, files, stop };
});

test.run();
