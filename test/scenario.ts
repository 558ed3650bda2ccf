import { type Execution, STEPS } from '../core/books/execution-book.ts';
import type { Config } from '../core/config/options.ts';
import type { Effect } from '../core/effects.ts';
import type { Event } from '../core/events.ts';
import { POLICIES } from '../core/policies/index.ts';
import { vector, vectorForGpus } from '../core/resources.ts';
import { Core } from '../core/scheduler.ts';
import { configFor } from '../sim/policy-file.ts';
import { parseSettings } from './scenario-settings.ts';

/**
 * Runs one scenario: blocks of a command and, below a line `----`, what it gives.
 *
 *   core POLICY option=value …     a new scheduler
 *   AT start                       the cluster starts
 *   AT host-up|host-failed|host-released|host-lost HOST
 *   AT offer                       a host is there beyond those asked for
 *   AT drain|undrain HOST          an operator takes it out of service, or not
 *   AT exclude|restore HOST DEVICE
 *   AT open SESSION GPUS [replicas=N]
 *   AT close SESSION
 *   AT submit SESSION CELL GPUS [ms=EXPECTED] [more] [moves]
 *   AT started|failed|lost CONTAINER
 *   AT joined|recovering CONTAINER
 *   AT adopt SESSION GPUS EXECUTED LAST CONTAINER@HOST=ready|recovering …
 *   AT adopt-run SESSION CELL GPUS REPLICA DEVICES
 *   AT cancel SESSION CELL
 *   AT pin SESSION yes|no
 *   AT move SESSION REPLICA [HOST]
 *   AT run-failed SESSION
 *   AT yielded|released|replied SESSION
 *   AT end                         the moment ends (after `more`)
 *   AT timer scaling|empty-host|reclaim|policy [KEY]
 *   books                          hosts, kernels and what waits
 *
 * AT is in seconds. The invariants are checked after each command.
 */
export function runScenario(text: string): string {
  let core: Core | undefined;
  const blocks: string[] = [];
  for (const block of text.trim().split(/\n\n+/)) {
    const commands = block.split('\n----')[0]!;
    const lines: string[] = [];
    for (const command of commands.split('\n')) {
      if (command.startsWith('#') || command === '') continue;
      if (command.startsWith('core ')) core = newCore(command);
      else if (command === 'books') lines.push(...books(core!));
      else lines.push(...step(core!, command));
    }
    const isComment = commands.split('\n').every((line) => line.startsWith('#'));
    blocks.push(isComment ? commands : `${commands}\n----\n${lines.join('\n') || 'nothing'}`);
  }
  return `${blocks.join('\n\n')}\n`;
}

function newCore(command: string): Core {
  const [, name, ...settings] = command.split(' ');
  const policy = POLICIES[name!]!;
  const config: Config = configFor(policy, parseSettings(settings));
  return Core.create(config, policy, { facts: true });
}

function step(core: Core, command: string): string[] {
  const lines: string[] = [];
  try {
    for (const effect of core.step(eventOf(core, command))) lines.push(...shown(effect));
  } catch (error) {
    return [`error: ${(error as Error).message}`];
  }
  core.check();
  return lines;
}

function eventOf(core: Core, command: string): Event {
  const [seconds, word, first, second, third, ...rest] = command.split(' ');
  const at = Math.round(Number(seconds) * 1000);
  const id = Number(first);
  const ticketed = () => {
    const execution = core.state.executions.slots[core.state.sessions[id]!.active]!;
    return { at, execution: execution.slot, ticket: execution.ticket };
  };
  switch (word) {
    case 'start':
      return { kind: 'cluster-started', at };
    case 'host-up':
    case 'host-failed':
    case 'host-released':
    case 'host-lost':
      return { kind: word, at, host: id };
    case 'offer':
      return { kind: 'host-offered', at };
    case 'drain':
    case 'undrain':
      return { kind: 'drain-requested', at, host: id, on: word === 'drain' };
    case 'exclude':
      return { kind: 'device-excluded', at, host: id, device: Number(second), reason: 'fault' };
    case 'restore':
      return { kind: 'device-restored', at, host: id, device: Number(second) };
    case 'open':
      return {
        ...{ kind: 'session-opened', at, session: id, need: needOf(second!), gpuType: '' },
        ...(third?.startsWith('replicas=') ? { replicas: Number(third.slice(9)) } : {}),
      };
    case 'close':
      return { kind: 'session-closed', at, session: id };
    case 'submit':
      return {
        kind: 'cell-submitted',
        at,
        session: id,
        cell: Number(second),
        submittedAt: at,
        need: needOf(third!),
        expectedMs: Number(rest.find((text) => text.startsWith('ms='))?.slice(3) ?? -1),
        more: rest.includes('more'),
        moves: rest.includes('moves'),
      };
    case 'started':
    case 'failed':
    case 'lost':
      return { kind: `container-${word}`, at, container: id };
    case 'joined':
      return { kind: 'replica-joined', at, container: id, migrationMs: 0, stateReadMs: 0 };
    case 'yielded':
      return { kind: 'execution-yielded', ...ticketed() };
    case 'released':
      return { kind: 'execution-released', ...ticketed(), ...runParts(core, id, at) };
    case 'replied':
      return { kind: 'execution-replied', ...ticketed(), stateCommitMs: 0, replyMs: 0 };
    case 'end':
      return { kind: 'moment-ended', at };
    case 'timer':
      return { kind: 'timer', at, timer: first as 'scaling', key: Number(second ?? 0) };
    default:
      return liveEventOf(core, command);
  }
}

