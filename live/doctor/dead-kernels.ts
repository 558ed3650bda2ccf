import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { lastLines } from '../agent/container/container-exit.ts';
import { type Engine, statusOf } from '../agent/container/engine.ts';
import { adviceFor, DEATH_LOGGED, diagnoseExit, LAST_WORDS } from './exit-diagnosis.ts';
import { type Finding, ok, problem, problemOf, type Told } from './finding.ts';

/** A kernel that dies again and again tells the same each time. */
const MOST_DEATHS = 5;

interface Death {
  at: number;
  host: string;
  exit: string;
}

/**
 * The latest deaths of a kernel's processes, as agents with this data directory logged them; `id`
 * is the kernel's id or its beginning.
 */
export async function deathsOf(data: string, id: string): Promise<Finding[]> {
  const folder = join(data, 'logs');
  const names = await readdir(folder).catch(() => []);
  const deaths: Death[] = [];
  for (const name of names.filter((each) => /\.ndjson(\.1)?$/.test(each)))
    deaths.push(...(await deathsIn(join(folder, name), id)));
  const latest = deaths.sort((a, b) => a.at - b.at).slice(-MOST_DEATHS);
  const told = latest.map(({ at, host, exit }) => {
    const when = new Date(at).toISOString();
    return problem(`${when} on ${host || 'a host'}: ${exit}`, adviceFor(exit));
  });
  const none = `no death of a process of ${id} is in ${folder}; other hosts have logs of their own`;
  return (told.length > 0 ? told : [ok(none)]).map((each) => ({ check: 'kernel', ...each }));
}

async function deathsIn(file: string, id: string): Promise<Death[]> {
  const deaths: Death[] = [];
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  for await (const line of lines) {
    if (!line.includes(DEATH_LOGGED)) continue;
    const death = deathOf(line, id);
    if (death !== undefined) deaths.push(death);
  }
  return deaths;
}

function deathOf(line: string, id: string): Death | undefined {
  try {
    const { msg, kernel, exit, host = '', time } = JSON.parse(line) as Record<string, unknown>;
    if (msg !== DEATH_LOGGED || typeof kernel !== 'string' || !kernel.startsWith(id))
      return undefined;
    return { at: Number(time), host: String(host), exit: String(exit) };
  } catch {
    // A line that was being written when its process died.
    return undefined;
  }
}

/** How a container ended, and what it wrote last. */
export async function containerDeath(engine: Engine, id: string): Promise<Finding[]> {
  const told = await containerTold(engine, id).catch(problemOf);
  return [{ check: 'container', ...told }];
}

async function containerTold(engine: Engine, id: string): Promise<Told> {
  const container = engine.docker.getContainer(id);
  let name: string;
  let state: Awaited<ReturnType<typeof container.inspect>>['State'];
  try {
    ({ Name: name, State: state } = await engine.ask('a container', () => container.inspect()));
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
    return problem(
      `there is no container ${id} in ${engine.place}`,
      'Kernels that died are removed: nbos doctor --kernel ID tells how one ended.',
    );
  }
  const named = name.replace(/^\//, '');
  if (state.Paused) return ok(`${named} is paused: it stands by, or was paused by hand`);
  if (state.Running) return ok(`${named} runs since ${state.StartedAt}`);
  const log = await engine.ask('its log', () => lastLines(container)).catch(() => '');
  const words = log || state.Error;
  const { cause, advice } = diagnoseExit({
    ...{ code: state.ExitCode, outOfMemory: state.OOMKilled, words },
  });
  const found = `${named}, ${state.FinishedAt}: ${cause}${words === '' ? '' : LAST_WORDS + words}`;
  return state.ExitCode === 0 ? ok(found) : problem(found, advice);
}
