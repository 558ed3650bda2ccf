import { spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { NbosError } from '../../core/errors.ts';
import {
  type Arguments,
  demandedText,
  isSet,
  numberOf,
  printNote,
  printResult,
  textOf,
} from '../../traces/command-line.ts';
import { textTable } from '../../traces/text-table.ts';
import type { FaultRequest, KernelStatus, MigrateRequest } from '../admin-types.ts';
import { type AdminClient, kernelNamed } from './admin-client.ts';
import { connect, connectToKernel } from './inspect-actions.ts';

export async function migrateReplica(given: Arguments): Promise<void> {
  const { client, kernel } = await connectToKernel(given);
  const replica = textOf(given, 'replica');
  const to = textOf(given, 'to');
  const request: MigrateRequest = {};
  if (replica !== undefined) request.replica = replica;
  if (to !== undefined) request.to = to;
  const answer = await client.migrate(kernel.id, request);
  printResult(
    given,
    `${kernel.id}: a replica moved from ${answer.from} to ${answer.to} (${answer.replica})`,
    answer,
  );
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export async function recoverKernel(given: Arguments): Promise<void> {
  const from = demandedText(given, 'from');
  const client = connect();
  const id = await recoveredId(given, client, from === 'store');
  const answer = await client.recover(id, { from });
  const { host, replica } = answer;
  const where = host === '' ? 'with its next cell' : `on ${host} as ${replica}`;
  const text =
    from === 'store'
      ? `goes on with what the store has of it, ${where}`
      : `goes on from its replica on ${host}, which is ${replica} now`;
  printResult(given, `${id}: ${text}`, answer);
}

/** A kernel that only the store knows is in no list: it is named by its whole id. */
async function recoveredId(
  given: Arguments,
  client: AdminClient,
  isStored: boolean,
): Promise<string> {
  const word = demandedText(given, 'kernel');
  const { kernels } = await client.status();
  if (isStored && UUID.test(word)) return word;
  return kernelNamed(kernels, word).id;
}

/** The fault is the second word of the command; what it concerns is checked by the gateway. */
export async function causeFault(given: Arguments): Promise<void> {
  const client = connect();
  const request = await faultRequest(given, client);
  await client.fault(request);
  printResult(given, `set: ${Object.values(request).join(' ')}`, request);
}

async function faultRequest(given: Arguments, client: AdminClient): Promise<FaultRequest> {
  const fault = (given['_'] as unknown[])[1] as FaultRequest['fault'];
  const forMs = numberOf(given, 'for');
  const lasting = forMs === undefined ? {} : { forMs };
  switch (fault) {
    case 'fail-next':
      return { fault, kernel: await kernelId(given, client) };
    case 'yield-next':
      return { fault, kernel: await kernelId(given, client), times: numberOf(given, 'times')! };
    case 'kill-replica': {
      const replica = textOf(given, 'replica');
      const kernel = await kernelId(given, client);
      return { fault, kernel, ...(replica === undefined ? {} : { replica }) };
    }
    case 'disconnect-host':
    case 'disk-full':
      return { fault, host: demandedText(given, 'host'), ...lasting };
    case 'slow-host': {
      const delayMs = numberOf(given, 'delay')!;
      return { fault, host: demandedText(given, 'host'), delayMs, ...lasting };
    }
    default:
      return { fault, on: demandedText(given, 'state') === 'on' };
  }
}

async function kernelId(given: Arguments, client: AdminClient): Promise<string> {
  const { kernels } = await client.status();
  return kernelNamed(kernels, demandedText(given, 'kernel')).id;
}

export async function addToken(given: Arguments): Promise<void> {
  const record = await connect().addToken(demandedText(given, 'name'), isSet(given, 'admin'));
  printNote(given, `${record.name}${record.admin ? ', an administrator' : ''}; shown only now:`);
  printResult(given, record.token ?? '', record);
}

export async function listTokens(given: Arguments): Promise<void> {
  const records = await connect().tokens();
  const rows = records.map(({ name, admin, createdAt }) => [name, admin ? 'yes' : 'no', createdAt]);
  printResult(given, textTable(['user', 'admin', 'since'], rows), records);
}

export async function removeToken(given: Arguments): Promise<void> {
  const name = demandedText(given, 'name');
  await connect().removeToken(name);
  printResult(given, `${name}: removed; its token opens nothing any more`, { name });
}

/** A shell with folder and environment of the executor's process, which must be on this machine. */
export async function openShell(given: Arguments): Promise<void> {
  const { kernel } = await connectToKernel(given);
  const pid = processOf(kernel);
  const place = placeOf(pid);
  const shell = process.env['SHELL'] || '/bin/sh';
  printNote(given, `${shell} beside process ${pid}, in ${place.cwd}`);
  const child = spawn(shell, [], { cwd: place.cwd, env: place.env, stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; it is the shell's to answer.
  const deaf = (): void => undefined;
  process.on('SIGINT', deaf);
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', (error) =>
      reject(new NbosError('file-not-found', `${shell} cannot be started: ${error.message}`)),
    );
    child.once('exit', (code) => resolve(code ?? 1));
  });
  process.off('SIGINT', deaf);
}

function processOf(kernel: KernelStatus): number {
  const replica =
    kernel.replicas.find(({ id }) => id === kernel.executor) ??
    kernel.replicas.find(({ pid }) => pid !== 0);
  if (replica !== undefined && replica.pid !== 0) return replica.pid;
  throw new NbosError(
    'kernel-unknown',
    `kernel ${kernel.id} has no process now`,
    'Run a cell, or look at nbos status.',
  );
}

/** Folder and environment of a process as Linux tells them; elsewhere those of this command. */
function placeOf(pid: number): { cwd: string; env: NodeJS.ProcessEnv } {
  if (process.platform !== 'linux') return { cwd: process.cwd(), env: process.env };
  try {
    const cwd = readlinkSync(`/proc/${pid}/cwd`);
    const pairs = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    const env = Object.fromEntries(
      pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
    const { TERM, SHELL, HOME } = process.env;
    return { cwd, env: { ...env, TERM, SHELL, HOME: env['HOME'] ?? HOME } };
  } catch {
    throw new NbosError(
      'kernel-unknown',
      `process ${pid} of the executor is not on this machine, or not yours`,
      'Run nbos shell as the same user on its host.',
    );
  }
}
