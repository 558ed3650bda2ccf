import { spawnSync } from 'node:child_process';

/** Why no kernel can be started here; '' when one can. */
export const missingKernel =
  spawnSync('python3', ['-c', 'import ipykernel']).status === 0
    ? ''
    : 'python3 has no ipykernel (pip install ipykernel)';
