import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Dealer, Request, Subscriber } from 'zeromq';
import { type ConnectionFile, Relay, type Relayed } from '../../../live/commands/relay.ts';
import { parseHeader, parseObject } from '../../../live/jupyter/fields.ts';
import { messageOf, newHeader } from '../../../live/jupyter/headers.ts';
import type { Channel, JupyterMessage } from '../../../live/jupyter/message.ts';
import { parseZmqFrames, zmqFrames } from '../../../live/jupyter/zmq-message.ts';
import { ended, inFolder } from '../../cli/nbos.ts';
import { testWithPart } from '../../skip.ts';
import { eventually } from '../wire/eventually.ts';
import { echo, FakeGateway, type Respond } from './fake-gateway.ts';
import { PROGRAM_WORDS, works } from './run-nbos.ts';

const KEY = 'a-key-of-the-connection-file';
const WAIT_MS = 60_000;

/** A kernel in memory: what the relay sends it is answered by `respond`. */
class MemoryKernel implements Relayed {
  readonly session = 'memory';
  readonly received: { channel: Channel; message: JupyterMessage }[] = [];
  respond: Respond = echo;
  interrupts = 0;
  onMessage: Relayed['onMessage'] = () => undefined;

  send(channel: Channel, message: JupyterMessage): void {
    this.received.push({ channel, message });
    this.respond(channel, message, (to, answer) => this.say(to, answer));
  }

  say(channel: Channel, message: JupyterMessage): void {
    this.onMessage(channel, message, parseHeader(message.header)!);
  }

