import { NbosError } from '../../core/errors.ts';
import type { KernelMeta } from '../log/entries.ts';
import type { CoreLoop } from './core-loop.ts';
import type { LiveKernel } from './kernel.ts';

/** Why a kernel could not be started, as its user is told. */

export function tooLarge({ need }: KernelMeta): NbosError {
  return new NbosError(
    'kernel-failed',
    `no host has the ${need.gpuMillis / 1000} GPUs that the kernel asks for`,
    'Ask for fewer, by KERNEL_GPUS or the kernelspec.',
  );
}

/** Of a kernel that nothing was heard of in time. */
export function late(kernel: LiveKernel, ms: number): NbosError {
  const why = kernel.lastFailure === '' ? '' : `: ${kernel.lastFailure}`;
  return new NbosError(
    'kernel-failed',
    `no replica of kernel ${kernel.id} answered within ${ms} ms${why}`,
    '`nbos status` shows its replicas and hosts.',
  );
}

/** Whether core has found no hosts for a new kernel, and none are on their way. */
export function lacksHosts({ core }: CoreLoop, { session }: LiveKernel): boolean {
  const { sessions, config } = core.state;
  return config.fixed && sessions[session]?.waitingForHosts === true;
}

export function tooFewHosts({ core }: CoreLoop, { id, meta }: LiveKernel): NbosError {
  const { up, hosts } = core.state;
  const ones = (count: number, of: string): string => `${count} ${of}${count === 1 ? '' : 's'}`;
  return new NbosError(
    'kernel-failed',
    `kernel ${id} needs ${ones(meta.replicas, 'host')} with room for it; ` +
      `${up.length} of ${ones(hosts.length, 'host')} ${up.length === 1 ? 'is' : 'are'} up`,
    '`nbos hosts` shows them: start their agents, or shut down kernels that are not needed.',
  );
}
