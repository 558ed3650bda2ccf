import { z } from 'zod';
import { type ApiContext, Refusal, type Route } from './answers.ts';
import { readJson } from './bodies.ts';
import type { HttpLimits } from './limits.ts';
import { type Entry, Workspace } from './workspace.ts';

const TYPE = z.enum(['notebook', 'file', 'directory']);
const SAVE = z.object({
  type: TYPE,
  format: z.enum(['json', 'text', 'base64']).nullish(),
  content: z.unknown().optional(),
  chunk: z.number().nullish(),
});
const NEW = z.object({
  type: TYPE.nullish(),
  ext: z.string().max(32).nullish(),
  copy_from: z.string().nullish(),
});
const RENAME = z.object({ path: z.string() });
const QUERY = z.object({
  type: TYPE.optional(),
  format: z.enum(['json', 'text', 'base64']).optional(),
  content: z.string().optional(),
});

const EMPTY_NOTEBOOK = { cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 };

/** What a model's `content` is, and in which form. */
interface Content {
  content: unknown;
  format: 'json' | 'text' | 'base64' | null;
  mimetype: string | null;
}

/** /api/contents on the workspace folder, for clients that connect directly. */
export function contentsRoutes(root: string, limits: HttpLimits): Route[] {
  const workspace = new Workspace(root);
  const paths = ['/api/contents', '/api/contents/:path{.+}'];
  const handlers = [
    { method: 'GET', handle: (context) => get(workspace, context, limits) },
    { method: 'PUT', handle: (context) => save(workspace, context, limits) },
    { method: 'POST', handle: (context) => make(workspace, context, limits) },
    {
      method: 'PATCH',
      handle: async (context) => {
        const { path } = await readJson(context, RENAME, limits.bodyBytes);
        await workspace.move(pathOf(context), path);
        return context.json(modelOf(await workspace.entry(path)));
      },
    },
    {
      method: 'DELETE',
      handle: async (context) => {
        await workspace.remove(pathOf(context));
        return context.body(null, 204);
      },
    },
  ] satisfies Omit<Route, 'path'>[];
  return paths.flatMap((path) => handlers.map((handler) => ({ ...handler, path })));
}

/** No checkpoints are kept: a client is told so, and saves all the same. */
function checkpointed(path: string): string | undefined {
  return /^(.+)\/checkpoints$/.exec(path)?.[1];
}

function pathOf(context: ApiContext): string {
  return context.req.param('path') ?? '';
}

async function get(
  workspace: Workspace,
  context: ApiContext,
  limits: HttpLimits,
): Promise<Response> {
  if (checkpointed(pathOf(context)) !== undefined) return context.json([]);
  const query = QUERY.safeParse(context.req.query());
  if (!query.success) throw new Refusal(400, `Wrong query: ${query.error.issues[0]?.message}`);
  const { type, format, content } = query.data;
  const entry = await workspace.entry(pathOf(context));
  if (entry.directory && type !== undefined && type !== 'directory')
    throw new Refusal(400, `${entry.path} is a directory, not a ${type}`);
  if (!entry.directory && type === 'directory')
    throw new Refusal(400, `${entry.path} is not a directory`);
  const as = type ?? typeOf(entry);
  if (content === '0') return context.json(modelOf(entry, as));
  if (entry.directory) {
    const entries = await workspace.list(entry.path);
    const models = entries.map((each) => modelOf(each));
    return context.json(modelOf(entry, as, { content: models, format: 'json', mimetype: null }));
  }
  const bytes = await workspace.read(entry.path, limits.contentsBytes);
  const body =
    as === 'notebook' ? notebookOf(entry.path, bytes) : fileOf(entry.path, bytes, format);
  return context.json(modelOf(entry, as, body));
}

function notebookOf(path: string, bytes: Buffer): Content {
  try {
    return { content: JSON.parse(bytes.toString()), format: 'json', mimetype: null };
  } catch (error) {
    throw new Refusal(400, `Unreadable Notebook: ${path} ${(error as Error).message}`);
  }
}

