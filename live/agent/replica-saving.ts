import { NbosError } from '../../core/errors.ts';
import type { LogEntry } from '../log/entries.ts';
import type { KernelLog } from '../log/kernel-log.ts';
import type { KernelPosition } from '../wire/messages.ts';
import type { Group } from './group.ts';
import type { ReplicaOptions } from './replica-options.ts';
import type { ReplicaState } from './replica-state.ts';
import { filesOf } from './replica-table.ts';
import type { Savable } from './saver.ts';

export interface SavingOf {
  log(): KernelLog;
  group(): Group;
}

/** What becomes of state beyond the log: the leader's goes to the store, old files are removed. */
export class ReplicaSaving implements Savable {
  readonly #options: ReplicaOptions;
  readonly #state: ReplicaState;
  readonly #of: SavingOf;
  #collects = false;

  constructor(options: ReplicaOptions, state: ReplicaState, of: SavingOf) {
    this.#options = options;
    this.#state = state;
    this.#of = of;
  }

  /** An entry has changed the log. */
  follow(entry: LogEntry): void {
    const { type } = entry;
    const hasFiles = (type === 'end' || type === 'state') && filesOf(entry.delta.units).length > 0;
    // Until it was saved a version that has gone was needed still.
    if (hasFiles || type === 'saved') this.#collects = true;
    if (type === 'saved') return;
    this.#look();
    // Else what its user has thrown away could come back.
    if (type === 'reset' && this.#leads) this.#options.saver?.hurry(this.#options.kernel, this);
  }

  onRole(): void {
    if (this.#leads) this.#look();
    else this.#options.saver?.forget(this.#options.kernel);
  }

  /** Files may be there that no version needs. */
  outdated(): void {
    this.#collects = true;
  }

  tick(): void {
    if (!this.#collects) return;
    this.#collects = false;
    const { kernel, log } = this.#options;
    this.#state
      .collect()
      .catch((error: unknown) => log.warn({ kernel, err: error }, 'old state was not removed'));
  }

  stop(): void {
    this.#options.saver?.forget(this.#options.kernel);
  }

  /** For the beats of the agent; nothing where another member sees to it. */
  standing(): Pick<KernelPosition, 'store'> {
    const { saver, kernel } = this.#options;
    return saver === undefined || !this.#leads ? {} : { store: saver.standing(kernel) };
  }

  unsaved(): ReturnType<Savable['unsaved']> {
    const log = this.#of.log();
    if (!this.#leads || log.meta === undefined || log.saved >= log.changedAt) return undefined;
    return { index: log.applied, state: log.state(), hosts: this.#of.group().hosts };
  }

  /** See Replica. Rejects `change-refused` without a store, else as it says. */
  async save(): Promise<void> {
    const { saver, kernel } = this.#options;
    const { saved, changedAt } = this.#of.log();
    if (saver === undefined)
      throw new NbosError(
        'change-refused',
        'this host has no store that state could be brought to',
        'Start its agent with --store.',
      );
    if (saved < changedAt) await saver.save(kernel, this, changedAt);
  }

  isSaved(changedAt: number): boolean {
    return this.#of.log().saved >= changedAt;
  }

  saved(index: number, generation?: number): Promise<void> {
    const claimed = generation === undefined ? {} : { generation };
    return this.#of.group().propose([{ v: 1, type: 'saved', index, ...claimed }]);
  }

  /** The gateway has the kernel go on from here: the store is this group's, whoever claimed it. */
  takeBack(): void {
    const { saver, kernel, log } = this.#options;
    saver
      ?.takeBack(kernel, this, this.#of.log().generation)
      .catch((error: unknown) => log.warn({ kernel, err: error }, 'the store was not asked'));
  }

  get #leads(): boolean {
    return this.#of.group().node.role === 'leader';
  }

  #look(): void {
    const { saver, kernel } = this.#options;
    if (saver === undefined || !this.#leads) return;
    const { saved, changedAt } = this.#of.log();
    if (saved < changedAt) saver.changed(kernel, this);
  }
}
