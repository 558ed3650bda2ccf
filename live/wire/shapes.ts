import { type Shapes, Vocabulary } from './codec.ts';
import type {
  AgentNotice,
  GatewayNotice,
  GatewayRequest,
  ManyNotices,
  PeerMessage,
} from './messages.ts';

/** What each direction may say; see messages.ts for the meaning. */

const FROM_GATEWAY = {
  'start-replica': 'meta:o member:n members:a joins:b niced:b pooled:s',
  'stop-replica': 'kernel:s member:n',
  'rest-replica': 'kernel:s member:n',
  'save-replica': 'kernel:s member:n',
  propose: 'kernel:s entries:a',
  'change-members': 'kernel:s',
  'recover-replica': 'kernel:s member:n as:n',
  interrupt: 'kernel:s member:n',
  'start-pooled': 'pooled:s spec:s argv:a',
  'stop-pooled': 'pooled:s',
  'restore-replica': 'meta:o member:n beyond:n after:n empty:b waiting:a pooled:s',
  'stored-kernel': 'kernel:s',
  'see-workspace': 'mark:s',
  'resend-outputs': 'kernel:s from:n',
  report: '',
  fault: 'fault:o',
  hosts: 'hosts:a',
  'to-kernel': 'kernel:s member:n channel:s',
  'outputs-seen': 'kernel:s upTo:n',
  'gateway-beat': 'at:n',
} satisfies Record<(GatewayRequest | GatewayNotice)['t'], string>;

const FROM_AGENT = {
  hello: 'v:n host:s pid:n peer:s key:s kernels:a pooled:a gpus:n',
  many: 'notices:a',
  'agent-beat': 'at:n positions:a',
  'replica-ready': 'kernel:s member:n pid:n startMs:n',
  'replica-failed': 'kernel:s member:n code:s message:s',
  'process-died': 'kernel:s member:n exit:s',
  'pooled-ready': 'pooled:s',
  'pooled-failed': 'pooled:s message:s',
  applied: 'kernel:s member:n index:n entry:o',
  yielded: 'kernel:s cell:n attempt:n member:n',
  output: 'kernel:s member:n seq:n after:n cell:n attempt:n',
  'from-kernel': 'kernel:s member:n channel:s',
  'lost-quorum': 'kernel:s member:n',
  'kernel-state': 'kernel:s unreplicated:a pinned:a stateBytes:n savedMs:n',
} satisfies Record<(AgentNotice | ManyNotices)['t'], string>;

const AMONG_PEERS = {
  'peer-hello': 'v:n host:s',
  'peer-beat': 'at:n echo:n resting:a',
  raft: 'groups:a',
  forward: 'id:n kernel:s entries:a',
  forwarded: 'id:n ok:b code:s leader:s',
  'offer-blobs': 'id:n kernel:s hashes:a',
  'wanted-blobs': 'id:n missing:a',
  blob: 'kernel:s hash:s offset:n total:n',
  'blob-ack': 'kernel:s hash:s offset:n',
  'blob-stored': 'kernel:s hash:s ok:b message:s',
  'want-blob': 'kernel:s hash:s',
} satisfies Record<PeerMessage['t'], string>;

/** Said by the link itself, in either direction. */
const LINK: Shapes = { answer: 'rq:n ok:b', refused: 'code:s message:s' };

export const gatewayWords = new Vocabulary({ ...FROM_GATEWAY, ...LINK });
export const agentWords = new Vocabulary({ ...FROM_AGENT, ...LINK });
export const peerWords = new Vocabulary({ ...AMONG_PEERS, ...LINK });
