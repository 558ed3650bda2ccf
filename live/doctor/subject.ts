import type { Engine } from '../agent/container/engine.ts';
import type { DockerSettings } from '../commands/docker-flags.ts';
import type { Address } from '../commands/running.ts';

/** What is looked at: parts that the command line did not name are undefined or ''. */
export interface Subject {
  engine: Engine | undefined;
  /** how kernels are kept in containers of it */
  docker: DockerSettings | undefined;
  /** absolute path */
  workspace: string;
  /** data directory: where the logs of kernels are kept */
  data: string;
  store: string;
  /** tcp://HOST:PORT of a gateway */
  join: string;
  /** file of keys with which this host joins */
  keys: string;
  gateway: Address | undefined;
  /** TCP ports that shall be free here */
  ports: readonly number[];
  python: string;
  env: NodeJS.ProcessEnv;
}

/** Whether the workspace is a folder of this machine, and no volume of the engine. */
export function isFolderHere({ docker }: Subject): boolean {
  return docker === undefined || docker.mount === '';
}
