import { ERROR_CODES, type ErrorCode, NbosError } from '../../core/errors.ts';
import type {
  CellRecord,
  FaultRequest,
  HostSight,
  HostStatus,
  KernelStatus,
  MigrateAnswer,
  MigrateRequest,
  RecoverAnswer,
  RecoverRequest,
  SystemStatus,
  TokenRecord,
} from '../admin-types.ts';
import type { Address } from './running.ts';

/** A migration waits for a process to start; nothing else takes long. */
const ANSWER_MS = 20_000;
const MIGRATION_MS = 120_000;
const JOURNAL_MS = 300_000;

interface Wanted {
  method?: string;
  body?: unknown;
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** The gateway's HTTP side, as the commands use it. Every failure is an NbosError. */
export class AdminClient {
  readonly url: string;
  readonly token: string;

  constructor(address: Address) {
    this.url = address.url;
    this.token = address.token;
  }

  status(): Promise<SystemStatus> {
    return this.json('/nbos/status');
  }

  cells(kernel: string): Promise<CellRecord[]> {
    return this.json(`/nbos/kernels/${kernel}/cells`);
  }

  /** nbformat outputs of a cell so far */
  async outputs(kernel: string, msgId: string): Promise<readonly unknown[]> {
    const path = `/nbos/kernels/${kernel}/cells/${encodeURIComponent(msgId)}`;
    return (await this.json<{ outputs: unknown[] }>(path)).outputs;
  }

  migrate(kernel: string, body: MigrateRequest): Promise<MigrateAnswer> {
    const wanted = { method: 'POST', body, timeoutMs: MIGRATION_MS };
    return this.json(`/nbos/kernels/${kernel}/migrate`, wanted);
  }

  recover(kernel: string, body: RecoverRequest): Promise<RecoverAnswer> {
    const wanted = { method: 'POST', body, timeoutMs: MIGRATION_MS };
    return this.json(`/nbos/kernels/${kernel}/recover`, wanted);
  }

  changeHost(host: string, change: 'drain' | 'enable'): Promise<HostStatus> {
    const path = `/nbos/hosts/${encodeURIComponent(host)}/${change}`;
    return this.json(path, { method: 'POST' });
  }

  async fault(body: FaultRequest): Promise<void> {
    await this.send('/nbos/faults', { method: 'POST', body });
  }

  workspaceSights(mark: string): Promise<HostSight[]> {
    return this.json('/nbos/workspace', { method: 'POST', body: { mark } });
  }

  tokens(): Promise<TokenRecord[]> {
    return this.json('/nbos/tokens');
  }

  addToken(name: string, admin: boolean): Promise<TokenRecord> {
    return this.json('/nbos/tokens', { method: 'POST', body: { name, admin } });
  }

  async removeToken(name: string): Promise<void> {
    await this.send(`/nbos/tokens/${encodeURIComponent(name)}`, { method: 'DELETE' });
  }

  /** The exported journal, NDJSON. */
  async journal(): Promise<string> {
    return (await this.send('/nbos/journal', { timeoutMs: JOURNAL_MS })).text();
  }

  async json<T>(path: string, wanted: Wanted = {}): Promise<T> {
    const answer = await this.send(path, wanted);
    const text = await answer.text();
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new NbosError(
        'gateway-unreachable',
        `${this.url}${path} answered something that is not JSON`,
        'Check that NBOS_URL is the URL of a NotebookOS gateway.',
      );
    }
  }

  /** One request; an answer below 400, or an NbosError. */
  async send(path: string, wanted: Wanted = {}): Promise<Response> {
    const limit = AbortSignal.timeout(wanted.timeoutMs ?? ANSWER_MS);
    const signal = wanted.signal === undefined ? limit : AbortSignal.any([limit, wanted.signal]);
    const headers: Record<string, string> = {};
    if (this.token !== '') headers['authorization'] = `token ${this.token}`;
    if (wanted.body !== undefined) headers['content-type'] = 'application/json';
    let answer: Response;
    try {
      answer = await fetch(`${this.url}${path}`, {
        method: wanted.method ?? 'GET',
        headers,
        signal,
        ...(wanted.body === undefined ? {} : { body: JSON.stringify(wanted.body) }),
      });
    } catch (error) {
      throw unreachable(this.url, error);
    }
    if (answer.status >= 400) throw await refusal(this.url, path, answer);
    return answer;
  }
}

function unreachable(url: string, error: unknown): NbosError {
  const { name, cause, message } = error as Error & { cause?: NodeJS.ErrnoException };
  if (name === 'TimeoutError')
    return new NbosError('gateway-unreachable', `${url} does not answer in time`, 'Try again.');
  if (name === 'AbortError') return new NbosError('interrupted', 'the request was stopped');
  return new NbosError(
    'gateway-unreachable',
    `nothing answers at ${url}: ${cause?.code ?? cause?.message ?? message}`,
    'Start it with nbos up, or set NBOS_URL to where it is.',
  );
}

/** What a refused request means to a person. */
async function refusal(url: string, path: string, answer: Response): Promise<NbosError> {
  const text = await answer.text().catch(() => '');
  const body = told(text);
  const { status } = answer;
  const code = typeof body['code'] === 'string' ? body['code'] : '';
  const message = typeof body['message'] === 'string' ? body['message'] : '';
  const hint = String(body['hint'] ?? body['reason'] ?? '');
  if (status === 401 || (status === 403 && (message === '' || message === 'Forbidden')))
    return new NbosError(
      'token-invalid',
      `${url} does not accept this token`,
      'Set NBOS_TOKEN to the token that nbos up printed.',
    );
  if (Object.hasOwn(ERROR_CODES, code))
    return new NbosError(code as ErrorCode, message || text, hint);
  if (status === 404 && /^\/(nbos|api)\/kernels\//.test(path))
    return new NbosError(
      'kernel-unknown',
      message || `${url} knows no such kernel or cell`,
      'nbos kernels lists what there is.',
    );
  return new NbosError(
    'request-refused',
    `${url}${path} answered ${status}${message === '' ? '' : `: ${message}`}`,
    hint,
  );
}

function told(text: string): Record<string, unknown> {
  try {
    const body = JSON.parse(text) as unknown;
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/**
 * The kernel that a person means: its id, the beginning of it, or the path or name of its notebook.
 * @throws NbosError kernel-unknown, also when several fit
 */
export function kernelNamed(kernels: readonly KernelStatus[], word: string): KernelStatus {
  const exact = kernels.find(({ id }) => id === word);
  if (exact !== undefined) return exact;
  const fitting = kernels.filter(
    ({ id, path }) => id.startsWith(word) || (word !== '' && isPath(path, word)),
  );
  if (fitting.length === 1) return fitting[0]!;
  if (fitting.length > 1)
    throw new NbosError(
      'kernel-unknown',
      `"${word}" fits ${fitting.length} kernels`,
      `Name one of ${fitting.map(({ id }) => id.slice(0, 13)).join(', ')}.`,
    );
  throw new NbosError(
    'kernel-unknown',
    `no kernel is named "${word}"`,
    kernels.length === 0 ? 'There is none at all.' : 'nbos kernels lists them.',
  );
}

function isPath(path: string, word: string): boolean {
  return path === word || path.split('/').at(-1) === word;
}
