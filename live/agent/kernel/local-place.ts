import { type LaunchHost, launchOf, prepareLaunch } from './launch.ts';
import { endLeftovers } from './leftovers.ts';
import type { KernelPlace } from './place.ts';
import { canPrioritize, KernelProcess } from './process.ts';

/** Kernels as plain processes of this machine. */
export function localPlace(host: LaunchHost): KernelPlace {
  prepareLaunch(host);
  return {
    launch: (options) => launchOf(host, options),
    start: (options) => KernelProcess.start(options),
    canPrioritize,
    pausesPooled: false,
    advice:
      'Run its command by hand to see what keeps it, or choose another interpreter with --python.',
    endLeftovers,
  };
}
