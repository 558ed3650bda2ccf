import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DeviceGuard } from '../../../live/agent/gpu/device-guard.ts';
import { findGpus } from '../../../live/agent/gpu/discovery.ts';
import { HostGpuAccess } from '../../../live/agent/gpu/host-access.ts';
import { testWithPart } from '../../skip.ts';
import { missingEngines, startEngines } from '../container/engines.ts';
import { deviceContainer, missingDevices, pretendDevices } from './device-container.ts';

const log = pino({ level: 'silent' });
const WHOLE = { shared: false, vramMb: 0 };
/** CUDA has started on every device of that container: looks come when the test asks. */
const LIMITS = { contextMb: 500, lookMs: 3_600_000 };

const missing = missingEngines || missingDevices;

async function accessTo(devices: readonly string[]) {
  return new HostGpuAccess(await findGpus({ devices, count: undefined }), log);
}

testWithPart(
  test,
  missing,
  'only a leased device can be opened, and what stays open is seen',
  async () => {
    const devices = pretendDevices();
    const engines = await startEngines(1);
    try {
      const [gpu0, gpu1] = devices.paths;
      const access = await accessTo(devices.paths);
      assert.is(access.enforced, 'cgroup-v1');
      const kernel = await deviceContainer(engines.all[0]!, access, engines.folder, 'k1');
      assert.is(await kernel.tell('open', gpu0), 'EPERM');
      assert.is(await kernel.tell('open', '/dev/null'), 'ok');

      await access.lease(kernel, [0]);
      assert.is(await kernel.tell('open', gpu0), 'ok');
      assert.is(await kernel.tell('open', gpu1), 'EPERM');
      assert.equal(await access.usedBy([kernel]), [[0]]);

      await access.end(kernel, [0]);
      assert.is(await kernel.tell('read', gpu0), 'ok', 'what is open stays so');
      assert.equal(await access.usedBy([kernel]), [[0]]);
      await kernel.tell('close', gpu0);
      assert.equal(await access.usedBy([kernel]), [[]]);
      assert.is(await kernel.tell('open', gpu0), 'EPERM');

      await kernel.remove();
      await access.end(kernel, [0]);
      const refusal = await access.lease(kernel, [0]).catch((error: unknown) => error);
      assert.is((refusal as { code: string }).code, 'gpu-lease-failed');
    } finally {
      devices.remove();
      assert.equal(await engines.stop(), []);
    }
  },
);

testWithPart(
  test,
  missing,
  'a device that is kept is asked back; one that was taken ends its user',
  async () => {
    const devices = pretendDevices();
    const engines = await startEngines(1);
    try {
      const [gpu0] = devices.paths;
      const access = await accessTo(devices.paths);
      const guard = new DeviceGuard(access.count, access, log, LIMITS);
      const said: string[] = [];
      let lets = true;
      const kernels = [];
      for (const name of ['k1', 'k2']) {
        const container = await deviceContainer(engines.all[0]!, access, engines.folder, name);
        const of = guard.devicesOf(name);
        of.own({
          letGo: () => {
            said.push(`${name} is asked`);
            if (lets) of.unbind();
            return lets;
          },
          end: (why) => void said.push(`${name}: ${why}`),
        });
        kernels.push({ container, of });
      }
      const [one, two] = kernels as [(typeof kernels)[0], (typeof kernels)[0]];

      assert.equal(one.of.take(1, [0], WHOLE), [0]);
      await one.of.open!(one.container.pid, [0]);
      assert.is(await one.container.tell('open', gpu0), 'ok');
      one.of.release(1);
      await guard.look();
      assert.equal(guard.gpus.boundTo('k1'), [0]);
      assert.equal(said, [], 'what nobody else needs may be kept');

      assert.is(two.of.take(1, [0, 1], WHOLE), 'busy');
      assert.equal(said.splice(0), ['k1 is asked']);
      assert.equal(two.of.take(1, [0, 1], WHOLE), [0, 1]);
      await two.of.open!(two.container.pid, [0, 1]);

      // The process of k1 has not let go of it, whatever was said.
      lets = false;
      await guard.look();
      assert.equal(said.splice(0), ['k1: it used GPU 0, which it was never given']);
      await two.container.tell('open', gpu0);
      await guard.look();
      assert.equal(guard.gpus.boundTo('k2'), [0, 1]);
      assert.equal(said, []);
    } finally {
      devices.remove();
      assert.equal(await engines.stop(), []);
    }
  },
);

test.run();
