import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { DEFAULT_IMAGE } from '../../../live/agent/container/names.ts';
import type { GpuAccess, GpuUser } from '../../../live/agent/gpu/access.ts';
import type { TestEngine } from '../container/engines.ts';

/** Opens and closes devices as it is told over a socket; answers with the name of the error. */
const PROGRAM = `
import errno, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
server.listen()
held = {}
while True:
    client, _ = server.accept()
    what, path = client.recv(4096).decode().split(' ', 1)
    try:
        if what == 'open':
            held[path] = os.open(path, os.O_RDONLY)
        elif what == 'close':
            os.close(held.pop(path))
        else:
            os.read(held[path], 1)
        answer = 'ok'
    except OSError as error:
        answer = errno.errorcode[error.errno]
    client.sendall(answer.encode())
    client.close()
`;

/** Why leases cannot be enforced here, '' when they can. */
export const missingDevices = existsSync('/sys/fs/cgroup/devices/devices.deny')
  ? ''
  : 'there is no devices cgroup to write';

export interface PretendDevices {
  readonly paths: readonly [string, string];
  remove(): void;
}

/** Character devices that stand in for GPUs: zero and full, which programs can do without. */
export function pretendDevices(): PretendDevices {
  const mark = randomBytes(3).toString('hex');
  const paths = [`/dev/nbos-${mark}-0`, `/dev/nbos-${mark}-1`] as const;
  const remove = (): void => {
    for (const path of paths) rmSync(path, { force: true });
    process.off('exit', remove);
  };
  process.once('exit', remove);
  for (const [index, path] of paths.entries())
    execFileSync('mknod', ['-m', '666', path, 'c', '1', ['5', '7'][index]!]);
  return { paths, remove };
}

export interface DeviceContainer extends GpuUser {
  /** 'ok', or the name of the error */
  tell(what: 'open' | 'read' | 'close', path: string): Promise<string>;
  remove(): Promise<void>;
}

/** A container as kernels have them, with devices, that does as it is told. */
export async function deviceContainer(
  machine: TestEngine,
  access: GpuAccess,
  folder: string,
  name: string,
): Promise<DeviceContainer> {
  const socket = join(folder, `${name}.sock`);
  // Its user has no name here.
  chmodSync(folder, 0o777);
  const { devices, env } = access.creation();
  const container = await machine.docker.createContainer({
    Image: DEFAULT_IMAGE,
    Cmd: ['python3', '-c', PROGRAM, socket],
    Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    HostConfig: {
      NetworkMode: 'none',
      Binds: [`${folder}:${folder}`],
      CapDrop: ['ALL'],
      Devices: devices.map((path) => ({
        PathOnHost: path,
        PathInContainer: path,
        CgroupPermissions: 'rwm',
      })),
    },
  });
  await container.start();
  const { State } = await container.inspect();
  const user = { id: name, pid: State.Pid };
  await access.started(user);
  const end = Date.now() + 10_000;
  while (!existsSync(socket)) {
    if (Date.now() > end) throw new Error(`container ${name} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    ...user,
    tell: (what, path) => asked(socket, `${what} ${path}`),
    remove: () => container.remove({ force: true }),
  };
}

function asked(socket: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const link = createConnection(socket, () => link.write(request));
    link.setEncoding('utf8').setTimeout(5_000, () => link.destroy(new Error('no answer')));
    let answer = '';
    link.on('data', (text: string) => {
      answer += text;
    });
    link.on('error', reject);
    link.on('close', () => resolve(answer));
  });
}
