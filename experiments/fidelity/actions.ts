import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  demandedText,
  interruption,
  numberOf,
  printResult,
} from '../../traces/command-line.ts';
import { fidelityOf, fidelityText } from './fidelity.ts';

export async function compareWithLive(given: Arguments): Promise<void> {
  const folder = demandedText(given, 'folder');
  const seeds = numberOf(given, 'seeds')!;
  const fidelity = await fidelityOf(folder, { seeds, signal: interruption.signal });
  printResult(given, fidelityText(fidelity), fidelity);
  if (!fidelity.isSame)
    throw new NbosError(
      'journal-invalid',
      `${folder}: core gives other effects for the recorded events than the live run recorded`,
      'Use the version of NotebookOS that recorded it.',
    );
}
