import { access, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Check, ok, problem, type Told, warning } from '../finding.ts';
import { isFolderHere, type Subject } from '../subject.ts';

const MB = 1024 * 1024;
const FULL_MB = 256;
const LITTLE_MB = 4096;
const FULL_INODES = 1000;
const LITTLE_INODES = 50_000;
const LITTLE_SHM_MB = 64;

/** What statfs tells, in bytes and in files. */
export interface Room {
  freeBytes: number;
  /** files and folders that can still be made; undefined where there is no such limit */
  freeInodes: number | undefined;
}

/** Free space and inodes where state, work and images are kept. */
export const DISK: Check = {
  name: 'disk',
  applies: () => true,
  async look(subject) {
    const told: Told[] = [];
    for (const [what, path] of await placesOf(subject)) {
      const existing = await nearest(path);
      told.push(roomTold(`${what} (${path})`, await roomOf(existing)));
    }
    return told;
  },
};

export const SHARED_MEMORY: Check = {
  name: 'shared memory',
  applies: ({ engine }) => engine === undefined && process.platform === 'linux',
  async look() {
    const room = await statfs('/dev/shm').catch(() => undefined);
    const todo = 'Libraries that load data in several processes fail: mount a larger tmpfs there.';
    if (room === undefined) return [warning('/dev/shm does not exist', todo)];
    const megabytes = Math.round((room.blocks * room.bsize) / MB);
    const found = `/dev/shm has ${megabytes} MB`;
    return [megabytes <= LITTLE_SHM_MB ? warning(found, todo) : ok(found)];
  },
};

async function placesOf(subject: Subject): Promise<[string, string][]> {
  const { data, workspace, engine } = subject;
  const places: [string, string][] = [['data directory', data]];
  if (isFolderHere(subject)) places.push(['workspace', workspace]);
  if (engine?.place.startsWith('unix:') !== true) return places;
  const info = await engine.ask('its state', (docker) => docker.info()).catch(() => undefined);
  const root = (info as { DockerRootDir?: string } | undefined)?.DockerRootDir;
  // The engine's own check tells why there is none; and an engine may be in another namespace.
  const isHere =
    root !== undefined &&
    (await access(root).then(
      () => true,
      () => false,
    ));
  return isHere ? [...places, ['images of the engine', root]] : places;
}

/** The path itself, or the nearest folder above it that exists. */
async function nearest(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const exists = await access(at).then(
      () => true,
      () => false,
    );
    if (exists || at === dirname(at)) return at;
  }
}

async function roomOf(path: string): Promise<Room> {
  const { bavail, bsize, files, ffree } = await statfs(path);
  return { freeBytes: bavail * bsize, freeInodes: files === 0 ? undefined : ffree };
}

/** What the room that is left in a place means. */
export function roomTold(place: string, { freeBytes, freeInodes }: Room): Told {
  const megabytes = Math.round(freeBytes / MB);
  const inodes = freeInodes === undefined ? '' : ` and ${freeInodes} inodes`;
  const found = `${place}: ${megabytes} MB${inodes} free`;
  const files = freeInodes ?? Number.POSITIVE_INFINITY;
  if (megabytes < FULL_MB)
    return problem(found, 'Free space: kernels whose log cannot be written stop there.');
  if (files < FULL_INODES) return problem(found, 'Remove small files: the disk takes no more.');
  if (megabytes < LITTLE_MB) return warning(found, 'Free space before it runs out.');
  if (files < LITTLE_INODES) return warning(found, 'Remove small files before it takes no more.');
  return ok(found);
}
