import * as assert from 'uvu/assert';
import type { Entry, MemberId, Message } from '../../../core/raft/index.ts';

/** What the checkers may see of a member; a RaftNode shows it. */
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
  /** the leader's log: the term of each entry, by index, from where it was not compacted */
  readonly terms: number[];
}

/** A member's disk, as far as its promises rest on it. */
export interface Disk {
  readonly term: number;
  readonly last: number;
  termAt(index: number): number | undefined;
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
      const terms: number[] = [];
      for (let index = member.first; index <= member.last; index++)
        terms[index] = member.termAt(index)!;
      this.#leaders.set(member.term, { leader: member.id, terms });
      return;
    }
    assert.is(led.leader, member.id, `election safety: term ${member.term} has two leaders`);
    const { terms } = led;
    const last = terms.length - 1;
    const kept = last < member.first || member.termAt(last) === terms[last];
    assert.ok(member.last >= last && kept, `leader append-only: ${member.id} cut its log`);
    for (let index = last + 1; index <= member.last; index++) terms[index] = member.termAt(index)!;
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
  promises(message: Message, disk: Disk): void {
    if (message.type === 'vote' && !message.pre) {
      this.#voted(message.from, message.term, message.from);
    } else if (message.type === 'vote-reply' && message.granted && !message.pre) {
      this.#voted(message.from, message.term, message.to);
    } else if (message.type === 'append-reply' && message.ok && message.term === disk.term) {
      // What a later leader took back meanwhile is not asked: its term says it was heard first.
      const { from, index } = message;
      const name = `${from} acknowledged ${index}`;
      assert.ok(index <= disk.last, `${name}, its disk ends at ${disk.last}`);
      const asked = this.#leaders.get(message.term)?.terms[index];
      const held = disk.termAt(index);
      if (asked !== undefined && held !== undefined)
        assert.is(held, asked, `${name}, its disk holds another entry there`);
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
