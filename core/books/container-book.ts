/**
 * What a container is for: a replica of a kernel, one execution, or the pool (idle there, or taken
 * by an execution and coming back).
 */
export type ContainerRole = 'replica' | 'execution' | 'pool';

export interface Container {
  readonly id: number;
  readonly host: number;
  role: ContainerRole;
  state: 'starting' | 'ready';
  /** session it serves; -1 while it belongs to nobody */
  session: number;
  /** execution it was started for, by slot; -1 for none */
  execution: number;
  /** replica it is or will become; -1 for none */
  replica: number;
  /** the session it last ran; -1 for none */
  lastSession: number;
}

export function newContainer(id: number, host: number, role: ContainerRole): Container {
  return {
    id,
    host,
    role,
    state: 'starting',
    session: -1,
    execution: -1,
    replica: -1,
    lastSession: -1,
  };
}
