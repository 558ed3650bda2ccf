// time-limit: 600 s

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CELL_COLUMNS, SUMMARY_COLUMNS } from '../../core/record/columns.ts';
import { dataFile } from '../traces/scratch.ts';
import { ended, filesBelow, inFolder, nbos, start, TIRESIAS, works } from './nbos.ts';

test('help lists every command, the version is that of the package', () => {
  const help = works(['--help']);
  for (const name of ['simulate', 'compare', 'trace', 'experiment', 'policy', 'report', 'explain'])
    assert.match(help, new RegExp(`nbos ${name}\\b`));
  assert.match(works(['--version']), /^\d+\.\d+\.\d+\n$/);
  assert.match(works(['trace', '--help']), 'nbos trace synthesize');
  assert.match(works(['simulate', '--help']), '--gpus-per-host');
});

test('completion knows commands and options', () => {
  assert.match(works(['completion']), 'nbos completion');
  const offered = works(['--get-yargs-completions', 'nbos', 'trace', '']);
  for (const name of ['import', 'check', 'describe', 'synthesize', 'sample'])
    assert.match(offered, name);
  assert.match(works(['--get-yargs-completions', 'nbos', 'simulate', '--gpus']), 'gpus-per-host');
});

test('config shows every option, for people and for machines', () => {
  const table = works(['config', '--defaults']);
  assert.match(table, /^replicas\s+replicas\s+1\s+code\s/m);
  for (const value of ['littles-law', 'colab', 'host-loss', 'maxHosts', 'sjf'])
    assert.match(table, value);
  const rows = JSON.parse(works(['config', '--json']));
  assert.equal(
    rows.find((row: { option: string }) => row.option === 'hosts'),
    {
      option: 'hosts',
      group: 'cluster',
      unit: 'hosts',
      default: 32,
      values: 'a whole number from 1 to 1000000',
      source: 'code',
      meaning: 'most hosts at once',
    },
  );
});

test('from a published trace to reports, and why a cell waited', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    works(['trace', 'import', 'mine.csv', '--out', 'native'], dir);
    assert.match(works(['trace', 'check', 'native'], dir), 'native: usable; 3 sessions, 6 cells');
    assert.match(works(['trace', 'describe', 'native', '--hosts', '4'], dir), 'cell duration');
    const words = ['simulate', '--trace', 'native', '--policy', 'batch-fcfs', '--hosts', '2'];
    const table = works([...words, '--out', 'run', '--events', '--check'], dir);
    assert.match(table, /^cells\s+6$/m);
    const files = ['cells', 'events', 'hosts', 'sessions', 'summary', 'timeline'];
    assert.equal(filesBelow(join(dir, 'run')), [
      ...files.slice(0, 3).map((name) => `${name}.csv`),
      'run.json',
      ...files.slice(3).map((name) => `${name}.csv`),
    ]);
    const [header, ...rows] = readFileSync(join(dir, 'run', 'cells.csv'), 'utf8')
      .trimEnd()
      .split('\n');
    assert.is(header, CELL_COLUMNS.map(({ name }) => name).join(','));
    assert.is(rows.length, 6);
    const [session, cell] = rows[0]!.split(',') as [string, string];
    const text = works(['explain', 'run', '--session', session, '--cell', cell], dir);
    assert.match(text, `session ${session}, cell ${cell}, policy batch-fcfs`);
    assert.match(text, /GPUs are committed on host \d/);
    assert.match(text, /completed after .* of delay/);
  }));

test('a run needs neither a folder nor a terminal: --json, --quiet', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const words = ['simulate', '--trace', 'mine.csv', '--set', 'replicas=1', 'hosts=3'];
    const { summary, out } = JSON.parse(works([...words, '--json'], dir));
    assert.is(out, null);
    assert.equal(Object.keys(summary).sort(), SUMMARY_COLUMNS.map(({ name }) => name).sort());
    assert.is(summary.hosts_max, 3);
    assert.is(works([...words, '--quiet'], dir), '');
    assert.equal(filesBelow(dir), ['mine.csv']);
  }));

test('the same seed gives the same bytes, another seed does not', () =>
  inFolder((dir) => {
    works(['trace', 'synthesize', '--sessions', '20', '--hours', '4', '--out', 't'], dir);
    const run = (out: string, seed: string): string => {
      const words = ['simulate', '--trace', 't', '--hosts', '20', '--seed', seed, '--out', out];
      works(words, dir);
      return ['cells', 'sessions', 'hosts', 'timeline', 'summary']
        .map((name) => readFileSync(join(dir, out, `${name}.csv`), 'utf8'))
        .join('\n');
    };
    assert.is(run('a', '7'), run('b', '7'));
    assert.is.not(run('c', '8'), run('d', '7'));
  }));

