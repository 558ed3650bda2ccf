import type { ReportName } from '../../core/record/columns.ts';
import { REPORTS } from '../../core/record/columns.ts';
import { simulate } from '../../sim/simulate.ts';
import { randomRun } from '../random-run.ts';

/** Program: `write-random-run SEED FOLDER` writes every report of the random run of that seed. */
const [seed, folder] = process.argv.slice(2);
const reports = Object.keys(REPORTS) as ReportName[];
await simulate({ ...randomRun(Number(seed)), out: folder!, reports });
