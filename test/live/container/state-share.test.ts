import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StateShare } from '../../../live/agent/container/state-share.ts';
import { pickRecord } from '../../../live/agent/kernel/records.ts';
import type { StateUpdate } from '../../../live/agent/kernel/runtime.ts';
import type { Blob, Unit } from '../../../live/log/entries.ts';
import { testWithPart } from '../../skip.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbs-'));
const OWNER = { uid: process.getuid!(), gid: process.getgid!() };
/** A disk of its own on most systems. */
const MEMORY = '/dev/shm';
const NO_MEMORY =
  existsSync(MEMORY) && statSync(MEMORY).dev !== statSync(folder).dev ? '' : 'no second disk';

let shares = 0;

function newShare(): Promise<StateShare> {
  return StateShare.make(join(folder, `s${++shares}`), OWNER);
}

function hostBlobs(home = folder): string {
  const blobs = join(home, `b${shares}`);
  mkdirSync(blobs, { recursive: true });
  return blobs;
}

function written(blobs: string, content: string): Blob {
  const hash = createHash('sha256').update(content).digest('hex');
  writeFileSync(join(blobs, hash), content, { mode: 0o600 });
  return { hash, bytes: content.length, mac: 'm' };
}

function updateOf(...buffers: Blob[]): StateUpdate {
  const inline: Blob = { hash: '0'.repeat(64), bytes: 1, mac: 'm', inline: 'AA==' };
  const unit = { id: 'u', version: 1, names: ['x'], skeleton: inline, buffers } as unknown as Unit;
  return { reset: true, units: [unit], dropped: [], count: 0 };
}

test('a container sees the blobs of an update and no others', async () => {
  const share = await newShare();
  const blobs = hostBlobs();
  const [one, other] = [written(blobs, 'one'), written(blobs, 'other')];
  const folders = share.folders(blobs);
  await folders.show(updateOf(one));
  await folders.show(updateOf(one));
  assert.equal(readdirSync(folders.shown), [one.hash]);
  assert.is(statSync(join(folders.shown, one.hash)).ino, statSync(join(blobs, one.hash)).ino);
  assert.ok(existsSync(join(blobs, other.hash)));
  // Of one that is not there the helper tells.
  await folders.show(updateOf({ ...one, hash: 'a'.repeat(64) }, { ...one, hash: '../../x' }));
  assert.equal(readdirSync(folders.shown), [one.hash]);
  await folders.remove();
  assert.not(existsSync(share.home));
  assert.ok(existsSync(join(blobs, one.hash)));
});

testWithPart(test, NO_MEMORY, 'from another disk they are copied', async () => {
  const home = mkdtempSync(join(MEMORY, 'nbs-'));
  try {
    const share = await newShare();
    const blobs = hostBlobs(home);
    const one = written(blobs, 'one');
    const folders = share.folders(blobs);
    await folders.show(updateOf(one));
    assert.is(readFileSync(join(folders.shown, one.hash), 'utf8'), 'one');
    assert.is(statSync(join(folders.shown, one.hash)).mode & 0o777, 0o444);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test('what a record brings is shown too, so that it is not written again', async () => {
  const share = await newShare();
  const blobs = hostBlobs();
  const folders = share.folders(blobs);
  const fresh = written(folders.spool, 'fresh');
  const { units } = updateOf(fresh);
  const delta = { units, dropped: [], unreplicated: [], pinned: [], stateBytes: 0 };
  const record = (): void =>
    writeFileSync(join(folders.spool, 'r.json'), JSON.stringify({ v: 1, delta }));
  record();
  await pickRecord({ ...folders, blobs }, 'r');
  await folders.refresh([fresh.hash]);
  assert.equal(readdirSync(folders.spool), []);
  assert.equal(readdirSync(folders.shown), [fresh.hash]);
  // The process counts on what it sees, and the host has given it up meanwhile.
  rmSync(join(blobs, fresh.hash));
  record();
  await pickRecord({ ...folders, blobs }, 'r');
  assert.is(readFileSync(join(blobs, fresh.hash), 'utf8'), 'fresh');
});

test('what the host has given up goes', async () => {
  const share = await newShare();
  const blobs = hostBlobs();
  const [old, kept] = [written(blobs, 'old'), written(blobs, 'kept')];
  const folders = share.folders(blobs);
  await folders.show(updateOf(old, kept));
  renameSync(join(blobs, old.hash), join(blobs, 'away'));
  const program = await share.give('helper.py', 'pass');
  await folders.refresh([]);
  assert.equal(readdirSync(folders.shown).sort(), [kept.hash, 'helper.py'].sort());
  assert.is(readFileSync(program, 'utf8'), 'pass');
});

test('mounts: records are written, blobs are only read', async () => {
  const share = await newShare();
  assert.equal(
    share.mounts().map(({ Target, ReadOnly }) => [Target, ReadOnly]),
    [
      [share.spool, false],
      [share.shown, true],
    ],
  );
  assert.is(statSync(share.home).mode & 0o777, 0o700);
  assert.is(statSync(share.spool).mode & 0o777, 0o700);
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
