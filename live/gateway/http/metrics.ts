import { Counter, Gauge, type Registry } from 'prom-client';

/** What the HTTP side counts; names begin with nbos_http_ and nbos_websocket_. */
export interface HttpMetrics {
  requests: Counter<'method' | 'route' | 'status'>;
  refused: Counter<'why'>;
  webSockets: Gauge;
  messages: Counter<'direction'>;
  invalid: Counter<'framing'>;
  dropped: Counter<'why'>;
}

export type Refused = 'token' | 'host' | 'body' | 'handshake' | 'limit' | 'kernel' | 'garbage';

export function httpMetrics(registry: Registry): HttpMetrics {
  const registers = [registry];
  return {
    requests: new Counter({
      name: 'nbos_http_requests_total',
      help: 'Answered requests',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
    refused: new Counter({
      name: 'nbos_http_refused_total',
      help: 'Requests and connections refused, by cause',
      labelNames: ['why'],
      registers,
    }),
    webSockets: new Gauge({
      name: 'nbos_websocket_connections',
      help: 'Open WebSockets of clients',
      registers,
    }),
    messages: new Counter({
      name: 'nbos_websocket_messages_total',
      help: 'Messages from (in) and to (out) clients',
      labelNames: ['direction'],
      registers,
    }),
    invalid: new Counter({
      name: 'nbos_websocket_invalid_total',
      help: 'Frames of clients that were no message, and were dropped',
      labelNames: ['framing'],
      registers,
    }),
    dropped: new Counter({
      name: 'nbos_websocket_dropped_total',
      help: 'Connections that the gateway gave up, by cause',
      labelNames: ['why'],
      registers,
    }),
  };
}
