import { resolve } from 'node:path';
import { z } from 'zod';
import { NbosError } from '../../core/errors.ts';
import { type Arguments, numberOf, textOf } from '../../traces/command-line.ts';

/** Hosts of a system that come and go with its load. */
export interface Elastic {
  /** fewest hosts in use */
  minHosts: number;
  /** absolute path of the program that starts and ends them; '': they are connected all the time */
  command: string;
}

export const ELASTIC_SHAPE = z.object({ minHosts: z.int().min(1), command: z.string() });

const NONE = 'none';

/**
 * What a command line says of it, over what was said before, in a system of `most` hosts;
 * undefined: all are in use all the time.
 * @throws NbosError usage
 */
export function describedElastic(
  given: Arguments,
  before: Elastic | undefined,
  most: number,
): Elastic | undefined {
  const wanted = numberOf(given, 'min-hosts');
  const path = textOf(given, 'provision-command');
  const command = path === undefined ? (before?.command ?? '') : path === NONE ? '' : resolve(path);
  if (wanted !== undefined && wanted > most)
    throw new NbosError(
      'usage',
      `--min-hosts ${wanted}: there are ${most} hosts at most`,
      'Raise --hosts or lower --min-hosts.',
    );
  const minHosts = Math.min(most, wanted ?? before?.minHosts ?? most);
  return minHosts === most && command === '' ? undefined : { minHosts, command };
}
