/**
 * A registry of one image, for engines of the tests: the part of its HTTP API by which they pull.
 * `node registry-server.js FOLDER PORT WAY`: FOLDER has what `docker save` wrote. WAY is `whole`;
 * `cut`, which breaks off each blob in the middle the first time; `dead`, which always does; or
 * `private`, which lets in nobody without a password. Prints `ready` once it listens.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';

const TYPE = 'application/vnd.docker.distribution.manifest.v2+json';
const CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json';
const LAYER_TYPE = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
/** Less than that comes in one piece: the configuration of an image. */
const LARGE_BYTES = 100_000;

const [folder = '', port = '', way = 'whole'] = process.argv.slice(2);
const files = new Map<string, string>();
const cut = new Set<string>();

async function blob(name: string, mediaType: string) {
  const path = join(folder, name);
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  const digest = `sha256:${hash.digest('hex')}`;
  files.set(digest, path);
  return { mediaType, size: statSync(path).size, digest };
}

async function manifestText(): Promise<string> {
  const [saved] = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
  const layers = [];
  for (const layer of saved.Layers as string[]) layers.push(await blob(layer, LAYER_TYPE));
  const config = await blob(saved.Config, CONFIG_TYPE);
  return JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config, layers });
}

function answer({ url = '', method, headers }: IncomingMessage, response: ServerResponse): void {
  const [, kind, name = ''] = /\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
  if (way === 'private') {
    response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="of the tests"' }).end();
  } else if (kind === 'manifests') {
    const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
    const size = Buffer.byteLength(manifest);
    const head = { 'Content-Type': TYPE, 'Docker-Content-Digest': digest, 'Content-Length': size };
    response.writeHead(200, head).end(method === 'HEAD' ? undefined : manifest);
  } else if (kind === 'blobs' && files.has(name)) send(name, headers.range, response);
  else response.writeHead(url === '/v2/' ? 200 : 404).end('{}');
}

function send(digest: string, range: string | undefined, response: ServerResponse): void {
  const path = files.get(digest)!;
  const { size } = statSync(path);
  const start = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
  const head = { 'Content-Length': size - start, 'Accept-Ranges': 'bytes' };
  const part = { ...head, 'Content-Range': `bytes ${start}-${size - 1}/${size}` };
  response.writeHead(start > 0 ? 206 : 200, start > 0 ? part : head);
  const breaks = size > LARGE_BYTES && (way === 'dead' || (way === 'cut' && !cut.has(digest)));
  cut.add(digest);
  const end = breaks ? start + Math.floor((size - start) / 2) : size - 1;
  const content = createReadStream(path, { start, end });
  content.on('close', () => breaks && response.destroy());
  content.pipe(response, { end: !breaks });
}

const manifest = await manifestText();
createServer(answer).listen(Number(port), '127.0.0.1', () => console.log('ready'));
