import type { PartialConfig } from '../core/config/options.ts';
import { parseConfig } from '../traces/config-file.ts';

/** `option=value` words as options; values are JSON, or text where they are not. */
export function parseSettings(words: readonly string[]): PartialConfig {
  const entries = words.map((word) => {
    const [key, text] = [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)];
    return [key, /^[-\d.]+$|^true$|^false$|^[[{]/.test(text) ? JSON.parse(text) : text];
  });
  return parseConfig(Object.fromEntries(entries), 'the scenario');
}
