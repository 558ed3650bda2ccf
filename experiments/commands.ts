import type { Program } from '../traces/command-line.ts';

/** `nbos compare | experiment | report | demo`. */
export function addExperimentCommands(_program: Program): void {}
