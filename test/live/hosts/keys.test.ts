import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { installGatewayKeys } from '../../../live/wire/gateway-keys.ts';
import { type HostKeys, readHostKeys, SHARED_KEYS } from '../../../live/wire/host-keys.ts';
import { keyProof, refusalOf } from '../../../live/wire/key-proof.ts';
import { AllowList, keyPair, newKeyPair } from '../../../live/wire/keys.ts';
import { KnownHosts } from '../../../live/wire/known-hosts.ts';
import { decodeZ85, encodeZ85 } from '../../../live/wire/z85.ts';
import { refuses, works } from '../commands/run-nbos.ts';

/** Keys of hosts on other machines: what nbos keys makes, and what they prove. */
const test = suite('keys');
const folder = mkdtempSync(join(tmpdir(), 'nbos-keys-'));
const data = join(folder, 'gateway');
const out = join(folder, 'out');
const { env } = process;

function keysOf(id: string): HostKeys {
  return JSON.parse(readFileSync(join(out, `${id}.keys`), 'utf8'));
}

test.after(() => rmSync(folder, { recursive: true, force: true }));

test('each host gets a file that only its owner reads, with what it needs to join', async () => {
  await works(['keys', '--data', data, '--hosts', 'h1,h2', '--out', out], env);
  const allowed = new AllowList(join(data, 'keys'));
  for (const id of ['h1', 'h2', SHARED_KEYS]) {
    assert.is(statSync(join(out, `${id}.keys`)).mode & 0o777, 0o600);
    const keys = await readHostKeys(join(out, `${id}.keys`));
    assert.is(allowed.nameOf(keys.pair.publicKey), id);
    assert.is(keys.host, id === SHARED_KEYS ? '' : id);
    assert.is(keys.gateway, readFileSync(join(data, 'keys', 'gateway.pub'), 'utf8').trim());
  }
  assert.equal(Object.keys(keysOf('h1').hosts).sort(), [SHARED_KEYS, 'h2']);
  assert.is(keysOf('h1').hosts['h2'], keysOf('h2').pair.publicKey);
});

test('keys that are there stay; --renew makes new ones and shuts the old ones out', async () => {
  const [first, shared] = [keysOf('h1'), keysOf(SHARED_KEYS)];
  await works(['keys', '--data', data, '--hosts', 'h1,h3', '--out', out], env);
  assert.equal(keysOf('h1').pair, first.pair);
  await works(['keys', '--data', data, '--hosts', 'h1', '--out', out, '--renew'], env);
  const allowed = new AllowList(join(data, 'keys'));
  assert.is.not(keysOf('h1').pair.publicKey, first.pair.publicKey);
  assert.is(allowed.nameOf(first.pair.publicKey), undefined);
  assert.is(allowed.keyOf('h1'), keysOf('h1').pair.publicKey);
  assert.equal(keysOf(SHARED_KEYS).pair, shared.pair);
});

test('a gateway elsewhere takes its keys from a file, and no other gateway does', async () => {
  const file = join(out, 'gateway.keys');
  const keys = join(folder, 'elsewhere', 'keys');
  await installGatewayKeys(keys, file);
  for (const name of ['gateway.key', 'gateway.pub', 'store.json'])
    assert.is(
      readFileSync(join(keys, name), 'utf8'),
      readFileSync(join(data, 'keys', name), 'utf8'),
    );
  assert.equal(new AllowList(keys).names(), new AllowList(join(data, 'keys')).names());
  await installGatewayKeys(keys, file);
  const other = join(folder, 'other', 'keys');
  await keyPair(other, 'gateway');
  const refused = await installGatewayKeys(other, file).catch((error) => error);
  assert.is(refused.code, 'key-invalid');
  assert.equal(new AllowList(other).names().size, 0);
});

