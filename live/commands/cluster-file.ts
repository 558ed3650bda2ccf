import { existsSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { PartialConfig } from '../../core/config/options.ts';
import { NbosError } from '../../core/errors.ts';
import { readJson } from '../../traces/config-file.ts';
import { makeFolder, writeWholeFile } from '../../traces/output-file.ts';
import type { DockerSettings } from './docker-flags.ts';
import { DOCKER_SHAPE } from './docker-options.ts';
import { ELASTIC_SHAPE, type Elastic } from './elastic-options.ts';

const CLUSTER_FORMAT = 1;

/** A system that is open to hosts of other machines. */
export interface Joins {
  /** address on which agents are heard */
  host: string;
  /** most hosts at once */
  most: number;
  /** the most that one of them has */
  gpusPerHost: number;
}

export interface HostOfCluster {
  id: string;
  gpus: number;
  /** what its GPUs are: character devices, uuids of NVIDIA's; left out: nothing but numbers */
  devices?: string[];
}

/** What the processes of one system must agree on: DATA/cluster.json. Times and secrets are not. */
export interface ClusterFile {
  v: 1;
  http: { host: string; port: number };
  /** TCP port on which the gateway hears agents */
  linkPort: number;
  /** of a system that hosts of other machines join; left out: only those of `hosts`, on this one */
  joins?: Joins;
  hosts: HostOfCluster[];
  /** name, or absolute path of a file */
  policy: string;
  /** options over the policy's defaults and those of a live system */
  config: PartialConfig;
  /** path of the interpreter; '' to look for one */
  python: string;
  /** kernelspec for clients that name none; '' for the gateway's choice */
  kernelSpec: string;
  workspace: string;
  /** URL of the store of state; '' for a folder of the data directory, 'none' for none */
  store: string;
  enableFaults: boolean;
  /** how kernels run in containers; left out: they are processes */
  docker?: DockerSettings;
  /** hosts come and go with the load; left out: all are in use */
  elastic?: Elastic;
}

const HOST = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/),
  gpus: z.int().min(0),
  devices: z.array(z.string().min(1)).optional(),
});
const CLUSTER = z.object({
  v: z.int(),
  http: z.object({ host: z.string(), port: z.int().min(0).max(65_535) }),
  linkPort: z.int().min(1).max(65_535),
  joins: z
    .object({ host: z.string().min(1), most: z.int().min(1), gpusPerHost: z.int().min(0) })
    .optional(),
  hosts: z.array(HOST),
  policy: z.string().min(1),
  config: z.record(z.string(), z.unknown()),
  python: z.string(),
  kernelSpec: z.string(),
  workspace: z.string(),
  store: z.string().default(''),
  enableFaults: z.boolean(),
  docker: DOCKER_SHAPE.optional(),
  elastic: ELASTIC_SHAPE.optional(),
});

/** --data, else ${XDG_DATA_HOME:-~/.local/share}/nbos; absolute. */
export function dataFolder(given: string | undefined, env = process.env): string {
  if (given !== undefined) return resolve(given);
  return join(env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'nbos');
}

function fileOf(data: string): string {
  return join(data, 'cluster.json');
}

/** undefined for a data directory that is new. @throws NbosError file-corrupt, format-version */
export function readCluster(data: string): ClusterFile | undefined {
  const path = fileOf(data);
  if (!existsSync(path)) return undefined;
  const value = readJson(path) as { v?: unknown } | null;
  if (typeof value?.v === 'number' && value.v > CLUSTER_FORMAT)
    throw new NbosError(
      'format-version',
      `${path}: version ${value.v}; this program reads up to ${CLUSTER_FORMAT}`,
      'Update NotebookOS.',
    );
  const parsed = CLUSTER.safeParse(value);
  if (parsed.success) return parsed.data as ClusterFile;
  const { path: member, message } = parsed.error.issues[0]!;
  throw new NbosError(
    'file-corrupt',
    `${path}: ${member.join('.')}: ${message}`,
    'Delete this one file and start again with the options wanted; kernels stay.',
  );
}

/** @throws NbosError file-unwritable */
export function writeCluster(data: string, cluster: ClusterFile): void {
  makeFolder(data, 0o700);
  writeWholeFile(fileOf(data), `${JSON.stringify(cluster, null, 2)}\n`);
}

/** Has the file say again what it says now, unless nothing has changed it since. */
export function clusterUndo(data: string): () => void {
  const path = fileOf(data);
  const textNow = (): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  const before = textNow();
  return () => {
    if (textNow() === before) return;
    if (before === '') rmSync(path, { force: true });
    else writeWholeFile(path, before);
  };
}

/** The file of a system that a gateway has been started on. @throws NbosError system-not-found */
export function knownCluster(data: string): ClusterFile {
  const cluster = readCluster(data);
  if (cluster !== undefined) return cluster;
  throw new NbosError(
    'system-not-found',
    `${data} holds no system yet`,
    'Start its gateway first: nbos gateway --data DIR, or nbos up.',
  );
}
