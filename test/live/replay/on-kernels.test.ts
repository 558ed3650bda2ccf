// time-limit: 600 s
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Fidelity } from '../../../experiments/fidelity/fidelity.ts';
import { TraceBuilder } from '../../../traces/build.ts';
import { writeNativeTrace } from '../../../traces/native-writer.ts';
import { readReport } from '../../../traces/run-folder.ts';
import { inFolder } from '../../cli/nbos.ts';
import { testWithPart } from '../../skip.ts';
import { works } from '../commands/run-nbos.ts';
import { startNbos, stopNbos, whyNoKernel } from '../commands/started.ts';

/** Three users on two GPUs: now and then one waits, and one cell needs none. */
function contendedTrace() {
  const builder = new TraceBuilder();
  const need = (gpus: number) => ({
    cpuMillis: 1_000,
    memoryMb: 1_000,
    gpuMillis: 1_000 * gpus,
    vramMb: 1_000 * gpus,
  });
  for (const [user, gpus] of [1, 1, 2].entries()) {
    const session = builder.addSession({ id: `u${user}`, startMs: 0, endMs: 600_000 });
    for (let cell = 0; cell < 3; cell++)
      builder.addCell({
        session,
        submitMs: 10_000 + cell * 100_000,
        durationMs: 95_000,
        shape: need(cell === 1 ? 0 : gpus),
      });
  }
  return builder.build({ name: 'contended', source: 'a test' });
}

testWithPart(
  test,
  await whyNoKernel(),
  'a trace on real kernels: reports, the same effects again, and a simulation close to it',
  () =>
    inFolder(async (dir) => {
      const env: NodeJS.ProcessEnv = { ...process.env, XDG_STATE_HOME: dir, NBOS_TOKEN: '' };
      delete env['NBOS_URL'];
      writeNativeTrace(contendedTrace(), join(dir, 't'), {});
      const words = ['up', '--hosts', '1', '--gpus-per-host', '2', '--port', '0'];
      const up = await startNbos([...words, '--data', join(dir, 'data')], env, dir);
      try {
        const replay = ['replay', '--trace', 't', '--speed', '60', '--out', 'live'];
        assert.match(await works(replay, env, dir), /: 9 cells ok, 0 failed, 0 without a reply$/m);
      } finally {
        await stopNbos(up);
      }
      const cells = await readReport(join(dir, 'live'), 'cells.csv');
      assert.equal([...new Set(cells.texts('session_id'))].sort(), ['u0', 'u1', 'u2']);
      assert.ok(cells.texts('status').every((status) => status === 'completed'));
      const gpus = [...cells.numbers('gpus')].sort();
      assert.equal(gpus, [0, 0, 0, 1, 1, 1, 1, 2, 2]);
      // Whoever needs two GPUs and those who need one cannot run at once.
      assert.ok(cells.texts('reason').includes('waited-for-gpus'));
      const fidelity: Fidelity = JSON.parse(await works(['fidelity', 'live', '--json'], env, dir));
      assert.ok(fidelity.isSame);
      assert.is(fidelity.compared, fidelity.events);
      assert.is(fidelity.simulated['completed'], 9);
      const committed = fidelity.headlines.find(({ name }) => name === 'committed_gpu_hours')!;
      assert.ok(Math.abs(committed.relative) < 0.2, String(committed.relative));
    }),
);

test.run();
