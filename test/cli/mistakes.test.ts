// time-limit: 600 s

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { skipAloud } from '../skip.ts';
import { ended, filesBelow, inFolder, refuses, start, TIRESIAS, works } from './nbos.ts';

const HEADER = TIRESIAS.split('\n')[0]!;

/** Simulates a trace file with this content, which must be refused, and leave nothing behind. */
function refusesTrace(
  content: string | Buffer,
  expected: RegExp,
  name = 'mine.csv',
): Promise<void> {
  return inFolder((dir) => {
    writeFileSync(join(dir, name), content);
    for (const words of [
      ['simulate', '--trace', name, '--out', 'out'],
      ['trace', 'import', name, '--out', 'out'],
      ['trace', 'check', name],
    ])
      refuses([...words, '--format', 'tiresias', '--quiet'], expected, dir);
    assert.equal(filesBelow(dir), [name]);
  });
}

test('unknown commands, options and keys come with a suggestion', () => {
  refuses(['simulat'], /^usage: unknown word "simulat"\. Did you mean simulate\?$/);
  refuses(['trace', 'chek', 'x'], /Did you mean check\?/);
  refuses(
    ['config', '--defualts'],
    /^usage: unknown option --defualts\. Did you mean --defaults\?$/,
  );
  refuses(['simulate', '--trace', 'x', '--gpu-per-host', '8'], /Did you mean --gpus-per-host\?/);
  refuses(['simulate', '--trace', 'x', '--set', 'hsots=3'], /^config-unknown-key: .*hosts\?$/);
  refuses(
    ['simulate', '--trace', 'x', '--policy', 'notebooks'],
    /^policy-unknown: .*notebookos\?$/,
  );
  refuses(['simulate', '--trace', 'x', '--format', 'tirsias'], /^format-unknown: .*tiresias\?$/);
  refuses(['trace', 'synthesize', '--profile', 'adobe15', '--out', 'x'], /^usage: .*adobe-15s/);
});

test('missing, double and ill-formed options are named', () => {
  refuses([], /^usage: name a command/);
  refuses(['trace'], /^usage: trace: name one of its commands/);
  refuses(['simulate'], /^usage: --trace must be given\. Add --help/);
  refuses(['simulate', '--trace'], /^usage: /);
  const run = ['simulate', '--trace', 'x'];
  refuses([...run, '--hosts', 'many'], /^usage: --hosts: expected a whole number from 1/);
  refuses([...run, '--hosts', '-3'], /^usage: --hosts: expected a whole number from 1, found "-3"/);
  refuses([...run, '--seed', '1', '--seed', '2'], /^usage: --seed is given twice/);
  refuses([...run, '--until', '17'], /^usage: --until: expected a duration such as/);
  refuses([...run, '--set', 'replicas'], /^usage: --set: expected key=value/);
  refuses(
    [...run, '--set', 'replicas=4'],
    /^config-bad-value: --set: replicas: expected 1, 3 or 5/,
  );
  refuses(
    [...run, '--loop', 'round'],
    /^usage: --loop: expected one of closed, open, found "round"$/,
  );
  refuses([...run, '--set', 'queueOrder=policy'], /^config-bad-value: queueOrder=policy: .*order/);
  refuses([...run, '--from', '3h'], /^usage: --from: .* Add --window/);
  refuses(
    ['compare', '--trace', 'x', '--policies', 'lcp,,x'],
    /^usage: --policies: expected names/,
  );
});

test('missing files are named', () => {
  refuses(['simulate', '--trace', '/nowhere/x.csv'], /^file-not-found: .*\/nowhere\/x\.csv/);
  refuses(
    ['simulate', '--trace', 'x', '--config', '/nowhere/c.json'],
    /^file-not-found: .*c\.json/,
  );
  refuses(['simulate', '--trace', 'x', '--policy', './none.ts'], /^file-not-found: .*none\.ts/);
  refuses(['experiment', 'run', '/nowhere/e.json'], /^file-not-found: .*e\.json/);
  refuses(['report', '/nowhere'], /^file-not-found: .*\/nowhere/);
  refuses(['explain', '/nowhere', '--session', 'a', '--cell', '0'], /^file-not-found: /);
});

