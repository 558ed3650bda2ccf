import type { TraceFormat } from '../import-options.ts';
import type { Importer } from './importer.ts';
import { native } from './native.ts';
import { openb } from './openb.ts';
import { philly } from './philly.ts';
import { raw } from './raw.ts';
import { run } from './run.ts';
import { template } from './template.ts';
import { tiresias } from './tiresias.ts';

/** Every format that can be read. */
export const IMPORTERS: Readonly<Record<TraceFormat, Importer>> = {
  native,
  tiresias,
  template,
  raw,
  philly,
  openb,
  run,
};
