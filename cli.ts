#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';
import yargs from 'yargs';
import { NbosError } from './core/errors.ts';
import { addExperimentCommands } from './experiments/commands.ts';
import { addLiveCommands } from './live/commands/commands.ts';
import { addSimulationCommands } from './sim/commands.ts';
import { interruption, type Program } from './traces/command-line.ts';
import { addTraceCommands } from './traces/commands.ts';
import { nearestWord } from './traces/suggest.ts';

const INTERRUPTED = 130;
const WIDEST = 100;
const SEE_HELP = 'Add --help to see what there is.';

/** package.json lies beside the source and above the build. */
function version(): string {
  const places = ['package.json', '../package.json'].map((at) => new URL(at, import.meta.url));
  const file = places.find((place) => existsSync(place))!;
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** The whole program: every folder adds its commands. */
function build(words: readonly string[]): Program {
  const program: Program = yargs([...words])
    .scriptName('nbos')
    .usage('Usage: $0 <command> [options]')
    .parserConfiguration({ 'camel-case-expansion': false, 'strip-dashed': true })
    .option('json', { type: 'boolean', describe: 'print results as JSON', global: true })
    .option('quiet', { type: 'boolean', describe: 'print errors only', global: true })
    .strict()
    .demandCommand(1, 'name a command; nbos --help lists them')
    .version(version())
    .help()
    .alias('help', 'h')
    .wrap(Math.min(WIDEST, process.stdout.columns ?? WIDEST))
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? usageError(message, program);
    })
    .completion('completion', 'print the script that completes nbos in bash or zsh');
  addTraceCommands(program);
  addSimulationCommands(program);
  addExperimentCommands(program);
  addLiveCommands(program, {
    writeRun: async (run) =>
      (await import('./experiments/fidelity/write-run.ts')).writeRecordedRun(run),
    loadPolicy: async (nameOrPath, layers) => {
      const { configFor, resolvePolicy } = await import('./sim/policy-file.ts');
      const { policy } = await resolvePolicy(nameOrPath);
      return { policy, config: configFor(policy, ...layers) };
    },
  });
  return program;
}

/** What yargs says about the command line, with a suggestion for an unknown word. */
function usageError(message: string, at: Program): NbosError {
  const unknown = /^Unknown (argument|command)s?: (.+)$/.exec(message);
  if (unknown === null) return usageFault(message);
  const word = unknown[2]!.split(', ')[0]!;
  const known = knownWords(at);
  const option = nearestWord(word, known.options);
  const command = nearestWord(word, known.commands);
  const asOption = process.argv.some((given) => given.replace(/=.*/, '') === `--${word}`);
  const near = asOption ? option && `--${option}` : (command ?? (option && `--${option}`));
  return new NbosError(
    'usage',
    asOption ? `unknown option --${word}` : `unknown word "${word}"`,
    near ? `Did you mean ${near}?` : SEE_HELP,
  );
}

/** The other complaints of yargs, in the form of all errors. */
function usageFault(message: string): NbosError {
  const missing = /^Missing required arguments?: (.+)$/.exec(message);
  if (missing !== null) {
    const names = missing[1]!.split(', ').map((name) => `--${name}`);
    return new NbosError('usage', `${names.join(' and ')} must be given`, SEE_HELP);
  }
  const choice = /Argument: ([\w-]+), Given: (.+), Choices: (.+)$/.exec(oneLine(message));
  if (choice !== null) {
    const [, name, given, choices] = choice;
    return new NbosError(
      'usage',
      `--${name}: expected one of ${choices!.replaceAll('"', '')}, found ${given}`,
    );
  }
  return new NbosError('usage', decapitalize(oneLine(message)), SEE_HELP);
}

/** Options and commands that yargs knows at this point; its types leave both methods out. */
function knownWords(at: Program): { options: string[]; commands: string[] } {
  const inside = at as unknown as {
    getOptions(): { key: Record<string, unknown> };
    getInternalMethods(): { getCommandInstance(): { getCommands(): string[] } };
  };
  return {
    options: Object.keys(inside.getOptions().key),
    commands: inside.getInternalMethods().getCommandInstance().getCommands(),
  };
}

function decapitalize(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Prints an error on one line; only a bug shows its stack. */
function complain(error: unknown): void {
  if (interruption.signal.aborted) {
    const isTold = error instanceof NbosError && error.code === 'interrupted';
    const message = isTold ? `${error.message}. ${error.hint}`.trim() : 'nothing was finished';
    process.stderr.write(`interrupted: ${message}\n`);
    process.exitCode = INTERRUPTED;
    return;
  }
  process.exitCode = 1;
  if (error instanceof Error && error.name === 'YError') {
    process.stderr.write(`usage: ${decapitalize(oneLine(error.message))}\n`);
    return;
  }
  if (error instanceof NbosError && error.code !== 'invariant-violated') {
    const hint = error.hint === '' ? '' : ` ${error.hint}`;
    const stop = error.hint !== '' && /\w$|["')\]]$/.test(error.message) ? '.' : '';
    process.stderr.write(`${error.code}: ${oneLine(`${error.message}${stop}${hint}`)}\n`);
    return;
  }
  const system = systemFault(error);
  if (system !== undefined) process.stderr.write(`${system}\n`);
  else process.stderr.write(`bug: ${error instanceof Error ? error.stack : String(error)}\n`);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ');
}

/** The operating system's refusals that reach us unwrapped: disk, permissions, memory. */
function systemFault(error: unknown): string | undefined {
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string') return undefined;
  const meanings: Record<string, string> = {
    ENOSPC: 'file-unwritable: no space left on the disk',
    EACCES: 'file-unwritable: permission denied',
    EPERM: 'file-unwritable: not permitted',
    EROFS: 'file-unwritable: the file system is read-only',
    ENOTDIR: 'file-unwritable: a part of the path is not a folder',
    EISDIR: 'file-not-found: a folder where a file was expected',
    ENOENT: 'file-not-found: no such file or folder',
    EMFILE: 'file-unwritable: too many open files',
  };
  const meaning = meanings[code];
  return meaning === undefined ? undefined : `${meaning}: ${path ?? oneLine(message)}`;
}

/** A reader that closed the pipe (`| head`) has what it wanted. */
function quietOnClosedPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

quietOnClosedPipe(process.stdout);
quietOnClosedPipe(process.stderr);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    // The second one does not wait for anything.
    if (interruption.signal.aborted) process.exit(INTERRUPTED);
    interruption.abort();
  });
process.on('uncaughtException', (error) => {
  complain(error);
  process.exit();
});
try {
  await build(process.argv.slice(2)).parseAsync();
  if (interruption.signal.aborted) complain(interruption.signal.reason);
} catch (error) {
  complain(error);
}
// Idle workers and watchers of a failed command must not keep the program alive.
if (process.exitCode) process.exit();
