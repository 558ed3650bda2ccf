import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../../core/errors.ts';

/** Most bytes of a unix socket's path: what the system takes, less one for the end. */
const MAX_PATH_BYTES = 107;

/** Where a kernel listens: unix sockets in its private directory, no port of any kind. */
export interface Connection {
  /** path of the connection file, for {connection_file} in argv */
  readonly file: string;
  /** key of the messages' signatures */
  readonly key: string;
  readonly shell: string;
  readonly iopub: string;
  readonly stdin: string;
  readonly control: string;
  readonly heartbeat: string;
}

/**
 * Makes the 0700 directory with a 0600 connection file in it. The kernel may rewrite the file, so
 * it is the directory that a container would mount. Throws `path-too-long`.
 */
export async function writeConnection(directory: string): Promise<Connection> {
  const base = join(directory, 'k');
  const longest = Buffer.byteLength(`${base}-5`);
  if (longest > MAX_PATH_BYTES)
    throw new NbosError(
      'path-too-long',
      `${directory}: sockets in it would have paths of ${longest} bytes, at most ${MAX_PATH_BYTES} are possible`,
      'Set XDG_RUNTIME_DIR to a shorter directory of yours.',
    );
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const key = randomBytes(24).toString('hex');
  const file = join(directory, 'connection.json');
  const settings = {
    transport: 'ipc',
    ip: base,
    shell_port: 1,
    iopub_port: 2,
    stdin_port: 3,
    control_port: 4,
    hb_port: 5,
    signature_scheme: 'hmac-sha256',
    key,
  };
  await writeFile(`${file}.new`, JSON.stringify(settings), { mode: 0o600 });
  await rename(`${file}.new`, file);
  const socket = (port: number): string => `ipc://${base}-${port}`;
  return {
    file,
    key,
    shell: socket(1),
    iopub: socket(2),
    stdin: socket(3),
    control: socket(4),
    heartbeat: socket(5),
  };
}
