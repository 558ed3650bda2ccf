import type { Logger } from 'pino';
import { Reply } from 'zeromq';
import { encodeZ85 } from './z85.ts';

/** Who may connect to the servers of one domain. */
export interface Gatekeeper {
  /** Name of the key's holder, undefined for a stranger. */
  nameOf(publicKey: string): string | undefined;
  /** The key that has a name, undefined for none; left out where nobody asks. */
  keyOf?(name: string): string | undefined;
}

export interface Domain {
  /** handshakes refused since the start */
  readonly refused: number;
  release(): void;
}

interface Registered {
  gatekeeper: Gatekeeper;
  log: Logger;
  refused: number;
}

/**
 * ZeroMQ asks one handler a process about every handshake (RFC 27). It exists while any server
 * does; each server has a domain of its own, so that several share it.
 */
const domains = new Map<string, Registered>();
let handler: Reply | undefined;
let opening: Promise<void> | undefined;
let made = 0;

/** Puts a gatekeeper before a server. The returned name is the socket's `zapDomain`. */
export async function guard(
  gatekeeper: Gatekeeper,
  log: Logger,
): Promise<Domain & { name: string }> {
  const name = `nbos-${++made}`;
  const registered: Registered = { gatekeeper, log, refused: 0 };
  domains.set(name, registered);
  opening ??= open();
  await opening;
  return {
    name,
    get refused() {
      return registered.refused;
    },
    release: () => {
      domains.delete(name);
      if (domains.size > 0) return;
      handler?.close();
      handler = undefined;
      opening = undefined;
    },
  };
}

async function open(): Promise<void> {
  const socket = new Reply({ linger: 0 });
  handler = socket;
  for (let tries = 1; ; tries++) {
    try {
      await socket.bind('inproc://zeromq.zap.01');
      break;
    } catch (error) {
      // The name of a handler closed just now is free a moment later.
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  void answerAll(socket);
}

async function answerAll(socket: Reply): Promise<void> {
  try {
    for await (const frames of socket) {
      const [version, id, domain, , , mechanism, key] = frames;
      const known = domains.get(String(domain));
      const name =
        known !== undefined && String(mechanism) === 'CURVE' && key?.length === 32
          ? holder(known, key)
          : undefined;
      if (known !== undefined && name === undefined) known.refused++;
      const [code, text] = name === undefined ? ['400', 'key not allowed'] : ['200', 'OK'];
      await socket.send([version ?? '1.0', id ?? '', code, text, name ?? '', '']);
    }
  } catch (error) {
    // Closing the socket ends the wait for a request; anything else refuses all later handshakes.
    if (handler === socket)
      for (const { log } of domains.values()) log.error({ err: error }, 'key check ended');
  }
}

function holder(known: Registered, key: Buffer): string | undefined {
  try {
    const name = known.gatekeeper.nameOf(encodeZ85(key));
    if (name === undefined) known.log.warn({ key: encodeZ85(key) }, 'refused an unknown key');
    return name;
  } catch (error) {
    known.log.error({ err: error }, 'the list of allowed keys cannot be read');
    return undefined;
  }
}
