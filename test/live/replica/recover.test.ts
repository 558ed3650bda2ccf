import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recoverGroup } from '../../../live/agent/recover-group.ts';
import { decisionOf, nextEpoch, runCell, started } from './driver.ts';
import { KERNEL, startOf, submitOf, type World } from './world.ts';

/** Members 2 and 3 are gone; the first goes on alone as member 9. */
async function recovered(world: World): Promise<void> {
  const [first] = world.hosts;
  first!.kill();
  await world.run(10);
  first!.store.revive();
  const done = recoverGroup(first!.store.forLife(), KERNEL, 'h1', 9);
  await Promise.all([done, world.run(50)]);
  first!.member = 9;
  await Promise.all([first!.restart(), world.run(50)]);
}

test('a kernel goes on from one replica, with what that one knows', async () => {
  const world = await started();
  const [first, second, third] = world.hosts;
  for (let cell = 0; cell < 5; cell++) await runCell(world, cell, 'x+=1', 1 + (cell % 3));
  second!.kill();
  third!.kill();
  await recovered(world);
  const report = first!.replica!.report();
  assert.equal(report.members, [{ member: 9, host: 'h1' }]);
  assert.is(report.count, 5);
  assert.ok(await world.run(5_000, () => first!.replica!.position().process === 'ready'));
  assert.is((await runCell(world, 5, 'x+=1', 9))?.type, 'end');
  assert.is(first!.python!.vars.get('x'), 6);
  await world.close();
});

test('a cell that ran is aborted, one that waited still waits', async () => {
  const world = await started();
  const [first, second, third] = world.hosts;
  await runCell(world, 0, 'x=1', 1);
  const entries = [
    submitOf(1, 'x=2;sleep 9000'),
    startOf(1, 2, nextEpoch(), 2),
    submitOf(2, 'x=3'),
  ];
  first!.replica!.propose(entries).catch(() => undefined);
  await world.run(500);
  second!.kill();
  third!.kill();
  await recovered(world);
  const { open, decided } = first!.replica!.report();
  assert.equal(
    open.map(({ submit, attempt }) => [submit.cell, attempt]),
    [[2, 0]],
  );
  assert.is(decided.at(-1)!.cell, 1);
  assert.is(decided.at(-1)!.entry.type, 'abort');
  await world.close();
});

test('the members that it left behind cannot disturb it, nor agree on anything with it', async () => {
  const world = await started();
  const [first, second, third] = world.hosts;
  await runCell(world, 0, 'x=1', 1);
  second!.kill();
  third!.kill();
  await recovered(world);
  await runCell(world, 1, 'x+=1', 9);
  await Promise.all([second!.restart(), third!.restart(), world.run(50)]);
  await world.run(5_000);
  assert.is((await runCell(world, 2, 'x+=1', 9))?.type, 'end');
  assert.is(first!.python!.vars.get('x'), 3);
  assert.equal(first!.replica!.report().members, [{ member: 9, host: 'h1' }]);
  // Whoever looks at all reports takes the recovered one for the latest.
  const latest = [first!, second!, third!].map(({ replica }) => replica!.report().applied);
  assert.ok(latest[0]! > Math.max(latest[1]!, latest[2]!));
  assert.is(decisionOf(world, 2)?.type, 'end');
  await world.close();
});

test.run();
