import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_IMAGE } from '../../../live/agent/container/names.ts';
import { readCluster, writeCluster } from '../../../live/commands/cluster-file.ts';
import { describedDocker } from '../../../live/commands/docker-options.ts';
import { addressOf, describedCluster } from '../../../live/commands/system-options.ts';

/** How containers and other machines are described, and remembered. */
const test = suite('options');
const data = mkdtempSync(join(tmpdir(), 'nbos-options-'));

test.after(() => rmSync(data, { recursive: true, force: true }));

/** What `action` throws, as a person reads it. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message}`;
  }
  return '';
}

test('--docker alone takes the usual engine and image, without a network', () => {
  const docker = describedDocker({ docker: '' }, undefined)!;
  assert.is(docker.engine, '');
  assert.is(docker.image, DEFAULT_IMAGE);
  assert.is(docker.network, 'none');
  assert.is(describedDocker({}, undefined), undefined);
});

test('what is given wins over what was said before, and none ends it', () => {
  const before = describedDocker({ docker: 'unix:///run/a', pids: 50, image: 'mine' }, undefined)!;
  const now = describedDocker({ image: 'other', 'memory-mb': 100 }, before)!;
  assert.equal(now, { ...before, image: 'other', memoryMb: 100 });
  assert.is(now.engine, 'unix:///run/a');
  assert.is(now.pids, 50);
  assert.is(describedDocker({ docker: 'none' }, before), undefined);
});

test('options that mean nothing, or are of a wrong shape, are named', () => {
  const of = (given: object) => refusal(() => describedDocker({ ...given }, undefined));
  assert.match(of({ image: 'mine' }), /^usage: --image is about containers/);
  assert.match(of({ docker: 'here' }), /^usage: --docker: expected unix:/);
  assert.match(of({ docker: '', 'container-user': 'ann' }), /^usage: --container-user: .*UID:GID/);
  assert.match(of({ docker: '', 'workspace-mount': '/a' }), /^usage: --workspace-mount: .*nfs:/);
  for (const text of ['host', ':1', 'host:0', 'host:70000', 'a b:1', 'host:1:2'])
    assert.match(
      refusal(() => addressOf('listen', text)),
      /^usage: --listen: expected ADDRESS/,
    );
  assert.equal(addressOf('listen', 'node-1.lan:7400'), { host: 'node-1.lan', port: 7400 });
});

test('a data directory remembers containers and who may join', async () => {
  const given = {
    docker: '',
    image: 'mine',
    listen: '10.0.0.1:7400',
    hosts: 5,
    'gpus-per-host': 8,
  };
  const cluster = await describedCluster(given, data);
  assert.equal(cluster.hosts, []);
  assert.is(cluster.linkPort, 7400);
  assert.equal(cluster.joins, { host: '10.0.0.1', most: 5, gpusPerHost: 8 });
  const joined = { ...cluster, hosts: [{ id: 'h1', gpus: 8 }] };
  writeCluster(data, joined);
  assert.equal(readCluster(data), joined);
  const again = await describedCluster({}, data);
  assert.equal(again, joined);
});

test.run();
