import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compare } from '../../experiments/compare.ts';
import { comparisonText } from '../../experiments/compare-text.ts';
import { shownValue } from '../../sim/summary-text.ts';
import { randomRun } from '../random-run.ts';

test('money and shares are written for people', () => {
  assert.is(shownValue(-6054.4, 'money'), '-$6,054');
  assert.is(shownValue(6054.4, 'money'), '$6,054');
  assert.is(shownValue(-11.456, 'share'), '-1,145.6 %');
  assert.is(shownValue('', 'share'), '-');
});

test('differences of money keep the sign before the unit, those of shares are points', async () => {
  const { trace } = randomRun(7);
  const text = comparisonText(
    await compare({ trace, policies: ['reservation', 'lcp'], seeds: 3, config: { hosts: 12 } }),
  );
  const differences = text.slice(text.indexOf('difference to reservation'));
  assert.not.match(text, '$-');
  assert.match(differences, /cells that got GPUs immediately\s+-?[\d.]+ points/);
});

test.run();
