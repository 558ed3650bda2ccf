import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GROUP_LIMITS } from '../../../live/agent/group-options.ts';
import { REPLICA_LIMITS } from '../../../live/agent/replica-options.ts';
import { GATEWAY_LIMITS } from '../../../live/gateway/limits.ts';
import type { MemberAddress } from '../../../live/wire/messages.ts';
import { decisionOf, nextEpoch, notices, runCell, sound, started } from './driver.ts';
import { Host, startOf, submitOf, TICK_MS, World } from './world.ts';

const SMALL = { group: { ...GROUP_LIMITS, snapshotEntries: 10, keptEntries: 2 } };

test('a new group leads itself within a few ticks', async () => {
  const world = new World({ seed: 3 });
  await Promise.all([...world.hosts.map((host) => host.start()), world.run(5)]);
  const leads = (): boolean =>
    world.hosts.some(({ replica }) => replica?.position().role === 'leader');
  assert.ok(await world.run(200, leads));
  await world.close();
});

test('a kernel of one replica needs nobody', async () => {
  const world = await started({ hosts: 1 });
  assert.is((await runCell(world, 0, 'x=1;sleep 5000', 1))?.type, 'end');
  await sound(world);
  await world.close();
});

test('the leadership follows the executor, and an idle group rests', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1;sleep 200', 3);
  assert.is(world.hosts[2]!.replica!.position().role, 'leader');
  await world.run(3_000);
  const written = world.hosts.map(({ store }) => store.writes);
  await world.run(60_000);
  assert.equal(
    world.hosts.map(({ store }) => store.writes),
    written,
  );
  assert.is((await runCell(world, 1, 'x=2', 1, 500))?.type, 'end');
  await world.close();
});

test("an agent killed in a cell: the others decide it, and it finds out when it's back", async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const [first, second] = world.hosts;
  const entries = [submitOf(1, 'x=2;sleep 60000'), startOf(1, 2, nextEpoch(), 1)];
  first!.replica!.propose(entries).catch(() => undefined);
  await world.run(500);
  first!.kill();
  second!.replica!.hostGone('h1');
  const abort = { v: 1, type: 'abort', cell: 1, attempt: 2, reason: 'host-lost' } as const;
  let decided = false;
  second!
    .replica!.propose([{ ...abort, epoch: nextEpoch(), message: '' }])
    .then(() => (decided = true), assert.unreachable);
  assert.ok(await world.run(2_000, () => decided && decisionOf(world, 1) !== undefined));
  assert.ok(decided);
  assert.is((await runCell(world, 2, 'x+=10', 2))?.type, 'end');
  await Promise.all([first!.restart(), world.run(5)]);
  await world.run(3_000);
  assert.equal([...first!.python!.vars], [['x', 11]]);
  await sound(world);
  await world.close();
});

test('an agent that comes back gives up the cell that ran in its former life', async () => {
  const world = await started();
  const [first] = world.hosts;
  const entries = [submitOf(0, 'x=2;sleep 60000'), startOf(0, 1, nextEpoch(), 1)];
  first!.replica!.propose(entries).catch(() => undefined);
  await world.run(500);
  first!.kill();
  await world.run(100);
  await Promise.all([first!.restart(), world.run(5)]);
  assert.ok(await world.run(5_000, () => decisionOf(world, 0)?.type === 'abort'));
  assert.equal(world.witness, ['cell-0']);
  await sound(world);
  await world.close();
});

test('all agents killed at once go on with everything that was committed', async () => {
  const world = await started({ limits: SMALL });
  for (let cell = 0; cell < 9; cell++) await runCell(world, cell, 'x+=1', 1 + (cell % 3));
  await world.run(500);
  for (const host of world.hosts) host.kill();
  await world.run(1_000);
  await Promise.all([...world.hosts.map((host) => host.restart()), world.run(5)]);
  const report = world.hosts[1]!.replica!.report();
  assert.is(report.count, 9);
  assert.is(report.nextCell, 9);
  assert.is(report.decided.length, 9);
  assert.is((await runCell(world, 9, 'x+=1', 1))?.type, 'end');
  await world.run(3_000);
  for (const host of world.hosts) assert.equal([...host.python!.vars], [['x', 10]]);
  await sound(world);
  await world.close();
});

