/** Files of a place for packages; see packages.ts. */

/** `pip` on the PATH, the same as `%pip`. */
export const PIP = `#!/bin/sh
exec "\${0%/*}/python" -m pip "$@"
`;

/** The same for an environment that is not ours to write into. */
export const PIP_OF_ENVIRONMENT = `#!/bin/sh
exec "$VIRTUAL_ENV/bin/python" -m pip "$@"
`;

/** Run at each start of the interpreter, so it looks before it loads anything. */
export const LOCK_STARTER =
  'import sys; "pip" in "".join(getattr(sys, "orig_argv", ())[1:3]) and ' +
  '__import__("_nbos_packages")\n';

/**
 * A pip holds the lock \`.lock\` of its environment to its end: two at once would mix their files,
 * and a kernel that loads packages meanwhile would find half of one (it waits for the lock too).
 */
export const LOCK_MODULE = `"""One pip at a time in this environment, and no kernel that loads packages meanwhile."""

import fcntl
import os
import sys
import time

PATIENCE_S = 120
HELD = 'NBOS_PIP'


def is_pip(words):
    return words[1:3] == ['-m', 'pip'] or words[1].rpartition('/')[2].startswith('pip')


def hold():
    # Never closed: the end of the process lets go of it. Children of pip are part of it.
    lock = os.open(os.path.join(sys.prefix, '.lock'), os.O_RDWR | os.O_CREAT, 0o666)
    os.environ[HELD] = '1'
    late = time.monotonic() + PATIENCE_S
    while time.monotonic() < late:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.05)


if HELD not in os.environ and is_pip(sys.orig_argv):
    try:
        hold()
    except OSError:
        pass
`;
