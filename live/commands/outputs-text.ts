/** nbformat outputs as a terminal shows them: text as it is, pictures by their type. */
export function outputsText(outputs: readonly unknown[]): string {
  return outputs.map((output) => outputText(output as Record<string, unknown>)).join('');
}

function outputText(output: Record<string, unknown>): string {
  switch (output['output_type']) {
    case 'stream':
      return textOf(output['text']);
    case 'error': {
      const lines = output['traceback'];
      if (Array.isArray(lines) && lines.length > 0) return ended(lines.join('\n'));
      return ended(`${output['ename']}: ${output['evalue']}`);
    }
    case 'execute_result':
    case 'display_data':
      return bundleText((output['data'] ?? {}) as Record<string, unknown>);
    default:
      return '';
  }
}

function bundleText(data: Record<string, unknown>): string {
  if (data['text/plain'] !== undefined) return ended(textOf(data['text/plain']));
  const [type] = Object.keys(data);
  return type === undefined ? '' : `(${type})\n`;
}

/** nbformat keeps text whole or as a list of lines. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join('');
  return typeof value === 'string' ? value : '';
}

function ended(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
