import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from '../../../live/wire/free-port.ts';
import { PROJECT_ROOT } from '../../skip.ts';

/** A server that was started for a test, in a folder of its own. */
export interface Server {
  readonly port: number;
  readonly folder: string;
  /** Ends it at once, or only stops it from answering and lets it go on. */
  signal(name: NodeJS.Signals): void;
  /** Starts it again on the same port and folder. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const CACHE = join(PROJECT_ROOT, '.cache');
const JARS = join(CACHE, 'hdfs', 'jars');
const START_MS = 180_000;

function found(command: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return [...folders, join(CACHE, 'jupyter', 'bin')]
    .map((folder) => join(folder, command))
    .find(existsSync);
}

export const missingMoto = found('moto_server') ? '' : 'there is no moto_server (.ci/jupyter)';
export const missingRedis = found('redis-server') ? '' : 'there is no redis-server';
export const missingHdfs = !found('java')
  ? 'there is no java'
  : existsSync(JARS)
    ? ''
    : '.cache/hdfs is not there (.ci/hdfs)';

/** Runs a program until it is ready, and all of its output lands in a message when it fails. */
class Daemon {
  #child: ChildProcess | undefined;
  #said = '';
  readonly #command: string;
  readonly #words: readonly string[];
  readonly #folder: string;

  constructor(command: string, words: readonly string[], folder: string) {
    this.#command = command;
    this.#words = words;
    this.#folder = folder;
  }

  start(env: NodeJS.ProcessEnv = process.env): void {
    const child = spawn(this.#command, this.#words, {
      cwd: this.#folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => {
        this.#said = (this.#said + data).slice(-4_000);
      });
    this.#child = child;
  }

  async until(ready: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + START_MS;
    while (!(await ready().catch(() => false))) {
      const code = this.#child?.exitCode;
      if (Date.now() > end || (code ?? null) !== null)
        throw new Error(`${this.#command} did not start (${code}): ${this.#said}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

function folderFor(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `nbos-${name}-`));
}

async function serve(
  daemon: Daemon,
  port: number,
  folder: string,
  ready: () => Promise<boolean>,
): Promise<Server> {
  const start = async (): Promise<void> => {
    daemon.start();
    await daemon.until(ready);
  };
  const stop = async (): Promise<void> => {
    await daemon.stop();
    await rm(folder, { recursive: true, force: true });
  };
  await start().catch(async (error) => {
    await stop();
    throw error;
  });
  return {
    port,
    folder,
    signal: (name) => daemon.signal(name),
    restart: async () => {
      await daemon.stop();
      await start();
    },
    stop,
  };
}

async function answers(url: string): Promise<boolean> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await answer.arrayBuffer();
  return answer.status < 500;
}

export async function startMoto(): Promise<Server> {
  const [port, folder] = [await freePort(), await folderFor('moto')];
  const words = ['-H', '127.0.0.1', '-p', String(port)];
  const daemon = new Daemon(found('moto_server')!, words, folder);
  return serve(daemon, port, folder, () => answers(`http://127.0.0.1:${port}/moto-api/data.json`));
}

export async function startRedis(options: readonly string[] = []): Promise<Server> {
  const [port, folder] = [await freePort(), await folderFor('redis')];
  const words = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder];
  const daemon = new Daemon(found('redis-server')!, [...words, '--save', '', ...options], folder);
  return serve(daemon, port, folder, () => accepts(port));
}

async function accepts(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

const OPENED = ['java.lang', 'java.util', 'java.nio', 'java.net', 'java.io'];

/** A name node and a data node of this machine. */
export async function startHdfs(): Promise<Server> {
  const folder = await folderFor('hdfs');
  const port = await freePort();
  await mkdir(join(folder, 'conf'));
  const file = (name: string): string => join(folder, 'conf', name);
  await writeFile(
    file('core-site.xml'),
    configuration({
      'fs.defaultFS': `hdfs://127.0.0.1:${await freePort()}`,
      'hadoop.tmp.dir': join(folder, 'tmp'),
    }),
  );
  const local = '127.0.0.1:0';
  await writeFile(
    file('hdfs-site.xml'),
    configuration({
      'dfs.replication': '1',
      'dfs.namenode.http-address': `127.0.0.1:${port}`,
      'dfs.namenode.fs-limits.min-block-size': '0',
      'dfs.datanode.address': local,
      'dfs.datanode.http.address': local,
      'dfs.datanode.ipc.address': local,
      'dfs.datanode.hostname': '127.0.0.1',
      'dfs.namenode.datanode.registration.ip-hostname-check': 'false',
      'dfs.permissions.superusergroup': 'nobody-at-all',
      'dfs.safemode.extension': '0',
      'dfs.namenode.safemode.extension': '0',
    }),
  );
  const jars = readdirSync(JARS).map((name) => join(JARS, name));
  const pages = join(CACHE, 'hdfs', 'pages');
  const words = [
    '-Xmx384m',
    ...OPENED.flatMap((name) => ['--add-opens', `java.base/${name}=ALL-UNNAMED`]),
    ...['--add-opens', 'java.base/sun.nio.ch=ALL-UNNAMED'],
    '-cp',
    [join(folder, 'conf'), pages, ...jars].join(delimiter),
  ];
  const java = found('java')!;
  const names = 'org.apache.hadoop.hdfs.server.namenode.NameNode';
  const env = { ...process.env, HADOOP_USER_NAME: userInfo().username };
  execFileSync(java, [...words, names, '-format', '-nonInteractive'], { env, stdio: 'ignore' });
  const data = new Daemon(
    java,
    [...words, 'org.apache.hadoop.hdfs.server.datanode.DataNode'],
    folder,
  );
  const base = `http://127.0.0.1:${port}`;
  const live = async (): Promise<boolean> => {
    const query = 'qry=Hadoop:service=NameNode,name=FSNamesystemState';
    const answer = await fetch(`${base}/jmx?${query}`, { signal: AbortSignal.timeout(2_000) });
    const { beans } = (await answer.json()) as { beans: { NumLiveDataNodes: number }[] };
    return beans[0]!.NumLiveDataNodes === 1;
  };
  const server = await serve(new Daemon(java, [...words, names], folder), port, folder, () =>
    answers(`${base}/webhdfs/v1/?op=LISTSTATUS&user.name=${env.HADOOP_USER_NAME}`),
  );
  data.start();
  const stop = async (): Promise<void> => {
    await data.stop();
    await server.stop();
  };
  await data.until(live).catch(async (error) => {
    await stop();
    throw error;
  });
  return { ...server, stop };
}

function configuration(values: Record<string, string>): string {
  const properties = Object.entries(values).map(
    ([name, value]) => `<property><name>${name}</name><value>${value}</value></property>`,
  );
  return `<configuration>${properties.join('\n')}</configuration>\n`;
}
