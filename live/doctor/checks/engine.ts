import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { NbosError } from '../../../core/errors.ts';
import type { Engine } from '../../agent/container/engine.ts';
import { type Check, ok, problem, type Told, warning } from '../finding.ts';
import type { Subject } from '../subject.ts';

/** 1.41 is Docker 20.10, the oldest that this was tried on. */
const OLDEST_API = '1.41';
const OTHERS_MAY_WRITE = 0o002;

const VERSION = z.object({ Version: z.string(), ApiVersion: z.string() });
const INFO = z.object({
  CgroupVersion: z.string().default('1'),
  CgroupDriver: z.string().default(''),
  Driver: z.string().default(''),
  SecurityOptions: z.array(z.string()).nullish(),
  MemoryLimit: z.boolean().default(true),
  PidsLimit: z.boolean().default(true),
  CpuCfsQuota: z.boolean().default(true),
  Runtimes: z.record(z.string(), z.unknown()).nullish(),
  SystemTime: z.string().default(''),
});

export type EngineInfo = z.infer<typeof INFO>;

/** What the engine says of itself. @throws NbosError engine-absent, -denied, -failed */
export async function infoOf(engine: Engine): Promise<EngineInfo> {
  const answer = await engine.ask('what it is', (docker) => docker.info());
  const parsed = INFO.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new NbosError(
    'engine-failed',
    `container engine ${engine.place}: it describes itself in an unknown way`,
    'Name a Docker Engine.',
  );
}

/** Whether it can filter system calls. */
export function hasSeccomp({ SecurityOptions: options }: EngineInfo): boolean {
  return (options ?? []).some((option) => option.includes('seccomp'));
}

const withEngine = ({ engine }: Subject): boolean => engine !== undefined;

/** That there is an engine, who may use it, and which version it is. */
export const ENGINE: Check = {
  name: 'engine',
  applies: withEngine,
  async look({ engine }) {
    const told: Told[] = [];
    let version: z.infer<typeof VERSION>;
    try {
      const answer = await engine!.ask('its version', (docker) => docker.version());
      version = VERSION.parse(answer);
    } catch (error) {
      if (error instanceof NbosError) return [refusalTold(error)];
      return [problem(`${engine!.place} is no Docker Engine`, 'Name one with --docker.')];
    }
    const found = `Docker Engine ${version.Version} (API ${version.ApiVersion}) at ${engine!.place}`;
    if (isOlder(version.ApiVersion, OLDEST_API))
      told.push(problem(`${found} is too old`, 'Install Docker 20.10 or later.'));
    else told.push(ok(found));
    return [...told, ...(await opennessTold(engine!.place))];
  },
};

/** An engine is as good as root: the way in must stay narrow. */
function refusalTold(error: NbosError): Told {
  const { code, message, hint } = error;
  if (code !== 'engine-denied') return problem(`${code}: ${message}`, hint);
  return problem(
    `${code}: ${message}`,
    `${hint} Or run an engine without root (dockerd-rootless-setuptool.sh install) and give ` +
      '--docker unix://$XDG_RUNTIME_DIR/docker.sock.',
  );
}

async function opennessTold(place: string): Promise<Told[]> {
  const socket = /^unix:\/\/(.+)$/.exec(place)?.[1];
  if (socket !== undefined) {
    const mode = (await stat(socket).catch(() => undefined))?.mode ?? 0;
    if ((mode & OTHERS_MAY_WRITE) === 0) return [];
    return [
      problem(
        `everybody on this machine may use ${socket}, and so act as root`,
        `chmod 660 ${socket}, and add those who need it to its group.`,
      ),
    ];
  }
  const { protocol, hostname } = new URL(place);
  const isSafe = protocol === 'https:' || /^(localhost|127\.|\[::1\])/.test(hostname);
  if (isSafe || process.env['DOCKER_TLS_VERIFY']) return [];
  return [
    problem(
      `${place} is reached without TLS: whoever reaches it can act as root there`,
      'Use its socket, or TLS (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH).',
    ),
  ];
}

/** Whether version a, numbers with points, is older than b. */
export function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let at = 0; at < right!.length; at++) {
    const difference = (left![at] ?? 0) - right![at]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** What the version of cgroups means for keeping kernels from devices. */
export const CGROUPS: Check = {
  name: 'cgroups',
  after: 'engine',
  applies: withEngine,
  async look({ engine }) {
    const { CgroupVersion: version, CgroupDriver: driver } = await infoOf(engine!);
    const found = `cgroup v${version} (${driver || 'no'} driver)`;
    if (version === '1')
      return [ok(`${found}: a kernel's first use of a GPU that it has no lease of is blocked`)];
    return [
      warning(
        `${found}: GPUs cannot be blocked before their first use; misuse is found and ended later`,
        'Nothing has to be done; boot with systemd.unified_cgroup_hierarchy=0 for blocking.',
      ),
    ];
  },
};

export const ENGINE_LIMITS: Check = {
  name: 'limits',
  after: 'engine',
  applies: withEngine,
  async look({ engine }) {
    const info = await infoOf(engine!);
    const lacks = [
      info.MemoryLimit ? '' : 'memory',
      info.PidsLimit ? '' : 'number of processes',
      info.CpuCfsQuota ? '' : 'CPU',
    ].filter((each) => each !== '');
    if (lacks.length === 0) return [ok('memory, CPU and number of processes can be limited')];
    return [
      warning(
        `the engine cannot limit: ${lacks.join(', ')}`,
        "One kernel can starve the others: delegate the controllers to the engine's cgroup.",
      ),
    ];
  },
};

const SLOW_DRIVERS: ReadonlySet<string> = new Set(['vfs', 'devicemapper', 'aufs', 'overlay']);

export const STORAGE: Check = {
  name: 'storage',
  after: 'engine',
  applies: withEngine,
  async look({ engine }) {
    const { Driver: driver } = await infoOf(engine!);
    if (!SLOW_DRIVERS.has(driver)) return [ok(`storage driver ${driver}`)];
    const why = driver === 'vfs' ? 'copies the whole image for each kernel' : 'is outdated';
    return [warning(`storage driver ${driver} ${why}`, 'Use overlay2 ("storage-driver").')];
  },
};

export const SECCOMP: Check = {
  name: 'seccomp',
  after: 'engine',
  applies: withEngine,
  async look({ engine }) {
    const info = await infoOf(engine!);
    const names = (info.SecurityOptions ?? []).map((text) => /name=(\w+)/.exec(text)?.[1] ?? text);
    const more = names.filter((name) => name !== 'seccomp');
    const beside = more.length === 0 ? '' : `; also ${more.join(', ')}`;
    if (hasSeccomp(info)) return [ok(`system calls of kernels are filtered${beside}`)];
    return [
      warning(
        `the engine does not filter system calls${beside}`,
        'Use an engine and a Linux with seccomp: containers keep users apart less well without.',
      ),
    ];
  },
};
