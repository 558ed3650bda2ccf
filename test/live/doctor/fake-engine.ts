import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What an engine answers, by "METHOD /path" without the version; others get 404. */
export type Answers = Readonly<Record<string, { status?: number; body: unknown }>>;

/** A healthy Docker Engine 24 on cgroup v2, as far as `/version` and `/info` tell. */
export const HEALTHY = {
  version: { Version: '24.0.7', ApiVersion: '1.43' },
  info: {
    CgroupVersion: '2',
    CgroupDriver: 'systemd',
    Driver: 'overlay2',
    SecurityOptions: ['name=seccomp,profile=builtin', 'name=cgroupns'],
    MemoryLimit: true,
    PidsLimit: true,
    CpuCfsQuota: true,
    Runtimes: { runc: {} },
    DockerRootDir: '/nowhere/docker',
  },
};

/** A container engine on a unix socket that only says what a test has it say. */
export class FakeEngine {
  readonly socket: string;
  readonly asked: string[] = [];
  readonly #server: Server;
  readonly #folder: string;

  private constructor(answers: Answers) {
    this.#folder = mkdtempSync(join(tmpdir(), 'nbf-'));
    this.socket = join(this.#folder, 'sock');
    this.#server = createServer((request, answer) => {
      const path = request.url!.replace(/^\/v[\d.]+/, '').replace(/\?.*$/, '');
      const key = `${request.method} ${path}`;
      this.asked.push(key);
      request.resume();
      const { status = 200, body } = answers[key] ?? { status: 404, body: { message: 'no such' } };
      answer.writeHead(status, { 'content-type': 'application/json' });
      answer.end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
    });
  }

  static async start(answers: Answers = {}): Promise<FakeEngine> {
    const standard: Answers = {
      'GET /version': { body: HEALTHY.version },
      'GET /info': { body: HEALTHY.info },
    };
    const engine = new FakeEngine({ ...standard, ...answers });
    await new Promise<void>((done) => engine.#server.listen(engine.socket, done));
    return engine;
  }

  get address(): string {
    return `unix://${this.socket}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The header of one piece of a container's log, and the piece. */
export function logPiece(stream: 1 | 2, text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}
