import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decisionOf, nextEpoch, notices, runCell, sound, started } from './driver.ts';
import { startOf, submitOf } from './world.ts';

test('a cell runs once and its state reaches every standby', async () => {
  const world = await started();
  const ended = await runCell(world, 0, 'x=5;print', 1);
  assert.is(ended?.type, 'end');
  assert.is((ended as { lastOutput: number }).lastOutput, 0);
  await world.run(1_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 5]]);
  assert.is(notices(world, 'output').length, 1);
  await sound(world);
  await world.close();
});

test('cells move between hosts with their variables', async () => {
  const world = await started();
  for (let cell = 0; cell < 12; cell++)
    assert.is((await runCell(world, cell, 'x+=1', 1 + (cell % 3)))?.type, 'end');
  await world.run(1_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 12]]);
  await sound(world);
  await world.close();
});

test('a process that dies ends its cell with an error, and the next sees what was committed', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const aborted = await runCell(world, 1, 'x=2;die', 1);
  assert.is(aborted?.type, 'abort');
  assert.is((aborted as { entry: { reason: string } }).entry.reason, 'executor-died');
  assert.match((aborted as { entry: { message: string } }).entry.message, /signal 9.*Kept.* x\./);
  assert.is(notices(world, 'process-died').length, 1);
  assert.is((await runCell(world, 2, 'x+=10', 1))?.type, 'end');
  await world.run(1_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 11]]);
  await sound(world);
  await world.close();
});

test('a former executor with threads starts over from the table', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1;thread', 1);
  const before = world.hosts[0]!.python;
  await runCell(world, 1, 'x+=1', 2);
  await world.run(1_000);
  assert.is.not(world.hosts[0]!.python, before);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 2]]);
  await world.close();
});

test('changes between cells become entries, and each is told once', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  world.hosts[0]!.python!.vars.set('y', 7);
  await world.run(3_000);
  for (const host of world.hosts) assert.is(host.python!.vars.get('y'), 7);
  await runCell(world, 1, 'z=1', 2);
  await world.run(1_000);
  for (const host of world.hosts) assert.is(host.python!.vars.size, 3);
  await sound(world);
  await world.close();
});

test('a save inside a cell outlives the death of its process', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1;save;sleep 100;x=2;die', 1);
  await runCell(world, 1, 'y=1', 2);
  await world.run(1_000);
  for (const host of world.hosts) assert.is(host.python!.vars.get('x'), 1);
  await world.close();
});

test('a yielded cell runs elsewhere, once', async () => {
  const world = await started();
  world.hosts[0]!.replica!.fault({ kind: 'yield-next', kernel: 'k1', times: 1 });
  const { replica } = world.hosts[0]!;
  await Promise.race([
    replica!.propose([submitOf(0, 'x=1'), startOf(0, 1, nextEpoch(), 1)]),
    world.run(5_000, () => notices(world, 'yielded').length > 0),
  ]);
  assert.ok(await world.run(5_000, () => notices(world, 'yielded').length === 3));
  replica!.propose([startOf(0, 2, nextEpoch(), 2)]).catch(assert.unreachable);
  assert.ok(await world.run(5_000, () => decisionOf(world, 0)?.type === 'end'));
  assert.equal(world.witness, ['cell-0']);
  await sound(world);
  await world.close();
});

test('a cell whose process died before the cell began runs elsewhere, once', async () => {
  const world = await started();
  const [first] = world.hosts;
  first!.python!.diesEarly = true;
  const cell = [submitOf(0, 'x=1'), startOf(0, 1, nextEpoch(), 1)];
  first!.replica!.propose(cell).catch(assert.unreachable);
  assert.ok(await world.run(5_000, () => notices(world, 'yielded').length === 3));
  assert.is(notices(world, 'process-died').length, 1);
  first!.replica!.propose([startOf(0, 2, nextEpoch(), 2)]).catch(assert.unreachable);
  assert.ok(await world.run(5_000, () => decisionOf(world, 0)?.type === 'end'));
  assert.equal(world.witness, ['cell-0']);
  await sound(world);
  await world.close();
});

