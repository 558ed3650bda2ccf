import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PYTHON } from '../kernel/kernel-kit.ts';

/**
 * A package `nbosdemo` with a submodule and a program of its name. Where there is a folder .loaded,
 * its module leaves its process's id there.
 */
const BUILD = `
import sys, zipfile
folder, version = sys.argv[1:3]
info = 'nbosdemo-%s.dist-info/' % version
told = "import os\\nif os.path.isdir('.loaded'): open('.loaded/%d' % os.getpid(), 'w').close()\\n"
thing = '__version__ = %r\\nclass Thing:\\n    made_by = %r\\n' % (version, version)
files = {
    'nbosdemo/__init__.py': told + thing,
    'nbosdemo/part.py': 'def where():\\n    return %r\\n\\ndef main():\\n    print("demo", %r)\\n'
        % (version, version),
    info + 'METADATA': 'Metadata-Version: 2.1\\nName: nbosdemo\\nVersion: %s\\n' % version,
    info + 'WHEEL': 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
    info + 'entry_points.txt': '[console_scripts]\\nnbosdemo = nbosdemo.part:main\\n',
}
files[info + 'RECORD'] = ''.join('%s,,\\n' % name for name in [*files, info + 'RECORD'])
with zipfile.ZipFile('%s/nbosdemo-%s-py3-none-any.whl' % (folder, version), 'w') as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
`;

/** Wheels of these versions in `folder`, as a package index would have them. */
export function buildWheels(folder: string, versions: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  const script = join(folder, 'build.py');
  writeFileSync(script, BUILD);
  for (const version of versions) execFileSync(PYTHON.path, [script, folder, version]);
}

/** Arguments of pip for a version from those wheels, without any network. */
export function fromWheels(folder: string, version: string): string {
  return `install -q --no-index --no-deps --find-links ${folder} nbosdemo==${version}`;
}

/** A virtual environment that sees our ipykernel and pip, and no user site. */
export function environment(folder: string): string {
  execFileSync(PYTHON.path, ['-m', 'venv', '--without-pip', folder]);
  const program = join(folder, 'bin', 'python');
  const ask = 'import sysconfig; print(sysconfig.get_path("purelib"))';
  const [own, base] = [program, PYTHON.path].map((python) =>
    execFileSync(python, ['-c', ask], { encoding: 'utf8' }).trim(),
  );
  writeFileSync(join(own!, 'base.pth'), `${base}\n`);
  return program;
}
