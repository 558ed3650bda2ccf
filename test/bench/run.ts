/**
 * Runs the benches of this folder, all but those of the live system, or those named:
 * `npm run bench -- event-loop`. With `--live` those of the live system. Exits with 1 when a target
 * is missed. Run it on a machine that does nothing else.
 */
import { readdirSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Bench, BenchResult } from './bench.ts';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const FILE = /^(.+)\.bench\.[jt]s$/;

async function main(words: readonly string[]): Promise<number> {
  const live = words.includes('--live');
  const wanted = words.filter((word) => word !== '--live');
  const files = new Map<string, string>();
  for (const file of readdirSync(FOLDER).sort()) {
    const name = FILE.exec(file)?.[1];
    if (name !== undefined) files.set(name, file);
  }
  const unknown = wanted.find((name) => !files.has(name));
  if (unknown !== undefined) {
    console.error(`usage: no bench '${unknown}'; there are: ${[...files.keys()].join(', ')}`);
    return 2;
  }
  console.log(machine());
  let missed = 0;
  const leftOut: string[] = [];
  const all = [...files.keys()].filter((name) => name.startsWith('live-') === live);
  for (const name of wanted.length > 0 ? wanted : all) {
    console.log(`\n${name}`);
    const bench = (await import(pathToFileURL(join(FOLDER, files.get(name)!)).href)) as Bench;
    const results = await bench.run();
    if (typeof results === 'string') {
      console.log(`  left out: ${results}`);
      leftOut.push(name);
      continue;
    }
    console.log(table(results));
    missed += results.filter((result) => verdict(result) === 'MISSED').length;
  }
  const verdictOnAll = missed === 0 ? 'every target measured was met' : `${missed} targets missed`;
  const rest = leftOut.length === 0 ? '' : `; left out: ${leftOut.join(', ')}`;
  console.log(`\n${verdictOnAll}${rest}`);
  return missed === 0 ? 0 : 1;
}

function machine(): string {
  const processors = cpus();
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  const model = processors[0]?.model.trim() || 'unknown processor';
  return `${processors.length} x ${model}, ${memoryGb} GB, Node ${process.version}`;
}

function verdict({ value, target, less }: BenchResult): string {
  if (target === undefined) return '';
  return (less === true ? value <= target : value >= target) ? 'met' : 'MISSED';
}

function table(results: readonly BenchResult[]): string {
  const rows = [['measure', 'value', 'unit', 'target', 'peer', '', 'note']];
  for (const result of results) {
    const bound = result.less === true ? '<=' : '>=';
    rows.push([
      result.name,
      figures(result.value),
      result.unit,
      result.target === undefined ? '' : `${bound} ${figures(result.target)}`,
      result.peer === undefined ? '' : figures(result.peer),
      verdict(result),
      result.note ?? '',
    ]);
  }
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map((row) => `  ${row.map((text, i) => text.padEnd(widths[i]!)).join('  ')}`.trimEnd())
    .join('\n');
}

/** Three figures for small numbers, whole ones with separators for large numbers. */
function figures(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

process.exitCode = await main(process.argv.slice(2));
