import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Message } from '../../../core/raft/index.ts';
import { type BlobLimits, PeerBlobs } from '../../../live/agent/blobs.ts';
import { LinkFaults } from '../../../live/agent/link-faults.ts';
import { PeerLinks } from '../../../live/agent/peers.ts';
import type { ForwardAnswer } from '../../../live/agent/ports.ts';
import type { LogEntry } from '../../../live/log/entries.ts';
import { AllowList, allow, keyPair } from '../../../live/wire/keys.ts';
import type { HostAddress } from '../../../live/wire/messages.ts';
import { eventually } from '../wire/eventually.ts';

export interface LinkedHost {
  host: string;
  links: PeerLinks;
  blobs: PeerBlobs;
  faults: LinkFaults;
  address: HostAddress;
  /** Raft messages heard, by group */
  raft: { kernel: string; message: Message }[];
  /** what a forwarded proposal is answered with */
  answer: (kernel: string, entries: readonly LogEntry[]) => Promise<ForwardAnswer>;
  folder: string;
  /** how many messages its blobs have sent */
  sent: number;
}

export interface LinkedHosts {
  hosts: LinkedHost[];
  folder: string;
  close(): Promise<void>;
}

/**
 * Hosts h1, h2, … in this process, linked over real sockets, each with its blobs in a folder; with
 * `limits.link` they may take each other's files by their names.
 */
export async function linkedHosts(
  count: number,
  limits: Partial<BlobLimits> = {},
): Promise<LinkedHosts> {
  const folder = await mkdtemp(join(tmpdir(), 'nbos-hosts-'));
  const hosts: LinkedHost[] = [];
  for (let number = 1; number <= count; number++)
    hosts.push(await linkedHost(folder, `h${number}`, limits));
  for (const each of hosts) each.links.setHosts(hosts.map(({ address }) => address));
  await eventually(() =>
    hosts.every(({ host, links }) =>
      hosts.every((other) => other.host === host || links.lastContact(other.host) > 0),
    ),
  );
  const close = async (): Promise<void> => {
    for (const { links, blobs, faults } of hosts) {
      blobs.close();
      links.close();
      faults.close();
    }
    await rm(folder, { recursive: true, force: true });
  };
  return { hosts, folder, close };
}

async function linkedHost(
  folder: string,
  host: string,
  limits: Partial<BlobLimits>,
): Promise<LinkedHost> {
  const keys = await keyPair(folder, host);
  await allow(folder, host, keys.publicKey);
  const log = pino({ level: process.env['NBOS_LOG'] ?? 'silent' });
  const faults = new LinkFaults((error) => log.error(error));
  const made = {
    host,
    faults,
    raft: [],
    sent: 0,
    folder: join(folder, host, 'blobs'),
  } as Partial<LinkedHost>;
  const links = await PeerLinks.listen({
    host,
    endpoint: 'tcp://127.0.0.1:0',
    keys,
    allowed: new AllowList(folder),
    log,
    faults,
    beatMs: 50,
    forwardMs: 500,
    onRaft: (kernel, messages) => {
      for (const message of messages) made.raft!.push({ kernel, message });
    },
    onForward: (kernel, entries) => made.answer!(kernel, entries),
    onBlob: (from, message, frames) => made.blobs?.take(from, message, frames),
    onDown: (down) => made.blobs?.linkDown(down),
  });
  made.links = links;
  made.answer = () => Promise.resolve({ ok: false, code: 'unknown-kernel', leader: '' });
  made.blobs = new PeerBlobs(
    host,
    made.folder!,
    (to, message, frames) => {
      made.sent!++;
      return links.send(to, message, frames);
    },
    log,
    { link: false, ...limits },
  );
  made.address = { host, peer: links.endpoint, key: keys.publicKey };
  return made as LinkedHost;
}
