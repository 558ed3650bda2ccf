import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import seedrandom from 'seedrandom';
import { test } from 'uvu';
import { PROJECT_ROOT } from '../../skip.ts';
import { runScenario, type Scenario, Side, type Step } from './state-scenario.ts';

/**
 * Random cells that bind, alias, nest, mutate and delete, each with the names that its text shows.
 * After each, both standbys must have the same values *and the same sharing* between all names.
 * NBOS_SEED repeats one seed.
 */
const SEEDS = process.env['NBOS_SEED'] ? [Number(process.env['NBOS_SEED'])] : [1, 2, 3, 4];
const CELLS = 40;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

const SETUP = `
class Node:
    shared = []
    def __init__(self, x): self.x = x
    def keep(self): Node.shared.append(self.x)
def canon():
    seen, kept = {}, []
    def walk(v):
        if isinstance(v, (int, str, type(None))): return repr(v)
        if id(v) in seen: return '#%d' % seen[id(v)]
        seen[id(v)] = len(seen)
        kept.append(v)
        if isinstance(v, list): return 'L[' + ','.join(walk(x) for x in v) + ']'
        if isinstance(v, tuple): return 'T[' + ','.join(walk(x) for x in v) + ']'
        if isinstance(v, dict): return 'D[' + ','.join(k + walk(x) for k, x in v.items()) + ']'
        if isinstance(v, Node): return 'N[' + walk(v.__dict__) + ']'
        if callable(v): return 'F[' + walk(v.__closure__[0].cell_contents) + ']'
        return type(v).__name__
    names = ${JSON.stringify(NAMES)}
    found = [n + '=' + walk(globals()[n]) for n in names if n in globals()]
    return ';'.join(found) + ';' + walk(Node.shared)
def holder(v):
    def get(): return v
    return get
`;

function operation(draw: () => number): { code: string; touched: string[] } {
  const pick = (): string => NAMES[Math.floor(draw() * NAMES.length)]!;
  const [x, y, z] = [pick(), pick(), pick()];
  const forms = [
    `${x} = [${Math.floor(draw() * 9)}]`,
    `${x} = {'k': ${y}, 'l': ${z}}`,
    `${x} = [${y}, ${z}]`,
    `${x} = ${y}`,
    `${x} = Node(${y})`,
    `${x} = (${y}, [${z}])`,
    `${x} = holder(${y})`,
    `${x}.append(${y})`,
    `${x}.append(${Math.floor(draw() * 9)})`,
    `${x}.x = ${y}`,
    `${x}.keep()`,
    `${x}['k'] = ${y}`,
    `${x}.pop()`,
    `${x}.clear()`,
    `del ${x}`,
    `${x} = 'text'`,
    `for ${x} in ${y}: pass`,
  ];
  const form = forms[Math.floor(draw() * forms.length)]!;
  return {
    code: `try:\n    ${form}\nexcept Exception: pass\n`,
    touched: [x, y, z, 'Node', 'holder'],
  };
}

function randomScenario(seed: number): Scenario {
  const draw = seedrandom.alea(`state ${seed}`);
  const steps: Step[] = [];
  const add = (op: string, rest: string, body: string): void => {
    steps.push({ op, rest, body, line: steps.length + 1 });
  };
  add('cell', '', SETUP);
  for (let cell = 0; cell < CELLS; cell++) {
    const { code, touched } = operation(draw);
    const rest = draw() < 0.2 ? '' : `reached=${touched.join(',')}`;
    // What the executor has is computed apart from the cell, whose names must not show all others.
    add('cell', rest, code);
    add('compare', 'canon()', '');
    if (draw() < 0.1) add('move', '', '');
  }
  return { name: `seed ${seed}`, needs: [], steps };
}

for (const seed of SEEDS)
  test(`random cells carry values and sharing, seed ${seed}`, async () => {
    const blobs = mkdtempSync(join(tmpdir(), 'nbos-state-'));
    const worker = join(PROJECT_ROOT, 'test/live/helper/state_worker.py');
    const argv = [worker, join(PROJECT_ROOT, 'live/helper'), blobs];
    const python = process.env['NBOS_PYTHON'] ?? 'python3';
    const sides = [0, 1, 2].map(() => new Side(python, argv));
    try {
      const scenario = randomScenario(seed);
      await runScenario(scenario, sides).catch((error: Error) => {
        const cells = scenario.steps.map(({ op, rest, body }) => `--- ${op} ${rest}\n${body}`);
        throw new Error(`NBOS_SEED=${seed}: ${error.message}\n${cells.slice(1).join('')}`);
      });
    } finally {
      for (const side of sides) side.stop();
      rmSync(blobs, { recursive: true, force: true });
    }
  });

test.run();
