import { parseHTML } from 'linkedom';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SUMMARY_COLUMNS } from '../../core/record/columns.ts';
import {
  barsFigure,
  completionFigure,
  curvesFigure,
  delayFigure,
  type Figure,
  gpuHoursFigure,
  moneyFigure,
  type RunColumns,
  stepsFigure,
  subscriptionFigure,
  tornadoFigure,
} from '../../experiments/figures/index.ts';
import { durationLabel, shortNumber, strokesOf } from '../../experiments/figures/style.ts';

const POLICIES = ['reservation', 'batch-fcfs', 'notebookos', 'lcp', 'gandiva', 'a<b>&c'];

function runColumns(policy: string, k: number): RunColumns {
  const timeMs = Float64Array.from({ length: 1500 }, (_, i) => i * 60_000);
  const wave = timeMs.map((t) => 60 + k + 40 * Math.sin(t / 5e6));
  const cells = Float64Array.from({ length: 4000 }, (_, i) => 2 + 1.003 ** i * (k + 1)).sort();
  const numbers = SUMMARY_COLUMNS.filter(({ kind }) => kind !== 'text');
  return {
    label: policy,
    policy,
    replicas: policy === 'notebookos' ? 3 : 1,
    delaysMs: cells,
    tctsMs: cells.map((ms) => ms + 60_000),
    summary: Object.fromEntries(numbers.map(({ name }, i) => [name, 10 + i + k])),
    money: { costPerGpuHour: 3, userPriceFactor: 1.5, standbyRate: 0.1 },
    timeline: {
      timeMs,
      provisionedGpus: wave,
      reservedGpus: wave,
      committedGpus: wave,
      demandedGpus: wave,
      subscriptionRatio: wave.map((gpus) => gpus / 50),
      subscriptionLimit: wave.map((gpus) => gpus / 20),
      sessionsOpen: wave,
      executionsRunning: wave,
      oracleGpus: wave,
      hosts: wave,
    },
  };
}

const RUNS = POLICIES.map(runColumns);
const interval = (mean: number) => ({ mean, low: mean - 1, high: mean + 1, count: 20 });

function all(): Figure[] {
  const perPolicy = (x: number) =>
    POLICIES.map((policy, k) => ({ group: `group ${x}`, policy, x, value: interval(k + x) }));
  const values = [1, 2, 4].flatMap(perPolicy);
  const measures = [{ title: 'a measure', unit: 'GPU-hours', values }];
  return [
    gpuHoursFigure(RUNS),
    delayFigure(RUNS),
    completionFigure(RUNS),
    subscriptionFigure(RUNS),
    stepsFigure(RUNS),
    moneyFigure(RUNS),
    barsFigure('bars', 'Bars', 'Groups.', measures),
    curvesFigure('curves', 'Curves', 'Lines.', { label: 'Hosts', log: true }, measures),
    tornadoFigure('tornado', 'Tornado', 'a measure', '%', [
      { label: 'one', lowSetting: '1', highSetting: '2', low: -3, high: 2 },
      { label: 'two', lowSetting: '1', highSetting: '2', low: Number.NaN, high: -1 },
    ]),
  ];
}

test('a figure is a well-formed SVG with a title, and fetches nothing', () => {
  for (const { name, svg, title } of all()) {
    const { document } = parseHTML(svg);
    assert.is(document.querySelector('svg > title')!.textContent, title, name);
    const withoutNames = svg.replaceAll(/ xmlns(:\w+)?="[^"]*"/g, '');
    assert.not.match(withoutNames, /https?:|url\(|@import|<image|<script|<style|href=/);
    assert.not.match(svg, /NaN|undefined|Infinity|\[object/, name);
    assert.ok(!svg.includes('<b>'), `${name}: names are escaped`);
    for (const tick of document.querySelectorAll('[aria-label$="tick label"] text'))
      assert.ok(tick.textContent!.length > 0, `${name}: every tick has its label`);
  }
});

test('every axis says its unit', () => {
  const units: Record<string, RegExp[]> = {
    'gpu-hours': [/GPUs/, /GPU-hours/, /\(hours\)/],
    'delay-cdf': [/Completed cells \(%\)/, /1 s/],
    'tct-cdf': [/Completed cells \(%\)/, /1 min/],
    'subscription-ratio': [/no unit/, /\(hours\)/],
    steps: [/\(s\)/, /\(%\)/],
    cost: [/\$/, /%/],
    bars: [/GPU-hours/],
    curves: [/GPU-hours/, /Hosts/],
    tornado: [/\(%\)/],
  };
  for (const { name, svg } of all())
    for (const unit of units[name]!) assert.match(svg, unit, `${name}: ${unit}`);
});

test('legends name every series, inside the figure', () => {
  for (const { name, svg } of all().filter(({ name: n }) => !['steps', 'tornado'].includes(n))) {
    const { document } = parseHTML(svg);
    const texts = [...document.querySelectorAll('svg > text')];
    for (const policy of POLICIES) {
      const entry = texts.find((text) => text.textContent === policy);
      assert.ok(entry, `${name}: ${policy}`);
      const width = Number(document.querySelector('svg')!.getAttribute('width'));
      assert.ok(Number(entry.getAttribute('x')) + policy.length * 7 < width, `${name}: ${policy}`);
    }
  }
});

test('the same data give the same bytes, whatever was drawn before', () => {
  const once = all();
  assert.equal(all().reverse(), once.reverse());
});

test('each policy has its own fixed look, told apart without colour', () => {
  const strokes = strokesOf(POLICIES);
  assert.is(strokes.get('notebookos')!.color, '#0072b2');
  assert.is(strokesOf(['lcp']).get('lcp'), strokes.get('lcp'));
  assert.is(strokesOf(['a<b>&c']).get('a<b>&c'), strokes.get('a<b>&c'));
  assert.is(new Set([...strokes.values()].map(({ dash }) => dash)).size, POLICIES.length);
  const many = Array.from({ length: 6 }, (_, i) => `mine-${i}`);
  assert.is(new Set([...strokesOf(many).values()].map(({ color }) => color)).size, 6);
});

test('a run without a single completed cell can be drawn', () => {
  const empty = { ...RUNS[0]!, delaysMs: new Float64Array(0), tctsMs: new Float64Array(0) };
  assert.match(delayFigure([empty]).svg, /Interactivity delay/);
});

test('numbers and durations are short', () => {
  assert.equal([0, 0.5, 12.345, 999.5, 12_345.6, 123_456, 2_500_000].map(shortNumber), [
    '0',
    '0.5',
    '12.3',
    '1,000',
    '12,346',
    '123k',
    '2.5M',
  ]);
  assert.is(shortNumber(Number.NaN), '–');
  assert.equal([0.001, 0.1, 1, 60, 300, 3600, 172_800].map(durationLabel), [
    '1 ms',
    '0.1 s',
    '1 s',
    '1 min',
    '5 min',
    '1 h',
    '2 d',
  ]);
});

test.run();
