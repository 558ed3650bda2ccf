import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { NbosError } from '../../../core/errors.ts';
import type { KernelModel, KernelService, SessionFields, User } from '../kernel-service.ts';
import { type ApiContext, Refusal, type Route, within } from './answers.ts';
import { readJson } from './bodies.ts';
import { type KernelParts, late } from './kernels.ts';

const TEXT = z.string().max(4096);
const KERNEL = z.object({ id: TEXT.nullish(), name: TEXT.nullish() });
const PLACE = z.object({ path: TEXT.nullish(), name: TEXT.nullish() });

/** Older clients nest path and name in `notebook`. */
function flattened(body: unknown): unknown {
  const { notebook, ...rest } = Object(body) as Record<string, unknown>;
  const place = PLACE.safeParse(notebook);
  return place.success ? { type: 'notebook', ...place.data, ...rest } : rest;
}

const CREATE = z.preprocess(
  flattened,
  z.object({ path: TEXT, type: TEXT, name: TEXT.nullish(), kernel: KERNEL.nullish() }),
);
const PATCH = z.preprocess(
  flattened,
  z.object({
    path: TEXT.nullish(),
    type: TEXT.nullish(),
    name: TEXT.nullish(),
    kernel: KERNEL.nullish(),
  }),
);

/**
 * Jupyter sessions: a kernel with a notebook's path. A kernel's first session is kept with it and
 * lives as long; further ones (a console on a notebook's kernel) live as long as this server.
 */
class Sessions {
  readonly #service: KernelService;
  /** further sessions by id */
  readonly #further = new Map<string, { kernel: string; fields: SessionFields }>();
  /** paths for which a session is being made, by user */
  readonly #making = new Map<string, Promise<object>>();

  constructor(service: KernelService) {
    this.#service = service;
  }

