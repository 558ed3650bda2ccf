import { readFile } from 'node:fs/promises';
import { type Check, ok, problem, warning } from '../finding.ts';

const OLDEST_NODE = 20;
/** One kernel needs about twenty; a host holds dozens, and each client a connection. */
const FEW_FILES = 4096;
const TOO_FEW_FILES = 1024;

/** Node, and the native parts that a host cannot do without. */
export const NODE: Check = {
  name: 'node',
  applies: () => true,
  async look() {
    const { node } = process.versions;
    if (Number(node.split('.')[0]) < OLDEST_NODE)
      return [problem(`Node ${node} is too old`, `Install Node ${OLDEST_NODE} or later.`)];
    for (const part of ['zeromq', 'classic-level']) {
      try {
        await import(part);
      } catch (error) {
        const reason = (error as Error).message.split('\n')[0];
        return [problem(`${part} cannot be loaded: ${reason}`, 'Run npm install on this machine.')];
      }
    }
    return [ok(`Node ${node} on ${process.platform} ${process.arch}`)];
  },
};

export const OPEN_FILES: Check = {
  name: 'open files',
  applies: () => process.platform === 'linux',
  async look() {
    const limits = await readFile('/proc/self/limits', 'utf8');
    const soft = /^Max open files\s+(\w+)/m.exec(limits)?.[1] ?? 'unlimited';
    return [openFilesTold(soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft))];
  },
};

/** What a limit of open files means. */
export function openFilesTold(limit: number) {
  const found = `a process may open ${Number.isFinite(limit) ? limit : 'any number of'} files`;
  const todo = `Raise it: ulimit -n 65536, or LimitNOFILE=65536 in the service's unit.`;
  if (limit < TOO_FEW_FILES) return problem(found, todo);
  return limit < FEW_FILES ? warning(found, todo) : ok(found);
}
