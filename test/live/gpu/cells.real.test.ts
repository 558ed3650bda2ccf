import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { missingEngines, startEngines } from '../container/engines.ts';
import type { NotebookClient } from '../e2e/notebook-client.ts';
import { System } from '../e2e/system.ts';
import { missingDevices, pretendDevices } from './device-container.ts';

/** Says of each device whether it can be opened, and which are there for CUDA. */
function probe(paths: readonly string[]): string {
  return `
import errno, os
def opens(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
print([opens(path) for path in ${JSON.stringify(paths)}], os.environ['CUDA_VISIBLE_DEVICES'])`;
}

async function printed(client: NotebookClient, code: string): Promise<string> {
  const { text, reply } = await client.run(code);
  assert.is(reply['status'], 'ok', JSON.stringify(reply));
  return text.trim();
}

testWithPart(
  test,
  missingEngines || missingDevices,
  'cells in containers have the devices of their lease, and give them up with their state kept',
  async () => {
    const devices = pretendDevices();
    const engines = await startEngines(1);
    let system: System | undefined;
    try {
      const { engine } = engines.all[0]!;
      const options = ['--hosts', '1', '--replicas', '1', '--workspace', engines.folder];
      const gpus = ['--gpu-device', ...devices.paths];
      system = await System.up([...options, '--docker', engine, ...gpus]);
      const [first] = (await system.status()).hosts;
      assert.is(first!.gpus, 2);
      assert.is(first!.unguardedGpus, undefined);
      const look = probe(devices.paths);

      const one = await system.notebook({ KERNEL_GPUS: '1' });
      assert.is(await printed(one.client, look), "['ok', 'EPERM'] 0");
      assert.is(await printed(one.client, look), "['ok', 'EPERM'] 0", 'the same one again');
      assert.is(await printed(one.client, `# nbos: gpus=0${look}`), "['EPERM', 'EPERM']");

      // Kept open between cells, until a kernel needs both.
      await printed(one.client, `state = 41\nkept = os.open('${devices.paths[0]}', os.O_RDONLY)`);
      const still = 'print(state + 1, os.path.exists(f"/proc/self/fd/{kept}"))';
      await new Promise((resolve) => setTimeout(resolve, 7_000));
      assert.is(await printed(one.client, `# nbos: gpus=0\n${still}`), '42 True');
      const two = await system.notebook({ KERNEL_GPUS: '2' });
      assert.is(await printed(two.client, look), "['ok', 'ok'] 0,1");
      assert.is(await printed(one.client, '# nbos: gpus=0\nprint(state + 1)'), '42');
      const open = 'print([f for f in os.listdir(D) if "nbos-" in os.path.realpath(D + f)])';
      assert.is(await printed(one.client, `# nbos: gpus=0\nD = '/proc/self/fd/'\n${open}`), '[]');
    } finally {
      const left = await system?.stop();
      devices.remove();
      assert.equal([...(left ?? []), ...(await engines.stop())], []);
    }
  },
);

test.run();
