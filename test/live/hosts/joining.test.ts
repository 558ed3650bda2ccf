import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startKit, stopKit } from '../gateway/brain-kit.ts';
import { eventually } from '../wire/eventually.ts';

/** What the gateway makes of hosts that come as they are. */
const test = suite('joining');

test('GPUs that a host lacks are never given out', async () => {
  const kit = startKit({ hosts: 2, config: { gpusPerHost: 3, replicas: 1 } });
  try {
    const { hosts, loop } = kit.brain;
    await eventually(() => hosts.all().every(({ number }) => number !== -1));
    // The agents of these tests have two.
    await eventually(() => loop.core.state.hosts.every((host) => host.excludedDevices === 0b100));
    assert.equal(
      loop.core.state.hosts.map((host) => host.idle.gpuMillis),
      [2000, 2000],
    );
  } finally {
    stopKit(kit);
  }
});

test('GPUs beyond what the gateway counts with are named', async () => {
  const kit = startKit({ hosts: 1, config: { gpusPerHost: 1, replicas: 1 } });
  try {
    const { hosts } = kit.brain;
    await eventually(() => hosts.isUp('h1'));
    assert.match(hosts.get('h1')!.note, /1 of its 2 GPUs are used.*--gpus-per-host 2/);
  } finally {
    stopKit(kit);
  }
});

test('an id is taken while its host is heard, but for that host', async () => {
  const kit = startKit({ hosts: 2 });
  try {
    const { hosts } = kit.brain;
    await eventually(() => hosts.isUp('h1'));
    const hello = hosts.get('h1')!.hello!;
    assert.is(hosts.rivalOf(hello), '');
    const rival = { ...hello, peer: 'tcp://10.0.0.9:7401' };
    assert.match(hosts.rivalOf(rival), /h1 is there already, at tcp:\/\/h1/);
    assert.is(hosts.rivalOf({ ...rival, host: 'h9' }), '');
    kit.agents.cut('h1', true);
    await eventually(() => hosts.rivalOf(rival) === '');
  } finally {
    stopKit(kit);
  }
});

test.run();
