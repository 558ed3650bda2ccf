import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT } from './skip.ts';
import { bareCode, importsOf, type Source, sources } from './source-files.ts';

const ALL = sources();

/** Which folders a folder may import from; dependencies run one way. */
const BELOW: Record<string, readonly string[]> = {
  core: [],
  traces: ['core'],
  sim: ['core', 'traces'],
  live: ['core', 'traces'],
  experiments: ['core', 'traces', 'sim'],
  test: ['core', 'traces', 'sim', 'live', 'experiments', 'cli.ts'],
  'cli.ts': ['traces', 'sim', 'live', 'experiments', 'core'],
};

/** What files of data need of core: words, sizes, options and columns, but no decisions. */
const CORE_FOR_TRACES = /^core\/(errors|resources|hash|reasons|config\/.*|record\/.*)\.ts$/;

function folderOf(path: string): string {
  return path.split('/')[0]!;
}

function isIn(folder: string): (source: Source) => boolean {
  return (source) => folderOf(source.path) === folder;
}

test('imports run one way', () => {
  const wrong = ALL.flatMap((source) =>
    importsOf(source)
      .filter((each) => each.ours)
      .filter(({ target }) => {
        const [from, to] = [folderOf(source.path), folderOf(target)];
        return from !== to && !BELOW[from]!.includes(to);
      })
      .map(({ target }) => `${source.path} imports ${target}`),
  );
  assert.equal(wrong, []);
});

test('traces take only data types from core', () => {
  const wrong = ALL.filter(isIn('traces')).flatMap((source) =>
    importsOf(source)
      .filter(({ target }) => target.startsWith('core/') && !CORE_FOR_TRACES.test(target))
      .map(({ target }) => `${source.path} imports ${target}`),
  );
  assert.equal(wrong, []);
});

// Inside core, the handlers of a state machine call each other; elsewhere a ring is a mistake.
test('outside core no file imports itself by way of others', () => {
  const graph = new Map(
    ALL.filter((source) => folderOf(source.path) !== 'core').map((source) => [
      source.path,
      importsOf(source).flatMap((each) => (each.ours && !each.typeOnly ? [each.target] : [])),
    ]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    if (above.includes(path)) cycles.push([...above.slice(above.indexOf(path)), path].join(' > '));
    if (done.has(path) || above.includes(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...above, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  assert.equal(cycles, []);
});

/** Where `words` stand in code, outside comments and quotes. */
function uses(source: Source, words: RegExp): string[] {
  return bareCode(source.text)
    .split('\n')
    .flatMap((line, at) => {
      const found = words.exec(line);
      return found === null ? [] : [`${source.path}:${at + 1} ${found[0]}`];
    });
}

test('core is pure: no async, clock, chance, output, or import from elsewhere', () => {
  const impure =
    /\b(async|await|Promise|Date|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|performance|console|process|globalThis|require|fetch|crypto)\b(?!:)/;
  const core = ALL.filter(isIn('core'));
  assert.ok(core.length > 10);
  assert.equal(
    core.flatMap((source) => uses(source, impure)),
    [],
  );
  const foreign = core.flatMap((source) =>
    importsOf(source)
      .filter((each) => !each.ours)
      .map(({ target }) => `${source.path} imports ${target}`),
  );
  assert.equal(foreign, []);
});

test('the simulator has no clock but its heap, and no chance but its draws', () => {
  const wrong = ALL.filter(isIn('sim')).flatMap((source) =>
    uses(source, /\b(Date|Math\.random|setTimeout|setInterval)\b/),
  );
  assert.equal(wrong, []);
});

test('no program file draws from Math.random', () => {
  const files = ALL.filter((source) => folderOf(source.path) !== 'test');
  assert.equal(
    files.flatMap((source) => uses(source, /\bMath\.random\b/)),
    [],
  );
});

test('what the program imports is installed with it', () => {
  const manifest = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8'));
  // Examples import the package itself, as its users do.
  const own = manifest.name as string;
  const known = new Set([own, ...Object.keys(manifest.dependencies), ...builtinModules]);
  const typeOnly = new Set(['yargs']);
  const wrong = ALL.filter((source) => folderOf(source.path) !== 'test').flatMap((source) =>
    importsOf(source)
      .filter((each) => !each.ours && !(each.typeOnly && typeOnly.has(each.target)))
      .map(({ target }) => target.replace(/^node:/, ''))
      .filter((target) => !known.has(target) && !known.has(packageOf(target)))
      .map((target) => `${source.path} imports ${target}`),
  );
  assert.equal(wrong, []);
});

function packageOf(target: string): string {
  const parts = target.split('/');
  return parts.slice(0, target.startsWith('@') ? 2 : 1).join('/');
}

test.run();
