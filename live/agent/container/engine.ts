import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import Docker from 'dockerode';
import { NbosError } from '../../../core/errors.ts';

/** An answer that takes longer than this does not come, ms. */
const ANSWER_MS = 30_000;
const DEFAULT_SOCKET = 'unix:///var/run/docker.sock';

type Variables = Readonly<Record<string, string | undefined>>;

/** A container engine: its API with a limit on every wait, and errors for people. */
export class Engine {
  /** for messages */
  readonly place: string;
  readonly docker: Docker;
  /** for what takes longer: a build, and the request that waits as long as a container runs */
  readonly patient: Docker;

  constructor(place: string, options: Docker.DockerOptions) {
    this.place = place;
    // Of a connection that was kept, nobody knows whether the engine is still there, or lets us in.
    const Agent = options.protocol === 'https' ? HttpsAgent : HttpAgent;
    const own = { ...options, agent: new Agent({ keepAlive: false }) };
    this.docker = new Docker({ ...own, timeout: ANSWER_MS });
    this.patient = new Docker(own);
  }

  /**
   * The result of a call. Rejects `engine-absent`, `engine-denied`, `engine-failed`, and
   * `image-missing` where `image` is given and not there.
   */
  async ask<T>(
    what: string,
    call: (docker: Docker) => Promise<T>,
    { ms = ANSWER_MS, image = '' } = {},
  ): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = Object.assign(new Error(`no answer within ${ms} ms`), { code: 'ETIMEDOUT' });
      timer = setTimeout(reject, ms, error);
    });
    const answer = call(ms > ANSWER_MS ? this.patient : this.docker);
    answer.catch(() => undefined);
    try {
      return await Promise.race([answer, late]);
    } catch (error) {
      throw engineError(this.place, what, error, image);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * The exit code of a container once it has ended, however long it runs. Rejects also when the
   * connection ends before.
   */
  exitCode(id: string): Promise<number> {
    const request = {
      path: `/containers/${id}/wait?`,
      method: 'POST',
      // The answer begins at once and goes on for as long: as a stream its breaking off is seen.
      isStream: true,
      statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
    };
    return new Promise((resolve, reject) => {
      this.patient.modem.dial(request, (error: unknown, answer: unknown) => {
        if (error) reject(error);
        else
          text(answer as NodeJS.ReadableStream)
            .then((body) => (JSON.parse(body) as { StatusCode: number }).StatusCode)
            .then(resolve, reject);
      });
    });
  }
}

/**
 * The engine at `unix:///PATH` or `tcp://HOST:PORT`; '' is that of DOCKER_HOST, else the usual
 * socket. Nothing is asked of it yet. Throws `usage` for another address.
 */
export function engineAt(address: string, env: Variables): Engine {
  const place = address || env['DOCKER_HOST'] || DEFAULT_SOCKET;
  const socket = /^unix:\/\/(\/.+)$/.exec(place)?.[1];
  if (socket !== undefined) return new Engine(place, { socketPath: socket });
  const url = /^(tcp|https?):\/\/[^/]+\/?$/.test(place) ? new URL(place) : undefined;
  if (url === undefined || url.port === '')
    throw new NbosError(
      'usage',
      `container engine ${place}: expected unix:///PATH or tcp://HOST:PORT`,
      `Most engines listen on ${DEFAULT_SOCKET}.`,
    );
  const secrets = env['DOCKER_TLS_VERIFY'] ? certificates(env['DOCKER_CERT_PATH'] ?? '') : {};
  const protocol = url.protocol === 'https:' || 'ca' in secrets ? 'https' : 'http';
  return new Engine(place, { host: url.hostname, port: Number(url.port), protocol, ...secrets });
}

function certificates(folder: string): { ca: string; cert: string; key: string } {
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch {
      throw new NbosError(
        'engine-denied',
        `${join(folder, name)} cannot be read, which DOCKER_TLS_VERIFY asks for`,
        'Set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem.',
      );
    }
  };
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}

/** HTTP status of what an engine refused, 0 for any other error. */
export function statusOf(error: unknown): number {
  const cause = error instanceof NbosError ? error.cause : error;
  return (cause as { statusCode?: number } | undefined)?.statusCode ?? 0;
}

function engineError(place: string, what: string, error: unknown, image: string): NbosError {
  if (error instanceof NbosError) return error;
  const {
    code = '',
    statusCode = 0,
    message,
  } = error as Error & {
    code?: string;
    statusCode?: number;
  };
  const mapped = mappedError(place, what, { code, statusCode, message }, image);
  mapped.cause = error;
  return mapped;
}

function mappedError(
  place: string,
  what: string,
  { code, statusCode, message }: { code: string; statusCode: number; message: string },
  image: string,
): NbosError {
  if (code === 'EACCES' || code === 'EPERM')
    return new NbosError(
      'engine-denied',
      `container engine ${place}: permission denied`,
      'Add this user to the group of the socket (sudo usermod -aG docker "$USER") and log in ' +
        'again; whoever is in it can act as root. Leave the mode of the socket as it is.',
    );
  if (statusCode === 0)
    return new NbosError(
      'engine-absent',
      `container engine ${place}: ${what}: ${message}`,
      'Start Docker (sudo systemctl start docker), or name another engine with --docker.',
    );
  const reason = message.replace(/^\(HTTP code \d+\) /, '').trim();
  if (statusCode === 404 && image !== '' && /no such image/i.test(reason))
    return imageMissing(place, image);
  return new NbosError(
    'engine-failed',
    `container engine ${place}: ${what}: ${reason}`,
    'Its log has more (journalctl -u docker).',
  );
}

/** An image that the engine does not have. */
export function imageMissing(place: string, image: string): NbosError {
  return new NbosError(
    'image-missing',
    `container engine ${place} has no image ${image}`,
    'Make it with `nbos image build`, get it with `docker pull`, or name another with --image.',
  );
}
