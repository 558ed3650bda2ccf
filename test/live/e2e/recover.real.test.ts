// runs-alone
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testWithPart } from '../../skip.ts';
import { missingKernel } from './parts.ts';
import { System } from './system.ts';

const test = suite<Record<string, never>>('recover');

/** Two of three hosts are lost with their disks; variables live on in the third's log. */
testWithPart(test, missingKernel, 'nbos recover goes on from the one replica left', async () => {
  const system = await System.up(['--split']);
  try {
    const { client, id } = await system.notebook();
    await client.run('kept = {"a": 1}');
    await client.run('import os; big = os.urandom(300_000); mark = hash(big)');
    const { replicas } = await system.until(
      'three replicas run',
      async () => {
        const kernel = await system.kernel(id);
        const ready = kernel.replicas.filter(({ process }) => process === 'ready');
        return ready.length === 3 && kernel;
      },
      40_000,
    );
    const refused = await system.nbos(['recover', id, '--from', replicas[0]!.id]);
    assert.is.not(refused.status, 0);
    assert.match(refused.stderr, /change-refused/);
    const [kept, ...lost] = replicas;
    const { hosts } = await system.status();
    for (const { host } of lost) {
      system.kill(hosts.find((each) => each.id === host)?.pid);
      rmSync(join(system.data, 'hosts', host), { recursive: true, force: true });
    }
    const waiting = client.execute('print(kept, hash(big) == mark)', { limitMs: 60_000 });
    await system.until('it has lost its majority', async () => {
      return (await system.kernel(id)).state === 'lost-quorum';
    });
    const recovered = await system.nbos(['recover', id, '--from', kept!.id]);
    assert.is(recovered.status, 0, recovered.stderr);
    assert.match(recovered.stdout, new RegExp(`goes on from its replica on ${kept!.host}`));
    for (const { host } of lost) system.spawn(['agent', '--host', host, '--data', system.data]);
    const reply = await waiting.done;
    // It may have been on its way to a host that was lost: then nothing of it is kept.
    assert.match(`${reply['status']} ${reply['ename'] ?? ''}`, /^ok |^error ExecutorLost$/);
    const { text } = await client.run('print(kept, hash(big) == mark)');
    assert.is(text, "{'a': 1} True\n");
    await system.until(
      'three replicas run again',
      async () => {
        const kernel = await system.kernel(id);
        return kernel.replicas.filter(({ process }) => process === 'ready').length === 3;
      },
      60_000,
    );
  } finally {
    assert.equal(await system.stop(), [], 'processes left behind');
  }
});

test.run();