test('a file where a folder is expected, and the reverse, is told apart', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const words = ['simulate', '--trace', 'mine.csv'];
    refuses([...words, '--config', '.'], /^file-not-found: \.: a folder; expected a file/, dir);
    refuses([...words, '--policy', 'mine.csv'], /^policy-invalid: mine\.csv .*\.ts or \.js/, dir);
    refuses(['report', 'mine.csv'], /^file-not-found: mine\.csv is a file/, dir);
  }));

test('a table that lacks a column of the format it is nearest to is told so', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS.replace('num_gpu', 'gpus'));
    refuses(
      ['trace', 'describe', 'mine.csv'],
      /^trace-bad-header: mine\.csv:1: no column num_gpu, .*tiresias/,
      dir,
    );
    writeFileSync(join(dir, 'mine.csv'), `${HEADER}\n0,1,0,0,"m,2,0\n`);
    refuses(['trace', 'describe', 'mine.csv'], /mine\.csv:2: a quote is missing/, dir);
  }));

test('wrong columns and fields are named with file, row and column', async () => {
  await refusesTrace('a,b,c\n1,2,3\n', /^trace-bad-header: .*mine\.csv/);
  await refusesTrace('', /^(trace-empty|trace-bad-header|file-corrupt): .*mine\.csv/);
  await refusesTrace(`${HEADER}\n0,-1,0,0,m,2,0\n`, /^trace-bad-value: .*mine\.csv:2.*num_gpu/);
  await refusesTrace(`${HEADER}\n0,1,0,0,m,2,0\n1,one,5,0,m,2,0\n`, /mine\.csv:3.*num_gpu.*one/);
  await refusesTrace(`${HEADER}\n0,1,zero,0,m,2,0\n`, /mine\.csv:2.*submit_time/);
  await refusesTrace(`${HEADER}\n0,1,0,0,m,-2,0\n`, /mine\.csv:2.*duration/);
  await refusesTrace(`${HEADER}\n0,1,0,0,m\n`, /mine\.csv:2/);
});

test('binary and truncated files are refused', async () => {
  const noise = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 167 + (i >> 3)) & 255));
  await refusesTrace(noise, /^[a-z-]+: .*mine\.csv/);
  const packed = gzipSync(
    TIRESIAS.repeat(1) +
      Array.from({ length: 3000 }, (_, i) => `${i + 6},1,${2 * i},0,m,1,0\n`).join(''),
  );
  await refusesTrace(
    packed.subarray(0, packed.length >> 1),
    /^file-corrupt: .*mine\.csv\.gz/,
    'mine.csv.gz',
  );
});

test('time that runs backwards inside a session is refused', () =>
  inFolder((dir) => {
    works(['trace', 'synthesize', '--sessions', '5', '--hours', '2', '--out', 't'], dir);
    const meta = JSON.stringify({ format: 'nbos-trace', version: 1, name: 'x', timeUnit: 'ms' });
    mkdirSync(join(dir, 'bad'));
    writeFileSync(join(dir, 'bad', 'trace.json'), meta);
    writeFileSync(
      join(dir, 'bad', 'sessions.csv'),
      'session_id,start_ms,end_ms,cpu_millis,memory_mb,gpus,vram_mb,gpu_type,user_id\na,0,100000,4000,16000,1,16000,,\n',
    );
    const columns =
      'session_id,cell_index,submit_ms,duration_ms,cpu_millis,memory_mb,gpus,vram_mb,gpu_utilization_pct,model,dataset,state_bytes';
    writeFileSync(
      join(dir, 'bad', 'cells.csv'),
      `${columns}\na,0,5000,1000,4000,16000,1,16000,,,,\na,1,4000,1000,4000,16000,1,16000,,,,\n`,
    );
    const words = ['simulate', '--trace', 'bad', '--format', 'native', '--out', 'out'];
    refuses(words, /^trace-order: .*cells\.csv:3/, dir);
    assert.not.ok(existsSync(join(dir, 'out')));
  }));

test('a cell bigger than any host is refused, dropped or clipped as told', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const words = ['simulate', '--trace', 'mine.csv', '--gpus-per-host', '4'];
    refuses([...words, '--out', 'out'], /^trace-oversize: /, dir);
    assert.not.ok(existsSync(join(dir, 'out')));
    const cells = (how: string): number =>
      JSON.parse(works([...words, '--oversize', how, '--json'], dir)).summary.cells;
    assert.is(cells('clip'), 6);
    assert.is(cells('drop'), 5);
  }));

