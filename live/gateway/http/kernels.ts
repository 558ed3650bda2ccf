import { z } from 'zod';
import type { KernelModel, KernelService } from '../kernel-service.ts';
import { type ApiContext, noSuchKernel, Refusal, type Route, within } from './answers.ts';
import { readJson } from './bodies.ts';
import type { HttpLimits } from './limits.ts';

const ENV_VALUE_CHARS = 32_768;
const MOST_ENV = 200;

/** KERNEL_* of a request; everything else in `env` is not ours to take. */
const ENV = z
  .record(z.string(), z.unknown())
  .transform((env) =>
    Object.fromEntries(Object.entries(env).filter(([name]) => /^KERNEL_[A-Z0-9_]+$/.test(name))),
  )
  .pipe(
    z
      .record(
        z.string(),
        z
          .string()
          .max(ENV_VALUE_CHARS)
          .refine((value) => !value.includes('\0'), 'has a NUL'),
      )
      .refine((env) => Object.keys(env).length <= MOST_ENV, `has more than ${MOST_ENV} variables`),
  );

const CREATE = z.object({
  name: z.string().max(256).nullish(),
  path: z.string().max(4096).nullish(),
  env: ENV.nullish(),
});

export interface KernelParts {
  service: KernelService;
  limits: HttpLimits;
  /** @throws Refusal 503 while no new kernels are taken */
  takesWork: () => void;
}

/** /api/kernels: what a Jupyter server in gateway mode and direct clients use. */
export function kernelRoutes({ service, limits, takesWork }: KernelParts): Route[] {
  const own = (context: ApiContext): string => ownKernel(service, context).id;
  return [
    {
      method: 'GET',
      path: '/api/kernels',
      handle: (context) => context.json(service.list(context.get('user'))),
    },
    {
      method: 'POST',
      path: '/api/kernels',
      handle: async (context) => {
        const wanted = await readJson(context, CREATE, limits.bodyBytes);
        takesWork();
        const creating = service.create({
          spec: wanted.name || (await service.specs()).default,
          user: context.get('user'),
          env: wanted.env ?? {},
          path: wanted.path ?? '',
          name: '',
          type: '',
          id: '',
        });
        const model = await within(creating, limits.createMs, () => late('start', limits.createMs));
        return context.json(model, 201, { location: `/api/kernels/${model.id}` });
      },
    },
    {
      method: 'GET',
      path: '/api/kernels/:id',
      handle: (context) => context.json(ownKernel(service, context)),
    },
    {
      method: 'DELETE',
      path: '/api/kernels/:id',
      handle: async (context) => {
        await service.remove(own(context));
        return context.body(null, 204);
      },
    },
    {
      method: 'POST',
      path: '/api/kernels/:id/interrupt',
      handle: async (context) => {
        await service.interrupt(own(context));
        return context.body(null, 204);
      },
    },
    {
      method: 'POST',
      path: '/api/kernels/:id/restart',
      handle: async (context) => {
        const restarting = service.restart(own(context));
        const { createMs } = limits;
        return context.json(await within(restarting, createMs, () => late('restart', createMs)));
      },
    },
    {
      method: 'GET',
      path: '/api/kernels/:id/channels',
      handle: (context) => {
        own(context);
        throw new Refusal(400, 'Can "Upgrade" only to "WebSocket".');
      },
    },
  ];
}

/** @throws Refusal 404, also for the kernel of another user */
export function ownKernel(service: KernelService, context: ApiContext): KernelModel {
  const id = context.req.param('id') ?? '';
  const model = service.get(id, context.get('user'));
  if (model === undefined) throw noSuchKernel(id);
  return model;
}

export function late(what: string, ms: number): Refusal {
  return new Refusal(504, `The kernel did not ${what} within ${Math.round(ms / 1000)} s`);
}
