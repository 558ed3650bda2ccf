import type { Answer, ConfigChange, MemberId, Message } from '../../core/raft/index.ts';
import { configurationOf, DEFAULT_LIMITS, MemoryStorage } from '../../core/raft/index.ts';
import { Group, storageWith } from './group.ts';
import { configWord } from './words.ts';

/** One command of a scenario file, and what is expected of it. */
export interface Step {
  /** comment lines before it, kept when the file is written anew */
  readonly comments: readonly string[];
  readonly command: string;
  readonly expected: string;
}

/** Comments, a command, a line `----`, the output, an empty line; and so on. */
export function readSteps(text: string): Step[] {
  const steps: Step[] = [];
  let comments: string[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    if (line === '' || line.startsWith('#')) {
      comments.push(line);
      continue;
    }
    const end = lines.indexOf('', at);
    const block = lines.slice(at, end < 0 ? lines.length : end);
    const bar = block.indexOf('----');
    const output = bar < 0 ? [] : block.slice(bar + 1);
    steps.push({ comments, command: line, expected: output.join('\n') });
    comments = [];
    at += block.length;
  }
  return steps;
}

export function writeSteps(steps: readonly Step[]): string {
  return steps
    .map(({ comments, command, expected }) => {
      const output = expected === '' ? '' : `${expected}\n`;
      return `${[...comments, command, '----'].join('\n')}\n${output}\n`;
    })
    .join('');
}

type Command = (words: readonly string[]) => void;

/** Runs the commands of one scenario; the README of this folder lists them. */
export class Scenario {
  #group = new Group();
  readonly #commands: Readonly<Record<string, Command>> = {
    group: (words) => this.#create(words),
    member: ([id]) => this.#group.startEmpty(Number(id)),
    log: ([id, term, ...terms]) =>
      this.#log(Number(id), Number(term!.split('=')[1]), terms.map(Number)),
    tick: ([id, ticks]) => this.#group.tick(Number(id), Number(ticks ?? 1)),
    campaign: ([id]) => this.#group.node(Number(id)).campaign(),
    propose: ([id, ...values]) => this.#answer(this.#group.node(Number(id)).propose(values)),
    change: ([id, type, member]) => {
      const change = { type, member: Number(member) } as ConfigChange;
      this.#answer(this.#group.node(Number(id)).proposeChange(change));
    },
    transfer: ([id, to]) => this.#refusal(this.#group.node(Number(id)).transferTo(Number(to))),
    read: ([id, read]) => this.#refusal(this.#group.node(Number(id)).read(Number(read))),
    work: (ids) => {
      if (ids.length === 0) this.#group.workAll();
      for (const id of ids) this.#group.work(Number(id));
    },
    deliver: (words) => this.#group.deliver(filter(words)),
    drop: (words) => {
      const which = filter(words);
      this.#group.inFlight = this.#group.inFlight.filter((message) => !which(message));
    },
    settle: ([quiet]) => {
      this.#group.settle();
      if (quiet === 'quietly') this.#group.told = [];
    },
    cut: (ids) => this.#group.cut(ids.map(Number)),
    heal: () => this.#group.heal(),
    stop: ([id]) => this.#group.stop(Number(id)),
    restart: ([id]) => void this.#group.restart(Number(id)),
    compact: ([id, keep]) => this.#group.compact(Number(id), Number(keep ?? 0)),
    wake: ([id]) => this.#group.node(Number(id)).wake(),
    unreachable: ([id, of]) => this.#group.node(Number(id)).reportUnreachable(Number(of)),
    snapshot: ([id, of, how]) =>
      this.#group.node(Number(id)).reportSnapshot(Number(of), how === 'delivered'),
    status: (ids) => this.#status(ids.map(Number)),
    logs: () => this.#logs(),
  };

  /** What a command says. */
  run(line: string): string {
    const [name, ...words] = line.split(/ +/);
    const command = this.#commands[name!];
    if (command === undefined) return `no command ${name}`;
    command(words);
    const { told } = this.#group;
    this.#group.told = [];
    return told.join('\n');
  }

  #create(words: readonly string[]): void {
    const values = new Map(words.map((word) => word.split('=') as [string, string]));
    const list = (name: string): number[] =>
      (values.get(name) ?? '').split(',').filter(Boolean).map(Number);
    const limits: Record<string, number | boolean> = {};
    for (const [name, value] of values)
      if (name in DEFAULT_LIMITS)
        limits[name] = /^\d+$/.test(value) ? Number(value) : value === 'on';
    const config = configurationOf(list('voters'), list('learners'));
    this.#group = new Group(limits);
    for (const id of [...config.voters, ...config.learners])
      this.#group.start(id, MemoryStorage.forGroup(config));
  }

  /** Starts a member over, in `term`, with a log of entries of these terms. */
  #log(id: MemberId, term: number, terms: readonly number[]): void {
    const { config } = this.#group.node(id);
    this.#group.start(id, storageWith(config, terms, term));
  }

  #answer(answer: Answer): void {
    if (!answer.ok) this.#group.told.push(`refused: ${answer.reason}`);
  }

  #refusal(reason: string | undefined): void {
    if (reason !== undefined) this.#group.told.push(`refused: ${reason}`);
  }

  #status(ids: readonly MemberId[]): void {
    for (const id of ids.length > 0 ? ids : this.#group.members.keys()) {
      const status = this.#group.node(id).status();
      const { role, term, leader, last, committed, config, members, resting } = status;
      const rest = resting ? ' resting' : '';
      const at = `term ${term} leader ${leader} last ${last} commit ${committed}`;
      this.#group.told.push(`${id} ${role} ${at} ${configWord(config)}${rest}`);
      for (const member of members)
        this.#group.told.push(`  ${member.id} ${member.state} match ${member.match}`);
    }
  }

  #logs(): void {
    for (const { id, node } of this.#group.members.values()) {
      const before = node.first > 1 ? ` …${node.first - 1}` : '';
      this.#group.told.push(`${id}:${before} ${this.#group.terms(id).join(' ')}`.trimEnd());
    }
  }
}

/** `from=1 to=2 type=append`: what matches all of it. */
function filter(words: readonly string[]): (message: Message) => boolean {
  const wanted = words.map((word) => word.split('='));
  return (message) =>
    wanted.every(([name, value]) => String(message[name as 'type' | 'from' | 'to']) === value);
}
