import { errorOf } from '../wire/eventually.ts';

/** Code and message of what a promise is rejected with; throws when it is not. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  const { code, message } = await errorOf(promise);
  return `${code}: ${message}`;
}
