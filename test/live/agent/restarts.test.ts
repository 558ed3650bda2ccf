import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Restarts } from '../../../live/agent/restarts.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbr-'));
const log = pino({ level: 'silent' });
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('what stopped goes on after a while, later and later while it stops again', async () => {
  let now = 0;
  let stopped = 0;
  const restarted: number[] = [];
  const replicas = {
    get stopped() {
      return stopped;
    },
    async restartStopped() {
      restarted.push(now);
      stopped = 0;
    },
  };
  const restarts = new Restarts(replicas, folder, log, () => now);
  for (now = 0; now <= 60_000; now += 1_000) {
    // It stops again as soon as it has begun.
    if (now >= 3_000) stopped = 2;
    await restarts.look();
  }
  assert.is(restarted[0], 8_000);
  const waits = restarted.slice(1).map((at, index) => at - restarted[index]!);
  assert.ok(waits.length >= 2 && waits.length <= 3, String(restarted));
  assert.ok(waits[1]! > waits[0]!, String(waits));
});

test('nothing is tried while nothing has stopped, nor where the folder is gone', async () => {
  let tries = 0;
  const restarts = (stopped: number, at: string): Restarts => {
    let now = 0;
    const replicas = { stopped, restartStopped: async () => void tries++ };
    return new Restarts(replicas, at, log, () => (now += 60_000));
  };
  for (const each of [restarts(0, folder), restarts(1, join(folder, 'none'))])
    for (let look = 0; look < 5; look++) await each.look();
  assert.is(tries, 0);
});

test.run();
