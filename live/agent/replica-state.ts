import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob, Delta } from '../log/entries.ts';
import type { KernelLog } from '../log/kernel-log.ts';
import type { Group } from './group.ts';
import type { ReplicaOptions } from './replica-options.ts';
import type { ReplicaProcess } from './replica-process.ts';
import { filesOf, unreplicatedWith, withFewerInline } from './replica-table.ts';

/** What the state needs to know of the replica it belongs to. */
export interface StateOf {
  readonly process: ReplicaProcess;
  log(): KernelLog;
  group(): Pick<Group, 'member' | 'voterHosts'>;
}

const NAMES_TOLD = 8;

/** The kernel's state as files, as delta and as words: what its entries need beside the log. */
export class ReplicaState {
  readonly #options: ReplicaOptions;
  readonly #of: StateOf;
  #told = '';

  constructor(options: ReplicaOptions, of: StateOf) {
    this.#options = options;
    this.#of = of;
  }

  /** Files of a change on a quorum of the hosts. */
  save(delta: Delta): Promise<void> {
    const files = filesOf(delta.units);
    if (files.length === 0) return Promise.resolve();
    const { blobs, kernel } = this.#options;
    const hosts = this.#of.group().voterHosts;
    return blobs.replicate(kernel, files, hosts, Math.floor(hosts.length / 2) + 1);
  }

  /** The change so that it fits into an entry, its larger parts moved into files. */
  fitting(delta: Delta): Promise<Delta> {
    const { blobs, kernel, limits } = this.#options;
    const folder = blobs.directory(kernel);
    return withFewerInline(delta, limits.entryBytes, (blob, bytes) =>
      writeBlob(folder, blob, bytes),
    );
  }

  /** For a cell whose changes could not be read: only its process has them. */
  unchanged(problem: string): Delta {
    const { unreplicated, stateBytes } = this.#of.log();
    const reason = `what the last cell changed could not be read: ${problem}`;
    const others = unreplicated.filter(({ name }) => name !== '*');
    return {
      units: [],
      dropped: [],
      unreplicated: [...others, { name: '*', reason }],
      pinned: [reason],
      stateBytes,
    };
  }

  /** Which variables are left when a running cell is lost, as a sentence. */
  survivors(): string {
    const names = [...this.#of.log().units.values()].flatMap((unit) => unit.names);
    if (names.length === 0) return 'There were no variables before it.';
    const some = names.slice(0, NAMES_TOLD).join(', ');
    const more = names.length > NAMES_TOLD ? ` and ${names.length - NAMES_TOLD} more` : '';
    return `Kept, as they were before it: ${some}${more}.`;
  }

  /** Tells the gateway, when this replica speaks for the kernel and something changed. */
  tell(savedMs: number): void {
    const { executor, unreplicated: names, pinned, stateBytes } = this.#of.log();
    if (executor !== this.#of.group().member) return;
    const unreplicated = unreplicatedWith(names, this.#of.process.failed);
    const now = JSON.stringify([unreplicated, pinned, stateBytes]);
    if (now === this.#told) return;
    this.#told = now;
    const { kernel } = this.#options;
    this.#options.tell({
      t: 'kernel-state',
      kernel,
      unreplicated,
      pinned,
      stateBytes,
      savedMs,
    });
  }

  /** Removes files that no version in the table needs, and none that is being saved. */
  collect(): Promise<void> {
    const keep = new Set(filesOf([...this.#of.log().units.values()]).map(({ hash }) => hash));
    const { blobs, kernel, saver } = this.#options;
    for (const hash of saver?.pinned(kernel) ?? []) keep.add(hash);
    return blobs.collect(kernel, keep);
  }
}

/** Whole or not there: renamed once it is written. */
async function writeBlob(folder: string, { hash }: Blob, bytes: Uint8Array): Promise<void> {
  const path = join(folder, hash);
  await writeFile(`${path}.part`, bytes, { mode: 0o600 });
  await rename(`${path}.part`, path);
}
