/**
 * Text as a terminal would show it: \r goes back to the start of the line and what follows writes
 * over it, \b goes back by one. Lines that are done are kept as one text; only the open line is
 * looked at again.
 */
export class TerminalText {
  #done: string[] = [];
  #doneLength = 0;
  #line = '';
  #column = 0;

  get length(): number {
    return this.#doneLength + this.#line.length;
  }

  write(text: string): void {
    let at = 0;
    while (at < text.length) {
      const next = nextControl(text, at);
      if (next > at) this.#over(text.slice(at, next));
      if (next >= text.length) return;
      const control = text[next];
      if (control === '\n') this.#newLine();
      else if (control === '\r') this.#column = 0;
      else this.#column = Math.max(0, this.#column - 1);
      at = next + 1;
    }
  }

  #over(piece: string): void {
    const before = this.#line.slice(0, this.#column);
    this.#line = before + piece + this.#line.slice(this.#column + piece.length);
    this.#column += piece.length;
  }

  #newLine(): void {
    this.#done.push(`${this.#line}\n`);
    this.#doneLength += this.#line.length + 1;
    this.#line = '';
    this.#column = 0;
  }

  toString(): string {
    this.#done = [this.#done.join('')];
    return this.#done[0] + this.#line;
  }
}

function nextControl(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 10 || code === 13 || code === 8) return at;
  }
  return text.length;
}