test('configuration and experiment files name file and key', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const configured = (text: string, expected: RegExp): void => {
      writeFileSync(join(dir, 'c.json'), text);
      refuses(['simulate', '--trace', 'mine.csv', '--config', 'c.json'], expected, dir);
    };
    configured('{"hosts": "ten"}', /^config-bad-value: c\.json: hosts: expected a whole number/);
    configured('{"host": 3}', /^config-unknown-key: c\.json: unknown option "host"\. Did you mean/);
    configured('{"hosts": 3', /^file-corrupt: c\.json: not JSON/);
    writeFileSync(join(dir, 'e.json'), '{"name":"x","traces":[{"path":"mine.csv"}],"polices":[]}');
    refuses(['experiment', 'validate', 'e.json'], /^experiment-invalid: e\.json/, dir);
  }));

test('an output that exists is not overwritten unasked', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const words = ['simulate', '--trace', 'mine.csv', '--out', 'run'];
    works(words, dir);
    refuses(words, /^file-exists: run holds a finished run/, dir);
    works([...words, '--replace'], dir);
    mkdirSync(join(dir, 'photos'));
    writeFileSync(join(dir, 'photos', 'cat.png'), 'meow');
    refuses(['simulate', '--trace', 'mine.csv', '--out', 'photos'], /^file-exists: photos/, dir);
  }));

test('an output that cannot be written is named', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    writeFileSync(join(dir, 'file'), '');
    const words = ['simulate', '--trace', 'mine.csv', '--out'];
    refuses([...words, 'file/run'], /^file-unwritable: /, dir);
    refuses([...words, '/proc/nbos-run'], /^file-unwritable: .*\/proc/, dir);
    refuses(['trace', 'import', 'mine.csv', '--out', '/proc/t'], /^file-unwritable: .*\/proc/, dir);
  }));

/** Mounts 64 kB of memory as a disk; '' or why that cannot be done. */
function mountSmallDisk(at: string): string {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at], { stdio: 'pipe' });
    return '';
  } catch {
    return 'no right to mount a tmpfs';
  }
}

async function whyNoDisk(): Promise<string> {
  if (process.getuid?.() !== 0) return 'a tmpfs can be mounted by root only';
  let reason = '';
  await inFolder((dir) => {
    reason = mountSmallDisk(dir);
    if (reason === '') execFileSync('umount', [dir]);
  });
  return reason;
}

const FULL_DISK = 'a full disk is said, and nothing passes for a result';
const noDisk = await whyNoDisk();
if (noDisk !== '') skipAloud(test, FULL_DISK, noDisk);
else
  test(FULL_DISK, () =>
    inFolder((dir) => {
      const disk = join(dir, 'disk');
      mkdirSync(disk);
      assert.is(mountSmallDisk(disk), '');
      try {
        works(['trace', 'synthesize', '--sessions', '40', '--hours', '12', '--out', 't'], dir);
        const words = ['simulate', '--trace', 't', '--hosts', '30', '--events', '--out'];
        refuses([...words, join(disk, 'run')], /^file-unwritable: .*(space|disk)/, dir);
        assert.not.ok(existsSync(join(disk, 'run', 'run.json')));
        writeFileSync(join(disk, 'filler'), Buffer.alloc(48_000));
        refuses(['trace', 'import', 't', '--out', join(disk, 't')], /^file-unwritable: /, dir);
        assert.equal(
          filesBelow(disk).filter((file) => !file.startsWith('run')),
          ['filler'],
        );
      } finally {
        execFileSync('umount', [disk]);
      }
    }),
  );

test('Ctrl-C in the middle: exit 130, one line, nothing that passes for a result', () =>
  inFolder(async (dir) => {
    works(
      ['trace', 'synthesize', '--sessions', '1500', '--hours', '720', '--out', 't', '--quiet'],
      dir,
    );
    const words = ['simulate', '--trace', 't', '--hosts', '400', '--check', '--out', 'run'];
    const child = start(words, dir);
    const end = ended(child);
    while (filesBelow(join(dir, 'run')).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGINT');
    const { status, stdout, stderr } = await end;
    assert.is(status, 130, stderr);
    assert.is(stdout, '');
    assert.match(stderr, /(^|\n)interrupted: [^\n]+\n$/);
    assert.not.ok(existsSync(join(dir, 'run')));
    refuses(['report', 'run'], /^(run-incomplete|file-not-found): /, dir);
  }));

test.run();