  list(user: User): object[] {
    const kernels = this.#service.list(user);
    const first = kernels.flatMap((kernel) => {
      const fields = this.#service.sessionOf(kernel.id);
      return fields.id === '' ? [] : [sessionModel(fields, kernel)];
    });
    const byId = new Map(kernels.map((kernel) => [kernel.id, kernel]));
    const further = [...this.#further.values()].flatMap(({ kernel, fields }) => {
      const model = byId.get(kernel);
      return model === undefined ? [] : [sessionModel(fields, model)];
    });
    return [...first, ...further];
  }

  find(user: User, id: string): { fields: SessionFields; kernel: KernelModel } | undefined {
    const further = this.#further.get(id);
    if (further !== undefined) {
      const kernel = this.#service.get(further.kernel, user);
      if (kernel !== undefined) return { fields: further.fields, kernel };
    }
    for (const kernel of this.#service.list(user)) {
      const fields = this.#service.sessionOf(kernel.id);
      if (fields.id !== '' && fields.id === id) return { fields, kernel };
    }
    return undefined;
  }

  /** One path has one session of a user, however many ask for it at once. */
  async getOrMake(user: User, path: string, make: () => Promise<object>): Promise<object> {
    const key = `${user.id} ${path}`;
    const making = this.#making.get(key);
    if (making !== undefined) return making;
    const known = this.list(user).find((each) => (each as { path: string }).path === path);
    if (known !== undefined) return known;
    const made = make().finally(() => this.#making.delete(key));
    this.#making.set(key, made);
    return made;
  }

  /** Gives the fields to the kernel, or keeps them here when it has another session. */
  async store(kernel: string, fields: SessionFields): Promise<void> {
    const has = this.#service.sessionOf(kernel).id;
    if (has === '' || has === fields.id) {
      this.#further.delete(fields.id);
      await this.#service.annotate(kernel, fields);
    } else this.#further.set(fields.id, { kernel, fields });
  }

  forget(id: string): void {
    this.#further.delete(id);
  }

  /** Sessions whose kernels are gone go too. */
  prune(): void {
    for (const [id, { kernel }] of this.#further)
      if (this.#service.get(kernel, EVERYONE) === undefined) this.#further.delete(id);
  }
}

/** /api/sessions: what JupyterLab, VS Code and others use that connect directly. */
export function sessionRoutes(parts: KernelParts): Route[] {
  const { service, limits } = parts;
  const sessions = new Sessions(service);
  return [
    {
      method: 'GET',
      path: '/api/sessions',
      handle: (context) => context.json(sessions.list(context.get('user'))),
    },
    {
      method: 'POST',
      path: '/api/sessions',
      handle: (context) => post(parts, sessions, context),
    },
    {
      method: 'GET',
      path: '/api/sessions/:session',
      handle: (context) => {
        const { fields, kernel } = named(sessions, context);
        return context.json(sessionModel(fields, kernel));
      },
    },
    {
      method: 'PATCH',
      path: '/api/sessions/:session',
      handle: async (context) => {
        const { fields, kernel } = named(sessions, context);
        const wanted = await readJson(context, PATCH, limits.bodyBytes);
        const changed = {
          id: fields.id,
          path: wanted.path ?? fields.path,
          name: wanted.name ?? fields.name,
          type: wanted.type ?? fields.type,
        };
        const next = await otherKernel(parts, context, wanted.kernel, changed, kernel);
        await sessions.store(next.id, changed);
        if (next.id !== kernel.id && service.get(kernel.id, context.get('user')) !== undefined)
          await service.remove(kernel.id);
        return context.json(sessionModel(changed, service.get(next.id, EVERYONE) ?? next));
      },
    },
    {
      method: 'DELETE',
      path: '/api/sessions/:session',
      handle: async (context) => {
        const { fields, kernel } = named(sessions, context);
        sessions.forget(fields.id);
        try {
          await service.remove(kernel.id);
        } catch (error) {
          if (!(error instanceof NbosError && error.code === 'kernel-unknown')) throw error;
          throw new Refusal(410, 'Kernel deleted before session');
        }
        return context.body(null, 204);
      },
    },
  ];
}

/** To look whether a kernel exists at all. */
const EVERYONE: User = { id: '', admin: true };

async function post(
  parts: KernelParts,
  sessions: Sessions,
  context: ApiContext,
): Promise<Response> {
  const user = context.get('user');
  const wanted = await readJson(context, CREATE, parts.limits.bodyBytes);
  sessions.prune();
  const model = await sessions.getOrMake(user, wanted.path, async () => {
    const fields = {
      id: randomUUID(),
      path: wanted.path,
      name: wanted.name ?? '',
      type: wanted.type,
    };
    const id = wanted.kernel?.id;
    if (!id) {
      const kernel = await makeKernel(parts, user, wanted.kernel?.name, fields);
      return sessionModel(fields, kernel);
    }
    const kernel = parts.service.get(id, user);
    if (kernel === undefined) throw noKernel(id);
    await sessions.store(id, fields);
    return sessionModel(fields, kernel);
  });
  const { id } = model as { id: string };
  return context.json(model, 201, { location: `/api/sessions/${id}` });
}

/** The kernel that a session is to have: another by id, a new one by name, or the one it has. */
async function otherKernel(
  parts: KernelParts,
  context: ApiContext,
  wanted: z.output<typeof KERNEL> | null | undefined,
  fields: SessionFields,
  current: KernelModel,
): Promise<KernelModel> {
  const user = context.get('user');
  if (wanted?.id) {
    const kernel = parts.service.get(wanted.id, user);
    if (kernel === undefined) throw new Refusal(400, `No such kernel: ${wanted.id}`);
    return kernel;
  }
  return wanted?.name ? makeKernel(parts, user, wanted.name, fields) : current;
}

async function makeKernel(
  { service, limits, takesWork }: KernelParts,
  user: User,
  spec: string | null | undefined,
  fields: SessionFields,
): Promise<KernelModel> {
  takesWork();
  const name = spec || (await service.specs()).default;
  try {
    const creating = service.create({ spec: name, user, env: {}, ...fields });
    return await within(creating, limits.createMs, () => late('start', limits.createMs));
  } catch (error) {
    throw error instanceof NbosError && error.code === 'spec-unknown' ? noKernel(name) : error;
  }
}

function noKernel(name: string): Refusal {
  const message =
    `The '${name}' kernel is not available. Please pick another suitable kernel instead, ` +
    'or install that kernel.';
  return new Refusal(501, message, { extra: { short_message: `${name} not found` } });
}

/** @throws Refusal 404 */
function named(
  sessions: Sessions,
  context: ApiContext,
): { fields: SessionFields; kernel: KernelModel } {
  const id = context.req.param('session') ?? '';
  const session = sessions.find(context.get('user'), id);
  if (session === undefined) throw new Refusal(404, `Session not found: session_id='${id}'`);
  return session;
}

function sessionModel(fields: SessionFields, kernel: KernelModel): object {
  const { id, path, name, type } = fields;
  const notebook = type === 'notebook' ? { notebook: { path, name } } : {};
  return { id, path, name, type, kernel, ...notebook };
}
