import type { StateUpdate } from './runtime.ts';

export interface ProcessOptions {
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** 0700: connection file and sockets, and what is remembered of the process */
  directory: string;
  niced: boolean;
  /** started before it is known whose kernel it becomes */
  pooled: boolean;
  /** called once, with one line for the user on how it ended */
  onExit: (exit: string) => void;
}

/** How kernel processes are started: directly on this machine, or in containers of it. */
export interface KernelPlace {
  /** With what command, environment and working directory a kernel is started. */
  launch(options: LaunchOptions): Promise<Launch>;
  /** Starts it; its connection file is written. Rejects with `kernel-failed`. */
  start(options: ProcessOptions): Promise<StartedProcess>;
  /** Whether a process that starts at low priority can get the normal one later. */
  canPrioritize(): Promise<boolean>;
  /** Whether processes stand still while they wait for a kernel. */
  readonly pausesPooled: boolean;
  /** what to do about a kernel that does not start */
  readonly advice: string;
  /** Ends what an agent before this one left; `root` holds one directory a process. */
  endLeftovers(root: string): Promise<readonly number[]>;
}

export interface LaunchOptions {
  argv: readonly string[];
  /** KERNEL_* and the kernelspec's own variables */
  env: Readonly<Record<string, string>>;
  language: string;
  hashSeed: number;
  /** '' for the workspace */
  cwd: string;
}

export interface Launch {
  argv: readonly string[];
  env: Record<string, string>;
  cwd: string;
}

/** A kernel's process with all that it has started. */
export interface StartedProcess {
  readonly pid: number;
  readonly running: boolean;
  /** To the kernel's process alone. */
  signal(name: NodeJS.Signals): void;
  pause(): void;
  resume(): void;
  /** Normal priority from now on, where the system allows that. */
  prioritize(): void;
  /** Ends all of it at once; resolves when it is gone. */
  kill(): Promise<void>;
  /** Waits for it to end by itself, sends SIGTERM after `patienceMs` and SIGKILL a second later. */
  end(patienceMs: number): Promise<void>;
  /** Looks after it, from time to time. */
  attend(): Promise<void>;
  /** A file that the process reads and does not write; its path. */
  give(name: string, text: string): Promise<string>;
  /** Folder for what the helper compiles to, '' for none. */
  cache(): Promise<string>;
  /** Where it and its agent exchange state; `blobs` is the host's folder of this kernel's. */
  folders(blobs: string): Promise<StateFolders>;
}

/** Where a process and its agent exchange state that is too large for a message. */
export interface StateFolders {
  /** holds `spool` */
  readonly home: string;
  /** where the process writes records, and buffers under their hash */
  readonly spool: string;
  /** where the process reads blobs */
  readonly shown: string;
  /** Before an update is sent: what it refers to can be read. */
  show(update: StateUpdate): Promise<void>;
  /** After a record was taken, while the process writes none: shows what is of use, no more. */
  refresh(hashes: readonly string[]): Promise<void>;
  remove(): Promise<void>;
}
