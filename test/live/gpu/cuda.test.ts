import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { MISSING_PYTHON, TestKernel } from '../kernel/kernel-kit.ts';

/** What the helper asks of torch; loaded as a module is that is not being imported still. */
const PRETEND_TORCH = `
import importlib.machinery, sys, types
torch = types.ModuleType('torch')
torch.__spec__ = importlib.machinery.ModuleSpec('torch', None)
sys.modules['torch'] = torch`;
const SEEN = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))";

testWithPart(
  test,
  MISSING_PYTHON,
  'CUDA that has started is told, and fixes what is seen',
  async () => {
    const kernel = new TestKernel();
    const seen = (): unknown => kernel.messages.findLast(({ type }) => type === 'stream')?.content;
    try {
      await kernel.runtime.start();
      assert.is((await kernel.run(SEEN, { devices: [1] })).cuda, false);
      assert.equal(seen(), { name: 'stdout', text: '1\n' });
      const own = await kernel.run(PRETEND_TORCH, { devices: [1] });
      assert.is(own.cuda, false, 'a module of that name without CUDA');
      await kernel.run(SEEN, { devices: [0, 1] });
      assert.equal(seen(), { name: 'stdout', text: '0,1\n' });
      const start = 'torch.cuda = types.SimpleNamespace(is_initialized=lambda: True)';
      assert.is((await kernel.run(start, { devices: [0, 1] })).cuda, true);
      await kernel.run(SEEN, { devices: [2] });
      assert.equal(seen(), { name: 'stdout', text: '0,1\n' });
    } finally {
      await kernel.stop();
    }
  },
);

test.run();
