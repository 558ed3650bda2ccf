import * as assert from 'uvu/assert';
import type { Entry, MemberId, Message, RaftNode } from '../../../core/raft/index.ts';

/** What the checkers may see of a member. */
export interface Observed {
  readonly id: MemberId;
  readonly role: string;
  readonly term: number;
  readonly first: number;
  readonly last: number;
  readonly committed: number;
  termAt(index: number): number | undefined;
}

interface Made {
  readonly entry: Entry;
  readonly prevTerm: number;
}

interface Committed {
  readonly term: number;
  /** the term in which a member was first seen to hold it committed; that it was in is no later */
  readonly seenInTerm: number;
}

interface Led {
  readonly leader: MemberId;
  last: number;
  lastTerm: number;
}

/**
 * The safety properties of figure 3 of the paper, and two promises that they rest on, checked from
 * outside over a whole run: what was seen once must never be contradicted, by whatever member.
 */
export class Safety {
  readonly #leaders = new Map<number, Led>();
  readonly #made = new Map<string, Made>();
  readonly #committed: Committed[] = [];
  readonly #seenCommitted = new Map<MemberId, number>();
  readonly #applied: Entry[] = [];
  readonly #votes = new Map<string, MemberId>();

  /** Leaders that were seen: a run without any says little. */
  get terms(): number {
    return this.#leaders.size;
  }

  get committed(): number {
    return this.#committed.length;
  }

  /** A member as it stands after it did something. */
  observe(member: Observed): void {
    this.#observeCommit(member);
    if (member.role !== 'leader') return;
    const led = this.#leaders.get(member.term);
    if (led === undefined) {
      this.#leaderCompleteness(member);
      const { id: leader, last } = member;
      this.#leaders.set(member.term, { leader, last, lastTerm: member.termAt(last)! });
      return;
    }
    assert.is(led.leader, member.id, `election safety: term ${member.term} has two leaders`);
    const kept = led.last < member.first || member.termAt(led.last) === led.lastTerm;
    assert.ok(member.last >= led.last && kept, `leader append-only: ${member.id} cut its log`);
    led.last = member.last;
    led.lastTerm = member.termAt(member.last)!;
  }

  #observeCommit(member: Observed): void {
    const seen = this.#seenCommitted.get(member.id) ?? 0;
    for (let index = Math.max(seen + 1, member.first); index <= member.committed; index++) {
      const term = member.termAt(index)!;
      const known = this.#committed[index];
      if (known === undefined) this.#committed[index] = { term, seenInTerm: member.term };
      else assert.is(term, known.term, `two entries are committed at ${index}`);
    }
    this.#seenCommitted.set(member.id, Math.max(seen, member.committed));
  }

  #leaderCompleteness(leader: Observed): void {
    for (let index = leader.first; index < this.#committed.length; index++) {
      const known = this.#committed[index];
      if (known === undefined || known.seenInTerm >= leader.term) continue;
      const name = `leader completeness: ${leader.id} of term ${leader.term} lacks entry ${index}`;
      assert.is(leader.termAt(index), known.term, name);
    }
  }

  /**
   * An entry in a member's log, after one of term `prevTerm`. If that pair is the same for an entry
   * everywhere, equal entries have equal logs before them: log matching, by induction.
   */
  holds(entry: Entry, prevTerm: number): void {
    const key = `${entry.index}/${entry.term}`;
    const made = this.#made.get(key);
    if (made === undefined) {
      this.#made.set(key, { entry, prevTerm });
      return;
    }
    assert.is(prevTerm, made.prevTerm, `log matching: what comes before ${key} differs`);
    assert.ok(sameEntry(made.entry, entry), `log matching: two entries ${key}`);
  }

  /** A state machine took an entry. */
  applies(id: MemberId, entry: Entry): void {
    const known = this.#applied[entry.index];
    if (known === undefined) this.#applied[entry.index] = entry;
    else
      assert.ok(
        sameEntry(known, entry),
        `state machine safety: ${id} applied another entry ${entry.index}`,
      );
  }

  /** A member sent a message, after its write: a vote is given once, an answer is durable. */
  promises(message: Message, durableLast: number): void {
    if (message.type === 'vote' && !message.pre) {
      this.#voted(message.from, message.term, message.from);
    } else if (message.type === 'vote-reply' && message.granted && !message.pre) {
      this.#voted(message.from, message.term, message.to);
    } else if (message.type === 'append-reply' && message.ok) {
      const name = `${message.from} acknowledged ${message.index}, its disk ends at ${durableLast}`;
      assert.ok(message.index <= durableLast, name);
    }
  }

  #voted(voter: MemberId, term: number, candidate: MemberId): void {
    const key = `${voter}/${term}`;
    const before = this.#votes.get(key) ?? candidate;
    assert.is(candidate, before, `${voter} voted twice in term ${term}`);
    this.#votes.set(key, candidate);
  }
}

function sameEntry(a: Entry, b: Entry): boolean {
  if (a === b) return true;
  return (
    a.term === b.term &&
    a.index === b.index &&
    a.kind === b.kind &&
    a.data === b.data &&
    JSON.stringify(a.config) === JSON.stringify(b.config)
  );
}

export function observed(node: RaftNode): Observed {
  const { id, role, term, first, last, committed } = node.status();
  return { id, role, term, first, last, committed, termAt: (index) => node.termAt(index) };
}
