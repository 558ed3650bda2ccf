// runs-alone
import { failureCases } from './failure-cases.ts';
import { missingKernel } from './parts.ts';
import { System } from './system.ts';

const test = failureCases('failures', missingKernel, async () => {
  const system = await System.up(['--split']);
  return { system, files: system.data, stop: () => system.stop() };
});

test.run();
