/** nbformat outputs as plain text, as a terminal would have shown them. */
export function textOf(outputs: readonly unknown[]): string {
  return outputs.map(one).join('');
}

function one(output: unknown): string {
  const { output_type, text, data, traceback } = Object(output) as Record<string, unknown>;
  if (output_type === 'stream') return joined(text);
  if (output_type === 'error') return `${Array.isArray(traceback) ? traceback.join('\n') : ''}\n`;
  const plain = joined((Object(data) as Record<string, unknown>)['text/plain']);
  return plain === '' ? '' : `${plain}\n`;
}

/** A multi-line string of nbformat may be a list of its lines. */
function joined(text: unknown): string {
  if (Array.isArray(text)) return text.join('');
  return typeof text === 'string' ? text : '';
}
