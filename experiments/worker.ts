import { runOne } from './execute.ts';
import { serveRuns } from './worker-loop.ts';

serveRuns(runOne);
