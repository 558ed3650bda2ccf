import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { NbosError } from '../../core/errors.ts';

/** A system of this user that serves, as its gateway wrote it down. */
export interface RunningSystem {
  v: 1;
  /** http://127.0.0.1:PORT */
  url: string;
  /** of its administrator */
  token: string;
  /** process of the gateway */
  pid: number;
  /** absolute path of its data directory */
  data: string;
  /** ms since the epoch */
  startedAt: number;
}

/** Folder of one 0600 file a running system: ${XDG_STATE_HOME:-~/.local/state}/nbos/running. */
export function runningFolder(env: NodeJS.ProcessEnv = process.env): string {
  const state = env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state');
  return join(state, 'nbos', 'running');
}

/**
 * Writes down that a system serves, for the commands that look for one; the answer takes it back.
 * A file of the same process is replaced.
 */
export function announceRunning(system: RunningSystem, folder = runningFolder()): () => void {
  const file = join(folder, `${system.pid}.json`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const temporary = `${file}.tmp`;
    writeFileSync(temporary, JSON.stringify(system), { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    throw new NbosError(
      'file-unwritable',
      `${file} cannot be written: ${(error as Error).message}`,
      'Set XDG_STATE_HOME to a folder of yours; commands find the running system there.',
    );
  }
  return () => rmSync(file, { force: true });
}

/** Systems whose gateway lives, newest first; files of dead ones are removed. */
export function runningSystems(folder = runningFolder()): RunningSystem[] {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
  const systems = names.flatMap((name) => {
    const system = readSystem(join(folder, name));
    if (system !== undefined && isAlive(system.pid)) return [system];
    rmSync(join(folder, name), { force: true });
    return [];
  });
  return systems.sort((a, b) => b.startedAt - a.startedAt || b.pid - a.pid);
}

function readSystem(file: string): RunningSystem | undefined {
  try {
    const system = JSON.parse(readFileSync(file, 'utf8')) as Partial<RunningSystem>;
    const isWhole =
      system.v === 1 && typeof system.url === 'string' && typeof system.pid === 'number';
    return isWhole ? (system as RunningSystem) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process of that number exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export interface Address {
  /** without a slash at the end */
  url: string;
  token: string;
}

/**
 * Where the system is that a command speaks to: `NBOS_URL` with `NBOS_TOKEN`, else the newest
 * running one of this user.
 * @throws NbosError system-not-found, usage for a URL that is none
 */
export function findSystem(
  env: NodeJS.ProcessEnv = process.env,
  folder = runningFolder(env),
): Address {
  const url = env['NBOS_URL'];
  if (url) return { url: plainUrl(url), token: env['NBOS_TOKEN'] ?? tokenFor(url, folder) };
  const [newest] = runningSystems(folder);
  if (newest === undefined)
    throw new NbosError(
      'system-not-found',
      'no system of yours runs here',
      'Start one with nbos up, or set NBOS_URL and NBOS_TOKEN.',
    );
  return { url: newest.url, token: env['NBOS_TOKEN'] || newest.token };
}

/** The token that this user's own system of that URL wrote down; '' where there is none. */
function tokenFor(url: string, folder: string): string {
  const wanted = plainUrl(url);
  return runningSystems(folder).find((system) => system.url === wanted)?.token ?? '';
}

/** Checks a gateway's URL and drops the slash at its end. */
export function plainUrl(text: string, name = 'NBOS_URL'): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    url = new URL('none:');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new NbosError(
      'usage',
      `${name}: expected a URL such as http://127.0.0.1:8888, found "${text}"`,
    );
  return text.replace(/\/+$/, '');
}
