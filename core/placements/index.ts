import { gandivaPools } from './gandiva-pools.ts';
import { leastLoaded } from './least-loaded.ts';
import { mostLoaded } from './most-loaded.ts';
import type { Placement } from './placement.ts';
import { random } from './random.ts';
import { warmFirst } from './warm-first.ts';

/** Every placement by name; a new one is its file and a line here. */
export const PLACEMENTS: Readonly<Record<string, Placement>> = {
  [leastLoaded.name]: leastLoaded,
  [mostLoaded.name]: mostLoaded,
  [random.name]: random,
  [gandivaPools.name]: gandivaPools,
  [warmFirst.name]: warmFirst,
};
