import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveConfig } from '../../core/config/config.ts';
import { OPTIONS } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import {
  checkConfig,
  configTable,
  parseConfig,
  parseSettings,
  readConfigFile,
} from '../../traces/config-file.ts';

/** `code message hint` of what `act` throws. */
function fault(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof NbosError) return `${error.code} ${error.message} ${error.hint}`;
    throw error;
  }
  return 'no error';
}

function fileWith(text: string, act: (path: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'nbos-config-'));
  const path = join(dir, 'mine.json');
  writeFileSync(path, text);
  act(path);
  rmSync(dir, { recursive: true });
}

test('every default is a legal value of its own option', () => {
  const parsed = parseConfig(JSON.parse(JSON.stringify(resolveConfig())), 'defaults');
  assert.equal(parsed, resolveConfig());
});

test('the table shows every option once, with source and meaning', () => {
  const rows = configTable();
  assert.equal(
    rows.map((row) => row.option),
    Object.keys(OPTIONS),
  );
  for (const row of rows) {
    assert.ok(['measured', 'code', 'summary', 'guess'].includes(row.source));
    assert.ok(row.meaning.length > 5 && row.values.length > 5, row.option);
  }
});

test('reads settings by the type of their option', () => {
  assert.equal(
    parseSettings([
      'replicas=3',
      'scaleInHoldMs=5min',
      'starvationMs=250ms',
      'untilMs=17.5h',
      'warmupMs=90000',
      'fixed=true',
      'loop=open',
      'placement=random',
      'modelSizesMb={"a":1}',
      'scaleOutFactor=1.5',
    ]),
    {
      replicas: 3,
      scaleInHoldMs: 300_000,
      starvationMs: 250,
      untilMs: 63_000_000,
      warmupMs: 90_000,
      fixed: true,
      loop: 'open',
      placement: 'random',
      modelSizesMb: { a: 1 },
      scaleOutFactor: 1.5,
    },
  );
});

test('settings that are wrong name the option and what was expected', () => {
  const cases: [string, RegExp][] = [
    ['replica=3', /^config-unknown-key --set: unknown option "replica" Did you mean replicas\?/],
    ['zzzzzzzz=3', /nbos config --defaults/],
    ['replicas', /^usage --set: expected key=value/],
    ['replicas=2', /^config-bad-value --set: replicas: expected 1, 3 or 5/],
    ['replicas=7', /replicas: expected a whole number from 1 to 5, found 7/],
    ['replicas=1.5', /replicas: expected a whole number from 1 to 5, found 1.5/],
    ['replicas=many', /replicas: expected a whole number from 1 to 5, found "many"/],
    ['hosts=', /hosts: expected a whole number/],
    ['starvationMs=5 moons', /starvationMs: expected .* or a duration such as/],
    ['fixed=maybe', /fixed: expected true or false, found "maybe"/],
    ['loop=round', /loop: expected one of closed, open, found "round"/],
    ['raftCommitMs=5', /raftCommitMs: expected a list of \[percent, ms\]/],
    ['raftCommitMs=[[0,2],[50,1],[100,3]]', /raftCommitMs: expected a list/],
    ['modelSizesMb={"a":-1}', /modelSizesMb\.a: expected a number from 0/],
    [
      'hostTypes=[{"name":"a","gpus":8,"spede":2}]',
      /hostTypes\.0: unknown member "spede" Did you mean speed\?/,
    ],
    ['hostTypes=[{"name":"a"}]', /hostTypes\.0\.gpus: expected a whole number/],
    ['faults=[{"atMs":"1h","kind":"fire"}]', /faults\.0\.kind: .*host-loss/],
  ];
  for (const [word, expected] of cases)
    assert.match(
      fault(() => parseSettings([word])),
      expected,
    );
});

test('members of host types and faults have defaults and take durations', () => {
  const { hostTypes, faults } = parseSettings([
    'hostTypes=[{"name":"a100","gpus":4,"speed":2}]',
    'faults=[{"atMs":"2h","kind":"host-loss","target":3}]',
  ]);
  assert.equal(hostTypes, [
    {
      name: 'a100',
      gpus: 4,
      cpuMillis: 32_000,
      memoryMb: 244_000,
      vramMb: 64_000,
      gpuType: '',
      speed: 2,
      maxHosts: 1_000_000,
      pricePerHour: 12.24,
    },
  ]);
  assert.equal(faults, [{ atMs: 7_200_000, kind: 'host-loss', target: 3 }]);
});

test('a file is read, and its faults name file and key', () => {
  fileWith('{"hosts": 12, "coldStartMedianMs": "20s"}', (path) => {
    assert.equal(readConfigFile(path), { hosts: 12, coldStartMedianMs: 20_000 });
  });
  fileWith('{"hosst": 12}', (path) => {
    assert.is(
      fault(() => readConfigFile(path)),
      `config-unknown-key ${path}: unknown option "hosst" Did you mean hosts?`,
    );
  });
  fileWith('{"hosts": -1}', (path) => {
    assert.ok(fault(() => readConfigFile(path)).startsWith(`config-bad-value ${path}: hosts: `));
  });
  fileWith('[]', (path) =>
    assert.match(
      fault(() => readConfigFile(path)),
      'an object of options',
    ),
  );
  fileWith('{"hosts": 12,\n "seed": }', (path) => {
    const message = fault(() => readConfigFile(path));
    assert.ok(message.startsWith(`file-corrupt ${path}: not JSON:`), message);
    assert.match(message, 'line 2, column 10');
  });
  fileWith('{"hosts": 12', (path) =>
    assert.match(
      fault(() => readConfigFile(path)),
      'file-corrupt',
    ),
  );
  assert.match(
    fault(() => readConfigFile('/nowhere/at/all.json')),
    'file-not-found /nowhere/at/all.json: no such file',
  );
});

test('options that contradict each other are refused', () => {
  checkConfig(resolveConfig());
  assert.match(
    fault(() => checkConfig(resolveConfig({ gatewayMinMs: 9 }))),
    /gatewayMinMs \(9\) is above gatewayMaxMs \(5\)/,
  );
  assert.match(
    fault(() => checkConfig(resolveConfig({ gpusPerHost: 64 }))),
    'deviceIds=false',
  );
  checkConfig(resolveConfig({ gpusPerHost: 64, deviceIds: false }));
});

test.run();
