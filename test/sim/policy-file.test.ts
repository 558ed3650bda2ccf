import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbosError } from '../../core/errors.ts';
import { POLICIES } from '../../core/policies/index.ts';
import { configFor, resolvePolicy } from '../../sim/policy-file.ts';

const TRAITS = `
  container: 'session', commit: 'execution', replicated: false, stateRead: 'never',
  stateWrite: 'none', deviceLoad: 'each', migrates: false, dynamicRequests: true,
  billing: 'committed',`;
const GOOD = `export default { name: 'mine', summary: 'Mine.', defaults: {}, ${TRAITS} };`;

async function fault(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    if (error instanceof NbosError) return `${error.code} ${error.message} ${error.hint}`;
    throw error;
  }
  return 'no error';
}

async function withFiles(
  files: Record<string, string>,
  act: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'nbos-policy-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), text);
    }
    await act(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('built-in policies come by name, misspelt ones with a suggestion', async () => {
  const { policy, hash, file } = await resolvePolicy('notebookos');
  assert.is(policy, POLICIES['notebookos']);
  assert.equal([hash, file], ['', '']);
  assert.is(
    await fault(() => resolvePolicy('notebooks')),
    'policy-unknown no policy is named "notebooks" Did you mean notebookos?',
  );
  assert.match(await fault(() => resolvePolicy('toString')), 'policy-unknown');
});

test('a file in TypeScript or JavaScript, module or CommonJS, is a policy', async () => {
  const typed = GOOD.replace('export default', 'const mine: { name: string } =').concat(
    '\nexport default mine;',
  );
  const files = {
    'a/mine.ts': typed,
    'b/mine.js': GOOD,
    'b/package.json': '{"type":"module"}',
    'c/mine.js': GOOD.replace('export default', 'module.exports ='),
    'd/mine.mjs': GOOD,
  };
  await withFiles(files, async (dir) => {
    for (const file of ['a/mine.ts', 'b/mine.js', 'c/mine.js', 'd/mine.mjs']) {
      const found = await resolvePolicy(join(dir, file));
      assert.is(found.policy.name, 'mine', file);
      assert.is(found.file, join(dir, file));
      assert.match(found.hash, /^[0-9a-f]{64}$/);
    }
  });
});

test('the hash covers what the file imports', async () => {
  const files = {
    'mine.ts': `import { sentence } from './words.ts';\n${GOOD.replace(`'Mine.'`, 'sentence')}`,
    'words.ts': `export const sentence = 'One.';`,
    'package.json': '{"type":"module"}',
  };
  await withFiles(files, async (dir) => {
    const before = await resolvePolicy(join(dir, 'mine.ts'));
    assert.is(before.policy.summary, 'One.');
    assert.is((await resolvePolicy(join(dir, 'mine.ts'))).hash, before.hash);
    writeFileSync(join(dir, 'words.ts'), `export const sentence = 'Two.';`);
    assert.is.not((await resolvePolicy(join(dir, 'mine.ts'))).hash, before.hash);
  });
});

test('a file that is no policy is refused with file and member', async () => {
  const cases: [text: string, expected: RegExp][] = [
    ['export const x = 1;', /policy-invalid .*mine\.ts: name: expected a name, found nothing/],
    ['export default 7;', /policy-invalid .*its default export is not a policy/],
    ['export default {', /policy-invalid .*it cannot be loaded: .*mine\.ts:1:\d+/],
    ['throw new Error("boom");', /policy-invalid .*it cannot be loaded: boom/],
    ['import "./absent.ts";', /policy-invalid .*it cannot be loaded/],
    [GOOD.replace("'mine'", "'My Policy'"), /name: expected lower-case words joined by hyphens/],
    [GOOD.replace("'mine'", "'lcp'"), /"lcp" is a built-in policy/],
    [GOOD.replace("'each'", "'twice'"), /deviceLoad: expected one of once, each/],
    [GOOD.replace('migrates: false,', ''), /migrates: expected true or false, found nothing/],
    [GOOD.replace('billing:', 'oder: 1, billing:'), /unknown member "oder" Did you mean order\?/],
    [
      GOOD.replace('defaults: {}', 'defaults: { hots: 1 }'),
      /defaults: unknown option "hots" Did you mean hosts\?/,
    ],
    [
      GOOD.replace('defaults: {}', 'defaults: { replicas: 2 }'),
      /defaults: replicas: expected 1, 3 or 5/,
    ],
    [GOOD.replace('billing:', 'order: 1, billing:'), /order: expected a function/],
    [GOOD.replace('billing:', 'everyMs: 5, billing:'), /everyMs and onTimer/],
    [GOOD.replace('billing:', 'suspends: true, billing:'), /suspends: only onTimer can suspend/],
    [
      GOOD.replace('defaults: {}', "defaults: { queueOrder: 'policy' }"),
      /needs the function `order`/,
    ],
  ];
  for (const [text, expected] of cases)
    await withFiles({ 'mine.ts': text, 'package.json': '{"type":"module"}' }, async (dir) =>
      assert.match(await fault(() => resolvePolicy(join(dir, 'mine.ts'))), expected),
    );
  assert.match(await fault(() => resolvePolicy('./nowhere.ts')), 'file-not-found ./nowhere.ts');
});

test('a configuration layers defaults, policy, file and settings, and is checked as a whole', async () => {
  const { policy } = await resolvePolicy('notebookos');
  assert.is(configFor(policy).replicas, 3);
  assert.is(configFor(policy, { replicas: 5 }, { hosts: 9 }).replicas, 5);
  assert.is(configFor(policy, { hosts: 9 }, { hosts: 8 }).hosts, 8);
  assert.match(
    await fault(() => configFor(policy, { placement: 'randon' })),
    'policy-unknown no placement is named "randon" Did you mean random?',
  );
  const { policy: plain } = await resolvePolicy('reservation');
  assert.match(await fault(() => configFor(plain, { replicas: 3 })), 'does not replicate');
});

test.run();
