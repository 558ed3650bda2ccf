import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Arguments,
  demandedText,
  interruption,
  isSet,
  numberOf,
  printNote,
  printResult,
  textOf,
} from '../../traces/command-line.ts';
import type { CellRecord, KernelStatus } from '../admin-types.ts';
import { AdminClient, kernelNamed } from './admin-client.ts';
import { counted } from './connect-text.ts';
import { insertOutputs } from './notebook-file.ts';
import { outputsText } from './outputs-text.ts';
import { findSystem } from './running.ts';
import { hostsText, kernelsText, statusText } from './status-text.ts';

const WATCH_MS = 1_000;
const FOLLOW_MS = 300;
const CLEAR_SCREEN = '\u001b[2J\u001b[H';

export function connect(): AdminClient {
  return new AdminClient(findSystem());
}

/** The client and the kernel that the positional KERNEL names. */
export async function connectToKernel(
  given: Arguments,
): Promise<{ client: AdminClient; kernel: KernelStatus }> {
  const client = connect();
  const { kernels } = await client.status();
  return { client, kernel: kernelNamed(kernels, demandedText(given, 'kernel')) };
}

export async function showStatus(given: Arguments): Promise<void> {
  const client = connect();
  if (!isSet(given, 'watch')) {
    const status = await client.status();
    printResult(given, statusText(status), status);
    return;
  }
  const screen = process.stdout.isTTY ? CLEAR_SCREEN : '';
  while (!interruption.signal.aborted) {
    const status = await client.status();
    if (isSet(given, 'json')) process.stdout.write(`${JSON.stringify(status)}\n`);
    else process.stdout.write(`${screen}${statusText(status)}\n`);
    await pause(WATCH_MS);
  }
  // Whoever watches ends it with Ctrl-C: that is no interruption of anything.
  process.exit(0);
}

/** Waits, but not beyond Ctrl-C. */
async function pause(ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: interruption.signal }).catch(() => undefined);
}

/** Lists them, or changes one first. */
export async function showHosts(given: Arguments): Promise<void> {
  const client = connect();
  const change = textOf(given, 'change');
  if (change === 'drain' || change === 'enable') {
    const status = await client.changeHost(demandedText(given, 'host'), change);
    printResult(given, hostsText([status]), status);
    return;
  }
  const { hosts } = await client.status();
  printResult(given, hostsText(hosts), hosts);
}

export async function showKernels(given: Arguments): Promise<void> {
  const { kernels } = await connect().status();
  printResult(given, kernels.length === 0 ? 'no kernels' : kernelsText(kernels), kernels);
}

/** Output of the running or last cell, or of the last `--cells`, as text. */
export async function showLogs(given: Arguments): Promise<void> {
  const { client, kernel } = await connectToKernel(given);
  const known = await client.cells(kernel.id);
  const wanted = known.filter(({ state }) => state !== 'waiting').slice(-numberOf(given, 'cells')!);
  if (wanted.length === 0) printNote(given, 'no cell of this kernel has run yet');
  const all: unknown[] = [];
  for (const cell of wanted) {
    const outputs = await client.outputs(kernel.id, cell.msgId);
    all.push({ ...cell, outputs });
    if (!isSet(given, 'json')) process.stdout.write(titled(cell, wanted.length, outputs));
  }
  if (isSet(given, 'json')) printResult(given, '', all);
  else if (isSet(given, 'follow') && wanted.length > 0)
    await follow(client, kernel.id, wanted.at(-1)!);
}

function titled(cell: CellRecord, among: number, outputs: readonly unknown[]): string {
  const title = among > 1 ? `[${cell.count || cell.cell}] ${cell.state}\n` : '';
  return title + outputsText(outputs);
}

/** Prints what a running cell puts out from here on, until it ends. */
async function follow(client: AdminClient, kernel: string, cell: CellRecord): Promise<void> {
  let shown = outputsText(await client.outputs(kernel, cell.msgId));
  while (!interruption.signal.aborted) {
    const now = (await client.cells(kernel)).find(({ msgId }) => msgId === cell.msgId);
    const text = outputsText(await client.outputs(kernel, cell.msgId));
    // A cleared or rewritten output is shown anew; usually only the end is.
    process.stdout.write(text.startsWith(shown) ? text.slice(shown.length) : text);
    shown = text;
    if (now?.state !== 'running') return;
    await pause(FOLLOW_MS);
  }
}

/** `nbos output KERNEL --into FILE.ipynb`. */
export async function saveOutput(given: Arguments): Promise<void> {
  const { client, kernel } = await connectToKernel(given);
  const file = demandedText(given, 'into');
  const cells = await client.cells(kernel.id);
  const ran = cells.filter(({ state }) => state !== 'waiting');
  const withOutputs = await Promise.all(
    ran.map(async (cell) => ({ ...cell, outputs: await client.outputs(kernel.id, cell.msgId) })),
  );
  const { filled, missed } = insertOutputs(file, withOutputs);
  const rest = missed === 0 ? '' : `; not in the file: ${counted(missed, 'cell')} that ran`;
  const text = `${file}: outputs of ${counted(filled, 'cell')}${rest}`;
  printResult(given, text, { file, filled, missed });
}
