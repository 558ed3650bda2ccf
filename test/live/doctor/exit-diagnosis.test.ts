import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { describeExit, diagnoseExit } from '../../../live/doctor/exit-diagnosis.ts';

test('how a process ended is told with what it means', () => {
  assert.match(describeExit(null, 'SIGKILL'), /SIGKILL.*memory/);
  assert.match(describeExit(139, null), /139.*bad memory access/);
  assert.match(describeExit(134, null), /134.*native/);
  assert.match(describeExit(null, 'SIGABRT'), /SIGABRT.*aborted/);
  assert.match(describeExit(127, null), /127.*C library/);
  assert.match(describeExit(126, null), /126.*cannot be run/);
  assert.is(describeExit(3, null), 'exit code 3');
});

test('an end by the memory limit is told apart from any other kill', () => {
  const limited = diagnoseExit({ code: 137, outOfMemory: true });
  assert.match(limited.cause, /137: ended because its memory limit was reached/);
  assert.match(limited.advice, /--memory-mb/);
  assert.match(diagnoseExit({ code: 137 }).cause, /most often because memory ran out/);
});

test('last words tell what a code does not', () => {
  const said = (code: number, words: string) => diagnoseExit({ code, words });
  assert.match(said(1, '/usr/bin/python3: No module named ipykernel_launcher').cause, /ipykernel/);
  assert.match(
    said(1, "libc.so.6: version `GLIBC_2.38' not found (required by python3)").cause,
    /newer C library/,
  );
  assert.match(
    said(127, 'python3: error while loading shared libraries: libz.so.1: cannot open').cause,
    /shared library is missing/,
  );
  assert.match(
    said(137, 'nbos: no word from its agent for 15 s').cause,
    /137: ended itself, for its agent could not be heard/,
  );
  assert.match(said(126, 'exec /usr/bin/python3: exec format error').cause, /another processor/);
  assert.match(said(127, 'exec: "python3": executable file not found in $PATH').advice, /image/);
  assert.is(said(3, 'something else').cause, 'exit code 3');
  assert.match(said(3, 'something else').advice, /last words/);
});

test('a kernel that ended well needs no advice, whatever it had written', () => {
  const { cause, advice } = diagnoseExit({ code: 0, words: 'No space left on device' });
  assert.match(cause, /ended by itself/);
  assert.is(advice, '');
});

test.run();
