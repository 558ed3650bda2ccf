import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CoreLoop } from '../../../live/gateway/core-loop.ts';
import { Hosts } from '../../../live/gateway/hosts.ts';
import type { Agents } from '../../../live/gateway/links.ts';
import type { AgentHello } from '../../../live/wire/messages.ts';
import { eventually } from '../wire/eventually.ts';

const HELLO = { host: 'h1', peer: 'p', key: 'k', gpus: 0, kernels: [], pooled: [] };

test('a host that comes and goes gets work later each time it was lost', async () => {
  const none = (): void => undefined;
  let nowMs = 0;
  const lost: number[] = [];
  const posted: string[] = [];
  const loop = {
    core: { state: { hosts: [] } },
    post: ({ kind }: { kind: string }) => posted.push(kind),
  };
  const hosts = new Hosts({
    loop: loop as unknown as CoreLoop,
    links: { tell: none, request: async () => [] } as unknown as Agents,
    log: pino({ level: 'silent' }),
    expected: ['h1'],
    ...{ leaseMs: 100, beatMs: 5, monotone: () => nowMs },
  });
  hosts.events = { reported: none, positions: none, idle: none, lost: () => lost.push(nowMs) };
  hosts.start();
  const isUp = (): boolean => hosts.isUp('h1');
  const hear = (): void => hosts.hello(HELLO as unknown as AgentHello);
  const lose = async (times: number): Promise<void> => {
    // The clock goes on in steps: a great one would be the gateway's own absence.
    await eventually(() => {
      nowMs += 1;
      return lost.length === times;
    });
    hosts.wanted(0);
    hear();
  };
  try {
    hosts.wanted(0);
    hear();
    assert.ok(isUp());
    await lose(1);
    assert.ok(isUp(), 'once is no habit');
    await lose(2);
    assert.not.ok(isUp());
    const since = lost.at(-1)!;
    await eventually(() => {
      nowMs += 50;
      hosts.beat('h1', []);
      return isUp();
    });
    assert.ok(nowMs - since >= 2_000, `${nowMs - since} ms`);
  } finally {
    hosts.close();
  }
});

test.run();
