import { resolve } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import { type Arguments, isSet, numberOf, printResult, textOf } from '../../traces/command-line.ts';
import { type Engine, engineAt } from '../agent/container/engine.ts';
import { containerDeath, deathsOf } from '../doctor/dead-kernels.ts';
import { examine } from '../doctor/doctor.ts';
import type { Finding } from '../doctor/finding.ts';
import { findingText, verdictText } from '../doctor/findings-text.ts';
import type { Subject } from '../doctor/subject.ts';
import { dataFolder } from './cluster-file.ts';
import { STANDARD_DOCKER } from './docker-flags.ts';
import { describedDocker } from './docker-options.ts';
import { findSystem, plainUrl } from './running.ts';

/** `nbos doctor`: looks at this host, or at what died; 1 is the exit code of a problem. */
export async function examineHost(given: Arguments): Promise<void> {
  const tell = (finding: Finding): void => {
    if (!isSet(given, 'json')) printResult(given, findingText(finding), undefined);
  };
  const findings = await lookedAt(given, tell);
  printResult(given, verdictText(findings), findings);
  if (findings.some(({ level }) => level === 'problem')) process.exitCode = 1;
}

async function lookedAt(given: Arguments, tell: (finding: Finding) => void): Promise<Finding[]> {
  const [kernel, container] = [textOf(given, 'kernel'), textOf(given, 'container')];
  if (kernel === undefined && container === undefined) return examine(described(given), tell);
  const findings: Finding[] = [];
  if (kernel !== undefined) findings.push(...(await deathsOf(dataOf(given), kernel)));
  if (container !== undefined)
    findings.push(...(await containerDeath(engineOf(given, STANDARD_DOCKER.engine), container)));
  findings.forEach(tell);
  return findings;
}

function dataOf(given: Arguments): string {
  return dataFolder(textOf(given, 'data'));
}

function engineOf(given: Arguments, standard: string): Engine {
  return engineAt(textOf(given, 'docker') ?? standard, process.env);
}

/** @throws NbosError usage, config-bad-value */
function described(given: Arguments): Subject {
  const docker = describedDocker(given, undefined);
  const gateway = textOf(given, 'gateway');
  const port = numberOf(given, 'port');
  const store = textOf(given, 'store') ?? '';
  if (docker !== undefined && textOf(given, 'python') !== undefined)
    throw new NbosError('usage', '--python is of no use with --docker: the image has its own');
  return {
    engine: docker && engineAt(docker.engine, process.env),
    docker,
    workspace: resolve(textOf(given, 'workspace') ?? process.cwd()),
    data: dataOf(given),
    store: store === 'none' ? '' : store,
    join: textOf(given, 'join') ?? '',
    keys: textOf(given, 'keys') ?? '',
    gateway:
      gateway === undefined
        ? undefined
        : findSystem({ ...process.env, NBOS_URL: plainUrl(gateway, '--gateway') }),
    ports: port === undefined ? [] : [port],
    python: textOf(given, 'python') ?? '',
    env: process.env,
  };
}
