import { z } from 'zod';
import { type ApiContext, Refusal, type Route } from './answers.ts';
import { readBody, readJson, shaped } from './bodies.ts';
import { ContentsThread, type ShownContent } from './contents-thread.ts';
import type { HttpLimits } from './limits.ts';
import { type Entry, Workspace } from './workspace.ts';

const TYPE = z.enum(['notebook', 'file', 'directory']);
const SAVE = z.object({
  type: TYPE,
  format: z.enum(['json', 'text', 'base64']).nullish(),
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

/** What the routes work with. */
interface Parts {
  workspace: Workspace;
  thread: ContentsThread;
  limits: HttpLimits;
}

/** /api/contents on the workspace folder, for clients that connect directly. */
export function contentsRoutes(root: string, limits: HttpLimits): Route[] {
  const workspace = new Workspace(root);
  const parts = { workspace, thread: new ContentsThread(), limits };
  const paths = ['/api/contents', '/api/contents/:path{.+}'];
  const handlers = [
    { method: 'GET', handle: (context) => get(parts, context) },
    { method: 'PUT', handle: (context) => save(parts, context) },
    { method: 'POST', handle: (context) => make(parts, context) },
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

async function get({ workspace, thread, limits }: Parts, context: ApiContext): Promise<Response> {
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
    const content = entries.map((each) => modelOf(each));
    return context.json({ ...modelOf(entry, as), content, format: 'json' });
  }
  const bytes = await workspace.read(entry.path, limits.contentsBytes);
  const shown = await thread.show(bytes, as, format).catch((error: Error) => {
    if (!(error instanceof Refusal) || error.status !== 400) throw error;
    const what = as === 'notebook' ? 'Unreadable Notebook' : 'Unreadable file';
    throw new Refusal(400, `${what}: ${entry.path} ${error.message}`);
  });
  return withContent(context, modelOf(entry, as), shown);
}

/** The model with a content that is JSON already. */
function withContent(context: ApiContext, model: object, shown: ShownContent): Response {
  const { format, mimetype, data } = shown;
  const { content: _, ...fields } = { content: null, ...model, format, mimetype };
  const head = `${JSON.stringify(fields).slice(0, -1)},"content":`;
  const body = Buffer.concat([Buffer.from(head), data, Buffer.from('}')]);
  return context.body(new Uint8Array(body), 200, { 'content-type': 'application/json' });
}

async function save({ workspace, thread, limits }: Parts, context: ApiContext): Promise<Response> {
  const path = pathOf(context);
  const body = await readBody(context.req.raw, limits.contentsBytes);
  const { fields, data } = await thread.save(body).catch((error: Error) => {
    if (!(error instanceof Refusal) || error.status !== 400) throw error;
    throw new Refusal(400, 'Invalid JSON in body of request');
  });
  const { type, chunk } = shaped(fields, SAVE);
  if (chunk != null) throw new Refusal(400, 'Files are saved whole here, not in chunks');
  if (type === 'directory')
    return created(context, await workspace.makeFolder(path), await workspace.entry(path), type);
  if (data === null)
    throw new Refusal(
      400,
      type === 'notebook'
        ? 'Wrong field in JSON data: content: a notebook is an object'
        : "Must specify format of file contents as 'text' or 'base64'",
    );
  const isNew = await workspace.write(path, Buffer.from(data.buffer));
  return created(context, isNew, await workspace.entry(path), type);
}

async function make({ workspace, limits }: Parts, context: ApiContext): Promise<Response> {
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
    return created(context, true, await workspace.entry(path));
  }
  if (type === 'directory') {
    const path = await workspace.unusedName(folder, 'Untitled Folder', '');
    await workspace.makeFolder(path);
    return created(context, true, await workspace.entry(path));
  }
  const notebook = type === 'notebook' || ext === '.ipynb';
  const path = notebook
    ? await workspace.unusedName(folder, 'Untitled', '.ipynb')
    : await workspace.unusedName(folder, 'untitled', ext ?? '.txt');
  const text = notebook ? `${JSON.stringify(EMPTY_NOTEBOOK, null, 1)}\n` : '';
  await workspace.write(path, Buffer.from(text));
  return created(context, true, await workspace.entry(path));
}

function created(
  context: ApiContext,
  isNew: boolean,
  entry: Entry,
  type: z.output<typeof TYPE> = typeOf(entry),
): Response {
  const location = `/api/contents/${entry.path.split('/').map(encodeURIComponent).join('/')}`;
  return context.json(modelOf(entry, type), isNew ? 201 : 200, { location });
}

function typeOf({ directory, name }: Entry): z.output<typeof TYPE> {
  if (directory) return 'directory';
  return name.endsWith('.ipynb') ? 'notebook' : 'file';
}

/** Jupyter's model of a file, without its content. */
function modelOf(entry: Entry, type: z.output<typeof TYPE> = typeOf(entry)) {
  return {
    name: entry.name,
    path: entry.path,
    last_modified: stamp(entry.modifiedAt),
    created: stamp(entry.createdAt),
    content: null,
    format: null,
    mimetype: null,
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
