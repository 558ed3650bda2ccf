import { CLOCK } from './checks/clock.ts';
import { DISK, SHARED_MEMORY } from './checks/disk.ts';
import { CGROUPS, ENGINE, ENGINE_LIMITS, SECCOMP, STORAGE } from './checks/engine.ts';
import { GATEWAY, SAME_WORKSPACE } from './checks/gateway.ts';
import { GPUS } from './checks/gpus.ts';
import { IMAGE } from './checks/image.ts';
import { JOIN, KEYS } from './checks/join.ts';
import { NODE, OPEN_FILES } from './checks/node.ts';
import { PORTS } from './checks/ports.ts';
import { PYTHON } from './checks/python.ts';
import { STORE } from './checks/store.ts';
import { VOLUME } from './checks/volume.ts';
import { WORKSPACE } from './checks/workspace.ts';
import { type Check, type Finding, problem, problemOf, type Told } from './finding.ts';
import type { Subject } from './subject.ts';

/** In the order in which they are told: what others rest on comes first. */
export const CHECKS: readonly Check[] = [
  NODE,
  OPEN_FILES,
  DISK,
  SHARED_MEMORY,
  WORKSPACE,
  PYTHON,
  ENGINE,
  CGROUPS,
  ENGINE_LIMITS,
  STORAGE,
  SECCOMP,
  VOLUME,
  GPUS,
  IMAGE,
  STORE,
  PORTS,
  KEYS,
  JOIN,
  GATEWAY,
  SAME_WORKSPACE,
  CLOCK,
];

/** A check that takes longer says so and is left, ms. */
const CHECK_MS = 60_000;

/** Looks at a host, one check after the other; each finding is given to `tell` at once. */
export async function examine(
  subject: Subject,
  tell: (finding: Finding) => void,
  { checks = CHECKS, limitMs = CHECK_MS } = {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const failed = new Set<string>();
  for (const check of checks) {
    const isVain = [check.after ?? []].flat().some((name) => failed.has(name));
    if (!check.applies(subject) || isVain) continue;
    for (const told of await lookedAt(check, subject, limitMs)) {
      const finding = { check: check.name, ...told };
      findings.push(finding);
      if (told.level === 'problem') failed.add(check.name);
      tell(finding);
    }
  }
  return findings;
}

async function lookedAt(check: Check, subject: Subject, limitMs: number): Promise<Told[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Told[]>((resolve) => {
    const told = problem(
      `no result within ${limitMs / 1000} s`,
      'Something in it hangs: see above.',
    );
    timer = setTimeout(resolve, limitMs, [told]);
  });
  try {
    return await Promise.race([check.look(subject), late]);
  } catch (error) {
    return [problemOf(error)];
  } finally {
    clearTimeout(timer);
  }
}
