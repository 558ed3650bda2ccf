import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ContainerProcess } from '../../../live/agent/container/container-process.ts';
import { engineAt } from '../../../live/agent/container/engine.ts';
import { removeLater } from '../../../live/agent/container/removal.ts';
import { StateShare } from '../../../live/agent/container/state-share.ts';
import { eventually } from '../wire/eventually.ts';

/** An engine of one container, which refuses what it is told to refuse. */
class PaperEngine {
  paused = false;
  shares = 0;
  isThere = true;
  /** requests that fail, so many times each */
  readonly refuses = new Map<string, number>();
  readonly #server: Server;
  readonly #waiting = new Set<ServerResponse>();

  constructor(socket: string) {
    this.#server = createServer((request, response) => {
      const what = /^\/containers\/\w+\/?(\w*)/.exec(request.url!)?.[1] || request.method!;
      const left = this.refuses.get(what) ?? 0;
      this.refuses.set(what, left - 1);
      if (left > 0) return void response.writeHead(500).end('{"message":"too busy"}');
      if (what === 'wait') {
        this.#waiting.add(response);
        return void response.writeHead(200).flushHeaders();
      }
      this.#do(what);
      const State = { Running: true, Paused: this.paused, Status: 'running' };
      const isGone = !this.isThere && what !== 'DELETE';
      response.writeHead(isGone ? 404 : 200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ State }));
    });
    this.#server.listen(socket);
  }

  #do(what: string): void {
    if (what === 'pause') this.paused = true;
    if (what === 'unpause') this.paused = false;
    if (what === 'update') this.shares = 1024;
    if (what !== 'DELETE') return;
    this.isThere = false;
    for (const response of this.#waiting) response.end('{"StatusCode":137}');
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'nbs-'));
const log = { info: () => {}, warn: () => {} };
const engines: PaperEngine[] = [];

async function container() {
  const socket = join(folder, `${engines.length}.sock`);
  const paper = new PaperEngine(socket);
  engines.push(paper);
  const engine = engineAt(`unix://${socket}`, {});
  const user = { uid: process.getuid!(), gid: process.getgid!() };
  const share = await StateShare.make(join(folder, `state${engines.length}`), user);
  const parts = { engine, id: 'c1', pid: 0, niced: true, memoryMb: 0, share, log };
  return { paper, engine, running: new ContainerProcess({ ...parts, onExit: () => {} }) };
}

test('an end of a pause that the engine did not do is asked for again', async () => {
  const { paper, running } = await container();
  running.pause();
  await eventually(() => paper.paused);
  paper.refuses.set('unpause', 2);
  running.resume();
  await eventually(() => !paper.paused);
  await running.kill();
});

test('what the engine does late is undone when the container is looked after', async () => {
  const { paper, running } = await container();
  paper.paused = true;
  await running.attend();
  await eventually(() => !paper.paused);
  await running.kill();
});

test('normal priority is asked for until it is there', async () => {
  const { paper, running } = await container();
  paper.refuses.set('update', 1);
  running.prioritize();
  await eventually(() => (paper.refuses.get('update') ?? 1) <= 0);
  assert.is(paper.shares, 0);
  await running.attend();
  assert.is(paper.shares, 1024);
  await running.kill();
});

test('a container that is ended while its engine takes no pause is ended all the same', async () => {
  const { paper, running } = await container();
  paper.refuses.set('pause', Number.POSITIVE_INFINITY);
  running.pause();
  await running.kill();
  assert.is(paper.isThere, false);
  assert.is(running.running, false);
});

test('what an engine would not remove is removed later', async () => {
  const { paper, engine, running } = await container();
  paper.refuses.set('DELETE', 2);
  removeLater(engine, log, 'c1', 0, 10);
  await eventually(() => !paper.isThere);
  await running.kill();
});

test.after(() => {
  for (const engine of engines) engine.close();
  rmSync(folder, { recursive: true, force: true });
});
test.run();
