import { stat } from 'node:fs/promises';
import type { Log } from './bare-kernel.ts';
import { kernelEnvironment } from './environment.ts';
import { type PackagePlace, packagePlace } from './packages.ts';
import type { Launch, LaunchOptions } from './place.ts';

/** What is the same for all kernel processes of a host. */
export interface LaunchHost {
  readonly outer: Readonly<Record<string, string | undefined>>;
  /** directory that all replicas share, '' for none */
  readonly workspace: string;
  /** of the interpreter, see python.ts; '' for none */
  readonly userSite: string;
  /** the interpreter of most kernels: its place for packages is made ahead */
  readonly python?: string;
  readonly log: Log;
}

/** Makes ready what the first kernel would have to wait for. */
export function prepareLaunch(host: LaunchHost): void {
  const { python } = host;
  if (python !== undefined) void placeOf(host, { argv: [python], language: 'python' });
}

/** With what command, environment and working directory a kernel's process is started. */
export async function launchOf(host: LaunchHost, options: LaunchOptions): Promise<Launch> {
  const { outer, workspace, userSite } = host;
  const { env: kernel, hashSeed, cwd } = options;
  const argv = [programOf(host, options.argv), ...options.argv.slice(1)];
  const place = await placeOf(host, { ...options, argv });
  const env = kernelEnvironment({
    ...{ outer, workspace, kernel, hashSeed },
    // In a place of our own it is part of that.
    userSite: place === undefined ? userSite : '',
    ...(place === undefined ? {} : { place }),
  });
  // ipykernel ends when this parent is gone, from its very start on, before the helper is in.
  if (argv.includes('ipykernel_launcher')) env['JPY_PARENT_PID'] = String(process.pid);
  return {
    argv: [place?.python ?? argv[0]!, ...argv.slice(1), ...historyOf(argv)],
    env,
    cwd: await existing(cwd, workspace),
  };
}

/** A gateway that does not know this host's Python asks for `python3`: then it is ours. */
function programOf({ python }: LaunchHost, [program = '']: readonly string[]): string {
  return program === 'python3' && python !== undefined ? python : program;
}

async function placeOf(
  { outer, workspace, log }: LaunchHost,
  { argv, language }: Pick<LaunchOptions, 'argv' | 'language'>,
): Promise<PackagePlace | undefined> {
  const [program] = argv;
  if (workspace === '' || language !== 'python' || program === undefined) return undefined;
  try {
    return await packagePlace(program, workspace, outer);
  } catch (error) {
    log.warn({ err: error, workspace }, 'packages that kernels install stay on their host');
    return undefined;
  }
}

/** A folder that was removed since the kernel was made must not keep a replica from starting. */
export async function existing(cwd: string, workspace: string): Promise<string> {
  const found = cwd === '' ? undefined : await stat(cwd).catch(() => undefined);
  if (found?.isDirectory() === true) return cwd;
  return workspace === '' ? cwd || '/' : workspace;
}

/** Its history comes from the log: a file would have what ran on this replica, and of all kernels. */
export function historyOf(argv: readonly string[]): readonly string[] {
  return argv.includes('ipykernel_launcher') ? ['--HistoryManager.hist_file=:memory:'] : [];
}
