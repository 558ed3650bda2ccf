import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { contentOfFile } from '../../live/stores/checked-content.ts';
import { CheckedStore } from '../../live/stores/checked-store.ts';
import { S3Store } from '../../live/stores/s3-store.ts';
import { missingMoto, startMoto } from '../live/stores/servers.ts';
import { type BenchResult, median } from './bench.ts';

const BYTES = 2 ** 30;
const PIECE_BYTES = 2 ** 20;
/** as ours */
const PART_BYTES = 8 * 2 ** 20;
const PARTS_AT_ONCE = 4;
const ROUNDS = 3;
const BUCKET = 'bench';

type Sdk = typeof import('@aws-sdk/client-s3');

/** An object of 1 GB to an S3 server and back, with our checks, against the plain SDK, in turns. */
export async function run(): Promise<BenchResult[] | string> {
  if (missingMoto !== '') return missingMoto;
  const folder = await mkdtemp(join(tmpdir(), 'nbos-bench-store-'));
  const server = await startMoto();
  try {
    const path = join(folder, 'object');
    return await measured(path, await written(path), `http://127.0.0.1:${server.port}`);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Pseudo-random bytes, for no layer to make less of them. Returns their checksum. */
async function written(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'w');
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let at = 0, seed = 1; at < BYTES; at += piece.length) {
    for (let i = 0; i < piece.length; i += 4) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      piece.writeUInt32LE(seed, i);
    }
    hash.update(piece);
    await file.write(piece);
  }
  await file.close();
  return hash.digest('hex');
}

async function measured(path: string, sha256: string, endpoint: string): Promise<BenchResult[]> {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const sdk = await import('@aws-sdk/client-s3');
  const credentials = { accessKeyId: 'bench', secretAccessKey: 'bench' };
  const client = new sdk.S3Client({
    ...{ endpoint, credentials, region: 'us-east-1', forcePathStyle: true },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  await client.send(new sdk.CreateBucketCommand({ Bucket: BUCKET }));
  const place = { bucket: BUCKET, prefix: 'kernels/', endpoint, region: 'us-east-1' };
  const store = new CheckedStore(new S3Store(place, { credentials }));
  const none = (): number[] => [];
  const times = { put: none(), get: none(), putSdk: none(), getSdk: none() };
  const plain = { Bucket: BUCKET, Key: 'plain' };
  for (let round = 0; round < ROUNDS; round++) {
    times.putSdk.push(await timed(() => putParts(sdk, client, path)));
    times.put.push(await timed(() => store.put('object', contentOfFile(path, BYTES, sha256))));
    times.getSdk.push(
      await timed(async () => {
        const { Body: body } = await client.send(new sdk.GetObjectCommand(plain));
        for await (const _ of body as Readable);
      }),
    );
    times.get.push(
      await timed(() => store.read('object', { bytes: BYTES, sha256 }, () => undefined)),
    );
  }
  await store.close();
  client.destroy();
  return [
    ratio('1 GB to S3 in parts, rate against the plain SDK', times.put, times.putSdk),
    ratio('1 GB from S3, rate against the plain SDK', times.get, times.getSdk),
  ];
}

/** As the SDK's documentation does it: parts of a file, some at once, no checks of one's own. */
async function putParts(sdk: Sdk, client: S3Client, path: string): Promise<void> {
  const plain = { Bucket: BUCKET, Key: 'plain' };
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(plain));
  const Parts = new Array<{ PartNumber: number; ETag: string | undefined }>(BYTES / PART_BYTES);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let part = next++; part < Parts.length; part = next++) {
      const [start, PartNumber] = [part * PART_BYTES, part + 1];
      const end = start + PART_BYTES - 1;
      const Body = createReadStream(path, { start, end, highWaterMark: PIECE_BYTES });
      const given = { ...plain, UploadId, PartNumber, Body, ContentLength: PART_BYTES };
      const { ETag } = await client.send(new sdk.UploadPartCommand(given));
      Parts[part] = { PartNumber, ETag };
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work));
  const whole = { ...plain, UploadId, MultipartUpload: { Parts } };
  await client.send(new sdk.CompleteMultipartUploadCommand(whole));
}

function ratio(name: string, ours: readonly number[], peer: readonly number[]): BenchResult {
  const [mine, theirs] = [median(ours), median(peer)];
  const note = `${(BYTES / 1e6 / mine).toFixed(2)} against ${(BYTES / 1e6 / theirs).toFixed(2)} GB/s`;
  return { name, value: theirs / mine, unit: 'x', target: 0.8, note };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}
