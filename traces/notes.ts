import type { ImportNote } from './trace.ts';

/** Counts what an importer dropped, changed or found odd; one note for each code. */
export class NoteList {
  readonly #notes = new Map<string, { message: string; count: number; first: string }>();

  /** `message` and `first` are those of the first call with this code. */
  add(code: string, message: string, first: string, count = 1): void {
    const note = this.#notes.get(code);
    if (note === undefined) this.#notes.set(code, { message, count, first });
    else note.count += count;
  }

  /** As `add`, without making the place when it is not the first. */
  at(code: string, message: string, row: { where(c: number): string }, c: number): void {
    const note = this.#notes.get(code);
    if (note === undefined) this.#notes.set(code, { message, count: 1, first: row.where(c) });
    else note.count++;
  }

  list(): ImportNote[] {
    return Array.from(this.#notes, ([code, note]) => ({ code, ...note }));
  }
}
