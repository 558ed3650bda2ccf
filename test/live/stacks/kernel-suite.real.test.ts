// time-limit: 400 s
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { System } from '../e2e/system.ts';
import { KERNEL_SUITE } from './kernel-suite.ts';
import {
  DEBIAN_PYTHON,
  JUPYTER_BIN,
  JUPYTER_PYTHON,
  missingDebianJupyter,
  missingJupyter,
  runProgram,
} from './python.ts';

const test = suite<Record<string, never>>('jupyter_kernel_test');
const folder = mkdtempSync(join(tmpdir(), 'nbos-suite-'));
writeFileSync(join(folder, 'suite.py'), KERNEL_SUITE);
test.after(() => rmSync(folder, { recursive: true }));

async function passes(python: string, way: string): Promise<void> {
  const system = await System.up(['--python', python]);
  try {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      PATH: `${JUPYTER_BIN}:${process.env['PATH']}`,
      NBOS_SUITE: way,
      NBOS_URL: system.url,
      NBOS_TOKEN: system.token,
      JUPYTER_DATA_DIR: join(folder, 'data'),
    };
    if (way === 'kernelspec') {
      const words = ['kernelspec', 'install', '--prefix', join(folder, 'prefix')];
      const installed = await system.nbos(words);
      assert.is(installed.status, 0, installed.stderr);
      env['JUPYTER_PATH'] = join(folder, 'prefix', 'share', 'jupyter');
      env['NBOS_KERNEL_NAME'] = 'nbos';
    }
    const { status, output } = await runProgram(JUPYTER_PYTHON, [join(folder, 'suite.py')], {
      env,
    });
    assert.is(status, 0, output);
    assert.match(output, /Ran 1\d tests/);
  } finally {
    assert.equal(await system.stop(), [], 'processes left behind');
  }
}

for (const way of ['v1', 'legacy', 'kernelspec']) {
  testWithPart(test, missingJupyter, `through ${way}, today's kernel`, () =>
    passes(JUPYTER_PYTHON, way),
  );
}
testWithPart(test, missingJupyter || missingDebianJupyter, "through v1, Debian's kernel", () =>
  passes(DEBIAN_PYTHON, 'v1'),
);

test.run();
