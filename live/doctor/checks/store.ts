import { randomBytes } from 'node:crypto';
import { NbosError } from '../../../core/errors.ts';
import { contentOf } from '../../stores/checked-content.ts';
import { CheckedStore } from '../../stores/checked-store.ts';
import { absoluteStore, openStore } from '../../stores/open-store.ts';
import { type Check, ok, problem, type Told } from '../finding.ts';
import { skewTold } from './skew.ts';

const LIMITS = { tries: 1, stallMs: 10_000 };

/** That an object can be put into the store, read back and removed. */
export const STORE: Check = {
  name: 'store',
  applies: ({ store }) => store !== '',
  async look({ store: url, env }) {
    const store = new CheckedStore(openStore(absoluteStore(url), env), LIMITS);
    const key = `doctor/probe-${randomBytes(8).toString('hex')}`;
    try {
      return await triedOut(store, key);
    } catch (error) {
      if (error instanceof NbosError && error.code === 'store-denied') return [deniedTold(error)];
      throw error;
    } finally {
      await store.close();
    }
  },
};

async function triedOut(store: CheckedStore, key: string): Promise<Told[]> {
  const bytes = randomBytes(1024);
  const content = contentOf(bytes);
  const startedAt = Date.now();
  const began = performance.now();
  try {
    await store.put(key, content, 'create');
    const putMs = performance.now() - began;
    const [whole, head] = [await store.readWhole(key, content.sha256), await store.head(key)];
    if (whole === undefined || head === undefined)
      return [problem(`${store.name}: what was stored is not there`, 'Use a consistent store.')];
    const middle = startedAt + putMs / 2;
    const took = `${Math.round(putMs)} ms to store 1 KB`;
    return [
      ok(`${store.name}: objects can be stored, read and removed (${took})`),
      skewTold(`the clock of ${store.name}`, head.modifiedAt - middle),
    ];
  } finally {
    await store.remove([key]);
  }
}

/** Refusals, said plainly. */
export function deniedTold({ code, message, hint }: NbosError): Told {
  const found = `${code}: ${message}`;
  if (/expired/i.test(message))
    return problem(found, 'The credentials have expired: get new ones (such as aws sso login).');
  if (/could not load credentials|credential is missing|no credentials/i.test(message))
    return problem(
      found,
      'No credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and ' +
        'AWS_SECRET_ACCESS_KEY, or give this machine a role.',
    );
  if (/NOAUTH|WRONGPASS/.test(message))
    return problem(found, 'Set REDIS_PASSWORD (and REDIS_USERNAME) in the environment.');
  if (/Region is missing/.test(message))
    return problem(found, 'Write s3://BUCKET/PREFIX?region=NAME, or set AWS_REGION.');
  if (/NoSuchBucket/.test(message)) return problem(found, 'Create the bucket, or name another.');
  return problem(found, hint);
}