  interrupt(): Promise<void> {
    this.interrupts++;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Partner {
  relay: Relay;
  kernel: MemoryKernel;
  connection: ConnectionFile;
  endpoint(port: keyof ConnectionFile): string;
}

async function withRelay(act: (partner: Partner) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nbos-relay-'));
  const connection: ConnectionFile = {
    transport: 'ipc',
    ip: join(folder, 'k'),
    key: KEY,
    shell_port: 1,
    iopub_port: 2,
    stdin_port: 3,
    control_port: 4,
    hb_port: 5,
  };
  const relay = new Relay(connection);
  await relay.open();
  const kernel = new MemoryKernel();
  const endpoint = (port: keyof ConnectionFile) => `ipc://${connection.ip}-${connection[port]}`;
  try {
    await act({ relay, kernel, connection, endpoint });
  } finally {
    await relay.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function request(type: string, content: object = {}): JupyterMessage {
  return messageOf({ header: newHeader(type, 'client'), content });
}

async function reply(socket: Dealer | Subscriber): Promise<JupyterMessage> {
  const parsed = parseZmqFrames(await socket.receive(), KEY);
  assert.ok(parsed, 'an unsigned message');
  return parsed.message;
}

const typeOf = (message: JupyterMessage): string => parseHeader(message.header)!.msg_type;

test('requests go to the kernel, answers to who asked, signed, iopub to all', () =>
  withRelay(async ({ relay, kernel, endpoint }) => {
    const options = { linger: 0, receiveTimeout: WAIT_MS };
    const [one, two] = [new Dealer(options), new Dealer(options)];
    one.connect(endpoint('shell_port'));
    two.connect(endpoint('shell_port'));
    const early = request('execute_request', { code: '1' });
    await one.send(zmqFrames(early, KEY) as Buffer[]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    relay.attach(kernel);
    const first = await reply(one);
    assert.is(typeOf(first), 'execute_reply');
    assert.is(parseHeader(first.parent)!.msg_id, parseHeader(early.header)!.msg_id);
    await two.send(zmqFrames(request('complete_request'), KEY) as Buffer[]);
    assert.is(typeOf(await reply(two)), 'complete_reply');
    const iopub = await subscribed(kernel, endpoint('iopub_port'));
    await one.send(zmqFrames(request('execute_request', { code: '2' }), KEY) as Buffer[]);
    const seen: string[] = [];
    while (seen.length < 4) {
      const type = typeOf(await reply(iopub));
      if (type !== PROBE) seen.push(type);
    }
    assert.equal(seen, ['status', 'execute_input', 'stream', 'status']);
    for (const socket of [one, two, iopub]) socket.close();
  }));

const PROBE = 'probe';

/** A client that hears what the kernel says on iopub from now on. */
async function subscribed(kernel: MemoryKernel, endpoint: string): Promise<Subscriber> {
  const iopub = new Subscriber({ linger: 0, receiveTimeout: WAIT_MS });
  iopub.connect(endpoint);
  iopub.subscribe();
  const probing = setInterval(() => kernel.say('iopub', request(PROBE)), 20);
  assert.is(typeOf(await reply(iopub)), PROBE);
  clearInterval(probing);
  return iopub;
}

test('input_request reaches the client that executes, its answer the kernel', () =>
  withRelay(async ({ relay, kernel, endpoint }) => {
    relay.attach(kernel);
    // Jupyter clients use one identity for both sockets: that is how stdin finds them.
    const options = { linger: 0, routingId: 'client-1', receiveTimeout: WAIT_MS };
    const [shell, stdin] = [new Dealer(options), new Dealer(options)];
    shell.connect(endpoint('shell_port'));
    stdin.connect(endpoint('stdin_port'));
    // Only to a socket that has been heard something can be sent.
    await stdin.send(zmqFrames(request('input_reply', { value: 'early' }), KEY) as Buffer[]);
    await eventually(() => kernel.received.length === 1);
    kernel.respond = (channel, message, send) => {
      if (channel !== 'shell') return;
      const header = newHeader('input_request', 'kernel');
      send('stdin', messageOf({ header, parent: message.header, content: { prompt: '?' } }));
    };
    await shell.send(zmqFrames(request('execute_request', { code: 'input()' }), KEY) as Buffer[]);
    const question = await reply(stdin);
    assert.is(parseObject(question.content)!['prompt'], '?');
    await stdin.send(zmqFrames(request('input_reply', { value: 'x' }), KEY) as Buffer[]);
    await eventually(() => kernel.received.length === 3);
    assert.is(kernel.received[2]!.channel, 'stdin');
    shell.close();
    stdin.close();
  }));

test('heartbeats are echoed, interrupts and the end are answered by the relay', () =>
  withRelay(async ({ relay, kernel, endpoint }) => {
    relay.attach(kernel);
    const heartbeat = new Request({ linger: 0, receiveTimeout: WAIT_MS });
    heartbeat.connect(endpoint('hb_port'));
    await heartbeat.send('beat');
    assert.is((await heartbeat.receive()).toString(), 'beat');
    const control = new Dealer({ linger: 0, receiveTimeout: WAIT_MS });
    control.connect(endpoint('control_port'));
    await control.send(zmqFrames(request('interrupt_request'), KEY) as Buffer[]);
    assert.is(typeOf(await reply(control)), 'interrupt_reply');
    assert.is(kernel.interrupts, 1);
    const ends = new Promise<void>((resolve) => {
      relay.onShutdown = resolve;
    });
    await control.send(zmqFrames(request('shutdown_request', { restart: false }), KEY) as Buffer[]);
    const answer = await reply(control);
    assert.equal(parseObject(answer.content), { status: 'ok', restart: false });
    await ends;
    assert.is(kernel.received.length, 0);
    heartbeat.close();
    control.close();
  }));

test('what is not signed with the key, or is no message, is dropped with a note', () =>
  withRelay(async ({ relay, kernel, endpoint }) => {
    relay.attach(kernel);
    const notes: string[] = [];
    relay.onNote = (text) => notes.push(text);
    const shell = new Dealer({ linger: 0, receiveTimeout: WAIT_MS });
    shell.connect(endpoint('shell_port'));
    await shell.send(zmqFrames(request('execute_request'), 'another key') as Buffer[]);
    await shell.send(['garbage', Buffer.from([0, 1, 2])]);
    await shell.send(zmqFrames(request('is_complete_request'), KEY) as Buffer[]);
    assert.is(typeOf(await reply(shell)), 'is_complete_reply');
    assert.is(kernel.received.length, 1);
    assert.is(notes.length, 2);
    shell.close();
  }));

const CLIENT = `
import sys, jupyter_client
manager, client = jupyter_client.manager.start_new_kernel(kernel_name='nbos', startup_timeout=100)
said = []
reply = client.execute_interactive('hello', timeout=60,
    output_hook=lambda m: said.append(m['content'].get('text', '')))
assert reply['content']['status'] == 'ok', reply
assert 'ran hello' in said, said
manager.interrupt_kernel()
manager.restart_kernel(now=False)
client.wait_for_ready(timeout=100)
client.stop_channels()
manager.shutdown_kernel(now=False)
print('fine')
`;

async function whyNoClient(): Promise<string> {
  const child = spawn('python3', ['-c', 'import jupyter_client'], { stdio: 'ignore' });
  const { status } = await ended(child).catch(() => ({ status: 1 }));
  return status === 0 ? '' : 'no python3 with jupyter_client';
}

testWithPart(test, await whyNoClient(), 'jupyter_client starts it by its kernelspec', () =>
  inFolder(async (dir) => {
    const gateway = await FakeGateway.start();
    try {
      const env = { ...gateway.env, JUPYTER_DATA_DIR: dir, JUPYTER_PATH: dir, HOME: dir };
      assert.match(await works(['kernelspec', 'install'], env), 'installed');
      const spec = JSON.parse(readFileSync(join(dir, 'kernels', 'nbos', 'kernel.json'), 'utf8'));
      assert.is(spec.language, 'python');
      assert.is(spec.interrupt_mode, 'message');
      assert.ok(spec.argv.join(' ').includes(PROGRAM_WORDS.at(-1)!));
      const child = spawn('python3', ['-c', CLIENT], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      const { status, stdout, stderr } = await ended(child);
      assert.is(status, 0, stderr);
      assert.is(stdout, 'fine\n');
      // The client interrupts before it shuts down, too.
      assert.ok(gateway.interrupts >= 1);
      // Every kernel that was made for it is gone again.
      assert.is(gateway.asked.filter(({ path }) => path === '/api/kernels').length, 2);
      assert.is(gateway.kernels.size, 0);
      assert.match(await works(['kernelspec', 'uninstall'], env), 'removed');
    } finally {
      await gateway.stop();
    }
  }),
);

test.run();
