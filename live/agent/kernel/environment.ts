import { delimiter, join } from 'node:path';
import { NbosError } from '../../../core/errors.ts';
import type { PackagePlace } from './packages.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * What a kernel takes from the environment of the program that starts it. Everything else stays
 * out: tokens, keys and settings of ours or of a cloud are nobody's business in a notebook.
 */
const INHERITED = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TERM',
  'TMPDIR',
  'DISPLAY',
  'PYTHONPATH',
  'PYTHONWARNINGS',
  'VIRTUAL_ENV',
  'PIP_CERT',
  'PIP_CONFIG_FILE',
  'PIP_EXTRA_INDEX_URL',
  'PIP_FIND_LINKS',
  'PIP_INDEX_URL',
  'PIP_NO_INDEX',
  'PIP_TRUSTED_HOST',
  'UV_DEFAULT_INDEX',
  'UV_INDEX_URL',
  'JUPYTER_PATH',
  'JUPYTER_DATA_DIR',
  'IPYTHONDIR',
  'MPLBACKEND',
  'MPLCONFIGDIR',
  'HF_HOME',
  'TORCH_HOME',
  'OMP_NUM_THREADS',
  'MKL_NUM_THREADS',
  'OPENBLAS_NUM_THREADS',
  'NUMEXPR_NUM_THREADS',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
  'CUDA_HOME',
  'CUDA_PATH',
  'JAVA_HOME',
  'R_HOME',
  'JULIA_DEPOT_PATH',
]);
const INHERITED_PREFIXES = ['LC_', 'CONDA_', 'SSL_', 'XDG_', 'REQUESTS_CA_', 'CURL_CA_'];
const PROXIES = /^(https?|ftp|no|all)_proxy$/i;
const SECRETS = /TOKEN|SECRET|PASSWORD|CREDENTIAL/i;
/** An index with a password in its address. */
const SECRET_ADDRESS = /:\/\/[^/\s]*@/;

/** Names that a kernelspec or a client may not set: they decide what runs, or which GPUs are seen. */
const RESERVED =
  /^(NBOS_|LD_PRELOAD$|LD_AUDIT$|DYLD_INSERT|JPY_|CUDA_VISIBLE_DEVICES$|PYTHONHASHSEED$)/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const MAX_VALUE_BYTES = 16 * 1024;
const MAX_VARIABLES = 256;

export interface EnvironmentOptions {
  /** environment of the program that starts the kernel */
  outer: Variables;
  /** KERNEL_* and the kernelspec's own variables, validated */
  kernel: Readonly<Record<string, string>>;
  /** the directory that all replicas share; packages that users install go below it */
  workspace: string;
  hashSeed: number;
  /** the interpreter's user site, which PYTHONUSERBASE would hide; '' for none */
  userSite: string;
  /** where a Python kernel's packages go; left out for other kernels */
  place?: PackagePlace;
}

/** The whole environment of a kernel process. */
export function kernelEnvironment(options: EnvironmentOptions): Record<string, string> {
  const { kernel, workspace, hashSeed, userSite, place } = options;
  const environment = inheritedEnvironment(options.outer);
  for (const [name, value] of Object.entries(kernel))
    if (!RESERVED.test(name)) environment[name] = value;
  environment['PYTHONHASHSEED'] = String(hashSeed);
  // Output that a cell writes past Python (print of a child) must not wait in a buffer.
  environment['PYTHONUNBUFFERED'] = '1';
  // Without it the debugger warns of frozen modules in every kernel.
  environment['PYDEVD_DISABLE_FILE_VALIDATION'] ??= '1';
  if (workspace !== '') environment['PYTHONUSERBASE'] = userBase(workspace);
  if (place !== undefined) {
    environment['VIRTUAL_ENV'] = place.prefix;
    const programs = [...place.bins, join(userBase(workspace), 'bin'), environment['PATH'] ?? ''];
    environment['PATH'] = programs.join(delimiter);
  }
  if (userSite !== '' && workspace !== '') {
    const path = environment['PYTHONPATH'];
    environment['PYTHONPATH'] = path ? `${path}${delimiter}${userSite}` : userSite;
  }
  return environment;
}

/** What of `outer` any program may know that we start for a user. */
export function inheritedEnvironment(outer: Variables): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(outer))
    if (value !== undefined && isInherited(name, value)) environment[name] = value;
  return environment;
}

/** Where `pip install --user` puts packages, the same for all replicas. */
export function userBase(workspace: string): string {
  return join(workspace, '.nbos', 'python');
}

function isInherited(name: string, value: string): boolean {
  if (/^(PIP|UV)_/.test(name) && SECRET_ADDRESS.test(value)) return false;
  if (INHERITED.has(name) || PROXIES.test(name)) return true;
  return INHERITED_PREFIXES.some((prefix) => name.startsWith(prefix)) && !SECRETS.test(name);
}

/**
 * Checks the variables that a client sends with a new kernel (KERNEL_*) or that a kernelspec sets.
 * They go to the process as they are and never through a shell. Returns those that may be passed
 * on; other names of a client are dropped, as Jupyter's own gateways do. Throws
 * `environment-invalid` for names that are none, values that no process can have, and too many.
 */
export function validEnvironment(
  sent: Readonly<Record<string, unknown>>,
  from: 'client' | 'kernelspec',
): Record<string, string> {
  const entries = Object.entries(sent);
  if (entries.length > MAX_VARIABLES)
    throw invalid(`${entries.length} variables`, `at most ${MAX_VARIABLES} can be passed`);
  const valid: Record<string, string> = {};
  for (const [name, value] of entries) {
    if (from === 'client' && !name.startsWith('KERNEL_')) continue;
    if (!NAME.test(name)) throw invalid(JSON.stringify(name.slice(0, 40)), 'it is no name');
    if (typeof value !== 'string' || value.includes('\0'))
      throw invalid(name, 'its value must be text without NUL');
    if (Buffer.byteLength(value) > MAX_VALUE_BYTES)
      throw invalid(name, `its value is longer than ${MAX_VALUE_BYTES} bytes`);
    if (!RESERVED.test(name)) valid[name] = value;
  }
  return valid;
}

function invalid(name: string, reason: string): NbosError {
  return new NbosError(
    'environment-invalid',
    `environment of the kernel: ${name}: ${reason}`,
    'Send KERNEL_* variables as plain text, or leave them out.',
  );
}
