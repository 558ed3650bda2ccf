import { type OptionTable, tcpPort, word } from '../../traces/command-line.ts';

/** What `nbos doctor` looks at, beside the engine of --docker. */
export const DOCTOR_FLAGS: OptionTable = {
  workspace: word('folder that kernels shall work in (default: the current one)'),
  store: word('store to try out: file:DIR, s3://, redis:// or webhdfs://'),
  python: word('Python of kernels that are processes (default: the one that is found first)'),
  port: tcpPort(1, 'TCP port that shall be free here'),
  join: word('tcp://HOST:PORT of the gateway that this host shall join'),
  keys: word('file of keys to join with, as nbos keys made it'),
  gateway: word('URL of a gateway: its hosts, whether all see one workspace, and its clock'),
  kernel: word('id of a kernel: how its processes ended on this host'),
  container: word('id or name of a container: how it ended'),
};
