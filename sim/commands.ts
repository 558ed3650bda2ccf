import { addCommand, flag, type Program, printResult } from '../traces/command-line.ts';

/** `nbos simulate | policy | explain | config`. */
export function addSimulationCommands(program: Program): void {
  addCommand(
    program,
    'config',
    'show every option: unit, default, legal values, source of the default, meaning',
    { defaults: flag('show the defaults (the default action)') },
    async (given) => {
      const { configTable } = await import('../traces/config-file.ts');
      const { textTable } = await import('../traces/text-table.ts');
      const rows = configTable();
      const text = textTable(
        ['option', 'unit', 'default', 'source', 'meaning'],
        rows.map((row) => [row.option, row.unit, shown(row.default), row.source, row.meaning]),
        { width: process.stdout.columns ?? 140 },
      );
      printResult(given, text, rows);
    },
  );
}

/** Structures are shown by size; --json has them whole. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[${value.length} items]`;
  if (typeof value === 'object') return `{${Object.keys(value as object).length} items}`;
  return String(value);
}