function fileOf(path: string, bytes: Buffer, format: string | undefined): Content {
  if (format !== 'base64') {
    try {
      const content = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      return { content, format: 'text', mimetype: 'text/plain' };
    } catch {
      if (format === 'text') throw new Refusal(400, `${path} is not UTF-8 encoded`);
    }
  }
  const content = bytes.toString('base64');
  return { content, format: 'base64', mimetype: 'application/octet-stream' };
}

async function save(
  workspace: Workspace,
  context: ApiContext,
  limits: HttpLimits,
): Promise<Response> {
  const path = pathOf(context);
  const { type, format, content, chunk } = await readJson(context, SAVE, limits.contentsBytes);
  if (chunk != null) throw new Refusal(400, 'Files are saved whole here, not in chunks');
  const isNew =
    type === 'directory'
      ? await workspace.makeFolder(path)
      : await workspace.write(path, bytesOf(type, format ?? null, content));
  return created(context, modelOf(await workspace.entry(path), type), isNew);
}

function bytesOf(type: 'notebook' | 'file', format: string | null, content: unknown): Buffer {
  if (type === 'notebook') {
    if (typeof content !== 'object' || content === null)
      throw new Refusal(400, 'Wrong field in JSON data: content: a notebook is an object');
    return Buffer.from(`${JSON.stringify(sorted(content), null, 1)}\n`);
  }
  if (typeof content !== 'string' || (format !== 'text' && format !== 'base64'))
    throw new Refusal(400, "Must specify format of file contents as 'text' or 'base64'");
  return Buffer.from(content, format === 'text' ? 'utf8' : 'base64');
}

/** Keys in order, as Jupyter writes notebooks, so that versions compare. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
}

async function make(
  workspace: Workspace,
  context: ApiContext,
  limits: HttpLimits,
): Promise<Response> {
  const folder = pathOf(context);
  const saved = checkpointed(folder);
  if (saved !== undefined) {
    const { modifiedAt } = await workspace.entry(saved);
    return context.json({ id: 'saved', last_modified: stamp(modifiedAt) }, 201);
  }
  const { type, ext, copy_from } = await readJson(context, NEW, limits.bodyBytes);
  if (!(await workspace.entry(folder)).directory)
    throw new Refusal(400, `${folder} is not a directory`);
  if (copy_from) {
    const [, stem, extension] = /([^/]*?)((?:\.[^./]*)?)$/.exec(copy_from)!;
    const path = await workspace.unusedName(folder, `${stem}-Copy`, extension!);
    await workspace.copy(copy_from, path);
    return created(context, modelOf(await workspace.entry(path)), true);
  }
  if (type === 'directory') {
    const path = await workspace.unusedName(folder, 'Untitled Folder', '');
    await workspace.makeFolder(path);
    return created(context, modelOf(await workspace.entry(path)), true);
  }
  const notebook = type === 'notebook' || ext === '.ipynb';
  const path = notebook
    ? await workspace.unusedName(folder, 'Untitled', '.ipynb')
    : await workspace.unusedName(folder, 'untitled', ext ?? '.txt');
  const text = notebook ? `${JSON.stringify(EMPTY_NOTEBOOK, null, 1)}\n` : '';
  await workspace.write(path, Buffer.from(text));
  return created(context, modelOf(await workspace.entry(path)), true);
}

function created(context: ApiContext, model: { path: string }, isNew: boolean): Response {
  const location = `/api/contents/${model.path.split('/').map(encodeURIComponent).join('/')}`;
  return context.json(model, isNew ? 201 : 200, { location });
}

function typeOf({ directory, name }: Entry): z.output<typeof TYPE> {
  if (directory) return 'directory';
  return name.endsWith('.ipynb') ? 'notebook' : 'file';
}

/** Jupyter's model of a file; without content its three fields are null. */
function modelOf(
  entry: Entry,
  type: z.output<typeof TYPE> = typeOf(entry),
  body: Content = { content: null, format: null, mimetype: null },
) {
  return {
    name: entry.name,
    path: entry.path,
    last_modified: stamp(entry.modifiedAt),
    created: stamp(entry.createdAt),
    ...body,
    size: entry.directory ? null : entry.size,
    writable: entry.writable,
    hash: null,
    hash_algorithm: null,
    type,
  };
}

/** With microseconds, as Jupyter's clients expect. */
function stamp(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
