import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type ErrorCode, NbosError } from '../../core/errors.ts';
import { checkTrace } from '../../traces/check.ts';
import { streamJsonArray } from '../../traces/json-stream.ts';
import { type LoadOptions, loadTrace } from '../../traces/load.ts';
import { dataFile, put, refuses, scratchFolder } from './scratch.ts';

const folder = scratchFolder();
let files = 0;

function file(content: string | Uint8Array, end = '.dat'): string {
  return put(join(folder, `f${files++}${end}`), content);
}

type Case = readonly [content: string, code: ErrorCode, message: RegExp, options?: LoadOptions];

async function refuseAll(cases: readonly Case[]): Promise<void> {
  for (const [content, code, message, options] of cases) {
    const path = file(content);
    await refuses(() => loadTrace(path, options), code, message);
    const { usable, findings } = await checkTrace(path, options);
    assert.not.ok(usable);
    assert.is(findings.at(-1)!.code, code);
  }
}

const T = 'job_id,num_gpu,submit_time,duration\n';

test('tiresias', () =>
  refuseAll([
    [`${T}1,1,5\n`, 'trace-bad-value', /:2:duration: the row has 3 fields/],
    [`${T}1,-1,5,2\n`, 'trace-bad-value', /:2:num_gpu: found "-1"; expected a number from 0/],
    [`${T}1,1,five,2\n`, 'trace-bad-value', /:2:submit_time: found "five"/],
    [`${T}1,1,5,\n`, 'trace-bad-value', /:2:duration: found nothing/],
    [`${T}1,1,5,2\n1,1,9,2\n`, 'trace-duplicate', /:3:job_id: job "1" exists twice/],
    [`${T}x,1,5,2\nx,1,9,2\n`, 'trace-duplicate', /:3:job_id: job "x" exists twice/],
    [T, 'trace-empty', /has no session/],
    [
      'job_id,num_gpu,submit_time\n1,1,1\n',
      'trace-bad-header',
      /no column duration/,
      { format: 'tiresias' },
    ],
  ]));

test('openb', () => {
  const header =
    'name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n';
  return refuseAll([
    [
      `${header}p,1,1,1,1000,10,5,10\n`,
      'trace-bad-value',
      /:2:deletion_time: found "5"; expected a time not before scheduled_time/,
    ],
    [`${header}p,1,1,1,1000,10,50,5\n`, 'trace-bad-value', /:2:scheduled_time: found "5"/],
    [`${header}p,1,1,1,1500,10,50,10\n`, 'trace-bad-value', /:2:gpu_milli: found "1500"/],
    [`${header}p,1,1,1,1000,1,5,1\np,1,1,1,1000,1,5,1\n`, 'trace-duplicate', /:3:name: pod "p"/],
    [`${header}p,1,1,1,1000,1,5,\n`, 'trace-empty', /has no session/],
  ]);
});

test('philly', () =>
  refuseAll([
    [
      'timestamp,duration,num_gpus,cluster\n2017-13-09 07:01:55,1,1,c\n',
      'trace-bad-value',
      /:2:timestamp: found "2017-13/,
    ],
    [
      'timestamp,duration,num_gpus,cluster\n2017-02-30 07:01:55,1,1,c\n',
      'trace-bad-value',
      /:2:timestamp/,
    ],
    [
      '[{"submitted_time":"2017-10-07 03:29:28"}]',
      'trace-bad-value',
      /\[0\]\.jobid: found nothing/,
    ],
    [
      '[{"jobid":"a","submitted_time":"None"}]',
      'trace-bad-value',
      /\[0\]\.submitted_time: found "None"/,
    ],
    [
      '[{"jobid":"a","submitted_time":"2017-10-07 03:29:28","attempts":[{"start_time":"2017-10-07 03:29:28","end_time":"2017-10-06 00:00:00"}]}]',
      'trace-bad-value',
      /attempts\[0\]\.end_time/,
    ],
    ['[{"jobid":"a"', 'file-corrupt', /ends in the middle/],
    ['[3]', 'file-corrupt', /element 0 of the array is not an object: 3/],
  ]));

