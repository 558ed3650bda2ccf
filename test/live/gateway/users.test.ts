import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { redacted, userOf } from '../../../live/gateway/http/access.ts';
import { FIRST_USER, openUsers, pathSecret } from '../../../live/gateway/users.ts';

let keys: string;
test.before.each(async () => {
  keys = join(await mkdtemp(join(tmpdir(), 'nbos-users-')), 'keys');
});
test.after.each(() => rm(join(keys, '..'), { recursive: true }));

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error) => error.code,
  );

test('the first admin has a token, the same after a restart', async () => {
  const first = await openUsers(keys);
  assert.match(first.adminToken, /^[0-9a-f]{48}$/);
  assert.equal(first.users.withToken(first.adminToken), { id: FIRST_USER, admin: true });
  assert.is(first.users.withToken(''), undefined);
  const second = await openUsers(keys);
  assert.is(second.adminToken, first.adminToken);
  assert.equal(second.users.withPath(pathSecret(first.adminToken)), {
    id: FIRST_USER,
    admin: true,
  });
});

test('files are for their owner only, and hold no token but the admin.token', async () => {
  const { users, adminToken } = await openUsers(keys);
  const { token } = await users.add('ada', false);
  for (const file of await readdir(keys))
    assert.is((await stat(join(keys, file))).mode & 0o777, 0o600, file);
  assert.is((await stat(keys)).mode & 0o777, 0o700);
  assert.equal((await readdir(keys)).sort(), ['admin.token', 'tokens.json']);
  const text = await readFile(join(keys, 'tokens.json'), 'utf8');
  for (const secret of [token, adminToken, pathSecret(token)]) assert.not.ok(text.includes(secret));
  assert.is(JSON.parse(text).v, 1);
});

test("NBOS_TOKEN becomes the first admin's, and the one before ends", async () => {
  const before = await openUsers(keys);
  const ada = await before.users.add('ada', false);
  const { users, adminToken } = await openUsers(keys, 'Correct-Horse');
  assert.is(adminToken, 'Correct-Horse');
  assert.equal(users.withToken('Correct-Horse'), { id: FIRST_USER, admin: true });
  assert.is(users.withToken(before.adminToken), undefined);
  assert.equal(users.withToken(ada.token), { id: 'ada', admin: false });
  assert.equal(users.withPath(pathSecret('Correct-Horse')), { id: FIRST_USER, admin: true });
  assert.is(await codeOf(openUsers(keys, 'has space in it')), 'request-invalid');
  assert.is(await codeOf(openUsers(keys, 'short')), 'request-invalid');
});

test('users come and go', async () => {
  const { users } = await openUsers(keys);
  const removed: string[] = [];
  users.onRemoved = (user) => removed.push(user);
  const ada = await users.add('ada', true);
  assert.equal(
    users.list().map(({ name, admin }) => [name, admin]),
    [
      [FIRST_USER, true],
      ['ada', true],
    ],
  );
  assert.ok(users.list().every((record) => record.token === undefined));
  assert.is(await codeOf(users.add('ada', false)), 'user-exists');
  for (const name of ['', 'Ada', '../x', 'a b', 'x'.repeat(65)])
    assert.is(await codeOf(users.add(name, false)), 'request-invalid', name);
  await users.remove('ada');
  assert.equal(removed, ['ada']);
  assert.is(users.withToken(ada.token), undefined);
  assert.is(await codeOf(users.remove('ada')), 'user-unknown');
  assert.is(await codeOf(users.remove(FIRST_USER)), 'request-invalid');
});

test('a broken or newer file is named, not overwritten', async () => {
  await openUsers(keys);
  const file = join(keys, 'tokens.json');
  for (const [text, code] of [
    ['{', 'file-corrupt'],
    ['{}', 'file-corrupt'],
    ['{"v":1,"salt":"a","tokens":[{"user":"x"}]}', 'file-corrupt'],
    ['{"v":99,"tokens":[]}', 'format-version'],
  ] as const) {
    await writeFile(file, text);
    assert.is(await codeOf(openUsers(keys)), code, text);
    assert.is(await readFile(file, 'utf8'), text);
  }
});

test('a wrong form of a token does not hide a right one', async () => {
  const { users, adminToken } = await openUsers(keys);
  const url = new URL(`http://x/api?token=wrong&token=${adminToken}`);
  assert.ok(userOf(users, 'Basic abc', url));
  assert.ok(userOf(users, 'token wrong', url));
  assert.is(userOf(users, 'token wrong', new URL('http://x/api')), undefined);
});

test('what logs show has no secrets', () => {
  assert.is(redacted('/api?a=1&token=abc&b=2'), '/api?a=1&token=…&b=2');
  assert.is(
    redacted('http://h:1/t/0123/api/kernels?TOKEN=x'),
    'http://h:1/t/…/api/kernels?TOKEN=…',
  );
  assert.is(redacted('/api/kernels'), '/api/kernels');
});

test.run();
