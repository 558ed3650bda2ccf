import type Docker from 'dockerode';
import { describeExit } from '../../doctor/exit-diagnosis.ts';
import type { Log } from '../kernel/bare-kernel.ts';
import { goneWithin } from '../kernel/gone-within.ts';
import type { ProcessOptions, StartedProcess, StateFolders } from '../kernel/place.ts';
import { startTime } from '../kernel/process.ts';
import { exitOf, REMOVED } from './container-exit.ts';
import { SHARES } from './container-request.ts';
import { type Engine, statusOf } from './engine.ts';
import { removed, removeLater } from './removal.ts';
import type { StateShare } from './state-share.ts';

/** A signal, a pause: what an engine does in milliseconds. */
const QUICK_MS = 5_000;
/** An engine restarts within this time; what it ran may live on. */
const ENGINE_GONE_MS = 15_000;
const RETRY_MS = 500;
/** A container that was told to end and does not, ms. */
const END_MS = 20_000;

export interface ContainerParts {
  engine: Engine;
  id: string;
  /** of its first process, on the host */
  pid: number;
  niced: boolean;
  memoryMb: number;
  share: StateShare;
  onExit: ProcessOptions['onExit'];
  log: Log;
}

/** A container that runs one kernel; see StartedProcess for the contract. */
export class ContainerProcess implements StartedProcess {
  readonly pid: number;
  readonly #parts: ContainerParts;
  readonly #container: Docker.Container;
  readonly #startedAt: Promise<string>;
  readonly #gone: Promise<void>;
  #running = true;
  /** how we ended it, '' while we did not */
  #killedBy = '';
  #niced: boolean;
  #wantsNormal = false;
  #wantsPause = false;
  /** as far as the engine has said */
  #isPaused = false;
  /** until it stands or runs as it is wanted */
  #settling: Promise<void> | undefined;
  /** times that this was wanted */
  #holds = 0;
  #attending = false;
  /** its first process has ended */
  #isOver = false;

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    this.pid = parts.pid;
    this.#niced = parts.niced;
    this.#container = parts.engine.docker.getContainer(parts.id);
    this.#startedAt = startTime(parts.pid);
    this.#gone = this.#watch();
  }

  get running(): boolean {
    return this.#running;
  }

  signal(name: NodeJS.Signals): void {
    if (this.#running) void this.#try('a signal', (each) => each.kill({ signal: name }));
  }

  pause(): void {
    this.#hold(true);
  }

  resume(): void {
    this.#hold(false);
  }

  prioritize(): void {
    this.#wantsNormal = true;
    void this.#raise();
  }

  async kill(): Promise<void> {
    this.#killedBy ||= 'ended by NotebookOS';
    if (this.#running) await this.#remove();
    if (this.#running && !(await goneWithin(this.#gone, END_MS))) {
      this.#parts.log.warn({ container: this.#parts.id }, 'a container does not end');
      this.#end('it does not end, and its engine does not say why');
    }
    await this.#parts.share.remove();
  }

  async end(patienceMs: number): Promise<void> {
    this.#killedBy ||= 'shut down';
    if (!(await goneWithin(this.#gone, patienceMs))) {
      this.signal('SIGTERM');
      await goneWithin(this.#gone, 1000);
    }
    if (!this.#running) await this.#remove();
    await this.kill();
  }

  /** What the engine could not be told is told again; what others did to it is undone. */
  async attend(): Promise<void> {
    // An engine that hangs is asked one thing at a time.
    if (this.#attending) return;
    this.#attending = true;
    try {
      if (this.#wantsNormal) await this.#raise();
      await this.#settling;
      await this.#look();
    } finally {
      this.#attending = false;
    }
  }

  /** Somebody else may have paused it, or resumed what must not run. */
  async #look(): Promise<void> {
    const holds = this.#holds;
    const found = await this.#try('its state', (each) => each.inspect());
    if (found === undefined || !found.State.Running || !this.#running) return;
    if (this.#holds !== holds || found.State.Paused === this.#isPaused) return;
    const { log, id } = this.#parts;
    const what = found.State.Paused ? 'paused' : 'resumed';
    log.warn({ container: id }, `a container was ${what} by hand, or late; that is undone`);
    this.#isPaused = found.State.Paused;
    this.#hold(this.#wantsPause);
  }

  give(name: string, text: string): Promise<string> {
    return this.#parts.share.give(name, text);
  }

  /** A folder that containers write could be read by none of the others. */
  async cache(): Promise<string> {
    return '';
  }

  async folders(blobs: string): Promise<StateFolders> {
    return this.#parts.share.folders(blobs);
  }

  #hold(paused: boolean): void {
    this.#wantsPause = paused;
    this.#holds++;
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined;
    });
  }

  /** An engine without an answer may have done it, may do it later, or never: it is asked again. */
  async #settle(): Promise<void> {
    while (this.#isOurs && this.#wantsPause !== this.#isPaused) {
      const paused = this.#wantsPause;
      const done = await this.#try(paused ? 'a pause' : 'an end of its pause', async (each) => {
        await (paused ? each.pause() : each.unpause());
        return true;
      });
      if (done === true) this.#isPaused = paused;
      else if (this.#isOurs) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        const found = await this.#try('its state', (each) => each.inspect());
        if (found !== undefined) this.#isPaused = found.State.Paused;
      }
    }
  }

  /** It runs, and nobody ends it. */
  get #isOurs(): boolean {
    return this.#running && !this.#isOver && this.#killedBy === '';
  }

  async #raise(): Promise<void> {
    if (!this.#running || !this.#niced) return;
    const done = await this.#try('its priority', async (each) => {
      await each.update({ CpuShares: SHARES.normal });
      return true;
    });
    if (done === true) this.#niced = false;
  }

  /** A quick request that may fail: a container that is gone is told of by its exit. */
  async #try<T>(
    what: string,
    call: (container: Docker.Container) => Promise<T>,
  ): Promise<T | undefined> {
    const { engine, id, log } = this.#parts;
    try {
      return await engine.ask(what, () => call(this.#container), { ms: QUICK_MS });
    } catch (error) {
      if (this.#running && this.#killedBy === '')
        log.warn({ container: id, what, error: (error as Error).message }, 'not done');
      return undefined;
    }
  }

  async #remove(): Promise<void> {
    const { engine, id, log } = this.#parts;
    // An engine that hangs must not keep it alive.
    const late = setTimeout(() => void this.#killDirectly(), QUICK_MS);
    try {
      await this.#settling;
      await engine.ask('removal of a container', () => removed(this.#container), { ms: END_MS });
    } catch (error) {
      log.warn({ container: id, error: (error as Error).message }, 'a container was not removed');
      await this.#killDirectly();
      removeLater(engine, log, id);
    } finally {
      clearTimeout(late);
    }
  }

  /** Where the engine fails, its first process can still be ended; all others go with that. */
  async #killDirectly(): Promise<void> {
    if (!(await this.#lives())) return;
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch {
      // It is another user's, or gone.
    }
  }

  /** Whether its first process is there, as far as that can be seen from here. */
  async #lives(): Promise<boolean> {
    const before = await this.#startedAt;
    return before !== '' && (await startTime(this.pid)) === before;
  }

  /** Until it has ended; an engine that goes away meanwhile does not end it. */
  async #watch(): Promise<void> {
    const { engine, id } = this.#parts;
    let silentSince = performance.now();
    while (this.#running) {
      const askedAt = performance.now();
      try {
        return await this.#ended(await engine.exitCode(id));
      } catch (error) {
        if (statusOf(error) === 404) return this.#end(REMOVED);
        // An answer that took long was being waited for all that time.
        if (performance.now() - askedAt > RETRY_MS) silentSince = performance.now();
        if (await this.#lives()) silentSince = performance.now();
        else if ((await this.#startedAt) !== '')
          return this.#end(`it ended with its container engine (${engine.place})`);
        if (performance.now() - silentSince > ENGINE_GONE_MS)
          return this.#end(`its container engine (${engine.place}) does not answer`);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async #ended(code: number): Promise<void> {
    this.#isOver = true;
    if (this.#killedBy !== '') return this.#end(describeExit(code, null));
    const { engine, memoryMb } = this.#parts;
    const exit = await exitOf(engine, this.#container, code, memoryMb);
    await this.#remove();
    this.#end(exit);
  }

  #end(exit: string): void {
    if (!this.#running) return;
    this.#running = false;
    const { onExit } = this.#parts;
    onExit(this.#killedBy === '' ? exit : `${this.#killedBy} (${exit})`);
  }
}
