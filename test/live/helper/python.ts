import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const LIMIT_MS = 120_000;

/** A Python with ipykernel, and which of the packages asked for it has. */
export interface Python {
  readonly path: string;
  readonly ipykernel: string;
  readonly packages: readonly string[];
}

const PROBE = `
import json, sys
from importlib import metadata
def version(name):
    try: return metadata.version(name)
    except Exception: return ''
print(json.dumps([sys.executable, version('ipykernel'),
    [name for name in ('numpy', 'pandas', 'torch', 'matplotlib', 'joblib', 'tqdm') if version(name)]]))
`;

/** The interpreters of this machine that have ipykernel: the user's, and Debian's beside it. */
export async function pythons(): Promise<Python[]> {
  const found = new Map<string, Python>();
  for (const command of ['python3', '/usr/bin/python3']) {
    const probed = await run(command, ['-c', PROBE]).catch(() => undefined);
    if (probed === undefined) continue;
    const [path, ipykernel, packages] = JSON.parse(probed.stdout) as [string, string, string[]];
    if (ipykernel !== '') found.set(path, { path, ipykernel, packages });
  }
  return [...found.values()];
}

/** What a program printed; its errors are in what this throws. */
export async function runPython(
  python: string,
  args: readonly string[],
  limitMs = LIMIT_MS,
): Promise<string> {
  const { stdout } = await run(python, args, { timeout: limitMs, maxBuffer: 1 << 26 });
  return stdout;
}
