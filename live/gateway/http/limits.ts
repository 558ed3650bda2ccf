/** Limits of the HTTP side; times in ms, sizes in bytes. */
export interface HttpLimits {
  /** body of a request, contents apart */
  bodyBytes: number;
  /** file read or saved through /api/contents */
  contentsBytes: number;
  /** one WebSocket message of a client */
  messageBytes: number;
  /** accepted for one client and not yet sent; above it the client is dropped, and may come back */
  backlogBytes: number;
  /** the same of all clients together: the slowest is dropped */
  totalBacklogBytes: number;
  /** frame that a client on Tornado takes without hanging up */
  tornadoFrameBytes: number;
  /** TCP connections */
  connections: number;
  webSockets: number;
  /** between two pings; a client silent for three of them is gone */
  pingMs: number;
  /** that a request waits for a gateway which has just started */
  readyWaitMs: number;
  /** that creating or restarting a kernel may take */
  createMs: number;
  /** for the headers of a request, and for all of it */
  headersMs: number;
  requestMs: number;
  /** that a closing server waits for running requests and the closing of WebSockets */
  closeMs: number;
}

const MIB = 1024 * 1024;

export const HTTP_LIMITS: Readonly<HttpLimits> = {
  bodyBytes: MIB,
  contentsBytes: 64 * MIB,
  messageBytes: 32 * MIB,
  backlogBytes: 64 * MIB,
  totalBacklogBytes: 512 * MIB,
  tornadoFrameBytes: 10 * MIB,
  connections: 8192,
  webSockets: 4096,
  pingMs: 30_000,
  readyWaitMs: 10_000,
  createMs: 120_000,
  headersMs: 15_000,
  requestMs: 120_000,
  closeMs: 5_000,
};
