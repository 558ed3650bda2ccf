import type { JupyterMessage } from './message.ts';

/** A larger message is left where it is. */
const MAX_BYTES = 32 * 1024;

/**
 * The same message with its text parts in one piece of memory. What comes from a socket has each
 * part in a foreign piece, which costs the garbage collector much when many are kept.
 */
export function compact(message: JupyterMessage): JupyterMessage {
  const { header, parent, metadata, content, buffers } = message;
  const bytes = header.length + parent.length + metadata.length + content.length;
  if (bytes > MAX_BYTES) return message;
  const whole = Buffer.allocUnsafe(bytes);
  let at = 0;
  const moved = (part: Uint8Array): Uint8Array => {
    whole.set(part, at);
    at += part.length;
    return whole.subarray(at - part.length, at);
  };
  return {
    header: moved(header),
    parent: moved(parent),
    metadata: moved(metadata),
    content: moved(content),
    buffers,
  };
}
