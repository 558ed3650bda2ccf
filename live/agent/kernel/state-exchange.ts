import type { Blob, Delta } from '../../log/entries.ts';
import type { StateFolders } from './place.ts';
import { isRecordName, type PickedRecord, pickRecord, takeRecord } from './records.ts';
import type { StateUpdate } from './runtime.ts';
import { withoutMuchInline } from './state-files.ts';

/** State on its way between a process and the host's blobs of its kernel. */
export class StateExchange {
  readonly folders: StateFolders;
  readonly #blobs: string;

  constructor(folders: StateFolders, blobs: string) {
    this.folders = folders;
    this.#blobs = blobs;
  }

  /** The update as it is sent; all it refers to can be read then. */
  async shown(state: StateUpdate): Promise<StateUpdate> {
    const update = await withoutMuchInline(state, this.#blobs);
    await this.folders.show(update);
    return update;
  }

  /** A record by its name; undefined when there is none, or the name is none. */
  async record(name: unknown): Promise<PickedRecord | undefined> {
    if (typeof name !== 'string' || !isRecordName(name)) return undefined;
    return pickRecord({ ...this.folders, blobs: this.#blobs }, name);
  }

  /** The record of a cell that has ended: in the text that came with its reply, or by its name. */
  async recordOfCell(name: string, text: string | undefined): Promise<PickedRecord | undefined> {
    const record =
      text === undefined
        ? await this.record(name)
        : await takeRecord({ ...this.folders, blobs: this.#blobs }, text, 'the reply');
    await this.folders.refresh(record?.delta ? outsideOf(record.delta) : []);
    return record;
  }
}

function outsideOf({ units }: Delta): readonly string[] {
  return filesOf(units.flatMap(({ skeleton, buffers }) => [skeleton, ...buffers]));
}

/** Hashes of those blobs that are files. */
export function filesOf(blobs: readonly Blob[]): readonly string[] {
  return blobs.filter(({ inline }) => inline === undefined).map(({ hash }) => hash);
}
