import { createHash } from 'node:crypto';
import { CheckedStore } from '../../../live/stores/checked-store.ts';
import { openStore } from '../../../live/stores/open-store.ts';
import { madeContent } from './contract.ts';

/**
 * Writes and reads one large object in a process of its own and prints what it took, as JSON: the
 * peak of its memory is then its own. Arguments: URL of the store, bytes.
 */
async function main(url: string, bytes: number): Promise<void> {
  const hash = createHash('sha256');
  for await (const piece of madeContent(bytes, 7, '').open()) hash.update(piece);
  const content = madeContent(bytes, 7, hash.digest('hex'));
  const store = new CheckedStore(openStore(url));
  await store.put('warm/up', madeContent(1, 7, createHash('sha256').update('\x07').digest('hex')));
  const before = process.resourceUsage().maxRSS;
  let from = performance.now();
  await store.put('large/object', content);
  const putMs = performance.now() - from;
  from = performance.now();
  let read = 0;
  const found = await store.read('large/object', content, (piece) => {
    read += piece.byteLength;
  });
  const getMs = performance.now() - from;
  const after = process.resourceUsage().maxRSS;
  // One that takes its place leaves nothing of it.
  await store.put(
    'large/object',
    madeContent(1, 7, createHash('sha256').update('\x07').digest('hex')),
  );
  await store.remove(['large/object', 'warm/up']);
  const left = await store.list('');
  await store.close();
  const grownMb = (after - before) / 1024;
  process.stdout.write(
    `${JSON.stringify({ found, read, putMs, getMs, grownMb, left: left.length })}\n`,
  );
}

await main(process.argv[2]!, Number(process.argv[3]));
