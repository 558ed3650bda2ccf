import type { LogStore, StoredGroup } from '../../../live/agent/ports.ts';
import { restoreGroup, type TableSource } from '../../../live/agent/restore-group.ts';
import { KernelLog } from '../../../live/log/kernel-log.ts';
import type { Begun, GatewayRequest } from '../../../live/wire/messages.ts';
import { type FakeGroup, newGroup } from './fake-group.ts';

export type Restoring = Extract<GatewayRequest, { t: 'restore-replica' }>;

/** The group that an agent makes of what the store has, in memory. */
export async function groupFrom(
  host: string,
  request: Restoring,
  latestTable: TableSource['latestTable'],
): Promise<Begun & { group: FakeGroup }> {
  let made: StoredGroup | undefined;
  const logs = {
    create: async (_kernel: string, group: StoredGroup): Promise<void> => {
      made = group;
    },
  } as unknown as LogStore;
  const source = { name: 'shelf:', latestTable };
  const nothing = async (): Promise<void> => undefined;
  const ground = { host, logs, fetch: nothing, clear: nothing };
  const begun = await restoreGroup(ground, source, request);
  const { index, data } = made!.snapshot!;
  const { state } = JSON.parse(String(data)) as { state: unknown };
  const group = newGroup(KernelLog.from(state), index);
  group.addresses.set(request.member, host);
  group.members.set(request.member, { host, process: 'starting' });
  return { ...begun, group };
}
