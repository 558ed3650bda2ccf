// time-limit: 600 s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { ownCache } from '../own-cache.ts';
import { textOf } from './notebook-client.ts';
import { missingKernel } from './parts.ts';
import { System } from './system.ts';

ownCache();

const test = suite<Record<string, never>>('one system, many notebooks');
let system: System;

test.before(async () => {
  if (missingKernel === '') system = await System.up();
});
test.after(async () => {
  if (missingKernel === '') assert.equal(await system.stop(), [], 'processes left behind');
});

function live(name: string, body: () => Promise<void>): void {
  testWithPart(test, missingKernel, name, body);
}

for (const framing of ['v1', 'legacy'] as const) {
  live(`cells run in order with one count, one input, one reply (${framing})`, async () => {
    const { id } = await system.notebook();
    const client = await system.client(id, { framing });
    const runs = Array.from({ length: 5 }, (_, at) =>
      client.execute(`x = ${at}\nprint("line", x)\nx * 2`),
    );
    for (const [at, running] of runs.entries()) {
      const reply = await running.done;
      assert.is(reply['status'], 'ok');
      assert.is(reply['execution_count'], at + 1);
      const types = running.outputs.map(({ header }) => header.msg_type);
      // One print may come in several messages.
      const kinds = types.filter((type, index) => type !== 'stream' || types[index - 1] !== type);
      assert.equal(kinds, ['status', 'execute_input', 'stream', 'execute_result', 'status']);
      assert.is(textOf(running.outputs), `line ${at}\n${at * 2}`);
    }
  });
}

live('an error stops the queue, and only until it', async () => {
  const { client } = await system.notebook();
  const failing = client.execute('import time; time.sleep(0.3); 1/0');
  const behind = client.execute('print("never")');
  assert.is((await failing.done)['ename'], 'ZeroDivisionError');
  assert.is((await behind.done)['status'], 'aborted');
  assert.is((await client.run('print("again")')).text, 'again\n');
});

live(
  'interrupt ends the running cell and the queue; a second kernel is not disturbed',
  async () => {
    const { client, id } = await system.notebook();
    const { client: other } = await system.notebook();
    const running = client.execute('import time\nprint("in")\ntime.sleep(60)');
    const behind = client.execute('1');
    await client.next(({ content }) => content['text'] === 'in\n');
    assert.is((await system.fetch(`/api/kernels/${id}/interrupt`, { method: 'POST' })).status, 204);
    assert.is((await running.done)['ename'], 'KeyboardInterrupt');
    assert.is((await behind.done)['status'], 'aborted');
    assert.is((await other.run('print(2)')).text, '2\n');
  },
);

live('stdin, completion, inspection, history and kernel_info reach the kernel', async () => {
  const { client } = await system.notebook();
  await client.run('someone = "Ada"');
  const asking = client.execute('print("hello", input("who? "))', { allowStdin: true });
  const question = await client.next(({ header }) => header.msg_type === 'input_request');
  assert.is(question.content['prompt'], 'who? ');
  client.send('stdin', 'input_reply', { value: 'Eve', status: 'ok' }, {}, question.header);
  assert.is((await asking.done)['status'], 'ok');
  const complete = await client.ask('shell', 'complete_request', { code: 'some', cursor_pos: 4 });
  const { matches } = complete.content as { matches: string[] };
  assert.ok(matches.includes('someone'), JSON.stringify(complete.content).slice(0, 500));
  const inspect = await client.ask('shell', 'inspect_request', {
    code: 'someone',
    cursor_pos: 7,
    detail_level: 0,
  });
  assert.is(inspect.content['found'], true);
  const info = await client.ask('shell', 'kernel_info_request');
  assert.is((info.content['language_info'] as { name: string }).name, 'python');
  const history = await client.ask('shell', 'history_request', {
    hist_access_type: 'tail',
    n: 10,
    output: false,
    raw: true,
  });
  const inputs = (history.content['history'] as [number, number, string][]).map(
    ([, , code]) => code,
  );
  assert.ok(inputs.includes('someone = "Ada"'), inputs.join('|'));
});

