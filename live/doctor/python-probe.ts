import { execFile } from 'node:child_process';
import { z } from 'zod';
import { NbosError } from '../../core/errors.ts';
import { inheritedEnvironment } from '../agent/kernel/environment.ts';
import { ok, problem, type Told, warning } from './finding.ts';

const LOCAL_MS = 30_000;
const OLDEST_MINOR = 9;

/** Name of the socket that the probe leaves in its second folder. */
export const SOCKET = 'probe.sock';

/**
 * Run where kernels run, by their Python: what there is, and whether it may do what it must. Its
 * arguments are the workspace and, in a container, the folder for sockets.
 */
export const PROBE = `
import ctypes, fcntl, json, os, platform, socket, sys
def tried(action):
    try:
        return action() or ''
    except Exception as error:
        return getattr(error, 'strerror', None) or str(error) or type(error).__name__
found = {'python': '%d.%d.%d' % sys.version_info[:3], 'uid': os.getuid()}
found['libc'] = ' '.join(platform.libc_ver()) or 'musl'
found['linux'] = platform.release()
try:
    from importlib import metadata
    found['ipykernel'] = metadata.version('ipykernel')
except Exception:
    found['ipykernel'] = ''
folder = sys.argv[1]
path = os.path.join(folder, '.nbos-doctor-%s' % os.urandom(6).hex())
def write():
    with open(path, 'xb') as file:
        file.write(b'probe')
        file.flush()
        os.fsync(file.fileno())
    with open(path, 'rb') as file:
        if file.read() != b'probe':
            return 'what was written reads otherwise'
def lock():
    with open(path, 'r+b') as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
def pages():
    number = {'x86_64': 323, 'aarch64': 282}.get(platform.machine())
    if number is None:
        return 'unknown processor'
    libc = ctypes.CDLL(None, use_errno=True)
    faults = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | 1)
    if faults < 0:
        return os.strerror(ctypes.get_errno())
    os.close(faults)
found['write'] = tried(write)
found['lock'] = '' if found['write'] else tried(lock)
tried(lambda: os.remove(path))
found['pages'] = tried(pages)
def listen():
    if len(sys.argv) > 2:
        socket.socket(socket.AF_UNIX).bind(os.path.join(sys.argv[2], '${SOCKET}'))
found['socket'] = tried(listen)
try:
    room = os.statvfs('/dev/shm')
    found['shmMb'] = room.f_blocks * room.f_frsize // 1048576
except OSError:
    found['shmMb'] = 0
print(json.dumps(found))
`;

const PROBED = z.object({
  python: z.string(),
  ipykernel: z.string(),
  uid: z.number(),
  libc: z.string(),
  /** release of Linux */
  linux: z.string(),
  /** '' where it worked, else why not */
  write: z.string(),
  lock: z.string(),
  pages: z.string(),
  socket: z.string(),
  shmMb: z.number(),
});

export type Probed = z.infer<typeof PROBED>;

/** What the probe printed. @throws NbosError kernel-failed */
export function probedIn(output: string, what: string): Probed {
  const line = output.trim().split('\n').pop() ?? '';
  try {
    return PROBED.parse(JSON.parse(line));
  } catch {
    throw new NbosError(
      'kernel-failed',
      `${what}: its Python answered something unexpected: "${line.slice(0, 200)}"`,
      'Name another one.',
    );
  }
}

/** Runs the probe as kernels run that are plain processes. @throws NbosError kernel-failed */
export function localProbe(
  python: string,
  workspace: string,
  env: NodeJS.ProcessEnv,
): Promise<Probed> {
  const options = { env: inheritedEnvironment(env), timeout: LOCAL_MS };
  return new Promise((resolve, reject) => {
    execFile(python, ['-c', PROBE, workspace], options, (error, stdout, stderr) => {
      const last = stderr.trim().split('\n').pop() || error?.message;
      if (error === null) {
        try {
          resolve(probedIn(stdout, python));
        } catch (wrong) {
          reject(wrong);
        }
      } else
        reject(new NbosError('kernel-failed', `${python}: ${last}`, 'Name another with --python.'));
    });
  });
}

/** What the probe means for the workspace, and for how changed state is found. */
export function probeTold({ uid, write, lock, pages, linux, shmMb }: Probed): Told[] {
  const told: Told[] = [];
  if (write !== '')
    told.push(
      problem(
        `kernels (uid ${uid}) cannot write to the workspace: ${write}`,
        'Give that user the folder (chown), or choose the user with --container-user.',
      ),
    );
  else if (lock !== '')
    told.push(
      warning(
        `files of the workspace cannot be locked: ${lock}`,
        'History and databases of notebooks may fail: mount it with locks (NFS 4, or lockd).',
      ),
    );
  else told.push(ok(`kernels (uid ${uid}) can write and lock files in the workspace`));
  told.push(ok(pagesText(pages, linux)));
  if (shmMb === 0) told.push(warning('kernels have no /dev/shm', 'Raise --shm-mb.'));
  return told;
}

/** The oldest Linux whose pages can be asked which were written. */
const PAGES_SINCE = [6, 7];

function pagesText(pages: string, linux: string): string {
  const [major = 0, minor = 0] = linux.split('.').map(Number);
  const [since = 0, sinceMinor = 0] = PAGES_SINCE;
  const isNew = major > since || (major === since && minor >= sinceMinor);
  if (pages === '' && isNew) return 'changed arrays are found by page tracking (userfaultfd)';
  const why = pages === '' ? `Linux ${linux} is older than ${PAGES_SINCE.join('.')}` : pages;
  return `changed arrays are found by their hash, which is slower (no page tracking: ${why})`;
}

/** What is wrong with a Python for kernels; undefined where nothing is. */
export function lackIn({ python, ipykernel }: Probed, image: string): Told | undefined {
  if (Number(python.split('.')[1]) < OLDEST_MINOR && python.startsWith('3.'))
    return problem(
      `image ${image} has Python ${python}; 3.${OLDEST_MINOR} is needed`,
      'Choose a newer image with --image.',
    );
  if (ipykernel !== '') return undefined;
  return problem(
    `image ${image} has Python ${python} without ipykernel`,
    'Choose an image with ipykernel, or make one with `nbos image build`.',
  );
}
