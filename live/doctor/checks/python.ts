import { findPython } from '../../agent/kernel/python.ts';
import { type Check, ok } from '../finding.ts';
import { localProbe, probeTold } from '../python-probe.ts';

/** The Python of kernels that are plain processes, and what they can do here. */
export const PYTHON: Check = {
  name: 'python',
  applies: ({ engine }) => engine === undefined,
  async look({ python, env, workspace }) {
    const found = await findPython({ python, outer: env, cwd: workspace });
    const told = ok(`${found.path}: Python ${found.version}, ipykernel ${found.ipykernel}`);
    return [told, ...probeTold(await localProbe(found.path, workspace, env))];
  },
};