test('a cut off executor is paused, then ended, and its cell is not run again', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const [first, second] = world.hosts;
  const entries = [submitOf(1, 'x=2;sleep 20000'), startOf(1, 2, nextEpoch(), 1)];
  first!.replica!.propose(entries).catch(() => undefined);
  await world.run(500);
  const python = first!.python!;
  world.partition('h1');
  assert.ok(await world.run(2_500, () => python.paused));
  assert.ok(await world.run(2_500, () => first!.python !== python));
  await world.run(1_000);
  world.heal();
  assert.ok(await world.run(5_000, () => decisionOf(world, 1) !== undefined));
  const decision = decisionOf(world, 1) as { entry: { reason: string } };
  assert.is(decision.entry.reason, 'fenced');
  assert.is((await runCell(world, 2, 'x+=1', 2))?.type, 'end');
  await world.run(1_000);
  assert.equal([...first!.python!.vars], [['x', 2]]);
  assert.equal([...second!.python!.vars], [['x', 2]]);
  await sound(world);
  await world.close();
});

test('a cell that is cut off stands still before its host counts as lost', () => {
  const { leaseMs, group } = REPLICA_LIMITS;
  const { beatMs, hostLeaseMs } = GATEWAY_LIMITS;
  assert.ok(leaseMs + beatMs + 2 * TICK_MS <= hostLeaseMs);
  assert.ok(group.raft.electionTicks! * TICK_MS < leaseMs);
});

test('a short cut pauses the cell and lets it go on', async () => {
  const world = await started();
  const [first] = world.hosts;
  const entries = [submitOf(0, 'x=2;sleep 4000'), startOf(0, 1, nextEpoch(), 1)];
  first!.replica!.propose(entries).catch(() => undefined);
  await world.run(500);
  world.partition('h1');
  assert.ok(await world.run(2_500, () => first!.python!.paused));
  world.heal();
  assert.ok(await world.run(10_000, () => decisionOf(world, 0)?.type === 'end'));
  await sound(world);
  await world.close();
});

test('a disk that fails stops its replica alone; its cell is ended by the others', async () => {
  const world = await started();
  await runCell(world, 0, 'x=1', 1);
  const [first] = world.hosts;
  const entries = [submitOf(1, 'x=2;sleep 3000'), startOf(1, 2, nextEpoch(), 1)];
  first!.replica!.propose(entries).catch(() => undefined);
  await world.run(500);
  first!.store.failing = true;
  first!.replica!.propose([submitOf(2, 'x+=1')]).catch(() => undefined);
  assert.ok(await world.run(8_000, () => notices(world, 'replica-failed').length > 0));
  assert.is(notices(world, 'replica-failed')[0]![1].code, 'disk-full');
  assert.ok(await world.run(8_000, () => decisionOf(world, 1)?.type === 'abort'));
  assert.is((await runCell(world, 2, 'x+=1', 2))?.type, 'end');
  assert.is(world.hosts[1]!.python!.vars.get('x'), 2);
  const refused = await first!.replica!.propose([submitOf(3, 'x')]).catch(({ code }) => code);
  assert.is(refused, 'replica-stopped');
  assert.is((await first!.replica!.proposeHere([submitOf(3, 'x')])).ok, false);
  await sound(world);
  await world.close();
});

test('two of three lost: the one left says so, and takes nothing', async () => {
  const world = await started();
  world.hosts[1]!.kill();
  world.hosts[2]!.kill();
  let code = '';
  world.hosts[0]!.replica!.propose([submitOf(0, 'x=1')]).catch((error) => {
    code = error.code;
  });
  await world.run(12_000);
  assert.is(code, 'no-quorum');
  assert.is(notices(world, 'lost-quorum').length, 1);
  await world.close();
});

test('a member that was away for long comes back by a snapshot', async () => {
  const world = await started({ limits: SMALL });
  const third = world.hosts[2]!;
  third.kill();
  for (let cell = 0; cell < 20; cell++)
    await runCell(world, cell, `x+=1;v${cell}=1`, 1 + (cell % 2));
  await Promise.all([third.restart(), world.run(5)]);
  await world.run(10_000);
  assert.is(third.python!.vars.size, 21);
  assert.is(third.replica!.position().process, 'ready');
  assert.equal(third.replica!.report().count, 20);
  assert.is((await runCell(world, 20, 'x+=1', 3))?.type, 'end');
  await world.run(1_000);
  assert.is(world.hosts[0]!.python!.vars.get('x'), 21);
  await sound(world);
  await world.close();
});

