import { constants } from 'node:fs';
import { chmod, chown, copyFile, link, lstat, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StateFolders } from '../kernel/place.ts';
import { filesOf } from '../kernel/state-exchange.ts';
import { bindOf, type ContainerRequest } from './container-request.ts';

/** Links that nothing needs any more are looked for at most so often. */
const TIDY_EVERY_MS = 5_000;
const HASH = /^[0-9a-f]{64}$/;

/**
 * The folder through which a container and its agent exchange state, made before it is known whose
 * kernel the container becomes. The container writes `spool` and reads `blobs`, where the agent
 * links in what concerns its kernel and nothing else.
 */
export class StateShare {
  readonly home: string;
  readonly spool: string;
  readonly shown: string;
  readonly #user: Owner;
  #tidiedAt = Number.NEGATIVE_INFINITY;

  private constructor(home: string, user: Owner) {
    this.home = home;
    this.spool = join(home, 'spool');
    this.shown = join(home, 'blobs');
    this.#user = user;
  }

  static async make(home: string, user: Owner): Promise<StateShare> {
    const share = new StateShare(home, user);
    await mkdir(share.spool, { recursive: true, mode: 0o700 });
    await chmod(home, 0o700);
    await own(share.spool, user);
    // Others than its owner read it: those who may enter the folder above.
    await mkdir(share.shown, { recursive: true });
    await chmod(share.shown, 0o755);
    return share;
  }

  /** A file that the container reads. */
  async give(name: string, text: string): Promise<string> {
    const path = join(this.shown, name);
    const file = await open(path, 'wx', 0o644);
    try {
      await file.writeFile(text);
      await file.chmod(0o644);
    } finally {
      await file.close();
    }
    return path;
  }

  /** For the kernel whose blobs lie in `blobs` on this host. */
  folders(blobs: string): StateFolders {
    const { home, spool, shown } = this;
    return {
      ...{ home, spool, shown },
      show: async ({ units }) => {
        const all = units.flatMap(({ skeleton, buffers }) => [skeleton, ...buffers]);
        await this.#show(blobs, filesOf(all));
      },
      refresh: async (hashes) => {
        await this.#show(blobs, hashes);
        await this.#tidy(blobs);
      },
      remove: () => this.remove(),
    };
  }

  /** Its folders as the container sees them: a mount cannot be replaced from inside. */
  mounts(): ContainerRequest['mounts'] {
    return [bindOf(this.spool), bindOf(this.shown, true)];
  }

  async remove(): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }

  async #show(blobs: string, hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) {
      if (!HASH.test(hash)) continue;
      const [from, to] = [join(blobs, hash), join(this.shown, hash)];
      if (await exists(to)) continue;
      try {
        await readable(from, this.#user);
        await link(from, to);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // One that is not there is told by the helper, with the names that it costs.
        if (code === 'EEXIST' || code === 'ENOENT') continue;
        if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error;
        await copyFile(from, to);
        await chmod(to, 0o444);
      }
    }
  }

  /** What the host has given up is of no use here either. */
  async #tidy(blobs: string): Promise<void> {
    if (performance.now() - this.#tidiedAt < TIDY_EVERY_MS) return;
    this.#tidiedAt = performance.now();
    for (const name of await readdir(this.shown).catch(() => []))
      if (HASH.test(name) && !(await exists(join(blobs, name))))
        await rm(join(this.shown, name), { force: true });
  }
}

/** Who a container's processes are. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Gives a file or folder to the user of containers, where that is another than ours. */
export async function own(path: string, { uid, gid }: Owner): Promise<void> {
  if (uid !== process.getuid?.()) await chown(path, uid, gid);
}

/** A blob that the user of containers may read and not change. */
async function readable(path: string, { uid }: Owner): Promise<void> {
  if (uid === process.getuid?.()) return;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { mode, uid: owner } = await file.stat();
    if (owner !== process.getuid?.()) await file.chown(process.getuid!(), process.getgid!());
    if ((mode & 0o444) !== 0o444) await file.chmod(0o444);
  } finally {
    await file.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
