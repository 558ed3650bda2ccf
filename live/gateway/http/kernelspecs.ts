import { readdir, readFile, realpath } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import type { KernelService, KernelSpecs } from '../kernel-service.ts';
import { withoutSecret } from './access.ts';
import { type ApiContext, Refusal, type Route } from './answers.ts';

type Spec = KernelSpecs['specs'][string];

const FILE_TYPES: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
};

/** /api/kernelspecs, and the files of a spec's folder under /kernelspecs. */
export function kernelspecRoutes(service: KernelService): Route[] {
  return [
    {
      method: 'GET',
      path: '/api/kernelspecs',
      handle: async (context) => {
        const { default: standard, specs } = await service.specs();
        const models = await Promise.all(
          Object.entries(specs).map(async ([name, spec]) => [name, await model(context, spec)]),
        );
        return context.json({ default: standard, kernelspecs: Object.fromEntries(models) });
      },
    },
    {
      method: 'GET',
      path: '/api/kernelspecs/:name',
      handle: async (context) => context.json(await model(context, await specOf(service, context))),
    },
    {
      method: 'GET',
      path: '/kernelspecs/:name/:file{.+}',
      handle: async (context) => {
        const { folder } = await specOf(service, context);
        const file = context.req.param('file') ?? '';
        const bytes = await resourceOf(folder, file);
        if (bytes === undefined) throw new Refusal(404, `Kernel spec resource not found: ${file}`);
        const type = FILE_TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream';
        // A spec's SVG or page must not run as a page of this server.
        const headers = { 'content-type': type, 'content-security-policy': 'sandbox' };
        return context.body(new Uint8Array(bytes), 200, headers);
      },
    },
  ];
}

async function specOf(service: KernelService, context: ApiContext): Promise<Spec> {
  const name = context.req.param('name') ?? '';
  const { specs } = await service.specs();
  const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
  if (spec === undefined) throw new Refusal(404, `Kernel spec not found: ${name}`);
  return spec;
}

async function model(context: ApiContext, { name, spec, folder }: Spec): Promise<object> {
  const { secret } = withoutSecret(new URL(context.req.url).pathname);
  const base = `${secret === '' ? '' : `/t/${secret}`}/kernelspecs/${encodeURIComponent(name)}`;
  const resources: Record<string, string> = {};
  const files = folder === '' ? [] : await readdir(folder).catch(() => []);
  for (const file of files.sort())
    if (file === 'kernel.js' || file === 'kernel.css') resources[file] = `${base}/${file}`;
    else if (file.startsWith('logo-'))
      resources[file.slice(0, -extname(file).length || undefined)] =
        `${base}/${encodeURIComponent(file)}`;
  return { name, spec, resources };
}

/** Bytes of a file inside the folder; undefined for none and for one that lies elsewhere. */
async function resourceOf(folder: string, file: string): Promise<Buffer | undefined> {
  if (folder === '' || file.includes('\0')) return undefined;
  try {
    const root = await realpath(folder);
    const real = await realpath(join(root, file));
    return real.startsWith(root + sep) ? await readFile(real) : undefined;
  } catch {
    return undefined;
  }
}
