import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Delta, Unit } from '../../../live/log/entries.ts';

/**
 * A state scenario: cells that run on an executor and checks that run on standbys. Text:
 *
 *     === name of the scenario
 *     needs numpy                 modules that both sides must have
 *     --- cell [reached=a,b]      code for the executor; its delta goes to the standby
 *     --- fails [reached=a,b]     the same, and the cell raises
 *     --- check                   code that must pass on the standby and on a late joiner
 *     --- here                    code that must pass on the executor
 *     --- compare f()             an expression that gives equal text on all sides
 *     --- sent a b                names of all units in the last delta, `-` for none
 *     --- units a b | c           each group is one unit now
 *     --- unreplicated name: part of the reason
 *     --- limits {"quotaBytes":1}
 *     --- move                    the standby is the executor from here on
 */
export interface Scenario {
  readonly name: string;
  readonly needs: readonly string[];
  readonly steps: readonly Step[];
}

export interface Step {
  readonly op: string;
  readonly rest: string;
  readonly body: string;
  readonly line: number;
}

export function parseScenarios(text: string): Scenario[] {
  const scenarios: { name: string; needs: string[]; steps: Step[] }[] = [];
  let body: string[] | undefined;
  for (const [at, line] of text.split('\n').entries()) {
    const scenario = scenarios.at(-1);
    const step = /^--- (\w+) ?(.*)$/.exec(line);
    if (line.startsWith('=== ')) {
      scenarios.push({ name: line.slice(4), needs: [], steps: [] });
      body = undefined;
    } else if (line.startsWith('needs ')) scenario!.needs.push(...line.slice(6).split(' '));
    else if (step !== null) {
      const lines: string[] = [];
      body = lines;
      const made = { op: step[1]!, rest: step[2]!, line: at + 1 };
      scenario!.steps.push(
        Object.defineProperty(made as Step, 'body', { get: () => joined(lines) }),
      );
    } else body?.push(line);
  }
  return scenarios;
}

function joined(lines: readonly string[]): string {
  return `${lines.join('\n').trimEnd()}\n`;
}

interface Answer {
  delta: Delta;
  error: string;
  crash?: string;
  failed: { unit: string; names: string[]; message: string }[];
  ms: number;
  written: number;
  value: string;
}

/** A Python process that plays one side; see state_worker.py. */
export class Side {
  private readonly process: ChildProcess;
  private readonly waiting: ((answer: Answer) => void)[] = [];
  private errors = '';

  constructor(python: string, argv: readonly string[]) {
    const env = { ...process.env, PYTHONHASHSEED: '7', PYTHONDONTWRITEBYTECODE: '1' };
    this.process = spawn(python, [...argv], { stdio: ['pipe', 'pipe', 'pipe'], env });
    createInterface({ input: this.process.stdout! }).on('line', (line) =>
      this.waiting.shift()?.(JSON.parse(line) as Answer),
    );
    this.process.stderr!.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.process.on('exit', () => {
      for (const each of this.waiting.splice(0))
        each({ crash: `the process ended: ${this.errors}` } as Answer);
    });
  }

  async ask(command: object): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve) => {
      this.waiting.push(resolve);
      this.process.stdin!.write(`${JSON.stringify(command)}\n`);
    });
    if (answer.crash !== undefined) throw new Error(answer.crash);
    return answer;
  }

  /** Ends the fork of this scenario; its parent takes the next. */
  end(): void {
    this.process.stdin!.write('{"op":"end"}\n');
  }

  stop(): void {
    this.process.kill('SIGKILL');
  }
}

/** Runs a scenario over three sides; throws at the first step that does not hold. */
export async function runScenario(scenario: Scenario, sides: readonly Side[]): Promise<void> {
  const run = new ScenarioRun(sides);
  for (const side of sides) await side.ask({ op: 'begin' });
  try {
    for (const step of scenario.steps)
      await run.step(step).catch((error: Error) => {
        throw new Error(`line ${step.line}, ${step.op} ${step.rest}: ${error.message}`);
      });
  } finally {
    for (const side of sides) side.end();
  }
}

class ScenarioRun {
  private readonly table = new Map<string, Unit>();
  private last: Delta | undefined;
  private limits: object = {};
  private executor: Side;
  private standby: Side;
  private readonly late: Side;

