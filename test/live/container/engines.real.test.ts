import { spawn, spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_IMAGE } from '../../../live/agent/container/names.ts';
import { testWithPart } from '../../skip.ts';
import { runs } from './engine-remains.ts';
import { missingEngines, startEngines, type TestEngine } from './engines.ts';

/** A container that sleeps, made and started. */
async function sleeper(machine: TestEngine) {
  const container = await machine.docker.createContainer({
    Image: DEFAULT_IMAGE,
    Cmd: ['sleep', '600'],
    HostConfig: { NetworkMode: 'none' },
  });
  await container.start();
  const { State } = await container.inspect();
  return { container, pid: State.Pid };
}

/** Whether a machine can open a connection to another's port, within half a second. */
function reaches(from: readonly string[], address: string, port: number): boolean {
  const code = `import socket; socket.create_connection(("${address}", ${port}), 0.5)`;
  const [program, ...words] = [...from, 'python3', '-c', code];
  return spawnSync(program!, words, { timeout: 5_000 }).status === 0;
}

testWithPart(
  test,
  missingEngines,
  'engines run apart, lose power, lose their link, and leave nothing behind',
  async () => {
    const engines = await startEngines(2);
    let kept = 0;
    try {
      const [first, second] = engines.all;
      const [one, two] = [await sleeper(first!), await sleeper(second!)];
      assert.is((await first!.docker.listContainers()).length, 1);
      assert.is(runs(one.pid) && runs(two.pid), true);
      await two.container.pause();

      const [program, ...words] = [...second!.prefix, 'python3', '-m', 'http.server', '8000'];
      const server = spawn(program!, words, { stdio: 'ignore' });
      const end = Date.now() + 10_000;
      while (!reaches([], second!.address, 8000)) assert.ok(Date.now() < end, 'no server');
      assert.is(reaches(first!.prefix, second!.address, 8000), true);
      second!.linkDown();
      assert.is(reaches(first!.prefix, second!.address, 8000), false);
      second!.linkUp();
      assert.is(reaches(first!.prefix, second!.address, 8000), true);

      second!.kill();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.is(server.signalCode, 'SIGKILL');
      assert.is(runs(two.pid), false, 'a paused container outlives its machine');
      assert.is(runs(one.pid), true);
      await second!.start();
      assert.is((await two.container.inspect()).State.Running, false);
      await two.container.remove({ force: true });
      kept = one.pid;
    } finally {
      assert.equal(engines.stop(), []);
    }
    assert.is(runs(kept), false);
  },
);

test.run();
