import type { Finding, Level } from './finding.ts';

const MARKS: Readonly<Record<Level, string>> = { ok: 'ok', warning: 'warning', problem: 'PROBLEM' };
const MARK_WIDTH = 8;
const CHECK_WIDTH = 14;

/** One line for people, with what to do below it. */
export function findingText({ check, level, found, todo }: Finding): string {
  const line = `${MARKS[level].padEnd(MARK_WIDTH)}${check.padEnd(CHECK_WIDTH)}${found}`;
  const indent = ' '.repeat(MARK_WIDTH + CHECK_WIDTH);
  return todo === '' ? `${line}\n` : `${line}\n${indent}→ ${todo}\n`;
}

/** The last line. */
export function verdictText(findings: readonly Finding[]): string {
  const count = (wanted: Level): number => findings.filter(({ level }) => level === wanted).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  const written = (number: number, word: string): string =>
    `${number} ${word}${number === 1 ? '' : 's'}`;
  return `${written(problems, 'problem')}, ${written(warnings, 'warning')}\n`;
}
