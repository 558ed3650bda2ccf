import type { Configuration, Entry, Message } from '../../core/raft/index.ts';

/** Messages and entries in short words, for scenarios and failures. */

export function entryWord(entry: Entry): string {
  const place = `${entry.index}/${entry.term}`;
  if (entry.kind === 'empty') return place;
  if (entry.kind === 'config') return `${place}:${configWord(entry.config!)}`;
  return `${place}:${entry.data}`;
}

export function configWord({ voters, learners }: Configuration): string {
  return `{${voters.join(' ')}${learners.length > 0 ? ` | ${learners.join(' ')}` : ''}}`;
}

export function messageLine(message: Message): string {
  return `${message.from}>${message.to} ${message.type} t${message.term}${details(message)}`;
}

function details(message: Message): string {
  switch (message.type) {
    case 'append': {
      const { prevIndex, prevTerm, entries, commit } = message;
      const words = entries.map((entry) => ` ${entryWord(entry)}`).join('');
      return ` after ${prevIndex}/${prevTerm}${words} commit ${commit}`;
    }
    case 'append-reply': {
      const { ok, index, hintIndex, hintTerm } = message;
      return ok ? ` has ${index}` : ` refuses ${index} hint ${hintIndex}/${hintTerm}`;
    }
    case 'heartbeat':
      return ` round ${message.round} commit ${message.commit}${message.rest ? ' rest' : ''}`;
    case 'heartbeat-reply':
      return ` round ${message.round}`;
    case 'vote': {
      const { pre, lastIndex, lastTerm, transfer } = message;
      return `${pre ? ' pre' : ''}${transfer ? ' transfer' : ''} last ${lastIndex}/${lastTerm}`;
    }
    case 'vote-reply':
      return `${message.pre ? ' pre' : ''} ${message.granted ? 'granted' : 'refused'}`;
    case 'snapshot':
      return ` ${message.snapshot.index}/${message.snapshot.term}`;
    case 'timeout-now':
      return '';
  }
}
