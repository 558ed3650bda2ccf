// time-limit: 300 s
// runs-alone
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { Machines } from '../hosts/machines.ts';
import { buildWheels, fromWheels } from '../workspace/package-kit.ts';
import { missingEngines } from './engines.ts';
import { giveToKernels } from './kernel-user.ts';

/** A workspace that is a named volume on each engine, and no folder of any machine's. */
const test = suite('volume');
const IDS = ['h1', 'h2', 'h3'];
const INSIDE = '/team';
const MOUNT = ['--workspace', INSIDE, '--workspace-mount', 'volume:team'];
const CELL = { limitMs: 60_000 };
let machines: Machines;
let files = '';

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingEngines, name, body);
}

function machineOf(host: string) {
  return machines.hosts[IDS.indexOf(host)]!;
}

/** The volume as an administrator makes it: the same files on each engine. */
async function makeVolume(host: string, name: string, device: string): Promise<void> {
  const DriverOpts = { type: 'none', o: 'bind', device };
  await machineOf(host).docker.createVolume({ Name: name, Driver: 'local', DriverOpts });
}

test.before(async () => {
  if (missingEngines !== '') return;
  machines = await Machines.connect(IDS.length, true);
  files = join(machines.folder, 'files-of-the-team');
  mkdirSync(files);
  giveToKernels(files);
  await machines.makeKeys(IDS.join());
  for (const id of IDS) await makeVolume(id, 'team', files);
  await machines.startGateway(['--docker', ...MOUNT]);
  for (const id of IDS)
    machines.startAgent(machineOf(id), id, ['--docker', machineOf(id).engine, ...MOUNT]);
  await machines.untilUp(...IDS);
});

test.after(async () => {
  if (missingEngines === '') assert.equal(await machines.stop(), []);
});

async function readyOn(kernel: string, count: number): Promise<void> {
  const ask = async (): Promise<boolean> => {
    const { replicas } = await machines.system.kernel(kernel);
    return replicas.filter(({ process }) => process === 'ready').length === count;
  };
  await machines.system.until(`${count} replicas run`, ask, 60_000);
}

/** What doctor says of a volume on a host, and of what kernels may do with it. */
async function doctor(host: string, volume: string): Promise<string> {
  const at = ['--docker', machineOf(host).engine, '--workspace', INSIDE];
  const words = ['doctor', ...at, '--workspace-mount', `volume:${volume}`, '--json'];
  const { stdout } = await machines.system.nbos(words, 120_000);
  const findings = JSON.parse(stdout) as { check: string; level: string; found: string }[];
  const told = findings.filter(({ check }) => check === 'volume' || check === 'image');
  return told.map(({ check, level, found }) => `${check} ${level}: ${found}`).join('\n');
}

live('a file and a package are there after the loss of a host', async () => {
  buildWheels(join(files, 'wheels'), ['1.0']);
  const { id, client } = await machines.system.notebook();
  await readyOn(id, 3);
  assert.is((await client.run('import os\nprint(os.getcwd())', CELL)).text, `${INSIDE}\n`);
  const installed = await client.run(`%pip ${fromWheels(`${INSIDE}/wheels`, '1.0')}`, CELL);
  assert.is(installed.reply['status'], 'ok', installed.text);
  const written = await client.run('open("kept.txt", "w").write("a file")\nimport nbosdemo', CELL);
  assert.is(written.reply['status'], 'ok', written.text);
  assert.is(readFileSync(join(files, 'kept.txt'), 'utf8'), 'a file');
  await readyOn(id, 3);
  const { executor, replicas } = await machines.system.kernel(id);
  const lost = replicas.find((each) => each.id === executor)!.host;
  machineOf(lost).kill();
  const code = 'print(nbosdemo.__version__, open("kept.txt").read())';
  const first = await client.run(code, CELL);
  const told = first.reply['ename'] === 'ExecutorLost' ? await client.run(code, CELL) : first;
  assert.is(told.text, '1.0 a file\n');
});

live('nbos doctor tells a volume that is shared, closed, or not there', async () => {
  const { hosts } = await machines.system.status();
  const { id } = hosts.find(({ up }) => up)!;
  const closed = join(machines.folder, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  await makeVolume(id, 'closed', closed);
  const shared = await doctor(id, 'team');
  assert.match(shared, `volume ok: volume team (driver local) is ${files}`);
  assert.not.match(shared, /problem/);
  assert.match(await doctor(id, 'closed'), /image problem: .*cannot write to the workspace/);
  const absent = await doctor(id, 'none');
  assert.match(absent, /^volume problem: there is no volume none: [^\n]*$/);
  const { Volumes } = await machineOf(id).docker.listVolumes();
  assert.not.ok(Volumes.some(({ Name }) => Name === 'none'));
});

test.run();