test('what is wrong about keys is said, with what to do', async () => {
  const keys = ['keys', '--data', data];
  await refuses([...keys, '--hosts', 'a/b', '--out', out], env, /^usage: --hosts: "a\/b" cannot/);
  await refuses([...keys, '--hosts', 'gateway', '--out', out], env, /^usage: --hosts: "gateway"/);
  const elsewhere = join(folder, 'other-out');
  await refuses([...keys, '--hosts', 'h1', '--out', elsewhere], env, /^file-exists: h1 .*--renew/);
  const join_ = ['agent', '--data', join(folder, 'host'), '--join', 'tcp://127.0.0.1:7400'];
  await refuses(
    [...join_, '--keys', join(out, 'none')],
    env,
    /^file-not-found: --keys: .*nbos keys/,
  );
  const h1 = ['--keys', join(out, 'h1.keys')];
  await refuses([...join_, ...h1, '--host', 'h2'], env, /^usage: --host: the keys are those of h1/);
  await refuses(
    [...join_, ...h1, '--listen', '0.0.0.0'],
    env,
    /^bind-insecure: 0\.0\.0\.0 .*--docker, or --trust-network/,
  );
  await refuses([...join_, ...h1, '--pids', '5'], env, /^usage: --pids is about containers/);
  await refuses(['agent', '--host', 'h1', ...h1], env, /^usage: --keys is for a host that joins/);
  await refuses(
    ['agent', ...h1, '--join', 'gateway'],
    env,
    /^usage: --join: expected ADDRESS:PORT/,
  );
});

test('a file that others read, or that is none, is refused', async () => {
  const path = join(folder, 'bad.keys');
  const codeOf = () => readHostKeys(path).catch((error) => error.code);
  writeFileSync(path, '{"v": 1}', { mode: 0o600 });
  assert.is(await codeOf(), 'key-invalid');
  writeFileSync(path, '{"v": 2}');
  assert.is(await codeOf(), 'format-version');
  writeFileSync(path, JSON.stringify(keysOf('h2')));
  assert.is((await readHostKeys(path)).host, 'h2');
  chmodSync(path, 0o640);
  assert.is(await codeOf(), 'key-invalid');
});

test('bytes of a key and its text are the same', () => {
  for (let times = 0; times < 50; times++) {
    const { publicKey } = newKeyPair();
    assert.is(decodeZ85(publicKey).length, 32);
    assert.is(encodeZ85(decodeZ85(publicKey)), publicKey);
  }
});

test('only who holds a key can claim its host, towards the one it is meant for', () => {
  const [gateway, h1, h2, shared, stranger] = Array.from({ length: 5 }, newKeyPair);
  const names = new Map([
    [h1!.publicKey, 'h1'],
    [h2!.publicKey, 'h2'],
    [shared!.publicKey, SHARED_KEYS],
  ]);
  const keyOf = (name: string) => [...names].find((each) => each[1] === name)?.[0];
  const allowed = { nameOf: (key: string) => names.get(key), keyOf };
  const refusal = (host: string, pair = h1!, proof = keyProof(pair, gateway!.publicKey, 'agent')) =>
    refusalOf({ host, key: pair.publicKey, proof }, gateway!, allowed, 'agent');
  assert.is(refusal('h1'), '');
  assert.match(refusal('h2'), /belongs to host h1/);
  assert.match(refusal('h1', stranger), /not allowed/);
  const ofH2 = keyProof(h2!, gateway!.publicKey, 'agent');
  assert.match(refusal('h1', h1, ofH2), /does not prove/);
  assert.match(refusal('h1', h1, keyProof(h1!, h2!.publicKey, 'agent')), /does not prove/);
  assert.match(refusal('h1', h1, keyProof(h1!, gateway!.publicKey, 'peer')), /does not prove/);
  assert.match(refusal('h1', h1, ''), /does not prove/);
  assert.is(refusal('any', shared), '');
  assert.match(refusal('h1', shared), /keys of its own/);
});

test('a host lets in those of its file, and those that the gateway names', () => {
  const [own, other, late, shared] = Array.from({ length: 4 }, () => newKeyPair());
  const hosts = { h2: other!.publicKey, [SHARED_KEYS]: shared!.publicKey };
  const keys = { v: 1 as const, pair: own!, gateway: '', hosts, seal: '' };
  const known = new KnownHosts({ ...keys, host: 'h1' });
  assert.is(known.nameOf(other!.publicKey), 'h2');
  assert.is(known.nameOf(late!.publicKey), undefined);
  const address = { host: 'h3', peer: 'tcp://10.0.0.3:7401' };
  known.learn([{ ...address, key: late!.publicKey }]);
  assert.is(known.nameOf(late!.publicKey), 'h3');
  known.learn([{ ...address, key: shared!.publicKey }]);
  assert.is(known.nameOf(shared!.publicKey), SHARED_KEYS);
  assert.is(known.nameOf(late!.publicKey), undefined);
  const sharing = new KnownHosts({ ...keys, host: '', pair: shared!, hosts: {} });
  assert.is(sharing.nameOf(shared!.publicKey), SHARED_KEYS);
});

test.run();
