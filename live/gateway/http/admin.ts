import { z } from 'zod';
import { WORKSPACE_MARK } from '../../agent/workspace-sight.ts';
import type { AdminService } from '../admin-service.ts';
import type { KernelService } from '../kernel-service.ts';
import type { Users } from '../users.ts';
import { type ApiContext, Refusal, type Route, within } from './answers.ts';
import { readJson } from './bodies.ts';
import { late, ownKernel } from './kernels.ts';
import type { HttpLimits } from './limits.ts';
import { textOf } from './output-text.ts';

const NAME = z.string().min(1).max(256);
const MS = z.number().int().min(0).max(86_400_000);
const FAULT = z.discriminatedUnion('fault', [
  z.strictObject({ fault: z.literal('fail-next'), kernel: NAME }),
  z.strictObject({
    fault: z.literal('yield-next'),
    kernel: NAME,
    times: z.number().int().min(1).max(1000).exactOptional(),
  }),
  z.strictObject({
    fault: z.literal('kill-replica'),
    kernel: NAME,
    replica: NAME.exactOptional(),
  }),
  z.strictObject({ fault: z.literal('disconnect-host'), host: NAME, forMs: MS.exactOptional() }),
  z.strictObject({
    fault: z.literal('slow-host'),
    host: NAME,
    delayMs: MS,
    forMs: MS.exactOptional(),
  }),
  z.strictObject({ fault: z.literal('disk-full'), host: NAME, forMs: MS.exactOptional() }),
  z.strictObject({ fault: z.literal('move-every-cell'), on: z.boolean() }),
]);
const MIGRATE = z.strictObject({ replica: NAME.exactOptional(), to: NAME.exactOptional() });
const RECOVER = z.strictObject({ from: NAME });
const MARK = z.strictObject({ mark: z.string().regex(WORKSPACE_MARK) });
const TOKEN = z.strictObject({ name: z.string(), admin: z.boolean().default(false) });
const JOURNAL_CHUNK = 65_536;

export interface AdminParts {
  admin: AdminService;
  service: KernelService;
  users: Users;
  limits: HttpLimits;
  enableFaults: boolean;
}

/** /nbos: what the commands use; the map is in this folder's README. */
export function adminRoutes(parts: AdminParts): Route[] {
  const { admin, limits } = parts;
  return [
    {
      method: 'GET',
      path: '/nbos/status',
      handle: (context) => context.json(admin.status(context.get('user'))),
    },
    ...kernelAdminRoutes(parts),
    recoverRoute(parts),
    ...hostRoutes(parts),
    {
      method: 'POST',
      path: '/nbos/faults',
      admin: true,
      handle: async (context) => {
        if (!parts.enableFaults)
          throw new Refusal(403, 'Faults are not enabled here', {
            reason: 'Start the gateway with --enable-faults.',
          });
        await admin.fault(await readJson(context, FAULT, limits.bodyBytes));
        return context.body(null, 204);
      },
    },
    {
      method: 'POST',
      path: '/nbos/workspace',
      admin: true,
      handle: async (context) => {
        const { mark } = await readJson(context, MARK, limits.bodyBytes);
        return context.json(await admin.workspaceSights(mark));
      },
    },
    {
      method: 'POST',
      path: '/nbos/drain',
      admin: true,
      handle: async (context) => context.json(await admin.drain()),
    },
    {
      method: 'GET',
      path: '/nbos/journal',
      admin: true,
      handle: (context) => {
        const lines = ReadableStream.from(inChunks(admin.journal()));
        return context.body(lines, 200, { 'content-type': 'application/x-ndjson' });
      },
    },
    ...tokenRoutes(parts),
  ];
}

function kernelAdminRoutes({ admin, service, limits }: AdminParts): Route[] {
  const own = (context: ApiContext): string => ownKernel(service, context).id;
  return [
    {
      method: 'GET',
      path: '/nbos/kernels/:id/cells',
      handle: (context) => context.json(admin.cellsOf(own(context))),
    },
    {
      method: 'GET',
      path: '/nbos/kernels/:id/cells/:message',
      handle: (context) => {
        const kernel = own(context);
        const named = context.req.param('message') ?? '';
        const message = named === 'last' ? admin.cellsOf(kernel).at(-1)?.msgId : named;
        const outputs = service.outputsOf(kernel, message ?? '');
        if (outputs === undefined) throw new Refusal(404, `No outputs of cell ${named} are kept`);
        return context.json({ message, outputs });
      },
    },
    {
      method: 'GET',
      path: '/nbos/kernels/:id/log',
      handle: (context) => {
        const kernel = own(context);
        const cells = admin.cellsOf(kernel);
        const texts = cells.map(({ msgId }) => textOf(service.outputsOf(kernel, msgId) ?? []));
        return context.text(texts.join(''));
      },
    },
    {
      method: 'POST',
      path: '/nbos/kernels/:id/migrate',
      handle: async (context) => {
        const kernel = own(context);
        const wanted = await readJson(context, MIGRATE, limits.bodyBytes);
        const { createMs } = limits;
        const moving = admin.migrate(kernel, wanted);
        return context.json(await within(moving, createMs, () => late('move', createMs)));
      },
    },
  ];
}

function hostRoutes({ admin }: AdminParts): Route[] {
  return [
    {
      method: 'POST',
      path: '/nbos/hosts/:id/drain',
      admin: true,
      handle: (context) => context.json(admin.drainHost(context.req.param('id') ?? '')),
    },
    {
      method: 'POST',
      path: '/nbos/hosts/:id/enable',
      admin: true,
      handle: (context) => context.json(admin.enableHost(context.req.param('id') ?? '')),
    },
  ];
}

function recoverRoute({ admin, service, limits }: AdminParts): Route {
  return {
    method: 'POST',
    path: '/nbos/kernels/:id/recover',
    admin: true,
    handle: async (context) => {
      const wanted = await readJson(context, RECOVER, limits.bodyBytes);
      // Of one that is to come back from the store nobody may know yet.
      const named = context.req.param('id') ?? '';
      const kernel = wanted.from === 'store' ? named : ownKernel(service, context).id;
      const { createMs } = limits;
      const recovering = admin.recover(kernel, wanted);
      return context.json(await within(recovering, createMs, () => late('recovery', createMs)));
    },
  };
}

function tokenRoutes({ users, limits }: AdminParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/nbos/tokens',
      admin: true,
      handle: (context) => context.json(users.list()),
    },
    {
      method: 'POST',
      path: '/nbos/tokens',
      admin: true,
      handle: async (context) => {
        const { name, admin } = await readJson(context, TOKEN, limits.bodyBytes);
        return context.json(await users.add(name, admin), 201);
      },
    },
    {
      method: 'DELETE',
      path: '/nbos/tokens/:name',
      admin: true,
      handle: async (context) => {
        await users.remove(context.req.param('name') ?? '');
        return context.body(null, 204);
      },
    },
  ];
}

/** One write a line would cost more than the lines. */
async function* inChunks(lines: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  let text = '';
  for await (const line of lines) {
    text += `${JSON.stringify(line)}\n`;
    if (text.length < JOURNAL_CHUNK) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}