test('devices are held while a cell runs; where they are not free, it is yielded', async () => {
  const world = await started();
  const [first] = world.hosts;
  const start = { ...startOf(0, 1, nextEpoch(), 1), devices: [1] };
  first!.replica!.propose([submitOf(0, 'sleep 200'), start]).catch(assert.unreachable);
  await world.run(100);
  assert.equal([...first!.held], [[0, [1]]]);
  await world.run(1_000);
  assert.is(first!.held.size, 0);
  first!.busy = true;
  const busy = { ...startOf(1, 2, nextEpoch(), 1), devices: [1] };
  first!.replica!.propose([submitOf(1, 'x=1'), busy]).catch(assert.unreachable);
  await world.run(1_000);
  assert.is(notices(world, 'yielded').length, 0);
  assert.ok(await world.run(4_000, () => notices(world, 'yielded').length === 3));
  first!.busy = false;
  const free = { ...startOf(1, 3, nextEpoch(), 1), devices: [1] };
  first!.replica!.propose([free]).catch(assert.unreachable);
  assert.ok(await world.run(4_000, () => decisionOf(world, 1)?.type === 'end'));
  await sound(world);
  await world.close();
});

test('a fault ends the process of the next cell', async () => {
  const world = await started();
  world.hosts[0]!.replica!.fault({ kind: 'fail-next', kernel: 'k1' });
  assert.is((await runCell(world, 0, 'x=1;sleep 50', 1))?.type, 'abort');
  assert.is((await runCell(world, 1, 'x=2', 1))?.type, 'end');
  await sound(world);
  await world.close();
});

test('a restart empties the state, and aborts what was open', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const { replica } = world.hosts[1]!;
  const entries = [submitOf(1, 'sleep 5000'), startOf(1, 2, nextEpoch(), 1), submitOf(2, 'x=3')];
  replica!.propose(entries).catch(assert.unreachable);
  await world.run(500);
  replica!.propose([{ v: 1, type: 'reset', epoch: nextEpoch() }]).catch(assert.unreachable);
  await world.run(2_000);
  for (const host of world.hosts) {
    assert.is(host.python!.vars.size, 0);
    assert.is(host.replica!.position().process, 'ready');
    assert.is(host.replica!.report().open.length, 0);
    assert.is(host.replica!.report().decided.length, 3);
  }
  assert.is((await runCell(world, 3, 'y=1', 2))?.type, 'end');
  await sound(world);
  await world.close();
});

test('an interrupt before the process is reached ends the cell', async () => {
  const world = await started();
  const [first] = world.hosts;
  first!.pythonOf.startMs = 5_000;
  first!.replica!.fault({ kind: 'kill-replica', kernel: 'k1', member: 1 });
  const ended = runCell(world, 0, 'x=1', 1, 3_000);
  world.after(500, () => void first!.replica!.interrupt());
  const decision = await ended;
  assert.is((decision as { entry: { reason: string } }).entry.reason, 'interrupted');
  assert.equal(world.witness, []);
  await world.close();
});

test('a unit that ends every process that loads it is left out and told', async () => {
  const world = await started();
  world.hosts[2]!.pythonOf.poison = new Set(['bad']);
  await runCell(world, 0, 'good=1;bad=2;other=3', 1);
  await world.run(10_000);
  assert.equal([...world.hosts[2]!.python!.vars.keys()].sort(), ['good', 'other']);
  assert.is(world.hosts[2]!.replica!.position().process, 'ready');
  const [told] = world.hosts[2]!.replica!.report().unreplicated;
  assert.is(told?.name, 'bad');
  await world.close();
});

test('a process that never starts is given up, and its cells fail', async () => {
  const world = await started();
  const [first] = world.hosts;
  first!.makePython = (python) => {
    python.start = async () => {
      throw new Error('no module named ipykernel');
    };
    return python;
  };
  first!.replica!.fault({ kind: 'kill-replica', kernel: 'k1', member: 1 });
  const decision = await runCell(world, 0, 'x=1', 1, 60_000);
  assert.match((decision as { entry: { message: string } }).entry.message, /no module named/);
  assert.is(notices(world, 'replica-failed')[0]?.[1].code, 'kernel-failed');
  assert.is((await runCell(world, 1, 'x=1', 2))?.type, 'end');
  await sound(world);
  await world.close();
});

test('a standby prints nothing, and messages wait for a process that starts', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const python = world.hosts[1]!.python!;
  python.print(new Uint8Array());
  assert.is(notices(world, 'output').length, 0);
  world.hosts[0]!.python!.print(new Uint8Array());
  assert.is(notices(world, 'output')[0]?.[1].cell, -1);
  world.hosts[0]!.replica!.fault({ kind: 'kill-replica', kernel: 'k1', member: 1 });
  const part = new Uint8Array();
  const message = { header: part, parent: part, metadata: part, content: part, buffers: [] };
  world.hosts[0]!.replica!.toKernel('shell', message);
  await world.run(1_000);
  assert.equal(world.hosts[0]!.python!.sent, ['shell']);
  await world.close();
});

test.run();
