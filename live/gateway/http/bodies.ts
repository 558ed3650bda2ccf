import type { z } from 'zod';
import { type ApiContext, Refusal } from './answers.ts';

/**
 * The body of a request as JSON of the given shape; an absent body counts as `{}`.
 * @throws Refusal 400 for no JSON or another shape, 413 for more than `limit` bytes
 */
export async function readJson<Shape extends z.ZodType>(
  context: ApiContext,
  shape: Shape,
  limit: number,
): Promise<z.output<Shape>> {
  const body = await readBody(context.req.raw, limit);
  return shaped(jsonOf(body), shape);
}

/** @throws Refusal 400 that names the first field which is missing or wrong */
export function shaped<Shape extends z.ZodType>(value: unknown, shape: Shape): z.output<Shape> {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.join('.') || 'body';
  // The words of Jupyter's server, which clients show.
  const missing = issue?.code === 'invalid_type' && issue.message.endsWith('received undefined');
  throw new Refusal(
    400,
    missing
      ? `Missing field in JSON data: ${place}`
      : `Wrong field in JSON data: ${place}: ${issue?.message}`,
    { extra: { code: 'request-invalid', hint: '' } },
  );
}

function jsonOf(body: Buffer): unknown {
  const text = body.toString().trim();
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'Invalid JSON in body of request');
  }
}

/** @throws Refusal 413 */
export async function readBody(request: Request, limit: number): Promise<Buffer> {
  const tooLarge = (): Refusal =>
    new Refusal(413, `The body of this request may have ${limit} bytes`, {
      headers: { connection: 'close' },
    });
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge();
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of request.body) {
    total += chunk.length;
    if (total > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
