import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, readlink, realpath, rename, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { inheritedEnvironment } from './environment.ts';
import { LOCK_MODULE, LOCK_STARTER, PIP, PIP_OF_ENVIRONMENT } from './packages-files.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** Where a Python kernel runs and where what it installs goes. */
export interface PackagePlace {
  /** the interpreter to start */
  python: string;
  /** its prefix: packages go below it, and it is the VIRTUAL_ENV of the kernel */
  prefix: string;
  /** folders with the programs of its packages, for the PATH */
  bins: readonly string[];
}

/** What an interpreter says of itself. */
interface Base {
  /** 3.11 */
  version: string;
  prefix: string;
  /** the interpreter that is in no virtual environment */
  executable: string;
  /** site-packages of the virtual environment that it is in, none outside of one */
  sites: string[];
  /** whether packages of the system, and of the user, are seen */
  system: boolean;
  userSite: string;
}

const PROBE_MS = 30_000;
const PROBE = `
import json, os, site, sys, sysconfig
inside = sys.prefix != sys.base_prefix
names = ('purelib', 'platlib')
sites = list(dict.fromkeys(sysconfig.get_path(name) for name in names)) if inside else []
user = site.getusersitepackages() if site.ENABLE_USER_SITE else ''
system = not inside
if inside:
    with open(os.path.join(sys.prefix, 'pyvenv.cfg')) as file:
        words = [line.replace(' ', '').strip().lower() for line in file]
    system = 'include-system-site-packages=true' in words
print(json.dumps({
    'version': '%d.%d' % sys.version_info[:2], 'prefix': sys.prefix, 'sites': sites,
    'executable': getattr(sys, '_base_executable', '') or sys.executable, 'system': system,
    'userSite': user if os.path.isdir(user) else '',
}))
`;
const PYTHON = /^python(\d+(\.\d+)?)?$/;

const known = new Map<string, Promise<PackagePlace | undefined>>();

/**
 * The place for packages of kernels that `program` runs: an environment of its own in the
 * workspace, on top of the interpreter's, so that what a kernel installs is there for all replicas
 * and nothing outside of the workspace changes. An interpreter that lies in the workspace itself
 * is taken as it is. Made when it is not there; undefined for what is no Python 3. Rejects when
 * the workspace cannot be written to.
 */
export function packagePlace(
  program: string,
  workspace: string,
  outer: Variables,
): Promise<PackagePlace | undefined> {
  const key = `${workspace}\0${program}`;
  let place = known.get(key);
  if (place === undefined) {
    place = makePlace(program, workspace, outer);
    known.set(key, place);
    // Another try may find the disk free again, or the program repaired.
    place.then(
      (found) => found ?? known.delete(key),
      () => known.delete(key),
    );
  }
  return place;
}

async function makePlace(
  program: string,
  workspace: string,
  outer: Variables,
): Promise<PackagePlace | undefined> {
  if (!PYTHON.test(basename(program))) return undefined;
  const base = await probe(program, outer);
  if (base === undefined) return undefined;
  const own = join(base.prefix, 'bin');
  if (await liesIn(base.prefix, workspace)) {
    const bins = [own, await pipBeside(workspace)];
    return { python: program, prefix: base.prefix, bins };
  }
  const prefix = join(workspace, '.nbos', 'packages', nameOf(base));
  await writePlace(prefix, base);
  const bin = join(prefix, 'bin');
  return { python: join(bin, 'python'), prefix, bins: base.sites.length > 0 ? [bin, own] : [bin] };
}

/** One for each interpreter: what is built for one may not run in another. */
function nameOf({ version, prefix }: Base): string {
  return `${version}-${createHash('sha256').update(prefix).digest('hex').slice(0, 8)}`;
}

async function liesIn(folder: string, workspace: string): Promise<boolean> {
  const [inner, outer] = await Promise.all([realpath(folder), realpath(workspace)]);
  return inner.startsWith(outer + sep);
}

/** Written file by file, each whole or not there: hosts may do the same at the same time. */
async function writePlace(prefix: string, base: Base): Promise<void> {
  const { version, executable, system, sites, userSite } = base;
  const packages = join(prefix, 'lib', `python${version}`, 'site-packages');
  const bin = join(prefix, 'bin');
  await mkdir(packages, { recursive: true });
  await mkdir(bin, { recursive: true });
  await writeIgnored(dirname(dirname(prefix)));
  const config = [
    `home = ${dirname(executable)}`,
    `include-system-site-packages = ${system}`,
    `version = ${version}`,
    `executable = ${executable}`,
  ];
  await writeOnce(join(prefix, 'pyvenv.cfg'), `${config.join('\n')}\n`);
  const below = [...sites, ...(userSite === '' ? [] : [userSite])];
  const added = below.map(addingFolder);
  await writeOnce(join(packages, '_nbos_packages.py'), LOCK_MODULE);
  await writeOnce(join(packages, 'nbos_packages.pth'), [LOCK_STARTER, ...added].join(''));
  for (const name of ['pip', 'pip3']) await writeOnce(join(bin, name), PIP, 0o755);
  await linkOnce(join(prefix, 'lib64'), 'lib');
  await linkOnce(join(bin, 'python'), executable);
  for (const name of ['python3', `python${version}`]) await linkOnce(join(bin, name), 'python');
}

/** A line for a .pth file that also heeds the .pth files of `folder`. */
function addingFolder(folder: string): string {
  return `import site; site.addsitedir(${JSON.stringify(folder)})\n`;
}

const GIT_IGNORE = `# Made by NotebookOS: packages that notebooks of this folder have installed.
# It may be deleted while no kernel runs; then they are gone.
*
`;

/** Keeps what lies in a workspace for us out of the user's version control. */
export function writeIgnored(folder: string): Promise<void> {
  return writeOnce(join(folder, '.gitignore'), GIT_IGNORE);
}

/** For environments without a pip program, where another one's would come next on the PATH. */
async function pipBeside(workspace: string): Promise<string> {
  const bin = join(workspace, '.nbos', 'bin');
  await mkdir(bin, { recursive: true });
  await writeIgnored(dirname(bin));
  for (const name of ['pip', 'pip3']) await writeOnce(join(bin, name), PIP_OF_ENVIRONMENT, 0o755);
  return bin;
}

async function writeOnce(path: string, text: string, mode = 0o644): Promise<void> {
  const before = await readFile(path, 'utf8').catch(() => undefined);
  // A pip that has upgraded itself has a program of its own here.
  if (before === text || (before !== undefined && text === PIP)) return;
  const part = `${path}.${randomUUID().slice(0, 8)}`;
  await writeFile(part, text, { mode });
  await rename(part, path);
}

async function linkOnce(path: string, to: string): Promise<void> {
  if ((await readlink(path).catch(() => undefined)) === to) return;
  const part = `${path}.${randomUUID().slice(0, 8)}`;
  await symlink(to, part);
  await rename(part, path);
}

function probe(program: string, outer: Variables): Promise<Base | undefined> {
  const options = { env: inheritedEnvironment(outer), timeout: PROBE_MS };
  return new Promise((answer) => {
    execFile(program, ['-c', PROBE], options, (error, stdout) => {
      try {
        answer(error === null ? (JSON.parse(stdout) as Base) : undefined);
      } catch {
        answer(undefined);
      }
    });
  });
}
