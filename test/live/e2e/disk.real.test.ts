// runs-alone
import { diskCases } from './disk-cases.ts';
import { missingKernel } from './parts.ts';

const isRoot = process.getuid?.() === 0;
const missing = missingKernel || (isRoot ? '' : 'a disk of the test is mounted by root');
const test = diskCases('disk', missing, async () => ({ words: [], stop: () => [] }));

test.run();
