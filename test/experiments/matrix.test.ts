import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseExperiment, pointsOf, readExperiment } from '../../experiments/matrix.ts';
import { planMatrices, runsOf } from '../../experiments/plan.ts';
import { put, refuses, scratchFolder } from '../traces/scratch.ts';
import { matrix } from './fakes.ts';

const SCRATCH = scratchFolder();
const DEMO = { name: 'x', traces: [{ demo: {} }], policies: ['lcp'] };

function parse(changes: Record<string, unknown>) {
  return parseExperiment({ ...DEMO, ...changes }, 'x.json', SCRATCH);
}

test('the product is complete and in order: seeds fastest, traces slowest', () => {
  const points = pointsOf(
    parse({
      traces: [{ demo: {} }, { path: 't.csv', label: 'file' }],
      policies: ['reservation', { policy: 'notebookos', replicas: 5 }],
      clusters: [{ hosts: 30 }, { hosts: 8, gpusPerHost: 4, fixed: true }],
      options: [{}, { scaleOutFactor: 1.2 }, { label: 'named', starvationMs: '1h' }],
      seeds: [7, 9],
    }),
  );
  assert.is(points.length, 2 * 2 * 2 * 3 * 2);
  const shown = (i: number) => {
    const { trace, policy, cluster, options, seed } = points[i]!;
    return [trace.label, policy.label, cluster.label, options.label, seed];
  };
  assert.equal(shown(0), ['demo', 'reservation', '30x8', '', 7]);
  assert.equal(shown(1), ['demo', 'reservation', '30x8', '', 9]);
  assert.equal(shown(2), ['demo', 'reservation', '30x8', 'scaleOutFactor=1.2', 7]);
  assert.equal(shown(6), ['demo', 'reservation', '8x4 fixed', '', 7]);
  assert.equal(shown(12), ['demo', 'notebookos replicas=5', '30x8', '', 7]);
  assert.equal(shown(47), ['file', 'notebookos replicas=5', '8x4 fixed', 'named', 9]);
  assert.is(points[47]!.options.config.starvationMs, 3_600_000);
});

test('only runs of the first seed keep their cells unless told otherwise', () => {
  const kept = (cells: string) =>
    pointsOf(parse({ seeds: 3, cells })).map((point) => point.reports.includes('cells.csv'));
  assert.equal(kept('first-seed'), [true, false, false]);
  assert.equal(kept('none'), [false, false, false]);
  assert.equal(kept('all'), [true, true, true]);
});

test('paths are relative to the file', () => {
  const file = put(
    join(SCRATCH, 'sub', 'e.json'),
    JSON.stringify({ ...DEMO, traces: [{ path: 't.csv.gz' }], policies: ['./p.ts'] }),
  );
  const { traces, policies } = readExperiment(file);
  assert.is((traces[0]!.spec as { path: string }).path, join(SCRATCH, 'sub', 't.csv.gz'));
  assert.is(policies[0]!.policy, join(SCRATCH, 'sub', 'p.ts'));
  assert.is(policies[0]!.label, 'p');
});

