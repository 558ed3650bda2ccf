import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../live/wire/free-port.ts';

const PROGRAMS = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'scancel', 'scontrol'];
const PATH = `${process.env['PATH']}${delimiter}/usr/sbin${delimiter}/sbin`;

/** What a one-node Slurm of our own needs and this machine lacks; '' for nothing. */
export function missingForSlurm(): string {
  if (process.getuid?.() !== 0) return 'starting Slurm needs root';
  const folders = PATH.split(delimiter);
  const missing = PROGRAMS.filter((name) => !folders.some((at) => existsSync(join(at, name))));
  if (missing.length === 0) return '';
  return `${missing.join(', ')} not installed (Debian: slurm-wlm, munge)`;
}

/** One task of an array as Slurm tells it. */
export interface Task {
  readonly state: string;
  readonly restarts: number;
}

/** A Slurm of one node with its own keys, ports, state and logs, on the loopback. */
export class OneNodeSlurm {
  readonly #folder: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #daemons: ChildProcess[] = [];
  readonly #killAll = () => {
    for (const daemon of this.#daemons) daemon.kill('SIGKILL');
  };

  constructor(folder: string) {
    this.#folder = folder;
    const { SLURM_JOB_ID, ...environment } = process.env;
    this.#environment = { ...environment, PATH, SLURM_CONF: join(folder, 'slurm.conf') };
  }

  /** Starts munged, slurmctld and slurmd; resolves when the node takes jobs. */
  async start(cpus: number): Promise<void> {
    process.on('exit', this.#killAll);
    for (const name of ['state', 'spool']) mkdirSync(join(this.#folder, name));
    const at = (name: string) => join(this.#folder, name);
    writeFileSync(at('munge.key'), randomBytes(128), { mode: 0o400 });
    writeFileSync(at('slurm.conf'), await this.#configuration(cpus));
    writeFileSync(at('cgroup.conf'), 'CgroupAutomount=no\n');
    this.#daemon('munged', [
      '--foreground',
      '--force',
      `--key-file=${at('munge.key')}`,
      `--socket=${at('munge.socket')}`,
      `--pid-file=${at('munged.pid')}`,
      `--log-file=${at('munged.log')}`,
      `--seed-file=${at('munge.seed')}`,
    ]);
    await until('munged listens', async () => existsSync(at('munge.socket')));
    this.#daemon('slurmctld', ['-D', '-c', '-f', at('slurm.conf')]);
    this.#daemon('slurmd', ['-D', '-f', at('slurm.conf')]);
    await until('the node is idle', async () => {
      const nodes = this.tryCall('sinfo', ['--noheader', '--format=%T']);
      return nodes?.trim() === 'idle';
    });
  }

  async #configuration(cpus: number): Promise<string> {
    const at = (name: string) => join(this.#folder, name);
    const node = hostname().split('.')[0]!;
    const [controlPort, nodePort] = [await freePort(), await freePort()];
    return [
      'ClusterName=nbos',
      `SlurmctldHost=${node}(127.0.0.1)`,
      'SlurmUser=root',
      'SlurmdUser=root',
      'AuthType=auth/munge',
      // A requeued job waits for its credential to expire: by default two minutes.
      `AuthInfo=socket=${at('munge.socket')},cred_expire=5`,
      `SlurmctldPort=${controlPort}`,
      `SlurmdPort=${nodePort}`,
      `StateSaveLocation=${at('state')}`,
      `SlurmdSpoolDir=${at('spool')}`,
      `SlurmctldPidFile=${at('slurmctld.pid')}`,
      `SlurmdPidFile=${at('slurmd.pid')}`,
      `SlurmctldLogFile=${at('slurmctld.log')}`,
      `SlurmdLogFile=${at('slurmd.log')}`,
      'ProctrackType=proctrack/linuxproc',
      'TaskPlugin=task/none',
      'MpiDefault=none',
      'ReturnToService=2',
      'SelectType=select/cons_tres',
      'SelectTypeParameters=CR_CPU',
      'JobAcctGatherType=jobacct_gather/none',
      'AccountingStorageType=accounting_storage/none',
      'KillWait=2',
      `NodeName=${node} NodeAddr=127.0.0.1 CPUs=${cpus} State=UNKNOWN`,
      'PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP',
      '',
    ].join('\n');
  }

  #daemon(program: string, words: readonly string[]): void {
    const daemon = spawn(program, words, { env: this.#environment, stdio: 'ignore' });
    daemon.on('error', () => undefined);
    this.#daemons.push(daemon);
  }

  /** Output of one of Slurm's commands. */
  call(program: string, words: readonly string[], more: NodeJS.ProcessEnv = {}): string {
    const env = { ...this.#environment, ...more };
    return execFileSync(program, words, { env, encoding: 'utf8', timeout: 20_000 });
  }

  tryCall(program: string, words: readonly string[]): string | undefined {
    try {
      return this.call(program, words);
    } catch {
      return undefined;
    }
  }

  /** The tasks of an array by their number. */
  tasks(job: string): Map<number, Task> {
    const shown = this.tryCall('scontrol', ['--oneliner', 'show', 'job', job]) ?? '';
    const tasks = new Map<number, Task>();
    for (const line of shown.split('\n')) {
      const field = (name: string) => new RegExp(`\\b${name}=(\\S+)`).exec(line)?.[1];
      const id = field('ArrayTaskId');
      if (id === undefined || !/^\d+$/.test(id)) continue;
      const task = { state: field('JobState') ?? '', restarts: Number(field('Restarts')) };
      tasks.set(Number(id), task);
    }
    return tasks;
  }

  /** Ends all jobs, then the daemons, in the reverse order of their start. */
  async stop(): Promise<void> {
    this.tryCall('scancel', ['--user=root', '--signal=KILL', '--full']);
    this.tryCall('scancel', ['--user=root']);
    for (let tries = 0; tries < 50; tries++) {
      if (this.tryCall('squeue', ['--noheader'])?.trim() === '') break;
      await sleep(200);
    }
    for (const daemon of this.#daemons.reverse()) {
      const isOver = daemon.exitCode !== null || daemon.signalCode !== null;
      const gone = isOver || new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      const killer = setTimeout(() => daemon.kill('SIGKILL'), 5_000);
      await gone;
      clearTimeout(killer);
    }
    process.off('exit', this.#killAll);
  }

  /** The ends of the daemons' logs, for a failure's message. */
  logs(): string {
    return ['munged.log', 'slurmctld.log', 'slurmd.log']
      .map((name) => join(this.#folder, name))
      .filter(existsSync)
      .map((path) => `${path}:\n${readFileSync(path, 'utf8').slice(-1500)}`)
      .join('\n');
  }
}

/** Waits until `check` holds, at most a minute unless told otherwise. */
export async function until(
  what: string,
  check: () => Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms in vain until ${what}`);
    await sleep(50);
  }
}
