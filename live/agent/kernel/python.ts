import { execFile } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { NbosError } from '../../../core/errors.ts';
import { inheritedEnvironment } from './environment.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** A Python that can run kernels. */
export interface Interpreter {
  path: string;
  /** 3.11.7 */
  version: string;
  prefix: string;
  /** version of its ipykernel */
  ipykernel: string;
  /** folder with the kernel's logos */
  resources: string;
  /** where its user's packages are, '' when it does not look there */
  userSite: string;
}

export interface PythonSearch {
  /** of --python: this one and no other; '' for a search */
  python: string;
  outer: Variables;
  /** where `nbos up` was started: virtual environments are looked for here */
  cwd: string;
}

const PROBE_MS = 30_000;
const PROBE = `
import json, os, site, sys
found = {'version': '%d.%d.%d' % sys.version_info[:3], 'prefix': sys.prefix, 'path': sys.executable}
found['userSite'] = ''
if site.ENABLE_USER_SITE:
    folder = site.getusersitepackages()
    found['userSite'] = folder if os.path.isdir(folder) else ''
try:
    from importlib import metadata, util
    found['ipykernel'] = metadata.version('ipykernel')
    folder = os.path.dirname(util.find_spec('ipykernel').origin)
    found['resources'] = os.path.join(folder, 'resources')
except Exception:
    found['ipykernel'] = found['resources'] = ''
print(json.dumps(found))
`;
const OLDEST_MINOR = 9;
/** Folders of a workspace that are virtual environments by custom. */
const ENVIRONMENTS = ['.venv', 'venv'];

/**
 * The interpreter that runs Python kernels: the one of --python, else the first that has ipykernel
 * of the active virtual environment, the active conda environment, .venv and venv here, and the
 * PATH. Throws `python-missing`, which says what each candidate lacks and how to get it.
 */
export async function findPython(search: PythonSearch): Promise<Interpreter> {
  const lacks: string[] = [];
  let pipFor = '';
  for (const candidate of await candidates(search)) {
    const probed = await probe(candidate, search.outer);
    if (typeof probed === 'string') {
      lacks.push(`${candidate}: ${probed}`);
    } else if (probed.ipykernel === '') {
      lacks.push(`${candidate} (${probed.version}) has no ipykernel`);
      pipFor ||= candidate;
    } else if (Number(probed.version.split('.')[1]) < OLDEST_MINOR) {
      lacks.push(`${candidate} is Python ${probed.version}, 3.${OLDEST_MINOR} is needed`);
    } else return probed;
  }
  throw new NbosError(
    'python-missing',
    lacks.length === 0
      ? 'no Python was found: not in an active environment, .venv or on the PATH'
      : `no Python with ipykernel was found: ${lacks.join('; ')}`,
    pipFor === ''
      ? 'Install Python 3.9 or later with ipykernel, or name an interpreter with --python.'
      : `Run: ${pipFor} -m pip install ipykernel (or name another interpreter with --python).`,
  );
}

/** Virtual environments in the workspace, and what keeps one from running kernels. */
export interface Beside {
  pythons: Interpreter[];
  problems: string[];
}

/** The virtual environments .venv and venv of a workspace whose kernels can be offered. */
export async function pythonsBeside(workspace: string, outer: Variables): Promise<Beside> {
  const beside: Beside = { pythons: [], problems: [] };
  for (const name of ENVIRONMENTS) {
    const path = join(workspace, name, 'bin', 'python');
    if (!(await isProgram(path))) continue;
    const probed = await probe(path, outer);
    if (typeof probed === 'string') beside.problems.push(`${path}: ${probed}`);
    else if (probed.ipykernel !== '') beside.pythons.push(probed);
    else
      beside.problems.push(
        `${path} has no ipykernel, so its kernel is not listed; run: ${path} -m pip install ipykernel`,
      );
  }
  return beside;
}

async function candidates({ python, outer, cwd }: PythonSearch): Promise<string[]> {
  if (python !== '') return [await named(python, outer, cwd)];
  const beside = ENVIRONMENTS.map((name) => join(cwd, name));
  const inside = [outer['VIRTUAL_ENV'], outer['CONDA_PREFIX'], ...beside]
    .filter((folder): folder is string => folder !== undefined && folder !== '')
    .map((folder) => join(folder, 'bin', 'python'));
  const found: string[] = [];
  for (const path of [...inside, ...onPath('python3', outer), ...onPath('python', outer)])
    if (!found.includes(path) && (await isProgram(path))) found.push(path);
  return found;
}

async function named(python: string, outer: Variables, cwd: string): Promise<string> {
  const paths = python.includes('/') ? [resolve(cwd, python)] : onPath(python, outer);
  for (const path of paths) {
    if (await isProgram(path)) return path;
    const inside = join(path, 'bin', 'python');
    if (await isProgram(inside)) return inside;
  }
  throw new NbosError(
    'python-missing',
    `--python ${python}: there is no such program`,
    'Name an interpreter, or the folder of a virtual environment.',
  );
}

function onPath(program: string, outer: Variables): string[] {
  const folders = (outer['PATH'] ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.map((folder) => join(folder, program));
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** What an interpreter says of itself, or why it says nothing. */
function probe(path: string, outer: Variables): Promise<Interpreter | string> {
  const options = { env: inheritedEnvironment(outer), timeout: PROBE_MS };
  return new Promise((answer) => {
    execFile(path, ['-c', PROBE], options, (error, stdout, stderr) => {
      if (error !== null) {
        const line = stderr.trim().split('\n').pop() ?? '';
        if (error.killed) return answer(`no answer within ${PROBE_MS} ms`);
        // Node's message has the whole program of the question in it.
        return answer(line || `it ends with ${error.signal ?? error.code} and says nothing`);
      }
      try {
        const found = JSON.parse(stdout.trim().split('\n').pop() ?? '') as Interpreter;
        // Its own word for where it is: what was named may be a shim that starts another one.
        answer({ ...found, path: found.path || path });
      } catch {
        answer('its answer makes no sense');
      }
    });
  });
}
