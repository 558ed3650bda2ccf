import type { GatewayNotice, GatewayRequest } from '../wire/messages.ts';

/** How the gateway speaks to its agents; see AgentLinks of live/wire. */
export interface Agents {
  /**
   * Rejects with the agent's own error, `link-timeout` or `link-lost`; resolves with what the kind
   * of request promises.
   */
  request(host: string, request: GatewayRequest, timeoutMs?: number): Promise<unknown>;
  /** Never waits; false when there is no link. */
  tell(host: string, notice: GatewayNotice, frames?: readonly Uint8Array[]): boolean;
}
