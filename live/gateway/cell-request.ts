import { copyVector, type ResourceVector, vectorForGpus, ZERO } from '../../core/resources.ts';
import type { SubmitEntry } from '../log/entries.ts';

/** What the parts of an execute_request, as JSON text, ask of the gateway. */

const FIRST_LINE = /^\s*#\s*nbos:\s*gpus\s*=\s*(\d+(?:\.\d+)?)\s*(?:\r?\n|$)/;

interface Wanted {
  code?: unknown;
  silent?: unknown;
  store_history?: unknown;
  stop_on_error?: unknown;
}

/** What a cell binds while it runs: by metadata, its first line, or as its kernel's default. */
export function needOf(
  usual: Readonly<ResourceVector>,
  content: string,
  metadata: string,
): ResourceVector {
  const request = parse(content) as Wanted;
  if (!countsAsCell(request)) return copyVector(ZERO);
  const nbos = (parse(metadata) as { nbos?: { gpus?: unknown } }).nbos;
  const line = typeof request.code === 'string' ? FIRST_LINE.exec(request.code) : null;
  const asked = typeof nbos?.gpus === 'number' ? nbos.gpus : line === null ? NaN : Number(line[1]);
  if (Number.isNaN(asked) || asked < 0) return copyVector(usual);
  return needOfGpus(asked);
}

/** `gpus` may be a fraction below 1; above it parts of a GPU are rounded up. */
export function needOfGpus(gpus: number): ResourceVector {
  if (gpus === 0) return copyVector(ZERO);
  return vectorForGpus(Math.max(1, Math.round((gpus > 1 ? Math.ceil(gpus) : gpus) * 1000)));
}

/** Requests that leave no mark in the notebook get no execution count and no GPUs. */
function countsAsCell({ silent, store_history: stored }: Wanted): boolean {
  return silent !== true && stored !== false;
}

export function isCounted(submit: SubmitEntry): boolean {
  return countsAsCell(parse(submit.content) as Wanted);
}

/** Whether cells behind this one are not run when it fails. */
export function stopsOnError(submit: SubmitEntry): boolean {
  return (parse(submit.content) as Wanted).stop_on_error !== false;
}

function parse(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** Whether a person watches: batch clients send no notebook's cell with their requests. */
export function isInteractive(submit: SubmitEntry): boolean {
  const metadata = parse(submit.metadata) as Record<string, unknown>;
  return 'cellId' in metadata || 'deletedCells' in metadata || 'notices' in nbosOf(metadata);
}

function nbosOf({ nbos }: Record<string, unknown>): object {
  return typeof nbos === 'object' && nbos !== null ? nbos : {};
}

/** Source of the cell, and its id in the notebook where the client sends it. */
export function sourceOf(submit: SubmitEntry): { code: string; cellId: string } {
  const { code } = parse(submit.content) as Wanted;
  const { cellId } = parse(submit.metadata) as { cellId?: unknown };
  return {
    code: typeof code === 'string' ? code : '',
    cellId: typeof cellId === 'string' ? cellId : '',
  };
}

/** Whether the content of an execute_reply says that the cell failed. */
export function isFailure(content: string): boolean {
  return (parse(content) as { status?: unknown }).status === 'error';
}
