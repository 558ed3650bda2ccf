import { NbosError } from '../../core/errors.ts';
import { type Arguments, demandedText, isSet, textOf } from '../../traces/command-line.ts';
import { endWithParent } from './children.ts';
import { dataFolder, knownCluster } from './cluster-file.ts';
import { joinSystem } from './join-actions.ts';
import { JOIN_OPTIONS } from './join-flags.ts';
import { openLog } from './log.ts';
import { runAgent } from './run-agent.ts';
import { runGateway } from './run-gateway.ts';
import type { LoadPolicy } from './system-options.ts';
import { untilInterrupted } from './until-interrupted.ts';

/** `nbos gateway`: serves until Ctrl-C; kernels stay with their agents. */
export async function serveGateway(given: Arguments, load: LoadPolicy): Promise<void> {
  endWithParent();
  const gateway = await runGateway(given, load);
  process.stdout.write(`ready ${gateway.url}\n`);
  if (!isSet(given, 'quiet')) process.stdout.write(`${gateway.text}\n`);
  await untilInterrupted();
  await gateway.close(false);
  process.exit(0);
}

/** `nbos agent`: one host of the system in a data directory, until Ctrl-C. */
export async function serveAgent(given: Arguments): Promise<void> {
  endWithParent();
  if (given['join'] !== undefined) {
    await joinSystem(given);
    return;
  }
  const idle = JOIN_OPTIONS.find((name) => given[name] !== undefined);
  if (idle !== undefined)
    throw new NbosError('usage', `--${idle} is for a host that joins from another machine: --join`);
  const data = dataFolder(textOf(given, 'data'));
  const cluster = knownCluster(data);
  const id = demandedText(given, 'host');
  const host = cluster.hosts.find((each) => each.id === id);
  if (host === undefined)
    throw new NbosError(
      'usage',
      `--host: the system in ${data} has no host "${id}"`,
      `It has ${cluster.hosts.map((each) => each.id).join(', ')}.`,
    );
  const log = openLog(data, id, true);
  const agent = await runAgent({ data, cluster, host, log });
  process.stdout.write(`ready ${id}\n`);
  await untilInterrupted();
  await agent.close();
  process.exit(0);
}
