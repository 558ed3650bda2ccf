// time-limit: 600 s
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { parseScenarios, runScenario, type Scenario, Side } from './state-scenario.ts';

const FOLDER = join(PROJECT_ROOT, 'test/live/helper/scenarios');
const WORKER = join(PROJECT_ROOT, 'test/live/helper/state_worker.py');
const HELPER = join(PROJECT_ROOT, 'live/helper');
/** NBOS_PYTHON, else the first of these that has what a scenario needs */
const PYTHONS = [process.env['NBOS_PYTHON'] ?? 'python3', 'python3', '/usr/bin/python3'];

const found = new Map<string, string>();

/** A Python with these modules, '' for none. */
function pythonWith(needs: readonly string[]): string {
  const key = needs.join(' ');
  if (!found.has(key)) found.set(key, PYTHONS.find((each) => has(each, needs)) ?? '');
  return found.get(key)!;
}

function has(python: string, modules: readonly string[]): boolean {
  const code = ['sys', ...modules].map((name) => `import ${name}`).join('; ');
  return spawnSync(python, ['-c', code], { timeout: 60_000 }).status === 0;
}

const suites: { run(): void }[] = [];
for (const file of readdirSync(FOLDER).sort()) {
  const scenarios = parseScenarios(readFileSync(join(FOLDER, file), 'utf8'));
  const test = suite(`state/${file}`);
  let blobs: string;
  const sides = new Map<string, Side[]>();
  test.before(() => {
    blobs = mkdtempSync(join(tmpdir(), 'nbos-state-'));
  });
  test.after(() => {
    for (const side of [...sides.values()].flat()) side.stop();
    rmSync(blobs, { recursive: true, force: true });
  });
  const sidesFor = (scenario: Scenario, python: string): Side[] => {
    const key = scenario.needs.join(' ');
    if (!sides.has(key)) {
      const argv = [WORKER, HELPER, blobs, ...scenario.needs];
      sides.set(
        key,
        [0, 1, 2].map(() => new Side(python, argv)),
      );
    }
    return sides.get(key)!;
  };
  for (const scenario of scenarios) {
    const python = pythonWith(scenario.needs);
    const missing = python === '' ? `no Python with ${scenario.needs.join(', ') || 'it'}` : '';
    testWithPart(test, missing, scenario.name, () =>
      runScenario(scenario, sidesFor(scenario, python)),
    );
  }
  suites.push(test);
}

for (const test of suites) test.run();
