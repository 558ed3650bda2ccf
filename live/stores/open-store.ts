import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NbosError } from '../../core/errors.ts';
import { FileStore } from './file-store.ts';
import { RedisStore } from './redis-store.ts';
import { S3Store } from './s3-store.ts';
import { isKey, type ObjectStore } from './store.ts';
import { WebHdfsStore } from './webhdfs-store.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const FORMS =
  'file:FOLDER, s3://BUCKET/PREFIX, redis://HOST/DB/PREFIX or webhdfs://HOST:PORT/FOLDER';

const KINDS: Record<string, (url: URL, env: Environment) => ObjectStore> = {
  's3:': s3Of,
  'redis:': redisOf,
  'rediss:': redisOf,
  'webhdfs:': webHdfsOf,
  'swebhdfs:': webHdfsOf,
};

/**
 * The store that a URL names; nothing is connected yet. Credentials come from the environment or
 * where the service's own tools find them, never from the URL: command lines are seen by others.
 * @throws NbosError config-bad-value
 */
export function openStore(text: string, env: Environment = process.env): ObjectStore {
  if (/^file:/.test(text)) return new FileStore(folderOf(text));
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong(text, 'it is no URL', `Write ${FORMS}.`);
  }
  const kind = Object.hasOwn(KINDS, url.protocol) ? KINDS[url.protocol] : undefined;
  if (kind === undefined)
    throw wrong(text, `there is no store of kind "${url.protocol}"`, `Write ${FORMS}.`);
  if (url.password !== '')
    throw wrong(
      withoutSecrets(url),
      'it holds a password, which others see on a command line',
      'Leave it out: REDIS_PASSWORD, or what the AWS tools read, is for that.',
    );
  return kind(url, env);
}

/** `file:` with a relative folder made absolute, so that it means the same from elsewhere. */
export function absoluteStore(text: string): string {
  return /^file:/.test(text) ? `file:${folderOf(text)}` : text;
}

function folderOf(text: string): string {
  const rest = text.slice('file:'.length);
  if (rest === '' || rest === '//') throw wrong(text, 'it names no folder', `Write ${FORMS}.`);
  if (!rest.startsWith('//')) return resolve(rest);
  try {
    return fileURLToPath(text);
  } catch {
    throw wrong(text, 'a file is of this machine', 'Write file:/FOLDER.');
  }
}

function s3Of(url: URL, env: Environment): ObjectStore {
  if (url.hostname === '') throw wrong(url.href, 'it names no bucket', 'Write s3://BUCKET/PREFIX.');
  const { endpoint = '', region, ...others } = Object.fromEntries(url.searchParams);
  const [other] = Object.keys(others);
  if (other !== undefined)
    throw wrong(url.href, `"${other}" means nothing there`, 'There are endpoint= and region=.');
  if (endpoint !== '' && !/^https?:\/\/[^@]+$/.test(endpoint))
    throw wrong(url.href, 'endpoint= is no http or https URL', 'Write endpoint=http://HOST:PORT.');
  const standard = endpoint === '' ? '' : 'us-east-1';
  return new S3Store({
    bucket: url.hostname,
    prefix: prefixOf(url, url.pathname.slice(1)),
    endpoint,
    region: region ?? (env['AWS_REGION'] ? '' : standard),
  });
}

function redisOf(url: URL, env: Environment): ObjectStore {
  const [db = '', ...rest] = url.pathname.slice(1).split('/');
  if (!/^\d{0,4}$/.test(db))
    throw wrong(
      url.href,
      `"${db}" is no number of a database`,
      'Write redis://HOST:PORT/0/PREFIX.',
    );
  return new RedisStore({
    host: url.hostname || '127.0.0.1',
    port: Number(url.port || 6379),
    db: Number(db || 0),
    tls: url.protocol === 'rediss:',
    prefix: prefixOf(url, rest.join('/')),
    username: decodeURIComponent(url.username) || env['REDIS_USERNAME'] || '',
    password: env['REDIS_PASSWORD'] || env['REDISCLI_AUTH'] || '',
  });
}

function webHdfsOf(url: URL, env: Environment): ObjectStore {
  if (url.hostname === '')
    throw wrong(url.href, 'it names no host', 'Write webhdfs://HOST:9870/FOLDER.');
  const folder = prefixOf(url, url.pathname.slice(1)).replace(/\/$/, '');
  if (folder === '')
    throw wrong(url.href, 'it names no folder', 'Write webhdfs://HOST:9870/FOLDER.');
  const tls = url.protocol === 'swebhdfs:';
  return new WebHdfsStore({
    host: url.hostname,
    port: Number(url.port || (tls ? 9871 : 9870)),
    tls,
    folder: `/${folder}`,
    user: decodeURIComponent(url.username) || env['HADOOP_USER_NAME'] || userInfo().username,
  });
}

/** '' or words that end with '/'. */
function prefixOf(url: URL, path: string): string {
  const prefix = path.replace(/\/+$/, '');
  if (prefix === '') return '';
  if (isKey(prefix)) return `${prefix}/`;
  throw wrong(
    url.href,
    `"${prefix}" is no prefix of keys`,
    'It consists of words of letters, digits, "_", "-" and ".", joined by "/".',
  );
}

function withoutSecrets(url: URL): string {
  const shown = new URL(url.href);
  shown.password = '***';
  return shown.href;
}

function wrong(shown: string, reason: string, hint: string): NbosError {
  return new NbosError('config-bad-value', `--store: "${shown}": ${reason}`, hint);
}