test('what a former executor kept to itself while it was cut off is not told later', async () => {
  const world = await started({ limits: SMALL });
  const [first, second, third] = world.hosts;
  await runCell(world, 0, 'x=1', 1);
  world.partition('h1');
  // A timer changes x after the cell: its STATE finds no majority.
  first!.python!.vars.set('x', 99);
  await world.run(2_500);
  for (let cell = 1; cell < 20; cell++) await runCell(world, cell, `y${cell}=1`, 2 + (cell % 2));
  await runCell(world, 20, 'z=1', 2);
  world.heal();
  await world.run(10_000);
  assert.is(first!.replica!.report().count, 21);
  assert.is(first!.python!.vars.get('x'), 1);
  assert.is((await runCell(world, 21, 'x+=1', 1))?.type, 'end');
  await world.run(1_000);
  for (const { python } of [first!, second!, third!]) assert.is(python!.vars.get('x'), 2);
  await sound(world);
  await world.close();
});

async function replaced(world: World, gone: Host): Promise<Host> {
  const fresh = new Host(world, 'h4', 4);
  world.hosts.push(fresh);
  const members: MemberAddress[] = world.hosts.map(({ name, member }) => ({ member, host: name }));
  await Promise.all([fresh.start(true, members.slice(0, 3)), world.run(5)]);
  const leader = world.hosts.find(({ replica }) => replica?.position().role === 'leader')!;
  let done = false;
  leader.replica!.changeMembers({ member: 4, host: 'h4' }, gone.member).then(
    () => (done = true),
    (error) => world.warnings.push(String(error)),
  );
  assert.ok(await world.run(20_000, () => done), world.warnings.join('\n'));
  return fresh;
}

test('a member on another host takes the place of a lost one, with all state', async () => {
  const world = await started({ limits: SMALL });
  for (let cell = 0; cell < 12; cell++) await runCell(world, cell, 'x+=1', 1 + (cell % 3));
  const [first, second, third] = world.hosts;
  third!.kill();
  second!.replica!.hostGone('h3');
  first!.replica!.hostGone('h3');
  assert.ok(await world.run(5_000, () => leads(world)));
  const fresh = await replaced(world, third!);
  third!.member = 0;
  assert.is((await runCell(world, 12, 'x+=1', 4))?.type, 'end');
  await world.run(2_000);
  assert.equal([...fresh.python!.vars], [['x', 13]]);
  assert.equal(
    fresh.replica!.report().members.map(({ host }) => host),
    ['h1', 'h2', 'h4'],
  );
  first!.kill();
  second!.replica!.hostGone('h1');
  fresh.replica!.hostGone('h1');
  assert.is((await runCell(world, 13, 'x+=1', 2))?.type, 'end');
  await world.close();
});

function leads(world: World): boolean {
  return world.hosts.some(({ up, replica }) => up && replica?.position().role === 'leader');
}

test('a change asked of a follower names the leader', async () => {
  const world = await started();
  const follower = world.hosts.find(({ replica }) => replica!.position().role === 'follower')!;
  const leader = world.hosts.find(({ replica }) => replica!.position().role === 'leader')!;
  const error = await follower.replica!.changeMembers(undefined, 1).catch((refused) => refused);
  assert.is(error.code, 'not-leader');
  assert.match(error.message, new RegExp(leader.name));
  await world.close();
});

test('a removed replica leaves nothing behind', async () => {
  const world = await started();
  const [first] = world.hosts;
  let done = false;
  first!.replica!.stop('purge').then(() => (done = true));
  assert.ok(await world.run(1_000, () => done));
  assert.is(first!.store.groups.size, 0);
  assert.is(first!.python!.state, 'dead');
  await world.close();
});

test('a malformed entry is refused before it reaches the log', async () => {
  const world = await started();
  const { replica } = world.hosts[0]!;
  const bad = { ...submitOf(0, 'x'), cell: -1 };
  assert.is(await replica!.propose([bad]).catch(({ code }) => code), 'entry-invalid');
  assert.is((await replica!.proposeHere([bad])).ok, false);
  assert.is((await runCell(world, 0, 'x=1', 1))?.type, 'end');
  await world.close();
});

test.run();
