/**
 * Edits (insert, delete, replace, swap of neighbours) between two words: the optimal string
 * alignment distance, in O(|a|·|b|).
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      let least = Math.min(last[column]! + 1, next[column - 1]! + 1, last[column - 1]! + same);
      if (a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1] && row > 1 && column > 1)
        least = Math.min(least, before[column - 2]! + 1);
      next.push(least);
    }
    before = last;
    last = next;
  }
  return last[b.length]!;
}

/** The word that was probably meant, undefined when none is near (a third of its length). */
export function nearestWord(word: string, words: Iterable<string>): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_]/g, '');
  const typed = plain(word);
  let nearest: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of words) {
    const target = plain(candidate);
    const opening = typed.length >= 3 && target.startsWith(typed) ? 1 : Number.POSITIVE_INFINITY;
    const distance = Math.min(opening, editDistance(typed, target));
    const limit = Math.max(1, Math.ceil(Math.max(typed.length, target.length) / 3));
    if (distance <= limit && distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** The hint of an error about an unknown word: the nearest one, else the whole list. */
export function suggestion(word: string, words: readonly string[], seeAlso = ''): string {
  const nearest = nearestWord(word, words);
  if (nearest !== undefined) return `Did you mean ${nearest}?`;
  return seeAlso || `It can be one of: ${words.join(', ')}.`;
}
