import { flag, type OptionTable, word } from '../../traces/command-line.ts';

/** What `nbos agent` takes beside its host and data when it joins from another machine. */
export const JOIN_FLAGS: OptionTable = {
  join: word('tcp://HOST:PORT on which the gateway of a system on other machines hears agents'),
  keys: word('file of this host, made by nbos keys on the machine of the gateway'),
  advertise: word('ADDRESS[:PORT] at which other hosts reach this one (default: towards --join)'),
  listen: word('ADDRESS[:PORT] to hear other hosts on (default: that of --advertise, any port)'),
  'trust-network': flag('let a host join whose kernels are plain processes'),
};

/** Those that mean something with --join only. */
export const JOIN_OPTIONS = Object.keys(JOIN_FLAGS).filter((name) => name !== 'join');
