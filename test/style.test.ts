import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT } from './skip.ts';
import { bareCode, FOLDERS, type Source, sources } from './source-files.ts';

const ALL = sources();
const LINE_COLUMNS = 100;
const FILE_LINES = 400;
const FUNCTION_LINES = 70;
const README_LINES = 150;

/** Files and functions that pass the limits, each with its reason. */
const LONG_FILES: Record<string, string> = {
  'core/config/options.ts': 'one list of every option, data rather than code',
};
const LONG_FUNCTIONS: Record<string, string> = {};

test('lines have at most 100 columns', () => {
  const wrong = ALL.flatMap(({ path, lines }) =>
    lines.flatMap((line, at) =>
      line.length > LINE_COLUMNS && !isLongText(line) ? [`${path}:${at + 1} ${line.length}`] : [],
    ),
  );
  assert.equal(wrong, []);
});

/** A quoted sentence or a pattern is not broken only to fit. */
function isLongText(line: string): boolean {
  return /^\s*(\w+: )?(['"`/].*['"`/][dgimsuvy]*[,;)]*|.*['"`].{30,}['"`].*)$/.test(line);
}

test('files have at most 400 lines', () => {
  const long = ALL.filter(({ lines }) => lines.length > FILE_LINES).map(({ path }) => path);
  assert.equal(
    long.filter((path) => !(path in LONG_FILES)),
    [],
  );
  for (const path of Object.keys(LONG_FILES))
    if (existsSync(join(PROJECT_ROOT, path))) assert.ok(long.includes(path), `${path} is short`);
});

interface Span {
  readonly name: string;
  readonly length: number;
}

const OPENING =
  /^(\s*)(?:export )?(?:default )?(?:async )?(?:function\*? (\w+)|(?:static |async |get |set |private |\*)*(#?\w+)\((?!.*[;,]$)|(?:const|let) (\w+) = (?:async )?(?:\(|\w+ =>)|(.*=> \{)$)/;
const NOT_FUNCTIONS = new Set(['if', 'for', 'while', 'switch', 'catch', 'return', 'with']);

/** Functions with their lengths; formatted text closes a function at the indent that opened it. */
function functionsOf({ lines }: Source): Span[] {
  const spans: Span[] = [];
  for (let first = 0; first < lines.length; first++) {
    const opening = OPENING.exec(lines[first]!);
    if (opening === null) continue;
    const [, indent, named, method, constant] = opening;
    if (method !== undefined && NOT_FUNCTIONS.has(method)) continue;
    let last = first;
    while (last < lines.length && !closes(lines[last]!, indent!, last > first)) last++;
    const name = named ?? method ?? constant ?? `line ${first + 1}`;
    if (last < lines.length) spans.push({ name, length: last - first + 1 });
  }
  return spans;
}

function closes(line: string, indent: string, below: boolean): boolean {
  if (!below) return false;
  if (line.startsWith(`${indent}}`)) return true;
  // Whatever stands at or left of the opening, and is no more of its signature, ended it before.
  return line.trim() !== '' && !line.startsWith(`${indent} `) && !line.startsWith(`${indent})`);
}

test('functions have at most 70 lines', () => {
  const long = ALL.flatMap((source) =>
    functionsOf(source)
      .filter(({ length }) => length > FUNCTION_LINES)
      .map(({ name, length }) => ({ key: `${source.path} ${name}`, length })),
  );
  assert.equal(
    long
      .filter(({ key }) => !(key in LONG_FUNCTIONS))
      .map(({ key, length }) => `${key}: ${length}`),
    [],
  );
});

test('the measure of functions finds them', () => {
  const text = [
    'export function a(',
    '  x: number,',
    '): number {',
    '  return x;',
    '}',
    'const b = () => {',
    '  one();',
    '};',
    'class C {',
    '  run(): void {',
    '    one();',
    '  }',
    '}',
  ];
  assert.equal(functionsOf({ path: '', text: '', lines: text }), [
    { name: 'a', length: 5 },
    { name: 'b', length: 3 },
    { name: 'run', length: 3 },
  ]);
});

test('no banner comments and no notes to self', () => {
  const wrong = ALL.filter(({ path }) => path !== 'test/style.test.ts').flatMap(({ path, lines }) =>
    lines.flatMap((line, at) =>
      /^\s*(\/\/|\/?\*+)\s*[-=*#~_]{4,}|\/\/ ?(TODO|FIXME|XXX|HACK)\b/.test(line)
        ? [`${path}:${at + 1} ${line.trim()}`]
        : [],
    ),
  );
  assert.equal(wrong, []);
});

test('names say what a thing is', () => {
  const vague = /(^|[-_./])(utils?|helpers|common|manager|misc)([-_./]|$)/i;
  const vagueNames =
    /\b(?:class|function|interface|type|const|let)\s+(\w*(?:Utils?|Helpers?|Manager|Misc)|utils?|helpers?|misc)\b/;
  const wrong = ALL.flatMap(({ path, text }) => {
    const declared = vagueNames.exec(bareCode(text))?.[1];
    return [
      ...(vague.test(path.replace(/\.ts$/, '')) ? [path] : []),
      ...(declared ? [`${path}: ${declared}`] : []),
    ];
  });
  assert.equal(wrong, []);
});

test('an index.ts is a list', () => {
  const wrong = ALL.filter(({ path }) => path.endsWith('/index.ts'))
    .filter(({ text }) => /=>|\bfunction\b|\bclass\b|\bif\b/.test(bareCode(text)))
    .map(({ path }) => path);
  assert.equal(wrong, []);
});

test('errors that people meet have a code', () => {
  const wrong = ALL.filter(({ path }) => !path.startsWith('test/')).flatMap(({ path, lines }) =>
    lines.flatMap((line, at) =>
      /throw (new )?(Error|TypeError)\(/.test(line) ? [`${path}:${at + 1}`] : [],
    ),
  );
  assert.equal(wrong, []);
});

test('every folder has a short README', () => {
  for (const folder of FOLDERS) {
    if (!ALL.some(({ path }) => path.startsWith(`${folder}/`))) continue;
    const readme = join(PROJECT_ROOT, folder, 'README.md');
    assert.ok(existsSync(readme), `${folder}/README.md is missing`);
    const lines = readFileSync(readme, 'utf8').split('\n').length;
    // The map of experiments holds the columns of every report.
    if (folder !== 'experiments') assert.ok(lines <= README_LINES, `${folder}/README.md: ${lines}`);
  }
});

test('test files end by running', () => {
  const wrong = ALL.filter(({ path }) => path.endsWith('.test.ts'))
    .filter(({ text }) => !/\w+\.run\(\);\n$/.test(text))
    .map(({ path }) => path);
  assert.equal(wrong, []);
});

test.run();
