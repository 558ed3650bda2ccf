import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  demandedText,
  printNote,
  printResult,
  textOf,
} from '../../traces/command-line.ts';
import { unwritable } from '../../traces/output-file.ts';
import { AdminClient } from './admin-client.ts';
import { Relay, readConnectionFile } from './relay.ts';
import { RemoteKernel } from './remote-kernel.ts';
import { findSystem } from './running.ts';

/** Names that Jupyter accepts for a kernelspec. */
const NAME = /^[A-Za-z0-9._-]+$/;
/** How often the relay looks whether the client that started it is still there. */
const PARENT_MS = 1_000;

/** Folder of kernelspecs as Jupyter looks for them. */
export function kernelspecFolder(prefix: string | undefined, env = process.env): string {
  if (prefix !== undefined) return join(resolve(prefix), 'share', 'jupyter', 'kernels');
  if (env['JUPYTER_DATA_DIR']) return join(env['JUPYTER_DATA_DIR'], 'kernels');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Jupyter', 'kernels');
  const data = env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share');
  return join(data, 'jupyter', 'kernels');
}

function namedFolder(given: Arguments): { name: string; folder: string } {
  const name = demandedText(given, 'name');
  if (!NAME.test(name))
    throw new NbosError(
      'usage',
      `--name: expected letters, digits, ".", "_" and "-", found "${name}"`,
    );
  return { name, folder: join(kernelspecFolder(textOf(given, 'prefix')), name) };
}

export async function installKernelspec(given: Arguments): Promise<void> {
  const { name, folder } = namedFolder(given);
  const spec = textOf(given, 'spec') ?? '';
  const described = await describedSpec(spec);
  const url = process.env['NBOS_URL'];
  const program = [process.execPath, ...process.execArgv, resolve(process.argv[1]!)];
  const kernelspec = {
    argv: [
      ...program,
      'kernelspec',
      'run',
      '{connection_file}',
      ...(spec === '' ? [] : ['--spec', spec]),
      '--',
    ],
    display_name: `NotebookOS (${described.name})`,
    language: described.language,
    interrupt_mode: 'message',
    // A gateway does not offer its own relay: it would lead back to it.
    metadata: { debugger: false, nbos_relay: true },
    // Without it the newest running system of the user is found when a kernel starts.
    env: url ? { NBOS_URL: url } : {},
  };
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'kernel.json'), `${JSON.stringify(kernelspec, null, 2)}\n`);
  } catch (error) {
    throw unwritable(folder, error);
  }
  printResult(given, `${folder}: installed; papermill in.ipynb out.ipynb -k ${name} uses it`, {
    name,
    folder,
  });
}

/** Name and language for people; a gateway that is not running yet is taken for Python's. */
async function describedSpec(spec: string): Promise<{ name: string; language: string }> {
  const unknown = { name: spec || 'Python 3', language: 'python' };
  let client: AdminClient;
  try {
    client = new AdminClient(findSystem());
  } catch {
    return unknown;
  }
  interface Listed {
    default: string;
    kernelspecs: Record<string, { spec: { display_name: string; language: string } }>;
  }
  const listed = await client.json<Listed>('/api/kernelspecs').catch((error: NbosError) => {
    if (error.code === 'gateway-unreachable') return undefined;
    throw error;
  });
  if (listed === undefined) return unknown;
  const found = listed.kernelspecs[spec || listed.default];
  if (found === undefined)
    throw new NbosError(
      'usage',
      `--spec: the gateway has no kernelspec "${spec}"`,
      `It has ${Object.keys(listed.kernelspecs).join(', ')}.`,
    );
  return { name: found.spec.display_name, language: found.spec.language };
}

export function uninstallKernelspec(given: Arguments): Promise<void> {
  const { name, folder } = namedFolder(given);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new NbosError('file-not-found', `${folder}: no kernelspec is there`);
  try {
    rmSync(folder, { recursive: true });
  } catch (error) {
    throw unwritable(folder, error);
  }
  printResult(given, `${folder}: removed`, { name, folder });
  return Promise.resolve();
}

/** `nbos kernelspec run FILE`: from the sockets of a connection file to a kernel of the gateway. */
export async function runRelay(given: Arguments): Promise<void> {
  const relay = new Relay(readConnectionFile(demandedText(given, 'file')));
  relay.onNote = (text) => printNote(given, `nbos: ${text}`);
  await relay.open();
  const kernel = await RemoteKernel.create(new AdminClient(findSystem()), {
    spec: textOf(given, 'spec') ?? '',
    env: kernelVariables(),
    path: '',
  });
  const end = new Promise<number>((resolveEnd) => {
    relay.onShutdown = () => resolveEnd(0);
    kernel.onLost = (error) => {
      printNote(given, `nbos: ${error.message}`);
      resolveEnd(1);
    };
    process.removeAllListeners('SIGINT');
    process.on('SIGINT', () => {
      relay.interrupt().catch((error: Error) => printNote(given, `nbos: ${error.message}`));
    });
    process.removeAllListeners('SIGTERM');
    process.once('SIGTERM', () => resolveEnd(0));
    whenOrphaned(() => resolveEnd(0));
  });
  relay.attach(kernel);
  const code = await end;
  await kernel.close().catch((error: Error) => printNote(given, `nbos: ${error.message}`));
  await relay.close();
  process.exit(code);
}

function kernelVariables(): Record<string, string> {
  const own = Object.entries(process.env).filter(([name]) => name.startsWith('KERNEL_'));
  return { KERNEL_WORKING_DIR: process.cwd(), ...(Object.fromEntries(own) as object) };
}

/** The client that started us has ended without a word: nobody will ever ask again. */
function whenOrphaned(end: () => void): void {
  if (!process.env['JPY_PARENT_PID']) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) end();
  }, PARENT_MS).unref();
}
