import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FoldedOutputs, type NotebookOutput } from '../../../live/jupyter/folded-outputs.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import { TerminalText } from '../../../live/jupyter/terminal-text.ts';

type Step = readonly [type: string, content: object];

const print = (text: string, name = 'stdout'): Step => ['stream', { name, text }];
const display = (text: string, id?: string, type = 'display_data'): Step => [
  type,
  {
    data: { 'text/plain': text },
    metadata: {},
    ...(id === undefined ? {} : { transient: { display_id: id } }),
  },
];

function folded(...steps: readonly Step[]): NotebookOutput[] {
  const outputs = new FoldedOutputs();
  for (const [type, content] of steps)
    outputs.add(messageOf({ header: newHeader(type, 'k'), content }));
  return outputs.outputs();
}

/** Outputs as short texts: streams by name, displays by their text. */
function brief(outputs: readonly NotebookOutput[]): string[] {
  return outputs.map((output) => {
    if (output.output_type === 'stream') return `${output.name}: ${output.text}`;
    if (output.output_type === 'error') return `error: ${output.ename}`;
    return `${output.output_type}: ${output.data['text/plain']}`;
  });
}

test('streams join while nothing comes between them', () => {
  const steps = [print('a'), print('b\n'), print('e', 'stderr'), print('c'), display('d')];
  assert.equal(brief(folded(...steps, print('f'))), [
    'stdout: ab\n',
    'stderr: e',
    'stdout: c',
    'display_data: d',
    'stdout: f',
  ]);
});

test('a progress bar of a thousand steps is one line', () => {
  const steps = Array.from({ length: 1000 }, (_, i) => print(`\r${i}/1000`, 'stderr'));
  assert.equal(brief(folded(...steps, print('\rdone     \n', 'stderr'), print('x', 'stderr'))), [
    'stderr: done     \nx',
  ]);
});

test('text is written over as on a terminal', () => {
  const shown = (...pieces: string[]): string => {
    const text = new TerminalText();
    for (const piece of pieces) text.write(piece);
    return text.toString();
  };
  assert.is(shown('abc\rX'), 'Xbc');
  assert.is(shown('abc\r', 'XYZ4'), 'XYZ4');
  assert.is(shown('abc\r\ndef'), 'abc\ndef');
  assert.is(shown('abc\b\bX'), 'aXc');
  assert.is(shown('\b\bab'), 'ab');
  assert.is(shown('one\n', 'two\r'), 'one\ntwo');
});

test('clear_output takes all away, with wait only when something follows', () => {
  const wait: Step = ['clear_output', { wait: true }];
  assert.equal(brief(folded(print('a'), ['clear_output', { wait: false }])), []);
  assert.equal(brief(folded(print('a'), wait)), ['stdout: a']);
  assert.equal(brief(folded(print('a'), wait, print('b'))), ['stdout: b']);
  assert.equal(brief(folded(print('a'), wait, display('c'), display('d'))), [
    'display_data: c',
    'display_data: d',
  ]);
});

test('updates reach all displays of their id and make none', () => {
  const update = display('new', 'p', 'update_display_data');
  const steps = [display('old', 'p'), display('other', 'q'), display('old', 'p')];
  assert.equal(brief(folded(...steps, update, display('x', 'z', 'update_display_data'))), [
    'display_data: new',
    'display_data: other',
    'display_data: new',
  ]);
});

test('results and errors are as nbformat has them, other messages nothing', () => {
  const result = { data: { 'text/plain': '1' }, metadata: {}, execution_count: 4 };
  const error = { ename: 'E', evalue: 'v', traceback: ['t'] };
  assert.equal(
    folded(['status', {}], ['execute_result', result], ['error', error], ['comm_msg', {}]),
    [
      { output_type: 'execute_result', ...result },
      { output_type: 'error', ...error },
    ],
  );
});

test('outputs beyond the limit are left out, and said', () => {
  const large = 'x'.repeat(20 * 1024 * 1024);
  const outputs = folded(display(large), display(large), print('end'));
  assert.is(outputs.length, 3);
  assert.match(brief(outputs)[2]!, /1 later outputs/);
});

test.run();