test('mistakes are named with their place, and misspelt keys with what was meant', async () => {
  const cases: [Record<string, unknown>, RegExp, string][] = [
    [
      { policies: undefined, polices: [] },
      /^x\.json: unknown key "polices"$/,
      'Did you mean policies?',
    ],
    [
      { traces: [{ pth: 'a' }] },
      /^x\.json: traces\[0\]: expected an object with/,
      'Did you mean path?',
    ],
    [
      { traces: [{ path: 'a', widnowHours: 3 }] },
      /traces\[0\]: unknown key "widnow/,
      'Did you mean windowHours?',
    ],
    [
      { traces: [{ path: 'a', import: { timeUnt: 's' } }] },
      /traces\[0\]: import: unknown key "timeUnt"/,
      'Did you mean timeUnit?',
    ],
    [
      { traces: [{ path: 'a', format: 'tiresia' }] },
      /traces\[0\]: format: expected one of auto, native/,
      '',
    ],
    [
      { traces: [{ synthesize: { profile: 'adobe', sessions: 1, hours: 5 } }] },
      /synthesize\.profile: expected one of adobe-15s/,
      '',
    ],
    [{ traces: [] }, /traces: expected at least one trace/, ''],
    [{ policies: [] }, /policies: expected at least one policy/, ''],
    [{ seeds: 0 }, /seeds: expected a whole number from 1, found 0/, ''],
    [{ seeds: [1, 1] }, /seeds: one is there twice/, ''],
    [{ resample: 'yes' }, /resample: expected true or false, found "yes"/, ''],
    [{ options: [{}, {}] }, /options: "" is there twice/, ''],
    [{ name: '../x' }, /name: expected letters/, ''],
    [
      {
        seeds: Array.from({ length: 3000 }, (_, i) => i),
        options: Array.from({ length: 1000 }, (_, i) => ({ hosts: i + 1 })),
      },
      /3000000 runs/,
      '',
    ],
  ];
  for (const [changes, message, hint] of cases) {
    const error = await refuses(() => parse(changes), 'experiment-invalid', message);
    if (hint !== '') assert.is(error.hint, hint);
  }
  const option = await refuses(
    () => parse({ options: [{ scaleOutFacter: 1 }] }),
    'config-unknown-key',
    /x\.json: options\[0\]: unknown option "scaleOutFacter"/,
  );
  assert.is(option.hint, 'Did you mean scaleOutFactor?');
  await refuses(
    () => parse({ clusters: [{ hosts: 0 }] }),
    'config-bad-value',
    /clusters\[0\]: hosts/,
  );
});

test('planning refuses what no run could do, naming the run', async () => {
  const plan = (changes: Record<string, unknown>) => planMatrices([parse(changes)]);
  const unknown = await refuses(() => plan({ policies: ['lpc'] }), 'policy-unknown', /"lpc"/);
  assert.is(unknown.hint, 'Did you mean lcp?');
  await refuses(
    () => plan({ options: [{ replicas: 3 }] }),
    'config-bad-value',
    /policy lcp.*replicas=3/,
  );
  await refuses(() => plan({ traces: [{ path: 'no.csv' }] }), 'file-not-found', /no\.csv/);
});

test('a key names what the result depends on, and nothing else', async () => {
  const trace = put(join(SCRATCH, 't.csv'), 'a,b\n1,2\n');
  const keysOf = async (changes: Record<string, unknown>) =>
    (await planMatrices([parse({ traces: [{ path: trace }], seeds: 2, ...changes })])).map(
      (point) => point.run.key,
    );
  const keys = await keysOf({});
  assert.is(new Set(keys).size, 2);
  assert.equal(await keysOf({ name: 'other', traces: [{ path: trace, label: 'l' }] }), keys);
  assert.equal(await keysOf({ options: [{ label: 'defaults', starvationMs: 300_000 }] }), keys);
  for (const changes of [
    { options: [{ starvationMs: 1 }] },
    { resample: true },
    { traces: [{ path: trace, gapScale: 2 }] },
    { policies: ['gandiva'] },
  ]) {
    assert.is((await keysOf(changes)).filter((key) => keys.includes(key)).length, 0);
  }
});

test("a policy file's content is part of the key", async () => {
  const file = join(SCRATCH, 'mine.ts');
  const write = (summary: string) =>
    put(
      file,
      `export default { name: 'mine', summary: '${summary}', defaults: {}, container: 'session',
        commit: 'execution', replicated: false, stateRead: 'never', stateWrite: 'none',
        deviceLoad: 'each', migrates: false, dynamicRequests: true, billing: 'committed' };`,
    );
  const keyOf = async () => (await planMatrices([parse({ policies: [file] })]))[0]!.run.key;
  write('One.');
  const one = await keyOf();
  assert.is(await keyOf(), one);
  write('Two.');
  assert.is.not(await keyOf(), one);
});

test('runs of one trace and seed stand together, so that a worker loads it once', async () => {
  const runs = runsOf(await planMatrices([matrix()]));
  assert.equal(
    runs.map((run) => `${run.seed} ${run.policy}`),
    [1, 2, 3].flatMap((seed) => [`${seed} reservation`, `${seed} notebookos`]),
  );
});

test.run();