  constructor(sides: readonly Side[]) {
    [this.executor, this.standby, this.late] = sides as [Side, Side, Side];
  }

  async step({ op, rest, body }: Step): Promise<void> {
    if (op === 'cell' || op === 'fails') return this.cell(body, rest, op === 'fails');
    if (op === 'check') return this.check(body);
    if (op === 'here') return passes(await this.executor.ask({ op: 'check', code: body }), 'here');
    if (op === 'compare') return this.compare(rest);
    if (op === 'sent') return same('sent', namesOf(this.last!.units), words(rest));
    if (op === 'units') return this.units(rest);
    if (op === 'unreplicated') return this.unreplicated(rest);
    if (op === 'limits') this.limits = JSON.parse(rest) as object;
    else if (op === 'move') [this.executor, this.standby] = [this.standby, this.executor];
    else throw new Error(`no such step: ${op}`);
  }

  private async cell(code: string, rest: string, raises: boolean): Promise<void> {
    const listed = /^reached=(.*)$/.exec(rest)?.[1];
    const reached = listed === undefined ? null : listed.split(',').filter(Boolean);
    const answer = await this.executor.ask({ op: 'cell', code, reached, limits: this.limits });
    if ((answer.error !== '') !== raises) throw new Error(answer.error || 'it did not raise');
    const { delta } = answer;
    this.last = delta;
    for (const unit of delta.units) {
      const before = this.table.get(unit.id);
      if (before !== undefined && before.version >= unit.version)
        throw new Error(`unit ${unit.id} went from version ${before.version} to ${unit.version}`);
      this.table.set(unit.id, unit);
    }
    for (const id of delta.dropped)
      if (!this.table.delete(id)) throw new Error(`dropped unit ${id}, which was not there`);
    await this.take(this.standby, delta.units, delta.dropped, false);
  }

  private async take(
    side: Side,
    units: readonly Unit[],
    dropped: readonly string[],
    reset: boolean,
  ) {
    const { failed } = await side.ask({ op: 'apply', update: { reset, units, dropped, count: 0 } });
    if (failed.length > 0) throw new Error(`not taken: ${JSON.stringify(failed)}`);
  }

  private async check(code: string): Promise<void> {
    await this.take(this.late, [...this.table.values()], [], true);
    passes(await this.late.ask({ op: 'check', code }), 'on the late joiner');
    passes(await this.standby.ask({ op: 'check', code }), 'on the standby');
  }

  /** An expression must give equal text on all sides. */
  private async compare(expression: string): Promise<void> {
    const { error, value } = await this.executor.ask({ op: 'value', code: expression });
    if (error !== '') throw new Error(error);
    await this.check(`_found = ${expression}\nassert _found == ${JSON.stringify(value)}, _found`);
  }

  private units(groups: string): void {
    for (const group of groups.split('|').map(words)) {
      const unit = [...this.table.values()].find(({ names }) => names.includes(group[0]!));
      same('the unit', [...(unit?.names ?? [])].sort(), group);
    }
  }

  private unreplicated(rest: string): void {
    const [name, reason] = rest.split(': ');
    const found = this.last!.unreplicated;
    const ok = rest === '-' ? found.length === 0 : found.some(matches(name!, reason ?? ''));
    if (!ok) throw new Error(`unreplicated is ${JSON.stringify(found)}`);
  }
}

function matches(name: string, reason: string) {
  return (each: { name: string; reason: string }): boolean =>
    each.name === name && each.reason.includes(reason);
}

function words(text: string): string[] {
  return text
    .split(' ')
    .filter((word) => word !== '' && word !== '-')
    .sort();
}

function namesOf(units: readonly Unit[]): string[] {
  return units.flatMap(({ names }) => names).sort();
}

function same(what: string, found: readonly string[], expected: readonly string[]): void {
  if (found.join(' ') !== expected.join(' '))
    throw new Error(`${what}: ${found.join(' ')}, expected ${expected.join(' ')}`);
}

function passes(answer: Answer, where: string): void {
  if (answer.error !== '') throw new Error(`${where}: ${answer.error}`);
}
