import { chownSync } from 'node:fs';

/** Whom containers run as when root starts the system. */
const KERNEL_USER = 1000;

/** Kernels in containers may write in this folder. */
export function giveToKernels(folder: string): void {
  chownSync(folder, KERNEL_USER, KERNEL_USER);
}
