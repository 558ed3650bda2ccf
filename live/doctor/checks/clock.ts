import { type Check, ok, type Told, warning } from '../finding.ts';
import type { Subject } from '../subject.ts';
import { infoOf } from './engine.ts';
import { skewTold } from './skew.ts';

const ANSWER_MS = 10_000;
const HALF_SECOND_MS = 500;
/** No clock that is right is before this: 2024. */
const EARLIEST = Date.UTC(2024);

/** This machine's clock against those of the gateway and the engine. */
export const CLOCK: Check = {
  name: 'clock',
  applies: () => true,
  async look(subject) {
    const told: Told[] = [];
    const [engine, gateway] = [await engineSkew(subject), await gatewaySkew(subject)];
    if (engine !== undefined) told.push(skewTold('the clock of the engine', engine));
    if (gateway !== undefined) told.push(skewTold('the clock of the gateway', gateway));
    if (Date.now() < EARLIEST)
      return [warning(`the clock says ${new Date().toISOString()}`, 'Set it (NTP).'), ...told];
    return told.length > 0 ? told : [ok(new Date().toISOString())];
  },
};

async function engineSkew({ engine }: Subject): Promise<number | undefined> {
  if (engine === undefined) return undefined;
  const began = Date.now();
  const info = await infoOf(engine).catch(() => undefined);
  const at = Date.parse(info?.SystemTime ?? '');
  return Number.isNaN(at) ? undefined : at - (began + Date.now()) / 2;
}

/** By the date of its answers; undefined where it gives none, which the gateway's check tells of. */
async function gatewaySkew({ gateway }: Subject): Promise<number | undefined> {
  if (gateway === undefined) return undefined;
  const began = Date.now();
  const signal = AbortSignal.timeout(ANSWER_MS);
  const answer = await fetch(`${gateway.url}/healthz`, { signal }).catch(() => undefined);
  await answer?.body?.cancel();
  const at = Date.parse(answer?.headers.get('date') ?? '');
  return Number.isNaN(at) ? undefined : at + HALF_SECOND_MS - (began + Date.now()) / 2;
}
