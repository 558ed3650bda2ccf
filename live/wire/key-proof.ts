import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  timingSafeEqual,
} from 'node:crypto';
import { SHARED_KEYS } from './host-keys.ts';
import type { KeyPair } from './keys.ts';
import { decodeZ85 } from './z85.ts';
import type { Gatekeeper } from './zap.ts';

type Purpose = 'agent' | 'peer';

/**
 * What only the holders of two keys can say: the one who has `own` and the one of `other`. CURVE
 * lets any allowed key in and does not tell the server which one a connection has; with this a
 * hello proves it. It is only ever said to the other of the two, inside an encrypted link.
 */
export function keyProof(own: KeyPair, other: string, purpose: Purpose): string {
  const x = decodeZ85(own.publicKey).toString('base64url');
  const d = decodeZ85(own.secretKey).toString('base64url');
  const theirs = decodeZ85(other).toString('base64url');
  const curve = { kty: 'OKP', crv: 'X25519' };
  const shared = diffieHellman({
    privateKey: createPrivateKey({ key: { ...curve, x, d }, format: 'jwk' }),
    publicKey: createPublicKey({ key: { ...curve, x: theirs }, format: 'jwk' }),
  });
  return createHmac('sha256', shared).update(`nbos ${purpose} 1`).digest('base64url');
}

/** Who a hello says that it is from. */
export interface Claim {
  host: string;
  /** public key */
  key?: string | undefined;
  proof?: string | undefined;
}

/**
 * Why the sender of a hello may not be the host that it names, '' when it is: an id belongs to the
 * key under which it was let in. Hosts of the shared pair may have any id that has no key of its
 * own.
 */
export function refusalOf(
  claim: Claim,
  own: KeyPair,
  allowed: Gatekeeper,
  purpose: Purpose,
): string {
  const { host, key = '', proof } = claim;
  const name = allowed.nameOf(key);
  if (name === undefined) return 'the key that it names is not allowed here';
  if (!isProofOf(own, key, purpose, proof)) return 'it does not prove that it holds its key';
  if (name === host) return '';
  if (name !== SHARED_KEYS) return `its key belongs to host ${name}, and it says it is ${host}`;
  if (allowed.keyOf?.(host) === undefined) return '';
  return `host ${host} has keys of its own, and it came with the shared ones`;
}

function isProofOf(own: KeyPair, other: string, purpose: Purpose, proof: unknown): boolean {
  if (typeof proof !== 'string') return false;
  let expected: string;
  try {
    expected = keyProof(own, other, purpose);
  } catch {
    // No point of the curve: nobody holds such a key.
    return false;
  }
  const [a, b] = [Buffer.from(expected), Buffer.from(proof)];
  return a.length === b.length && timingSafeEqual(a, b);
}
