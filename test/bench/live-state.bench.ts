import { totalmem } from 'node:os';
import { join } from 'node:path';
import { pythons, runPython } from '../live/helper/python.ts';
import { PROJECT_ROOT } from '../skip.ts';
import type { BenchResult } from './bench.ts';

const SCRIPT = join(PROJECT_ROOT, 'test', 'live', 'helper', 'state_bench.py');
const ARRAY_MB = 1024;
/** The array, its copy in the spool's page cache, and what else runs. */
const NEEDED_MB = 4 * ARRAY_MB;
const HASH_MS_PER_GB = 700;
const LIMIT_MS = 300_000;

interface Figures {
  pages: 'userfaultfd' | 'hash';
  pass: Record<string, number>;
  array: Record<string, number>;
  arrays: Record<string, number>;
  integers: Record<string, number>;
}

/** What the helper takes to find what a cell changed, in one real kernel. */
export async function run(): Promise<BenchResult[] | string> {
  const python = (await pythons()).find(({ packages }) => packages.includes('numpy'));
  if (python === undefined) return 'no Python with ipykernel and NumPy';
  if (totalmem() / 2 ** 20 < NEEDED_MB) return `needs ${NEEDED_MB} MB of memory`;
  const text = await runPython(python.path, [SCRIPT, String(ARRAY_MB)], LIMIT_MS);
  const { pages, pass, array, arrays, integers } = JSON.parse(text) as Figures;
  const note = pages === 'hash' ? 'by hash' : 'by page tracking';
  const hashed = pages === 'hash';
  const least = { unit: 'ms', less: true, note };
  return [
    { ...least, name: 'pass', value: pass['pass']!, target: 0.7 },
    {
      ...least,
      name: '1 GB array, touched, unchanged',
      value: array['touched, unchanged']!,
      target: hashed ? HASH_MS_PER_GB : 5,
      peer: array['one SHA-256']!,
    },
    {
      ...least,
      name: '1 GB array, one element written, with its file',
      value: array['one element written']!,
      peer: array['one SHA-256']!,
    },
    {
      ...least,
      name: '1,000 arrays of 1 MB, one written',
      value: arrays['one of them written']!,
      target: hashed ? HASH_MS_PER_GB : 15,
    },
    {
      ...least,
      name: '10^6 integers, touched',
      value: integers['touched']!,
      target: 2.5 * integers['one C pickle']!,
      peer: integers['one C pickle']!,
    },
    { ...least, name: '10^6 integers, one written', value: integers['one written']! },
  ];
}
