import { formatDuration } from '../../traces/duration.ts';
import { shortNumber, textTable } from '../../traces/text-table.ts';
import type { HostStatus, KernelStatus, SystemStatus } from '../admin-types.ts';

const SHORT_ID = 8;
const MOST_NAMES = 3;
const BYTES_PER_MB = 1e6;

/** All of it, for `nbos status`. */
export function statusText(status: SystemStatus): string {
  const { gateway, hosts, kernels } = status;
  const head = `gateway ${gateway.url} (pid ${gateway.pid}, ${gateway.policy}, since ${gateway.startedAt})`;
  const parts = [`${head}\n`, hostsText(hosts)];
  parts.push(kernels.length === 0 ? 'no kernels\n' : kernelsText(kernels));
  const replicas = kernels.flatMap(replicaRows);
  if (replicas.length > 0)
    parts.push(textTable(['replica', 'host', 'pid', 'role', 'applied', 'process'], replicas));
  const lost = kernels.flatMap(unreplicatedRows);
  if (lost.length > 0) parts.push(textTable(['kernel', 'not replicated', 'reason'], lost));
  return parts.join('\n');
}

export function hostsText(hosts: readonly HostStatus[]): string {
  const rows = hosts.map((host) => [
    host.id,
    host.state,
    host.pid === 0 ? '-' : String(host.pid),
    `${host.gpusCommitted} of ${host.gpus}`,
    host.replicas,
    hostNote(host),
  ]);
  return textTable(['host', 'state', 'pid', 'GPUs in use', 'replicas', 'note'], rows);
}

function hostNote({ note, unguardedGpus }: HostStatus): string {
  if (unguardedGpus === undefined) return note;
  return `${note === '' ? '' : `${note}; `}GPU leases are not enforced: ${unguardedGpus}`;
}

export function kernelsText(kernels: readonly KernelStatus[]): string {
  const rows = kernels.map((kernel) => [
    kernel.id.slice(0, SHORT_ID),
    kernel.path || kernel.spec,
    kernel.user,
    kernel.state,
    placesOf(kernel),
    `${shortNumber(kernel.stateBytes / BYTES_PER_MB)} MB`,
    kernel.savedMs === 0 ? '-' : formatDuration(kernel.savedMs),
    storeText(kernel),
    queueText(kernel),
  ]);
  const header = [
    'kernel',
    'notebook',
    'user',
    'state',
    'hosts',
    'state size',
    'saved in',
    'store',
    'cells',
  ];
  return textTable(header, rows, { right: [5, 6] });
}

/** Whether it would outlive all hosts that have it. */
function storeText({ store }: KernelStatus): string {
  if (store === undefined) return '-';
  if (store.saved) return 'saved';
  const waiting = store.bytes === 0 ? '' : `, ${shortNumber(store.bytes / BYTES_PER_MB)} MB`;
  return `unsaved ${formatDuration(store.behindMs)}${waiting}`;
}

/** Hosts of the replicas, the executor's marked. */
function placesOf({ replicas, executor }: KernelStatus): string {
  if (replicas.length === 0) return '-';
  return replicas.map(({ id, host }) => (id === executor ? `${host}*` : host)).join(' ');
}

function queueText({ queue }: KernelStatus): string {
  const running = queue.filter(({ state }) => state === 'running').length;
  const waiting = queue.filter(({ state }) => state === 'waiting');
  const parts: string[] = [];
  if (running > 0) parts.push(`${running} running`);
  if (waiting.length > 0) {
    const { reason, sinceMs } = waiting[0]!;
    const why = reason === '' ? '' : `: ${reason}, ${formatDuration(sinceMs)}`;
    parts.push(`${waiting.length} waiting${why}`);
  }
  return parts.length === 0 ? '-' : parts.join(', ');
}

function replicaRows(kernel: KernelStatus): (string | number)[][] {
  return kernel.replicas.map(({ id, host, pid, role, applied, process }) => [
    id === kernel.executor ? `${id}*` : id,
    host,
    pid === 0 ? '-' : String(pid),
    role,
    applied,
    process,
  ]);
}

function unreplicatedRows({ id, unreplicated, pinned }: KernelStatus): string[][] {
  const kernel = id.slice(0, SHORT_ID);
  const rows = unreplicated.map(({ name, reason }) => [kernel, name, reason]);
  if (pinned.length > 0) {
    const shown = pinned.slice(0, MOST_NAMES).join('; ');
    const more = pinned.length > MOST_NAMES ? `; ${pinned.length - MOST_NAMES} more` : '';
    rows.push([kernel, '(pinned)', `stays on its executor: ${shown}${more}`]);
  }
  return rows;
}
