import { chmodSync, existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Running } from './notebook-client.ts';

/**
 * A file outside all of our journals in which each cell leaves its mark when its code runs. With
 * the replies it proves that nothing ran twice, out of turn, or was lost.
 */
export class Witness {
  private readonly file: string;
  private readonly cells: { id: number; running: Running }[] = [];

  constructor(folder: string) {
    const own = mkdtempSync(join(folder, 'witness-'));
    // Kernels may run as somebody else.
    chmodSync(own, 0o777);
    this.file = join(own, 'marks');
  }

  /** Python that leaves the mark of the next cell, to be put before its own code. */
  mark(): { id: number; code: string } {
    const id = this.cells.length;
    const flags = 'os.O_APPEND | os.O_CREAT | os.O_WRONLY';
    return {
      id,
      code: `import os\n_w = os.open(${JSON.stringify(this.file)}, ${flags})\nos.write(_w, b"${id}\\n")\nos.close(_w)\n`,
    };
  }

  /** Sends a marked cell. */
  cell(execute: (code: string) => Running, code: string): Running {
    const mark = this.mark();
    const running = execute(mark.code + code);
    this.cells.push({ id: mark.id, running });
    return running;
  }

  marks(): number[] {
    if (!existsSync(this.file)) return [];
    return readFileSync(this.file, 'utf8').trim().split('\n').map(Number);
  }

  /** What the replies and the marks contradict; every cell must have had its reply. */
  async violations(): Promise<string[]> {
    const marks = this.marks();
    const wrong: string[] = [];
    for (const { id, running } of this.cells) {
      const count = marks.filter((mark) => mark === id).length;
      if (count > 1) wrong.push(`cell ${id} ran ${count} times`);
      const reply = await running.done.catch((error: Error) => error);
      if (reply instanceof Error) wrong.push(`cell ${id}: ${reply.message}`);
      else if (reply['status'] === 'ok' && count === 0) wrong.push(`cell ${id} ok, never ran`);
      else if (reply['status'] === 'aborted' && count > 0) wrong.push(`cell ${id} aborted, ran`);
    }
    const ordered = marks.every((mark, at) => at === 0 || marks[at - 1]! < mark);
    if (!ordered) wrong.push(`out of turn: ${marks.join(' ')}`);
    return wrong;
  }
}
