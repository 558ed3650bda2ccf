import type { NbosError } from '../../core/errors.ts';
import { type Carry, unreachable } from './blob-sender.ts';

/** What another host answers to an offer. */
export interface Lacks {
  missing: readonly string[];
  /** it is not on the disk of the files offered */
  far?: boolean;
}

interface Offer {
  host: string;
  resolve(lacks: Lacks): void;
  reject(error: NbosError): void;
}

/** Questions to other hosts about which blobs they lack. */
export class BlobOffers {
  readonly #carry: Carry;
  readonly #open = new Map<number, Offer>();
  #made = 0;

  constructor(carry: Carry) {
    this.#carry = carry;
  }

  /** Resolves with what the host lacks of it. Rejects `peer-unreachable`. */
  ask(
    host: string,
    offer: { kernel: string; hashes: readonly string[]; folder?: string },
    waitMs: number,
  ): Promise<Lacks> {
    const id = ++this.#made;
    return new Promise<Lacks>((resolve, reject) => {
      const silent = (): void => reject(unreachable(host, `silent for ${Math.round(waitMs)} ms`));
      const timer = setTimeout(silent, waitMs);
      const settled = (): void => {
        clearTimeout(timer);
        this.#open.delete(id);
      };
      this.#open.set(id, {
        host,
        resolve: (lacks) => {
          settled();
          resolve(lacks);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      if (!this.#carry(host, { t: 'offer-blobs', id, ...offer }))
        this.#open.get(id)!.reject(unreachable(host, 'there is no link'));
    }).finally(() => this.#open.delete(id));
  }

  answered(host: string, id: number, lacks: Lacks): void {
    const offer = this.#open.get(id);
    if (offer?.host === host) offer.resolve(lacks);
  }

  /** Fails the questions to one host, or to all. */
  fail(host: string | undefined, why: string): void {
    for (const offer of [...this.#open.values()])
      if (host === undefined || offer.host === host) offer.reject(unreachable(offer.host, why));
  }
}
