import { readdir, readFile } from 'node:fs/promises';
import { homedir, platform } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import type { Beside, Interpreter } from './python.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** A kernelspec as clients see it, and what runs it. */
export interface InstalledSpec {
  name: string;
  /** content of kernel.json */
  spec: {
    argv: string[];
    env: Record<string, string>;
    display_name: string;
    language: string;
    interrupt_mode: string;
    metadata: Record<string, unknown>;
    [field: string]: unknown;
  };
  /** where its logos are */
  folder: string;
}

export interface InstalledSpecs {
  default: string;
  specs: Record<string, InstalledSpec>;
  /** one line for each kernel.json that cannot be used */
  problems: string[];
}

const NAME = /^[\w.-]{1,100}$/;
const PYTHONS = /^python(3(\.\d+)?)?$/;
/** Our own relay is a kernelspec too; listed here it would lead back to us. */
const RELAY_FIELD = 'nbos_relay';

/**
 * All kernelspecs of this machine, found as Jupyter finds them and without it, the first of a name
 * counts. `python3` is always there and always `python`, which need not have one installed; a
 * virtual environment beside the notebooks is listed by the name of its folder.
 */
export async function findKernelSpecs(
  python: Interpreter,
  outer: Variables,
  beside: Beside = { pythons: [], problems: [] },
): Promise<InstalledSpecs> {
  const specs: Record<string, InstalledSpec> = { python3: specOf(python) };
  const problems = [...beside.problems];
  for (const each of beside.pythons) {
    const name = basename(each.prefix).replace(/^\.+/, '');
    if (each.prefix !== python.prefix && NAME.test(name)) specs[name] ??= specOf(each, name);
  }
  for (const folder of specFolders(python, outer)) {
    const names = (await readdir(folder).catch(() => [])).filter((name) => NAME.test(name));
    for (const written of names.sort()) {
      const name = written.toLowerCase();
      if (name in specs) continue;
      const found = await readSpec(join(folder, written), name, python);
      if (typeof found === 'string') problems.push(found);
      else if (found !== undefined) specs[name] = found;
    }
  }
  return { default: 'python3', specs, problems };
}

/** Folders that may hold kernelspecs, in the order in which Jupyter looks into them. */
export function specFolders(python: Interpreter, outer: Variables): string[] {
  const home = outer['HOME'] ?? homedir();
  const xdg = outer['XDG_DATA_HOME'] || join(home, '.local', 'share');
  const own = platform() === 'darwin' ? join(home, 'Library', 'Jupyter') : join(xdg, 'jupyter');
  const data = [
    ...(outer['JUPYTER_PATH'] ?? '').split(delimiter),
    outer['JUPYTER_DATA_DIR'] || own,
    join(python.prefix, 'share', 'jupyter'),
    '/usr/local/share/jupyter',
    '/usr/share/jupyter',
  ];
  const folders = data.filter((folder) => folder !== '').map((folder) => join(folder, 'kernels'));
  return [...new Set(folders)];
}

/** `environment` names the virtual environment, '' for the Python of all kernels. */
function specOf(python: Interpreter, environment = ''): InstalledSpec {
  const { path, version, prefix } = python;
  const minor = version.split('.').slice(0, 2).join('.');
  return {
    name: environment === '' ? 'python3' : environment,
    spec: {
      argv: [path, '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
      env: {},
      display_name:
        environment === '' ? 'Python 3 (ipykernel)' : `Python ${minor} (${basename(prefix)})`,
      language: 'python',
      interrupt_mode: 'message',
      metadata: { debugger: true },
    },
    folder: python.resources,
  };
}

/** undefined when there is no kernel.json, or it is our own relay; a text when it is wrong. */
async function readSpec(
  folder: string,
  name: string,
  python: Interpreter,
): Promise<InstalledSpec | string | undefined> {
  const file = join(folder, 'kernel.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  let spec: Partial<InstalledSpec['spec']>;
  try {
    spec = JSON.parse(text);
  } catch (error) {
    return `${file}: it is not JSON: ${(error as Error).message}`;
  }
  const { argv, env = {}, display_name = name, language = '', metadata = {} } = spec;
  if (!Array.isArray(argv) || argv.length === 0 || !argv.every((part) => typeof part === 'string'))
    return `${file}: argv must be a list of texts`;
  if (!argv.some((part) => part.includes('{connection_file}')))
    return `${file}: argv lacks {connection_file}`;
  if (metadata[RELAY_FIELD] !== undefined) return undefined;
  const program = PYTHONS.test(argv[0]!) ? python.path : argv[0]!;
  const whole = [program, ...argv.slice(1)].map((part) =>
    part.replaceAll('{resource_dir}', folder),
  );
  const { interrupt_mode = 'signal' } = spec;
  return {
    name,
    spec: { ...spec, argv: whole, env, display_name, language, interrupt_mode, metadata },
    folder,
  };
}
