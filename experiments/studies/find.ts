import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { NbosError } from '../../core/errors.ts';
import { suggestion } from '../../traces/suggest.ts';
import { readExperiment } from '../matrix.ts';
import { type Study, studyOf } from '../study.ts';
import { faultStudy } from './faults.ts';
import { paperStudy } from './paper.ts';
import { scaleStudy } from './scale.ts';
import { sensitivityStudy } from './sensitivity.ts';
import type { StudyOptions } from './workloads.ts';

/** The experiments that come with the program, by name. */
export const STUDIES: Readonly<Record<string, (options: StudyOptions) => Study>> = {
  paper: paperStudy,
  sensitivity: sensitivityStudy,
  scale: scaleStudy,
  faults: faultStudy,
};

/**
 * A study by its name or by the path of an experiment file. Throws `experiment-invalid` for what is
 * neither, `usage` for options that a file does not take, and what `readExperiment` throws.
 */
export function findStudy(nameOrFile: string, options: StudyOptions = {}): Study {
  const make = Object.hasOwn(STUDIES, nameOrFile) ? STUDIES[nameOrFile] : undefined;
  if (make !== undefined) {
    const { trace } = options;
    if (trace !== undefined && !existsSync(trace))
      throw new NbosError('file-not-found', `${trace}: no such trace`, 'Check the path.');
    return make({ ...options, ...(trace === undefined ? {} : { trace: resolve(trace) }) });
  }
  if (!/[./\\]/.test(nameOrFile) && !existsSync(nameOrFile))
    throw new NbosError(
      'experiment-invalid',
      `no experiment is named "${nameOrFile}"`,
      suggestion(nameOrFile, Object.keys(STUDIES), 'Name one of them, or a JSON file.'),
    );
  if (options.trace !== undefined || options.seeds !== undefined)
    throw new NbosError(
      'usage',
      `${nameOrFile}: --trace and --seeds belong to the experiments ${Object.keys(STUDIES).join(', ')}`,
      'Write them into the file instead.',
    );
  return studyOf(readExperiment(nameOrFile), nameOrFile);
}
