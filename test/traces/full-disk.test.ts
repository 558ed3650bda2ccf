import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vectorForGpus } from '../../core/resources.ts';
import { TraceBuilder } from '../../traces/build.ts';
import { CsvWriter } from '../../traces/csv.ts';
import { writeNativeTrace } from '../../traces/native-writer.ts';
import { testWithPart } from '../skip.ts';
import { refuses, scratchFolder } from './scratch.ts';

const disk = join(scratchFolder(), 'disk');
mkdirSync(disk);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status === 0;
if (mounted) process.prependListener('exit', () => spawnSync('umount', [disk]));
const missing = mounted ? '' : 'a small tmpfs cannot be mounted here (it takes root)';

testWithPart(test, missing, 'a full disk is named, and no half file or folder stays', async () => {
  await refuses(
    () => {
      const csv = CsvWriter.open(join(disk, 'a.csv'), ['n']);
      for (let i = 0; i < 1e6; i++) csv.row([i]);
      csv.close();
    },
    'file-unwritable',
    /a\.csv cannot be written: no space is left on the device/,
  );
  assert.equal(readdirSync(disk), []);
  const builder = new TraceBuilder();
  const session = builder.addSession({ id: 's', startMs: 0, endMs: 1e6 });
  for (let i = 0; i < 10_000; i++)
    builder.addCell({ session, submitMs: i, durationMs: 1, shape: vectorForGpus(1000) });
  const trace = builder.build({ name: 'large', source: 'test' });
  await refuses(
    () => writeNativeTrace(trace, join(disk, 't')),
    'file-unwritable',
    /no space is left/,
  );
  assert.equal(readdirSync(disk), []);
});

test.run();