/** What only a live system sends. */
function liveEventOf(core: Core, command: string): Event {
  const [seconds, word, first, second, third] = command.split(' ');
  const at = Math.round(Number(seconds) * 1000);
  const id = Number(first);
  switch (word) {
    case 'recovering':
      return { kind: 'replica-recovering', at, container: id };
    case 'adopt':
    case 'adopt-run':
      return adoptionOf(command);
    case 'cancel':
      return { kind: 'cell-cancelled', at, session: id, cell: Number(second) };
    case 'pin':
      return { kind: 'session-pinned', at, session: id, pinned: second === 'yes' };
    case 'move':
      return {
        kind: 'move-requested',
        at,
        session: id,
        replica: Number(second),
        host: Number(third ?? -1),
      };
    case 'run-failed': {
      const execution = core.state.executions.slots[core.state.sessions[id]!.active]!;
      return {
        kind: 'execution-failed',
        at,
        execution: execution.slot,
        ticket: execution.ticket,
      };
    }
    default:
      throw new Error(`no such command: ${command}`);
  }
}

function adoptionOf(command: string): Event {
  const [seconds, word, first, second, third, fourth, ...rest] = command.split(' ');
  const at = Math.round(Number(seconds) * 1000);
  const session = Number(first);
  if (word === 'adopt-run') {
    const [cell, replica] = [Number(second), Number(fourth)];
    const [container, host] = rest[1]?.split('@').map(Number) ?? [];
    const place = container === undefined || host === undefined ? {} : { container, host };
    const need = needOf(third!);
    const devices = Number(rest[0]);
    const submittedAt = at;
    const run = { session, cell, need, replica, devices, submittedAt, attempt: 1, ...place };
    return { kind: 'execution-adopted', at, ...run };
  }
  const replicas = rest.map((text) => {
    const [container, host] = text.split(/[@=]/).map(Number);
    const state = text.endsWith('=ready') ? ('ready' as const) : ('recovering' as const);
    return { container: container!, host: host!, state };
  });
  return {
    kind: 'session-adopted',
    at,
    session,
    need: needOf(second!),
    gpuType: '',
    executed: Number(third),
    lastReplica: Number(fourth),
    replicas,
  };
}

/** All of the time since `execute` was the run. */
function runParts(core: Core, session: number, at: number) {
  const execution = core.state.executions.slots[core.state.sessions[session]!.active]!;
  const runMs = at - execution.executedAt;
  const parts = { stateReadMs: 0, electionMs: 0, deviceLoadMs: 0, deviceUnloadMs: 0 };
  return { ...parts, runMs, stateCommitMs: 0 };
}

function needOf(gpus: string) {
  return gpus === '0' ? vector(1000, 1000, 0, 0) : vectorForGpus(1000 * Number(gpus));
}

function shown(effect: Effect): string[] {
  switch (effect.kind) {
    case 'provision-host':
      return [`provision host ${effect.host}`];
    case 'release-host':
      return [`release host ${effect.host}`];
    case 'start-container': {
      const whose = effect.session === -1 ? 'the pool' : `session ${effect.session}`;
      const { start, container, host } = effect;
      return [`start container ${container} on host ${host} for ${whose}, ${start}`];
    }
    case 'stop-container':
      return [`stop container ${effect.container} on host ${effect.host}`];
    case 'join-replica': {
      const how = effect.commits ? 'through the log' : 'from the store';
      return [`join container ${effect.container} to session ${effect.session} ${how}`];
    }
    case 'execute': {
      const { session, cell, replica, host, container, readState } = effect;
      const read = readState ? ', reading state' : '';
      const where = `replica ${replica} on host ${host}, container ${container}`;
      return [`execute ${session}/${cell} by ${where}${read}`];
    }
    case 'set-timer':
      return [`timer ${effect.timer} at ${effect.at / 1000}`];
    case 'abort':
      return [`abort the run of execution ${effect.execution}`];
    case 'write-checkpoint':
      return [`write a checkpoint of session ${effect.session}`];
    case 'reply':
      return [
        `reply ${effect.session}/${effect.cell} ${effect.status}: ${outcome(effect.execution)}`,
      ];
    case 'fact':
      return ['refuse', 'migrate', 'keep'].includes(effect.fact)
        ? [
            `fact ${effect.fact} ${effect.session}/${effect.cell} host ${effect.host} ${effect.detail}`,
          ]
        : [];
    default:
      return [`${effect.kind} ${JSON.stringify({ ...effect, kind: undefined })}`];
  }
}

function outcome({ reason, immediate, attempt, steps }: Readonly<Execution>): string {
  const spent = STEPS.map((step, at) => (steps[at] === 0 ? '' : ` ${step} ${steps[at]! / 1000}`));
  const tries = attempt === 1 ? '' : ` attempt ${attempt}`;
  return `${reason}${immediate ? ' (immediate)' : ''}${tries}${spent.join('')}`;
}

function books({ state }: Core): string[] {
  const hosts = state.hosts.map(({ id, state: place, idle, committed, subscribed, ...host }) => {
    const gpus = [idle, committed, subscribed].map((part) => part.gpuMillis / 1000).join('/');
    const reserved = host.reservedFor === -1 ? '' : `, reserved for ${host.reservedFor}`;
    return `host ${id} ${place}: GPUs idle/committed/subscribed ${gpus}, pool ${host.pool.length}${reserved}`;
  });
  const sessions = state.sessions.map((session) => {
    const replicas = session!.replicas.map(({ host, state: place }) => `${place}@${host}`);
    const waits = session!.waitingForHosts ? ', waits for hosts' : '';
    return `session ${session!.id} ${session!.state}: ${replicas.join(' ') || session!.kernel}${waits}`;
  });
  const waiting = state.queue.inOrder().map(({ session, cell }) => `${session}/${cell}`);
  return [...hosts, ...sessions, ...(waiting.length > 0 ? [`waiting: ${waiting.join(' ')}`] : [])];
}
