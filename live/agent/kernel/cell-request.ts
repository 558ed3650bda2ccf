import { parseObject } from '../../jupyter/fields.ts';
import { bytesOf } from '../../jupyter/headers.ts';
import type { JupyterMessage } from '../../jupyter/message.ts';
import type { CellRun } from './runtime.ts';

/** The client's request as it was, with what the helper needs in its metadata. */
export function requestOf(cell: CellRun, header: Uint8Array, record: string): JupyterMessage {
  const { request, count, devices } = cell;
  const metadata = parseObject(bytesOf(request.metadata)) ?? {};
  if (record !== '') metadata['nbos'] = { record, count, devices };
  const content = parseObject(bytesOf(request.content)) ?? {};
  // The gateway queues cells and stops on errors itself. The kernel would refuse what comes within
  // an instant of an error, whoever sent it.
  content['stop_on_error'] = false;
  return {
    header,
    parent: bytesOf('{}'),
    metadata: bytesOf(JSON.stringify(metadata)),
    content: bytesOf(JSON.stringify(content)),
    buffers: request.buffers.map((text) => Buffer.from(text, 'base64')),
  };
}
