import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { resolveConfig } from '../core/config/config.ts';
import type { Config, PartialConfig } from '../core/config/options.ts';
import { NbosError } from '../core/errors.ts';
import { PLACEMENTS } from '../core/placements/index.ts';
import { POLICIES } from '../core/policies/index.ts';
import type { Policy } from '../core/policies/policy.ts';
import { checkConfig, parseConfig } from '../traces/config-file.ts';
import { suggestion } from '../traces/suggest.ts';

export interface ResolvedPolicy {
  readonly policy: Policy;
  /** SHA-256 of the file and the files it imports by relative path; '' for a built-in policy */
  readonly hash: string;
  /** absolute path of the file; '' for a built-in policy */
  readonly file: string;
}

/**
 * A policy by the name of a built-in one, or by the path of a .ts or .js file whose default export
 * is a policy. Throws `policy-unknown`, `file-not-found` or `policy-invalid` naming file and
 * member.
 */
export async function resolvePolicy(nameOrPath: string): Promise<ResolvedPolicy> {
  if (Object.hasOwn(POLICIES, nameOrPath))
    return { policy: POLICIES[nameOrPath]!, hash: '', file: '' };
  if (isPath(nameOrPath)) return loadPolicyFile(nameOrPath);
  if (existsSync(nameOrPath))
    throw new NbosError(
      'policy-invalid',
      `${nameOrPath} is no policy file: its name does not end in .ts or .js`,
      'Name a .ts or .js file whose default export is a policy.',
    );
  throw new NbosError(
    'policy-unknown',
    `no policy is named "${nameOrPath}"`,
    suggestion(nameOrPath, Object.keys(POLICIES)),
  );
}

function isPath(word: string): boolean {
  return /[/\\]/.test(word) || /\.[cm]?[jt]s$/.test(word);
}

/**
 * The complete configuration of a run: defaults, the policy's, then `layers`; checked as a whole.
 */
export function configFor(policy: Policy, ...layers: readonly PartialConfig[]): Config {
  const config = resolveConfig(policy.defaults, ...layers);
  checkConfig(config);
  if (!Object.hasOwn(PLACEMENTS, config.placement))
    throw new NbosError(
      'policy-unknown',
      `no placement is named "${config.placement}"`,
      suggestion(config.placement, Object.keys(PLACEMENTS)),
    );
  if (config.queueOrder === 'policy' && policy.order === undefined)
    throw new NbosError(
      'config-bad-value',
      `queueOrder=policy: the policy ${policy.name} has no function \`order\``,
      'Choose fifo or sjf, or a policy that has one.',
    );
  if (config.replicas > 1 && !policy.replicated)
    throw new NbosError(
      'config-bad-value',
      `replicas=${config.replicas}: the policy ${policy.name} does not replicate kernels`,
      'Leave replicas at 1, or choose a policy whose `replicated` is true.',
    );
  return config;
}

async function loadPolicyFile(path: string): Promise<ResolvedPolicy> {
  const file = resolve(path);
  if (!existsSync(file)) throw new NbosError('file-not-found', `${path}: no such policy file`);
  let loaded: unknown;
  try {
    const { tsImport } = await import('tsx/esm/api');
    loaded = await tsImport(pathToFileURL(file).href, import.meta.url);
  } catch (error) {
    const first = String((error as Error).message ?? error)
      .split('\n')
      .filter(Boolean);
    const reason = first.find((line) => /:\d+:\d+/.test(line)) ?? first[0];
    throw new NbosError('policy-invalid', `${path}: it cannot be loaded: ${reason}`);
  }
  return { policy: checkPolicy(unwrapDefault(loaded), path), hash: hashWithImports(file), file };
}

/** tsx wraps the default export once more when the file counts as CommonJS. */
function unwrapDefault(loaded: unknown): unknown {
  let value = loaded;
  for (let depth = 0; depth < 2; depth++) {
    const inner = (value as { default?: unknown } | null)?.default;
    if (inner === undefined) break;
    value = inner;
  }
  return value;
}

const WORDS = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const yesNo = z.boolean('expected true or false');
const pure = z.custom<(...values: never[]) => unknown>(
  (value) => typeof value === 'function',
  'expected a function',
);
function oneOf<const W extends readonly [string, ...string[]]>(...words: W) {
  return z.enum(words, `expected one of ${words.join(', ')}`);
}

const POLICY = z.strictObject({
  name: z.string('expected a name').regex(WORDS, 'expected lower-case words joined by hyphens'),
  summary: z.string('expected one sentence').min(1, 'expected one sentence'),
  defaults: z.record(z.string(), z.unknown(), 'expected an object of options'),
  container: oneOf('session', 'execution', 'pool'),
  commit: oneOf('placement', 'execution'),
  replicated: yesNo,
  stateRead: oneOf('never', 'unless-warm', 'always'),
  stateWrite: oneOf('none', 'background', 'critical'),
  deviceLoad: oneOf('once', 'each'),
  migrates: yesNo,
  dynamicRequests: yesNo,
  billing: oneOf('committed', 'reserved'),
  order: pure.optional(),
  everyMs: z.number('expected ms').int('expected whole ms').min(1, 'expected ms from 1').optional(),
  onTimer: pure.optional(),
  state: pure.optional(),
  rate: pure.optional(),
  suspends: yesNo.optional(),
});

/** Checks a value against the Policy interface; `where` names its file in errors. */
export function checkPolicy(value: unknown, where: string): Policy {
  if (typeof value !== 'object' || value === null)
    throw new NbosError(
      'policy-invalid',
      `${where}: its default export is not a policy`,
      'End the file with `export default { name: …, … } satisfies Policy`.',
    );
  const result = POLICY.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    if (issue.code === 'unrecognized_keys')
      throw new NbosError(
        'policy-invalid',
        `${where}: unknown member "${issue.keys[0]}"`,
        suggestion(issue.keys[0]!, Object.keys(POLICY.shape)),
      );
    const member = issue.path.join('.');
    const found = member in value ? '' : ', found nothing';
    throw new NbosError('policy-invalid', `${where}: ${member}: ${issue.message}${found}`);
  }
  parseConfig(result.data.defaults, `${where}: defaults`);
  const policy = value as Policy;
  const fault = contradiction(policy);
  if (fault !== undefined) throw new NbosError('policy-invalid', `${where}: ${fault}`);
  return policy;
}

function contradiction(policy: Policy): string | undefined {
  if (Object.hasOwn(POLICIES, policy.name) && POLICIES[policy.name] !== policy)
    return `name: "${policy.name}" is a built-in policy; choose another name`;
  if ((policy.everyMs === undefined) !== (policy.onTimer === undefined))
    return 'everyMs and onTimer: one is of no use without the other';
  if (policy.suspends === true && policy.onTimer === undefined)
    return 'suspends: only onTimer can suspend, and there is none';
  if (policy.defaults.queueOrder === 'policy' && policy.order === undefined)
    return "defaults.queueOrder: 'policy' needs the function `order`";
  if (policy.replicated && policy.container !== 'session')
    return "replicated: replicas live as long as their session: container must be 'session'";
  return undefined;
}

/** SHA-256 over a file and, in order of import, the files that it imports by relative path. */
function hashWithImports(file: string): string {
  const hash = createHash('sha256');
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path) || !existsSync(path)) return;
    seen.add(path);
    const text = readFileSync(path, 'utf8');
    hash.update(text).update('\0');
    for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g))
      visit(resolve(dirname(path), target!));
  };
  visit(file);
  return hash.digest('hex');
}