test('flags win over settings, settings over the file, the file over the policy', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    writeFileSync(join(dir, 'c.json'), '{"replicas": 5, "hosts": 9, "seed": 3}');
    const words = ['simulate', '--trace', 'mine.csv', '--config', 'c.json', '--json'];
    const { summary } = JSON.parse(works([...words, '--set', 'hosts=8', '--seed', '4'], dir));
    assert.equal([summary.replicas, summary.hosts_max, summary.seed], [5, 8, 4]);
  }));

test('a node list gives the hosts of a run, all of them, unless --hosts says otherwise', () => {
  const words = ['simulate', '--trace', dataFile('openb-pods.csv'), '--json', '--quiet'];
  words.push('--nodes', dataFile('openb-nodes.csv'));
  const hostsMax = (more: string[]): number =>
    JSON.parse(works([...words, ...more])).summary.hosts_max;
  assert.is(
    hostsMax([]),
    readFileSync(dataFile('openb-nodes.csv'), 'utf8').trim().split('\n').length - 1,
  );
  assert.is(hostsMax(['--hosts', '5']), 5);
});

test('compare shows policies side by side, with intervals over seeds', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const words = [
      'compare',
      '--trace',
      'mine.csv',
      '--policies',
      'reservation,lcp',
      '--hosts',
      '4',
    ];
    const one = works([...words, '--out', 'cmp'], dir);
    assert.match(one, /^measure\s+reservation\s+lcp$/m);
    for (const file of ['compare.csv', 'differences.csv', 'lcp/run.json', 'reservation/cells.csv'])
      assert.ok(existsSync(join(dir, 'cmp', file)), file);
    const many = works([...words, '--seeds', '3', '--resample'], dir);
    assert.match(many, 'difference to reservation');
    assert.match(many, 'means over 3 seeds');
    assert.match(works(['report', 'cmp'], dir), 'report.html');
  }));

test('an experiment is checked, shown, run, and not repeated', () =>
  inFolder((dir) => {
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    const experiment = {
      name: 'small',
      traces: [{ path: 'mine.csv' }],
      policies: ['reservation', 'notebookos'],
      clusters: [{ hosts: 4 }],
      seeds: 2,
    };
    writeFileSync(join(dir, 'small.json'), JSON.stringify(experiment));
    assert.match(works(['experiment', 'validate', 'small.json'], dir), '4 points, 4 distinct runs');
    assert.match(works(['experiment', 'show', 'small.json'], dir), '4 runs, 0 of them done');
    assert.match(
      works(['experiment', 'run', 'small.json', '--jobs', '2'], dir),
      '4 performed, 0 found',
    );
    assert.ok(existsSync(join(dir, 'results', 'small', 'results.csv')));
    assert.match(
      works(['experiment', 'run', 'small.json', '--resume'], dir),
      '0 performed, 4 found',
    );
  }));

test('a policy of a stranger is listed, checked and run by its path', () =>
  inFolder((dir) => {
    const policy = `export default {
      name: 'shortest-first', summary: 'Shortest job first, a container per execution.',
      defaults: { queueOrder: 'policy' as const }, container: 'execution', commit: 'placement',
      replicated: false, stateRead: 'always', stateWrite: 'critical', deviceLoad: 'each',
      migrates: false, dynamicRequests: true, billing: 'committed',
      order: (a: { expectedMs: number }, b: { expectedMs: number }) => a.expectedMs - b.expectedMs,
    };`;
    writeFileSync(join(dir, 'mine.ts'), policy);
    writeFileSync(join(dir, 'mine.csv'), TIRESIAS);
    assert.match(works(['policy', 'list'], dir), 'notebookos');
    assert.match(
      works(['policy', 'check', './mine.ts'], dir),
      /shortest-first: (\d+) of \1 checks/,
    );
    const words = ['simulate', '--trace', 'mine.csv', '--policy', './mine.ts', '--out', 'run'];
    assert.match(works(words, dir), 'shortest-first');
    const id = readFileSync(join(dir, 'run', 'cells.csv'), 'utf8')
      .split('\n')[1]!
      .split(',')[0]!;
    assert.match(works(['explain', 'run', '--session', id, '--cell', '0'], dir), 'shortest-first');
    writeFileSync(join(dir, 'mine.ts'), policy.replace('a.expectedMs', '2 * a.expectedMs'));
    const changed = nbos(['explain', 'run', '--session', id, '--cell', '0'], dir);
    assert.match(changed.stderr, /^run-mismatch: .*mine\.ts has changed/);
  }));

test('a reader that closes the pipe early is no error', async () => {
  const child = start(['config', '--json']);
  child.stdout!.once('data', () => child.stdout!.destroy());
  const { stderr } = await ended(child);
  assert.is(stderr, '');
});

test.run();
