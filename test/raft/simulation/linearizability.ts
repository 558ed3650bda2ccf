/** An operation on a shared list, as its client saw it; moments count up over the whole run. */
export interface Operation {
  readonly kind: 'append' | 'read';
  readonly invoked: number;
  /** undefined: the client never learned the outcome, it may happen at any time or never */
  returned?: number;
  /** an append's value, unlike all others */
  readonly value?: string;
  /** an append's answer: where its value stands in the list, from 0 */
  position?: number;
  /** the client learned that it will never happen */
  lost?: boolean;
  /** a read's answer: the whole list */
  values?: readonly string[];
}

/**
 * Whether operations on a list that only grows look as if each took place at one moment between its
 * call and its answer (Herlihy and Wing, 1990); '' if so, else what contradicts it. One read must
 * see the final list. Reads show the whole order, so no search is needed: the operations have fixed
 * ranks, and none that ended before another began may rank after it.
 */
export function contradiction(history: readonly Operation[]): string {
  const reads = history.filter(({ kind, values }) => kind === 'read' && values !== undefined);
  const order = reads.reduce<readonly string[]>(
    (longest, { values }) => (values!.length > longest.length ? values! : longest),
    [],
  );
  for (const { values } of reads)
    for (const [at, value] of values!.entries())
      if (order[at] !== value) return `a read saw ${value} at ${at}, another ${order[at]}`;
  return wrongAppend(history, order) || wrongMoment(ranked(history, order));
}

function wrongAppend(history: readonly Operation[], order: readonly string[]): string {
  const appends = new Map<string, Operation>();
  for (const operation of history)
    if (operation.kind === 'append') appends.set(operation.value!, operation);
  const seen = new Set<string>();
  for (const [at, value] of order.entries()) {
    const append = appends.get(value);
    if (append === undefined) return `${value} was never appended`;
    if (append.lost) return `${value} was said to be lost`;
    if (seen.has(value)) return `${value} stands twice in the list`;
    seen.add(value);
    if (append.position !== undefined && append.position !== at)
      return `${value} stands at ${at}, its client was told ${append.position}`;
  }
  for (const [value, { position }] of appends)
    if (position !== undefined && !seen.has(value)) return `${value} was appended and is not there`;
  return '';
}

interface Ranked {
  readonly name: string;
  readonly rank: number;
  readonly invoked: number;
  readonly returned: number;
}

/** Append to position p ranks 2p + 1; a read of n values 2n, after the n-th and before the next. */
function ranked(history: readonly Operation[], order: readonly string[]): Ranked[] {
  const positions = new Map(order.map((value, at) => [value, at]));
  return history.flatMap(
    ({ kind, value, values, invoked, returned = Number.POSITIVE_INFINITY }) => {
      if (kind === 'read')
        return values === undefined
          ? []
          : [{ name: `read of ${values.length}`, rank: 2 * values.length, invoked, returned }];
      const position = positions.get(value!);
      return position === undefined
        ? []
        : [{ name: `append of ${value}`, rank: 2 * position + 1, invoked, returned }];
    },
  );
}

function wrongMoment(operations: readonly Ranked[]): string {
  const byReturn = [...operations].sort((a, b) => a.returned - b.returned);
  let highest: Ranked | undefined;
  let at = 0;
  for (const operation of [...operations].sort((a, b) => a.invoked - b.invoked)) {
    for (; at < byReturn.length && byReturn[at]!.returned < operation.invoked; at++)
      if (highest === undefined || byReturn[at]!.rank > highest.rank) highest = byReturn[at]!;
    if (highest !== undefined && highest.rank > operation.rank)
      return `${operation.name} began after ${highest.name} had ended, and did not see it`;
  }
  return '';
}
