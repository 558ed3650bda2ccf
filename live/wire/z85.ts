const DIGITS =
  '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/** Bytes, a multiple of 4 of them, as ZeroMQ writes keys (RFC 32). */
export function encodeZ85(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  for (let at = 0; at + 4 <= bytes.byteLength; at += 4) {
    let value = view.getUint32(at);
    let group = '';
    for (let digit = 0; digit < 5; digit++) {
      group = DIGITS[value % 85]! + group;
      value = Math.floor(value / 85);
    }
    text += group;
  }
  return text;
}

/** The bytes of a key that `encodeZ85` wrote; text of 5 characters for each 4 bytes. */
export function decodeZ85(text: string): Buffer {
  const bytes = Buffer.alloc(Math.floor(text.length / 5) * 4);
  for (let group = 0; group * 4 < bytes.length; group++) {
    let value = 0;
    for (const digit of text.slice(group * 5, group * 5 + 5))
      value = value * 85 + DIGITS.indexOf(digit);
    bytes.writeUInt32BE(value, group * 4);
  }
  return bytes;
}
