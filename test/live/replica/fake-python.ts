import { createHash } from 'node:crypto';
import type {
  ApplyResult,
  CellResult,
  CellRun,
  KernelRuntime,
  StateUpdate,
} from '../../../live/agent/kernel/runtime.ts';
import type { JupyterMessage } from '../../../live/jupyter/message.ts';
import type { Delta, Unit } from '../../../live/log/entries.ts';

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

/** What fake processes need of the world they run in. */
export interface PythonOf {
  /** Calls back after so many ms of the world's time. */
  after(ms: number, call: () => void): void;
  /** A cell ran: its id is appended to the witness. */
  witness(id: string): void;
  startMs: number;
  applyMs: number;
  /** loading any of these units ends the process */
  poison?: Set<string>;
}

let pids = 1000;

/**
 * A kernel whose variables are a map. Code is words between semicolons: `x=5`, `x+=1`, `del x`,
 * `sleep 50`, `print`, `die`, `thread` (pins), `save`, `background` (changes between cells).
 */
export class FakePython implements KernelRuntime {
  readonly pid = ++pids;
  /** as a process leaves it that ended before or after it came to its cell */
  begun = true;
  /** the next cell finds it gone */
  diesEarly = false;
  state: KernelRuntime['state'] = 'starting';
  onSaved: (delta: Delta) => void = () => undefined;
  onMessage: KernelRuntime['onMessage'] = () => undefined;
  onDeath: (exit: string) => void = () => undefined;
  readonly vars = new Map<string, unknown>();
  readonly versions = new Map<string, number>();
  paused = false;
  prioritized = false;
  interrupted = 0;
  sent: string[] = [];
  readonly #of: PythonOf;
  #told = new Map<string, string>();
  #pinned = false;
  #later: (() => void)[] = [];
  #fail: ((error: Error) => void) | undefined;

  constructor(of: PythonOf) {
    this.#of = of;
  }

  async start(): Promise<void> {
    await this.#wait(this.#of.startMs);
    this.#live();
    this.state = 'ready';
  }

  /** Waits in the world's time; stands still while paused, and for ever once dead. */
  async #wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.#of.after(ms, resolve));
    while (this.paused) await new Promise<void>((resume) => this.#later.push(resume));
  }

  #live(): void {
    if (this.state === 'dead') throw new Error('the process is dead');
  }

  async run(cell: CellRun): Promise<CellResult> {
    this.#live();
    if (this.state !== 'ready') throw new Error(`a cell comes to a process that is ${this.state}`);
    this.state = 'busy';
    if (this.diesEarly) {
      this.begun = false;
      queueMicrotask(() => this.die('signal 9'));
      return new Promise(() => undefined);
    }
    const died = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    died.catch(() => undefined);
    const result = await Promise.race([died, this.#execute(cell)]);
    this.state = 'ready';
    return result;
  }

  async #execute(cell: CellRun): Promise<CellResult> {
    const parent = Buffer.from(cell.request.header);
    this.#of.witness(cell.request.msgId);
    const { code } = JSON.parse(cell.request.content) as { code: string };
    for (const word of code.split(';').map((each) => each.trim())) {
      await this.#wait(1);
      if (this.state === 'dead') return new Promise<never>(() => undefined);
      await this.#word(word, parent);
    }
    const reply = this.#message('execute_reply', parent, {
      status: 'ok',
      execution_count: cell.count,
    });
    return { reply, delta: this.delta(), helperError: '', runMs: 1, captureMs: 0 };
  }

  async #word(word: string, parent: Uint8Array): Promise<void> {
    const [verb, argument] = word.split(' ');
    const assigned = /^(\w+)(\+?=)(.*)$/.exec(word);
    if (assigned !== null) {
      const [, name, how, text] = assigned;
      const value = Number(text);
      this.vars.set(name!, how === '=' ? value : Number(this.vars.get(name!) ?? 0) + value);
    } else if (verb === 'del') this.vars.delete(argument!);
    else if (verb === 'sleep') await this.#wait(Number(argument));
    else if (verb === 'print') this.print(parent);
    else if (verb === 'die') this.die('signal 9');
    else if (verb === 'thread') this.#pinned = true;
    else if (verb === 'save') this.onSaved(this.delta());
  }

  print(parent: Uint8Array): void {
    this.onMessage('iopub', this.#message('stream', parent, { name: 'stdout', text: 'x\n' }));
  }

  #message(type: string, parent: Uint8Array, content: unknown): JupyterMessage {
    const header = bytes({ msg_id: `${this.pid}`, msg_type: type });
    return { header, parent, metadata: bytes({}), content: bytes(content), buffers: [] };
  }

  /** What changed since the last time it was asked. */
  delta(): Delta {
    const units: Unit[] = [];
    const dropped: string[] = [];
    for (const [name, value] of this.vars) {
      const text = JSON.stringify(value);
      if (this.#told.get(name) === text) continue;
      this.#told.set(name, text);
      this.versions.set(name, (this.versions.get(name) ?? 0) + 1);
      units.push(unitOf(name, this.versions.get(name)!, text));
    }
    for (const name of [...this.#told.keys()]) {
      if (this.vars.has(name)) continue;
      this.#told.delete(name);
      this.versions.delete(name);
      dropped.push(name);
    }
    const pinned = this.#pinned ? ['a thread'] : [];
    return { units, dropped, unreplicated: [], pinned, stateBytes: this.vars.size };
  }

  async apply({ units, dropped }: StateUpdate): Promise<ApplyResult> {
    this.#live();
    if (this.state === 'busy') throw new Error('state comes to a process that runs');
    await this.#wait(this.#of.applyMs);
    this.#live();
    for (const { id } of units)
      if (this.#of.poison?.has(id)) {
        this.die('poisoned');
        throw new Error(`unit ${id} ended the process`);
      }
    for (const { id, version, skeleton } of units) {
      const text = Buffer.from(skeleton.inline!, 'base64').toString();
      this.vars.set(id, JSON.parse(text));
      this.versions.set(id, version);
      this.#told.set(id, text);
    }
    for (const id of dropped) {
      this.vars.delete(id);
      this.versions.delete(id);
      this.#told.delete(id);
    }
    return { failed: [] };
  }

  async collect(): Promise<Delta | null> {
    this.#live();
    const delta = this.delta();
    return delta.units.length + delta.dropped.length > 0 ? delta : null;
  }

  send(channel: string): void {
    this.sent.push(channel);
  }

  async interrupt(): Promise<void> {
    this.interrupted++;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const later = this.#later;
    this.#later = [];
    for (const each of later) each();
  }

  prioritize(): void {
    this.prioritized = true;
  }

  /** Ends by itself, as when killed from outside. */
  die(exit: string): void {
    if (this.state === 'dead') return;
    this.state = 'dead';
    this.#fail?.(new Error(exit));
    this.onDeath(exit);
  }

  async stop(): Promise<void> {
    this.state = 'dead';
    this.#fail?.(new Error('stopped'));
  }
}

export function unitOf(id: string, version: number, text: string): Unit {
  const hash = createHash('sha256').update(text).digest('hex');
  const inline = Buffer.from(text).toString('base64');
  const skeleton = { hash, bytes: text.length, mac: '', inline };
  return { id, version, kind: 'names', names: [id], skeleton, buffers: [] };
}
