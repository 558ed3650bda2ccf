import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { batchFcfs } from '../../../core/policies/batch-fcfs.ts';
import { lcp } from '../../../core/policies/lcp.ts';
import type { Brain } from '../../../live/gateway/brain.ts';
import { HostPool } from '../../../live/gateway/provision/host-pool.ts';
import type { KnownHosts } from '../../../live/gateway/provision/provisioner.ts';
import {
  Client,
  create,
  type Kit,
  type KitOptions,
  newBrain,
  pause,
  startKit,
  stopKit,
  until,
} from './brain-kit.ts';

const SEEDS = Number(process.env['NBOS_SEEDS'] ?? 12);
const FIRST = Number(process.env['NBOS_SEED'] ?? 1);
const STEPS = 60;
const MOST_LEFT = 3_000;
/** Said of a kernel, whatever its cell prints. */
const OF_KERNEL = /^NotebookOS: (the host that had this kernel|what this cell did)/;
type Kind = Pick<KitOptions, 'config' | 'provisioner' | 'policy'>;
/** Hosts come and go all the time. */
const ELASTIC: Kind = {
  config: { minHosts: 2, bufferHosts: 0, scaleIntervalMs: 20, scaleInHoldMs: 60 },
  provisioner: (hosts: KnownHosts) => new HostPool(hosts),
};