test('template', () => {
  const session = (text: string) =>
    `{"sessions":[{"id":"s","start_tick":1,"stop_tick":9,"trainings":[${text}]}]}`;
  return refuseAll([
    ['{"sessions":[{"start_tick":1}]}', 'trace-bad-value', /sessions\[0\]\.id: found nothing/],
    [
      '{"sessions":[{"id":"s","start_tick":5,"stop_tick":1}]}',
      'trace-order',
      /sessions\[0\]\.stop_tick/,
    ],
    [
      session('{"start_tick":2}'),
      'trace-bad-value',
      /trainings\[0\]\.duration_in_ticks: found nothing/,
    ],
    [
      session('{"start_tick":2,"duration_in_ticks":-1}'),
      'trace-bad-value',
      /duration_in_ticks: found -1/,
    ],
    [
      session('{"start_tick":2,"duration_in_ticks":1}'),
      'trace-bad-value',
      /gpu_utilizations: found nothing/,
    ],
    [
      session('{"start_tick":2,"duration_in_ticks":1,"gpu_utilizations":[{"utilization":101}]}'),
      'trace-bad-value',
      /gpu_utilizations\[0\]\.utilization: found 101/,
    ],
    [
      session(
        '{"start_tick":4,"duration_in_ticks":1,"gpu_utilizations":[]},{"start_tick":3,"duration_in_ticks":1,"gpu_utilizations":[]}',
      ),
      'trace-order',
      /trainings\[1\]\.start_tick: tick 3/,
    ],
    [
      session('{"start_tick":12,"duration_in_ticks":1,"gpu_utilizations":[]}'),
      'trace-order',
      /after the session stops/,
    ],
    [
      '{"sessions":[{"id":"s","start_tick":0,"stop_tick":1},{"id":"s","start_tick":0,"stop_tick":1}]}',
      'trace-duplicate',
      /sessions\[1\]: session "s" exists twice/,
    ],
    ['{"sessions":[]}', 'trace-empty', /has no session/],
    ['{"name":"x"}', 'trace-bad-header', /no array "sessions"/],
    ['{"sessions":[{"id":"s",}]}', 'file-corrupt', /not JSON in element 0/],
    [
      '{"sessionsSamplePercentage":50,"sessions":[{"id":"s","start_tick":0,"stop_tick":1}]}',
      'trace-bad-value',
      /sessionsSamplePercentage: found 50; expected a fraction/,
    ],
  ]);
});

test('raw', async () => {
  const home = (gpu: string) => {
    const path = join(folder, `raw${files++}`);
    put(join(path, 'gpu.csv'), gpu);
    return path;
  };
  const header = 'timestamp,exported_pod,gpu,value\n';
  await refuses(
    () => loadTrace(home(`${header}0,p,0,101\n`)),
    'trace-bad-value',
    /gpu\.csv:2:value: found "101"/,
  );
  await refuses(
    () => loadTrace(home(`${header}1500000000000,p,0,1\n`)),
    'trace-bad-value',
    /gpu\.csv:2:timestamp/,
  );
  await refuses(
    () => loadTrace(home(`${header}0,,0,1\n`)),
    'trace-bad-value',
    /:2:exported_pod: found nothing/,
  );
  await refuses(() => loadTrace(home(`${header}0,p,0,1\n`)), 'trace-bad-value', /too few samples/);
  await refuses(() => loadTrace(home('a,b\n')), 'trace-bad-header', /no column timestamp/);
});

