import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeConnection } from '../../../live/agent/kernel/connection.ts';
import { kernelEnvironment, validEnvironment } from '../../../live/agent/kernel/environment.ts';
import { findKernelSpecs } from '../../../live/agent/kernel/kernelspecs.ts';
import { findPython, pythonsBeside } from '../../../live/agent/kernel/python.ts';

const folder = mkdtempSync(join(tmpdir(), 'nbe-'));

function codeOf(error: unknown): string {
  return (error as { code: string }).code;
}

async function refusal(promise: Promise<unknown>): Promise<{ code: string; text: string }> {
  try {
    await promise;
  } catch (error) {
    const { message, hint } = error as { message: string; hint: string };
    return { code: codeOf(error), text: `${message} ${hint}` };
  }
  throw new Error('it was not refused');
}

test('kernels inherit what is on the list, and nothing else', () => {
  const outer = {
    PATH: '/bin',
    LC_ALL: 'C',
    https_proxy: 'http://proxy',
    CONDA_PREFIX: '/conda',
    CONDA_TOKEN: 'secret',
    NBOS_TOKEN: 'secret',
    AWS_SECRET_ACCESS_KEY: 'secret',
    CUDA_VISIBLE_DEVICES: '0',
    GITHUB_TOKEN: 'secret',
    PYTHONHASHSEED: '1',
  };
  const kernel = { KERNEL_USERNAME: 'u', NBOS_X: 'y', LD_PRELOAD: 'evil.so' };
  const made = kernelEnvironment({ outer, kernel, workspace: '/w', hashSeed: 9, userSite: '/u' });
  assert.equal(made, {
    PATH: '/bin',
    LC_ALL: 'C',
    https_proxy: 'http://proxy',
    CONDA_PREFIX: '/conda',
    KERNEL_USERNAME: 'u',
    PYTHONHASHSEED: '9',
    PYTHONUNBUFFERED: '1',
    PYDEVD_DISABLE_FILE_VALIDATION: '1',
    PYTHONUSERBASE: '/w/.nbos/python',
    PYTHONPATH: '/u',
  });
  const place = { python: '/w/p/bin/python', prefix: '/w/p', bins: ['/w/p/bin', '/v/bin'] };
  const index = {
    PIP_INDEX_URL: 'https://u:secret@index',
    PIP_CERT: '/cert',
    UV_INDEX_URL: 'https://i',
  };
  const placed = kernelEnvironment({
    ...{ outer: { ...outer, ...index }, kernel, workspace: '/w', hashSeed: 9, userSite: '', place },
  });
  assert.is(placed['PATH'], '/w/p/bin:/v/bin:/w/.nbos/python/bin:/bin');
  assert.is(placed['VIRTUAL_ENV'], '/w/p');
  assert.is(placed['PIP_INDEX_URL'], undefined);
  assert.is(placed['PIP_CERT'], '/cert');
  assert.is(placed['UV_INDEX_URL'], 'https://i');
});

test('variables of a client are checked', () => {
  const sent = { KERNEL_A: '$(rm -rf /); `x`', PATH: '/evil', KERNEL_PATH: '' };
  assert.equal(validEnvironment(sent, 'client'), { KERNEL_A: sent.KERNEL_A, KERNEL_PATH: '' });
  assert.equal(validEnvironment({ R_X: 'y', CUDA_VISIBLE_DEVICES: '1' }, 'kernelspec'), {
    R_X: 'y',
  });
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`KERNEL_${i}`, '']));
  const wrong: Record<string, unknown>[] = [
    { KERNEL_A: 5 },
    { KERNEL_A: 'a\0b' },
    { 'KERNEL_A=B': 'x' },
    { KERNEL_A: 'x'.repeat(20_000) },
    many,
  ];
  for (const each of wrong)
    try {
      validEnvironment(each, 'client');
      assert.unreachable(JSON.stringify(each).slice(0, 60));
    } catch (error) {
      assert.is(codeOf(error), 'environment-invalid');
    }
});

test('a directory too long for sockets is refused with the way out', async () => {
  const { code, text } = await refusal(writeConnection(join(folder, 'x'.repeat(100))));
  assert.is(code, 'path-too-long');
  assert.match(text, /107.*XDG_RUNTIME_DIR/s);
});

