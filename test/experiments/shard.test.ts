import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { shardOf, shareOf } from '../../experiments/shard.ts';
import { refuses } from '../traces/scratch.ts';

test('i/n is read as it is written', () => {
  assert.equal(shardOf('2/5', {}), { index: 2, count: 5 });
  assert.is(shardOf(undefined, {}), undefined);
});

test('what is no shard is refused', async () => {
  await refuses(() => shardOf('0/5', {}), 'shard-invalid', /part 0 of 5 does not exist/);
  await refuses(() => shardOf('6/5', {}), 'shard-invalid', /part 6 of 5/);
  await refuses(() => shardOf('half', {}), 'shard-invalid', /expected i\/n, found "half"/);
  await refuses(() => shardOf('auto', {}), 'shard-invalid', /neither a Slurm array nor/);
});

test('a Slurm array tells the shard, wherever its numbers begin', () => {
  const base = {
    SLURM_ARRAY_TASK_ID: '14',
    SLURM_ARRAY_TASK_MIN: '10',
    SLURM_ARRAY_TASK_STEP: '2',
  };
  assert.equal(shardOf(undefined, { ...base, SLURM_ARRAY_TASK_COUNT: '4' }), {
    index: 3,
    count: 4,
  });
  assert.equal(shardOf('auto', { ...base, SLURM_ARRAY_TASK_MAX: '16' }), { index: 3, count: 4 });
  const plain = {
    SLURM_ARRAY_TASK_ID: '0',
    SLURM_ARRAY_TASK_MIN: '0',
    SLURM_ARRAY_TASK_COUNT: '8',
  };
  assert.equal(shardOf(undefined, plain), { index: 1, count: 8 });
});

test('an array that is no range is refused', async () => {
  const odd = {
    SLURM_ARRAY_TASK_ID: '15',
    SLURM_ARRAY_TASK_MIN: '10',
    SLURM_ARRAY_TASK_STEP: '2',
    SLURM_ARRAY_TASK_COUNT: '4',
  };
  await refuses(() => shardOf(undefined, odd), 'shard-invalid', /no range/);
  const sparse = {
    SLURM_ARRAY_TASK_ID: '9',
    SLURM_ARRAY_TASK_MIN: '0',
    SLURM_ARRAY_TASK_COUNT: '3',
  };
  await refuses(() => shardOf(undefined, sparse), 'shard-invalid', /part 10 of 3/);
  const text = { SLURM_ARRAY_TASK_ID: 'x' };
  await refuses(() => shardOf(undefined, text), 'shard-invalid', /SLURM_ARRAY_TASK_ID/);
});

test('an indexed job of Kubernetes tells the shard', async () => {
  const job = { JOB_COMPLETION_INDEX: '0', JOB_COMPLETIONS: '6' };
  assert.equal(shardOf(undefined, job), { index: 1, count: 6 });
  await refuses(
    () => shardOf(undefined, { JOB_COMPLETION_INDEX: '0' }),
    'shard-invalid',
    /JOB_COMPLETIONS is not/,
  );
});

test('a shard that is written wins over the environment', () => {
  assert.equal(shardOf('1/2', { JOB_COMPLETION_INDEX: '5', JOB_COMPLETIONS: '6' }), {
    index: 1,
    count: 2,
  });
});

test('shards divide any list, each member once, sizes within one', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.integer({ min: 1, max: 40 }), (length, count) => {
      const list = Array.from({ length }, (_, i) => i);
      const shares = list.length
        ? Array.from({ length: count }, (_, i) => shareOf(list, { index: i + 1, count }))
        : [[]];
      assert.equal(
        shares.flat().sort((a, b) => a - b),
        list,
      );
      const sizes = shares.map((share) => share.length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
    }),
    { seed: 42 },
  );
});

test.run();
