import { addGroup, type Program } from './command-line.ts';

/** `nbos trace …`. */
export function addTraceCommands(program: Program): void {
  addGroup(program, 'trace', 'import, check, describe, synthesize or sample workloads', (g) => g);
}