function program(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

const saying = (fields: object): string => `echo '${JSON.stringify(fields)}'`;

test('the first Python with ipykernel is taken; the others are told what they lack', async () => {
  const bare = { version: '3.12.1', prefix: '/p', path: '', userSite: '', resources: '' };
  program('a/python3', saying({ ...bare, ipykernel: '' }));
  program('b/python3', 'echo broken >&2; exit 3');
  program('c/python3', saying({ ...bare, version: '3.8.2', ipykernel: '6.1' }));
  program('d/python3', 'exit 7');
  const outer = { PATH: ['a', 'b', 'c', 'd'].map((name) => join(folder, name)).join(':') };
  const search = { python: '', outer, cwd: folder };
  const { code, text } = await refusal(findPython(search));
  assert.is(code, 'python-missing');
  assert.match(text, /a\/python3 \(3\.12\.1\) has no ipykernel/);
  assert.match(text, /b\/python3: broken/);
  assert.match(text, /3\.8\.2, 3\.9 is needed/);
  assert.match(text, /d\/python3: it ends with 7 and says nothing/);
  assert.match(text, /Run: \S+a\/python3 -m pip install ipykernel/);
  const good = program('.venv/bin/python', saying({ ...bare, ipykernel: '7.4.0' }));
  assert.is((await findPython(search)).path, good);
  assert.is((await findPython({ ...search, python: join(folder, '.venv') })).path, good);
  assert.is((await refusal(findPython({ ...search, python: 'nopy' }))).code, 'python-missing');
  const none = await refusal(findPython({ python: '', outer: { PATH: '' }, cwd: '/nowhere' }));
  assert.match(none.text, /no Python was found/);
});

test('kernelspecs of all languages are found, wrong ones are named', async () => {
  const kernels = join(folder, 'share', 'kernels');
  const write = (name: string, spec: unknown): void => {
    mkdirSync(join(kernels, name), { recursive: true });
    const text = typeof spec === 'string' ? spec : JSON.stringify(spec);
    writeFileSync(join(kernels, name, 'kernel.json'), text);
  };
  write('ir', { argv: ['R', '{connection_file}', '{resource_dir}'], display_name: 'R', env: {} });
  write('py-gpu', { argv: ['python3', '-f', '{connection_file}'], language: 'python' });
  write('broken', '{');
  write('lost', { argv: ['x'] });
  write('nbos', { argv: ['nbos', '{connection_file}'], metadata: { nbos_relay: true } });
  const python = {
    path: '/p/python',
    version: '3.11.0',
    prefix: join(folder, 'none'),
    ipykernel: '7',
    resources: '/r',
    userSite: '',
  };
  const outer = { JUPYTER_PATH: join(folder, 'share'), HOME: folder };
  const { specs, problems } = await findKernelSpecs(python, outer);
  assert.equal(specs['ir']!.spec.argv, ['R', '{connection_file}', join(kernels, 'ir')]);
  assert.is(specs['ir']!.folder, join(kernels, 'ir'));
  assert.is(specs['py-gpu']!.spec.argv[0], '/p/python');
  assert.is(specs['python3']!.spec.argv[0], '/p/python');
  assert.is(specs['nbos'], undefined);
  const ours = problems.filter((each) => each.includes(folder));
  assert.is(ours.length, 2);
  assert.match(
    ours.join('\n'),
    /broken\/kernel.json: it is not JSON[\s\S]*lost\/kernel.json: argv/,
  );
});

test('virtual environments of the workspace have their own kernelspecs', async () => {
  const beside = join(folder, 'notebooks');
  const fields = { version: '3.12.1', path: '', userSite: '', resources: '/r' };
  const prefix = join(beside, '.venv');
  program('notebooks/.venv/bin/python', saying({ ...fields, prefix, ipykernel: '7.1' }));
  program('notebooks/venv/bin/python', saying({ ...fields, prefix: '/v', ipykernel: '' }));
  const found = await pythonsBeside(beside, { PATH: '/bin' });
  assert.match(
    found.problems.join(),
    /venv\/bin\/python has no ipykernel.*-m pip install ipykernel/,
  );
  const python = { ...fields, path: '/p/python', prefix: '/p', ipykernel: '7' };
  const { specs, problems } = await findKernelSpecs(python, { HOME: folder }, found);
  assert.is(specs['venv']!.spec.display_name, 'Python 3.12 (.venv)');
  assert.is(specs['venv']!.spec.argv[0], join(prefix, 'bin', 'python'));
  assert.is(specs['python3']!.spec.argv[0], '/p/python');
  assert.is(problems[0], found.problems[0]);
  // The one that all kernels run in needs no second name.
  const [own] = found.pythons;
  const { specs: one } = await findKernelSpecs(own!, { HOME: folder }, found);
  assert.is(one['venv'], undefined);
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
