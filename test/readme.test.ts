// time-limit: 600 s
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inFolder, works } from './cli/nbos.ts';
import { PROJECT_ROOT } from './skip.ts';

const README = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8');

test('the worked example of a policy passes the shared suite', () =>
  inFolder((dir) => {
    const example = /```ts\n([\s\S]*?)```/.exec(README)?.[1];
    assert.ok(example);
    writeFileSync(join(dir, 'shortest-first.ts'), example);
    assert.match(
      works(['policy', 'check', './shortest-first.ts'], dir),
      /(\d+) of \1 checks passed/,
    );
  }));

test('the commands that it shows exist, with their options', () => {
  const shown = [...README.matchAll(/npx nbos ((?:[a-z]+ ?)+)((?:[^\n`#]*))/g)];
  assert.ok(shown.length >= 8);
  for (const [, words, rest] of shown) {
    const command = words!
      .trim()
      .split(' ')
      .slice(0, words!.startsWith('trace') ? 2 : 1);
    const help = works([...command, '--help']);
    for (const [option] of rest!.matchAll(/--[a-z-]+/g)) assert.match(help, option);
  }
});

test('links lead somewhere', () => {
  for (const page of ['README.md', 'test/README.md', 'traces/README.md', 'sim/README.md']) {
    const path = join(PROJECT_ROOT, page);
    if (!existsSync(path)) continue;
    for (const [, target] of readFileSync(path, 'utf8').matchAll(/\]\(([^)#:]+)[^)]*\)/g))
      assert.ok(existsSync(join(dirname(path), target!)), `${page}: ${target}`);
  }
});

test.run();