live('every cell on another replica: the state goes along', async () => {
  const { client, id } = await system.notebook();
  await system.until('all replicas are ready', async () => {
    const { replicas } = await system.kernel(id);
    return replicas.length === 3 && replicas.every(({ process }) => process === 'ready');
  });
  await system.fault({ fault: 'move-every-cell', on: true });
  try {
    const executors = new Set<string>();
    await client.run('data = {"n": [0]}\nalias = data["n"]\nclass A:\n    x = 1\na = A()');
    for (let cell = 1; cell <= 6; cell++) {
      const { reply } = await client.run(`alias.append(${cell}); A.x += 1\nimport os\nos.getpid()`);
      assert.is(reply['status'], 'ok');
      assert.is(reply['execution_count'], cell + 1);
      executors.add((await system.kernel(id)).executor);
    }
    assert.ok(executors.size >= 2, [...executors].join(' '));
    assert.is((await client.run('print(data, a.x)')).text, "{'n': [0, 1, 2, 3, 4, 5, 6]} 7\n");
  } finally {
    await system.fault({ fault: 'move-every-cell', on: false });
  }
});

live('restart empties the kernel, keeps the connection, and counts from one', async () => {
  const { client, id } = await system.notebook();
  await client.run('x = 1');
  const response = await system.fetch(`/api/kernels/${id}/restart`, { method: 'POST' });
  assert.is(response.status, 200);
  const { reply } = await client.run('x');
  assert.is(reply['ename'], 'NameError');
  assert.is(reply['execution_count'], 1);
});

live('the status has the promised form', async () => {
  const { client, id } = await system.notebook();
  await client.run('f = open("/dev/null")\ny = 2');
  const listed = await system.nbos(['status', '--json']);
  assert.is(listed.status, 0, listed.stderr);
  const status = JSON.parse(listed.stdout);
  assert.type(status.gateway.pid, 'number');
  assert.is(status.hosts.length, 4);
  for (const host of status.hosts) {
    assert.equal(
      [typeof host.id, typeof host.pid, host.up, host.gpus],
      ['string', 'number', true, 2],
    );
    assert.type(host.gpusCommitted, 'number');
  }
  const kernel = status.kernels.find((each: { id: string }) => each.id === id);
  assert.is(kernel.replicas.length, 3);
  assert.ok(kernel.replicas.some((replica: { id: string }) => replica.id === kernel.executor));
  for (const replica of kernel.replicas) {
    assert.type(replica.applied, 'number');
    assert.ok(['leader', 'follower'].includes(replica.role), replica.role);
    assert.ok(status.hosts.some((host: { id: string }) => host.id === replica.host));
  }
  assert.equal(
    kernel.unreplicated.map(({ name }: { name: string }) => name),
    ['f'],
  );
});

live('nbos.output() shows the output of an earlier cell again, folded', async () => {
  const { client } = await system.notebook();
  await client.run('import time\nfor i in range(3):\n    print(i, end="\\r", flush=True)\n42');
  for (const code of ['import nbos\nnbos.output(1)', 'nbos.output(-2)', 'nbos.output()']) {
    const { outputs } = await client.run(code);
    const shown = outputs.filter(({ header }) => /stream|display_data/.test(header.msg_type));
    assert.is(textOf(shown), '242', code);
  }
});

live('a deleted kernel is gone with its processes', async () => {
  const { id } = await system.notebook();
  const { replicas } = await system.kernel(id);
  const { isAlive } = await import('./system.ts');
  assert.is((await system.fetch(`/api/kernels/${id}`, { method: 'DELETE' })).status, 204);
  assert.is((await system.fetch(`/api/kernels/${id}`)).status, 404);
  await system.until('its processes are gone', async () =>
    replicas.every(({ pid }) => pid === 0 || !isAlive(pid)),
  );
});

test.run();
