import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostAddress } from '../wire/messages.ts';

/** What an agent remembers beside its logs, so that it finds the others without a gateway. */
export interface HostMemory {
  v: 1;
  /** its own peer endpoint: others know it */
  peer: string;
  hosts: readonly HostAddress[];
}

const NOTHING: HostMemory = { v: 1, peer: '', hosts: [] };

/** What is there; nothing when it is missing or not readable: the gateway knows it too. */
export async function recallHost(folder: string): Promise<HostMemory> {
  try {
    const memory = JSON.parse(await readFile(join(folder, 'agent.json'), 'utf8')) as HostMemory;
    if (memory.v !== 1 || typeof memory.peer !== 'string') return NOTHING;
    return Array.isArray(memory.hosts) ? memory : NOTHING;
  } catch {
    return NOTHING;
  }
}

export async function rememberHost(folder: string, memory: HostMemory): Promise<void> {
  const path = join(folder, 'agent.json');
  await writeFile(`${path}.tmp`, `${JSON.stringify(memory)}\n`, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}
