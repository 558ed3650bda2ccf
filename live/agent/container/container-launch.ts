import { delimiter, join, sep } from 'node:path';
import { kernelEnvironment, userBase } from '../kernel/environment.ts';
import { existing, historyOf } from '../kernel/launch.ts';
import type { Launch, LaunchOptions } from '../kernel/place.ts';
import { HOME } from './container-request.ts';

/** Libraries ask for the name of a user that the image does not know. */
const USER = 'kernel';

export interface InsideOptions {
  workspace: string;
  /** whether the workspace is a folder of this machine, which can be looked at */
  isHere: boolean;
  /** PATH of the image */
  searched: string;
}

/**
 * Command, environment and working directory of a kernel in a container. Nothing of this machine's
 * environment goes in; packages that it installs go to the workspace, as the user's.
 */
export async function launchInside(
  { workspace, isHere, searched }: InsideOptions,
  { argv, env: kernel, hashSeed, cwd }: LaunchOptions,
): Promise<Launch> {
  const programs = workspace === '' ? [searched] : [searched, join(userBase(workspace), 'bin')];
  const env = {
    HOME,
    USER,
    LOGNAME: USER,
    PATH: programs.join(delimiter),
    PIP_USER: '1',
    PIP_BREAK_SYSTEM_PACKAGES: '1',
    PIP_NO_CACHE_DIR: '1',
    ...kernelEnvironment({ outer: {}, kernel, workspace, hashSeed, userSite: '' }),
  };
  const inside = workspace !== '' && `${cwd}${sep}`.startsWith(`${workspace}${sep}`);
  const start = inside && isHere ? await existing(cwd, workspace) : workspace || HOME;
  return { argv: [...argv, ...historyOf(argv)], env, cwd: start };
}
