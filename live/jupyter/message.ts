/** Channels of a kernel that carry messages. */
export type Channel = 'shell' | 'control' | 'stdin' | 'iopub';
export const CHANNELS: readonly Channel[] = ['shell', 'control', 'stdin', 'iopub'];

/**
 * One Jupyter message as it travels: each part is UTF-8 JSON, unparsed, so that a message passes
 * through gateway and agents without being read. `buffers` are the binary parts.
 */
export interface JupyterMessage {
  readonly header: Uint8Array;
  readonly parent: Uint8Array;
  readonly metadata: Uint8Array;
  readonly content: Uint8Array;
  readonly buffers: readonly Uint8Array[];
}

/** The fields of a header that we read; others pass through. */
export interface MessageHeader {
  msg_id: string;
  msg_type: string;
  session: string;
  username: string;
  date: string;
  version: string;
  [field: string]: unknown;
}
