import { tmpdir } from 'node:os';
import { Engine, engineAt } from '../../../live/agent/container/engine.ts';
import { STANDARD_DOCKER } from '../../../live/commands/docker-flags.ts';
import { CHECKS, examine } from '../../../live/doctor/doctor.ts';
import type { Finding } from '../../../live/doctor/finding.ts';
import type { Subject } from '../../../live/doctor/subject.ts';

/** A host of which nothing but what `more` says is looked at. */
export function subjectWith(more: Partial<Subject>): Subject {
  return {
    ...{ engine: undefined, docker: undefined, workspace: tmpdir(), data: tmpdir(), store: '' },
    ...{ join: '', keys: '', gateway: undefined, ports: [], python: '', env: process.env },
    ...more,
  };
}

/** An engine and containers of it as `nbos doctor --docker` has them. */
export function withEngine(address: string, docker = STANDARD_DOCKER): Partial<Subject> {
  return { engine: engineAt(address, {}), docker };
}

/** What the checks of these names find. */
export function findingsOf(subject: Subject, ...names: string[]): Promise<Finding[]> {
  const checks = CHECKS.filter(({ name }) => names.includes(name));
  return examine(subject, () => undefined, { checks });
}

/** An engine whose every call fails as the system does with that code. */
export function failingEngine(place: string, code: string): Engine {
  const engine = new Engine(place, { socketPath: '/nowhere' });
  const fail = (): Promise<never> =>
    Promise.reject(Object.assign(new Error(`connect ${code} ${place}`), { code }));
  engine.docker.version = fail as never;
  engine.docker.info = fail as never;
  return engine;
}