test('files that are no trace', async () => {
  await refuseAll([
    ['', 'trace-empty', /is empty/],
    ['   \n', 'trace-empty', /is empty/],
    ['a,b,c\n1,2,3\n', 'format-unknown', /the header "a,b,c" fits no format/],
    ['\u0000\u0001\u0002garbage', 'file-corrupt', /binary data/],
  ]);
  await refuses(() => loadTrace(join(folder, 'absent')), 'file-not-found', /does not exist/);
  await refuses(() => loadTrace(folder), 'format-unknown', /a folder without trace\.json/);
  const packed = gzipSync(readFileSync(dataFile('tiresias-small.csv')));
  await refuses(
    () => loadTrace(file(packed.subarray(0, 60), '.gz')),
    'file-corrupt',
    /ends in the middle/,
  );
  const unfinished = join(folder, 'unfinished');
  for (const name of ['cells.csv', 'sessions.csv']) put(join(unfinished, name), 'session_id\n');
  const error = await refuses(
    () => loadTrace(unfinished),
    'format-unknown',
    /neither trace\.json nor run\.json/,
  );
  assert.match(error.hint, /unfinished run/);
});

test('options out of their bounds are named by their flag', async () => {
  const path = dataFile('tiresias-small.csv');
  await refuses(
    () => loadTrace(path, { startPadMs: -1 }),
    'config-bad-value',
    /--start-pad is -1; expected a whole number from 0/,
  );
  await refuses(
    () => loadTrace(path, { timeUnit: 'hours' as 'minutes' }),
    'config-bad-value',
    /--time-unit is "hours"; expected minutes, seconds/,
  );
  await refuses(
    () => loadTrace(path, { splitGapHours: Number.NaN }),
    'config-bad-value',
    /--split-gap/,
  );
});

test('no damage to a good file is anything but a coded error', async () => {
  const names = ['tiresias-small.csv', 'template-api.json', 'philly-jobs.json', 'openb-pods.csv'];
  const sources = names.map((name) => readFileSync(dataFile(name)));
  const change = fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('set', 'cut', 'insert', 'remove'));
  await fc.assert(
    fc.asyncProperty(
      fc.nat(names.length - 1),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      async (n, changes) => {
        let bytes = Buffer.from(sources[n]!);
        for (const [place, byte, kind] of changes) {
          const at = bytes.length === 0 ? 0 : place % bytes.length;
          if (kind === 'set' && bytes.length > 0) bytes[at] = byte;
          else if (kind === 'cut') bytes = bytes.subarray(0, at);
          else if (kind === 'insert')
            bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
          else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
        }
        try {
          await loadTrace(file(bytes));
        } catch (error) {
          assert.instance(error, NbosError, String(error));
          assert.is.not((error as NbosError).code, 'invariant-violated');
        }
      },
    ),
    { seed: 51, numRuns: 400 },
  );
});

test('a JSON array is cut into its elements wherever the chunks end', async () => {
  const element = fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue({ maxDepth: 2 }), {
    maxKeys: 3,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(element),
      fc.jsonValue({ maxDepth: 1 }),
      fc.boolean(),
      async (elements, other, nested) => {
        const whole = { before: other, list: elements, after: [1, { list: [2] }] };
        const path = file(JSON.stringify(nested ? whole : elements, null, nested ? 1 : 0));
        const found: unknown[] = [];
        const rest = await streamJsonArray(path, nested ? 'list' : null, (e) => found.push(e));
        assert.equal(JSON.stringify(found), JSON.stringify(elements));
        if (nested) assert.equal(JSON.stringify(rest), JSON.stringify({ ...whole, list: [] }));
      },
    ),
    { seed: 52, numRuns: 150 },
  );
  // More than one chunk of a megabyte.
  const many = Array.from({ length: 30_000 }, (_, i) => ({ i, text: `${'x'.repeat(60)}]},"é` }));
  let sum = 0;
  await streamJsonArray(file(JSON.stringify(many)), null, (e) => (sum += e['i'] as number));
  assert.is(sum, (29_999 * 30_000) / 2);
});

test.run();
