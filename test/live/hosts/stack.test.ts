import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PROJECT_ROOT, testWithPart } from '../../skip.ts';
import { works } from '../commands/run-nbos.ts';

/** The file by which a Docker Swarm runs a gateway and agents. */
const test = suite('stack');
const READ = 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))';
const read = spawnSync('python3', ['-c', READ, join(PROJECT_ROOT, 'live/swarm/stack.yaml')], {
  encoding: 'utf8',
});
const missing = /No module|ENOENT/.test(`${read.stderr}${read.error}`) ? 'no Python with yaml' : '';

interface Service {
  command: string[];
  environment: Record<string, string>;
  hostname?: string;
  secrets: string[];
  volumes: string[];
  networks: string[];
  deploy: Record<string, unknown>;
}

interface Stack {
  services: { gateway: Service; agent: Service };
  networks: Record<string, unknown>;
  volumes: Record<string, unknown>;
  secrets: Record<string, { file: string }>;
}

function stack(): Stack {
  assert.is(read.status, 0, read.stderr);
  return JSON.parse(read.stdout);
}

testWithPart(test, missing, 'its commands and options are those of the program', async () => {
  for (const { command } of Object.values(stack().services)) {
    const help = await works([command[0]!, '--help'], process.env);
    for (const word of command.slice(1)) {
      const [option] = word.split('=');
      assert.match(help, new RegExp(`^\\s+${option}\\s`, 'm'), word);
    }
  }
});

testWithPart(test, missing, 'what a service names is there, and secrets are nowhere else', () => {
  const { services, networks, secrets, volumes } = stack();
  for (const { command, environment, ...service } of Object.values(services)) {
    for (const name of service.networks) assert.ok(name in networks, name);
    for (const name of service.secrets) assert.ok(name in secrets, name);
    const words = [...command, ...Object.values(environment)].join(' ');
    const used = [...words.matchAll(/\/run\/secrets\/([\w.]+)/g)].map((found) => found[1]);
    assert.equal(used.sort(), service.secrets.toSorted());
    for (const volume of service.volumes)
      assert.ok(volume.startsWith('/') || volume.split(':')[0]! in volumes, volume);
  }
  for (const [name, { file }] of Object.entries(secrets)) assert.ok(file.endsWith(`/${name}`));
});

testWithPart(test, missing, 'agents run on all nodes, under the same paths as the engine', () => {
  const { agent, gateway } = stack().services;
  assert.is(agent.deploy['mode'], 'global');
  assert.equal((agent.deploy['update_config'] as { parallelism: number }).parallelism, 1);
  assert.is(agent.hostname, '{{.Node.Hostname}}');
  for (const volume of agent.volumes) {
    const [from, to] = volume.split(':');
    assert.is(from, to);
  }
  const bound = agent.volumes.map((volume) => volume.split(':')[1]!);
  for (const option of ['--data=', '--workspace=']) {
    const path = agent.command.find((word) => word.startsWith(option))!.slice(option.length);
    assert.ok(bound.includes(path), path);
  }
  assert.ok(bound.includes(agent.environment['XDG_RUNTIME_DIR']!));
  const workspaces = [agent, gateway].map(({ command }) =>
    command.find((word) => word.startsWith('--workspace=')),
  );
  assert.is(workspaces[0], workspaces[1]);
});

test.run();
