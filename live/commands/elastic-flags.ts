import { count, type OptionTable, word } from '../../traces/command-line.ts';

/** Read by `describedElastic`. */
export const MIN_HOSTS_FLAG: OptionTable = {
  'min-hosts': count('min-hosts', 1, 'fewest hosts in use; others as the load asks (default: all)'),
};
export const COMMAND_FLAG: OptionTable = {
  'provision-command': word(
    'program that starts and ends hosts: run as PATH up HOST, PATH down HOST; none: no more',
  ),
};