/** Numbers from 0 to below `n`, the same for the same seed. */
function drawsOf(seed: number): (n: number) => number {
  let state = (seed * 0x9e3779b9) >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

interface Notebook {
  kernel: string;
  session: string;
  client: Client;
  /** clients of this session so far: a connection ends, its successor is another object */
  clients: Client[];
  cells: { id: string; code: string }[];
}

class Swarm {
  readonly kit: Kit;
  readonly draw: (n: number) => number;
  readonly notebooks: Notebook[] = [];
  down = '';
  drained = '';
  restarts = 0;
  falls = 0;
  readonly kind: Kind;
  readonly isElastic: boolean;
  /** kernels have a process and a log on one host at a time */
  readonly isVisiting: boolean;

  constructor(seed: number, kind: Kind) {
    this.draw = drawsOf(seed);
    this.kind = kind;
    this.isElastic = kind.provisioner !== undefined;
    this.isVisiting = kind.policy !== undefined;
    this.kit = startKit(kind);
    this.delayProposals();
  }

  /** Some entries are on their way for so long that another gateway is there when they commit. */
  delayProposals(): void {
    const { agents } = this.kit;
    const request = agents.request.bind(agents);
    agents.request = async (host, asked) => {
      if (asked.t === 'propose' && this.draw(8) === 0) await pause(this.draw(300));
      return request(host, asked);
    };
  }

  async open(count: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const kernel = await create(this.kit);
      const session = `s${at}`;
      const client = new Client(session).attach(this.kit.brain, kernel);
      this.notebooks.push({ kernel, session, client, clients: [client], cells: [] });
      // Before its first cell such a kernel is nowhere but in its gateway.
      if (this.isVisiting) await client.reply(client.run('print 1'));
    }
  }

  attach(notebook: Notebook): void {
    notebook.client = new Client(notebook.session).attach(this.kit.brain, notebook.kernel);
    notebook.clients.push(notebook.client);
  }

  async step(): Promise<void> {
    const { kit, draw } = this;
    const notebook = this.notebooks[draw(this.notebooks.length)]!;
    const kind = draw(20);
    if (kind < 9) this.submit(notebook);
    else if (kind < 11) await kit.brain.kernels.interrupt(notebook.kernel);
    else if (kind === 11) kit.agents.die(notebook.kernel);
    else if (kind === 12) await this.restart();
    else if (kind === 13) this.fell();
    else if (kind === 14) this.heal();
    else if (kind === 15) kit.brain.moveEveryCell = draw(2) === 0;
    else if (kind === 16) {
      notebook.client.attachment!.detach();
      this.attach(notebook);
    } else if (kind === 17 && draw(2) === 0) {
      kit.brain.kernels.restart(notebook.kernel).catch(() => undefined);
    } else if (kind > 17 && this.isElastic) this.drain();
    else await pause(draw(60));
  }

  submit(notebook: Notebook): void {
    const codes = ['print 3', 'print 1', 'fail', `slow ${this.draw(30)}`, 'hang'];
    const code = codes[this.draw(codes.length)]!;
    notebook.cells.push({ id: notebook.client.run(code), code });
  }

  /** An operator takes one host out of service, or back into it. */
  drain(): void {
    const { brain, agents } = this.kit;
    if (this.drained === '') {
      this.drained = agents.hosts[this.draw(agents.hosts.length)]!;
      brain.drains.begin(brain.hosts.get(this.drained)!);
      return;
    }
    const host = brain.hosts.get(this.drained)!;
    this.drained = '';
    brain.drains.end(host);
    brain.provisioning.enable(host);
  }

  /** One host at most is away, so that no log is without a majority. */
  fell(): void {
    if (this.down !== '') return;
    const { agents } = this.kit;
    this.falls++;
    this.down = agents.hosts[this.draw(agents.hosts.length)]!;
    if (this.draw(2) === 0) agents.kill(this.down);
    else agents.cut(this.down, true);
  }

  heal(): void {
    if (this.down === '') return;
    const { agents } = this.kit;
    agents.cut(this.down, false);
    agents.hello(this.down);
    this.down = '';
  }

  async restart(): Promise<void> {
    const { kit } = this;
    this.restarts++;
    // The log of such a kernel may be on that host only.
    if (this.isVisiting) this.heal();
    // What is not accepted yet when the gateway dies is the client's to send again.
    const isSentAgain = this.draw(2) === 0;
    if (!isSentAgain) await until(() => this.accepted(), 'all cells are accepted');
    kit.brain.close();
    const recall = ({ drains }: Brain): void => drains.recall(this.drained ? [this.drained] : []);
    const { config, provisioner, policy } = this.kind;
    kit.brain = newBrain(kit.agents, config, {}, recall, provisioner, policy);
    kit.agents.connect(
      kit.brain,
      kit.agents.hosts.filter((host) => host !== this.down),
    );
    await kit.brain.recovery.done;
    for (const notebook of this.notebooks) {
      this.attach(notebook);
      if (isSentAgain) this.sendAgain(notebook);
    }
  }

  sendAgain(notebook: Notebook): void {
    const { client, session } = notebook;
    for (const { id, code } of notebook.cells) {
      if (this.answered(notebook, id)) continue;
      const header = { msg_id: id, msg_type: 'execute_request', session };
      const whole = { ...header, username: '', date: '', version: '' };
      client.again(whole, { code, silent: false }, {}, 'shell');
    }
  }

  accepted(): boolean {
    return this.notebooks.every(({ kernel }) => {
      const live = this.kit.brain.table.get(kernel)!;
      const { log } = this.kit.agents.groups.get(kernel)!;
      return [...live.cells.values()].every(({ cell }) => cell < log.nextCell);
    });
  }

  /** Everything comes to an end, and each cell has its answer. */
  async finish(): Promise<void> {
    this.heal();
    if (this.drained !== '') this.drain();
    const { kit } = this;
    for (const notebook of this.notebooks) {
      const late = Date.now() + 60_000;
      for (const { id, code } of notebook.cells) {
        while (!this.answered(notebook, id)) {
          if (Date.now() > late) throw new Error(`${notebook.session}: no reply to ${code} ${id}`);
          const { running } = kit.brain.table.get(notebook.kernel)!;
          if (running !== undefined) await kit.brain.kernels.interrupt(notebook.kernel);
          await pause(10);
        }
      }
      // One that the gateway before answered may be answered again.
      const live = kit.brain.table.get(notebook.kernel)!;
      for (let left = 0; live.cells.size > 0; left++) {
        if (left > MOST_LEFT) throw new Error(`${notebook.session}: something stays open`);
        // Where the only log was away with its host when the gateway ended, a cell may begin late.
        if (this.isVisiting && live.running !== undefined)
          await kit.brain.kernels.interrupt(notebook.kernel);
        await pause(10);
      }
    }
  }

  /** Each kernel is on three hosts in use, and nowhere else. */
  async settled(): Promise<void> {
    const { agents, brain } = this.kit;
    const isWhole = ({ kernel }: Notebook): boolean => {
      const places = [...agents.groups.get(kernel)!.members.values()].map(({ host }) => host);
      return places.length === 3 && places.every((host) => brain.hosts.isUp(host));
    };
    await until(() => this.notebooks.every(isWhole), 'all kernels are whole', 10_000);
    await until(
      () => brain.loop.core.state.up.length === 3 && brain.loop.core.state.draining.length === 0,
      'as few hosts as replicas are in use',
      10_000,
    );
  }

  answered({ clients }: Notebook, id: string): boolean {
    return clients.some((client) => client.of(id, 'execute_reply').length > 0);
  }

  check(): void {
    const { kit } = this;
    kit.brain.loop.core.check();
    for (const [cell, runs] of kit.agents.runs) assert.is(runs, 1, `${cell} ran ${runs} times`);
    for (const { kernel, clients, cells } of this.notebooks) {
      const live = kit.brain.table.get(kernel)!;
      assert.is(live.cells.size, 0);
      for (const { id, code } of cells) {
        const replies = clients.flatMap((client) => client.of(id, 'execute_reply'));
        // A gateway that dies right after a reply may say it again.
        if (this.restarts === 0) assert.is(replies.length, 1, id);
        if (replies[0]!['status'] !== 'ok' || !code.startsWith('print')) continue;
        const lines = clients.flatMap((client) => client.of(id, 'stream')).map(({ text }) => text);
        const wanted = Array.from({ length: Number(code.slice(6)) }, (_, line) => `${line}\n`);
        const own = lines.filter((line) => !OF_KERNEL.test(String(line)));
        const said = this.restarts === 0 ? own : [...new Set(own)];
        // With a host its last outputs may go, and those of a reply that a gateway says again,
        // which is said.
        const isMarked = said.some((line) => String(line).includes('were lost here'));
        const isAgain = this.isVisiting && this.restarts > 0;
        if ((this.falls === 0 && !isAgain) || !isMarked) assert.equal(said, wanted, id);
      }
    }
  }
}

const KINDS: Record<string, Kind> = {
  'random faults': {},
  'hosts that come and go': ELASTIC,
  'batch-fcfs': { policy: batchFcfs },
  lcp: { policy: lcp },
};

for (const [what, kind] of Object.entries(KINDS)) {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    test(`${what}: NBOS_SEED=${seed} NBOS_SEEDS=1`, async () => {
      const swarm = new Swarm(seed, kind);
      try {
        await swarm.open(3);
        for (let step = 0; step < STEPS; step++) await swarm.step();
        await swarm.finish();
        swarm.check();
        if (swarm.isElastic) await swarm.settled();
      } finally {
        stopKit(swarm.kit);
      }
    });
  }
}

test.run();
