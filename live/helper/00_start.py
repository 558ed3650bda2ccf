"""The helper: what all its parts use. See PROTOCOL.md.

The files of this folder run as one program, in the order of their names, in one fresh dict that is
not the user's namespace. So names are shared between the files without imports.
"""

import ast
import asyncio
import base64
import bisect
import contextlib
import fcntl
import functools
import gc
import hashlib
import hmac
import inspect
import io
import json
import logging
import mmap
import os
import pickle
import platform
import signal
import struct
import sys
import threading
import time
import types
import warnings
import weakref

from IPython import get_ipython


class HelperState:
    """Everything that the helper knows of its kernel; there is one, `HELPER`."""

    def __init__(self, shell):
        self.shell = shell
        self.kernel = shell.kernel
        # Of the setup request; without one nothing is recorded.
        self.key = b''
        self.directory = ''
        self.blobs = ''
        self.quota_bytes = 0
        # Names that the user keeps out of the state, each with the reason shown.
        self.excluded = {}
        # `nbos` of the metadata of the cell that runs, None between cells.
        self.cell = None
        # What the last record said of names that cannot be carried, pins and size.
        self.unreplicated = []
        self.pinned = []
        self.state_bytes = 0
        # A delta whose record could not be written.
        self.unsent = None
        # Whether the last record looked at all names and nothing has run since.
        self.verified = False
        # Whether something else than a cell's own code may have run since: comms, threads.
        self.foreign = False
        # Counted up by the orphan timer, set to zero by each word from the agent.
        self.silent_ticks = 0
        self.orphan_ms = 0
        # Reentrant: nbos.save() in a cell, then the cell's own record.
        self.lock = threading.RLock()


HELPER = HelperState(get_ipython())

# The record format of PROTOCOL.md.
RECORD_FORMAT = 1
# A record up to this size travels in the reply: a file costs a small cell a tenth of its time.
REPLY_RECORD_BYTES = 64 * 1024
# Content up to this many bytes travels inside the record, more of it as a file beside it.
INLINE_BYTES = 64 * 1024


# Seconds after which an interrupt that came too early for the user's code is given again.
INTERRUPT_AGAIN = 0.02


@contextlib.contextmanager
def no_interrupts(repeat=False):
    """Inside, SIGINT is taken and forgotten: an interrupt stops the user's code, never ours.

    A blocked signal would be delivered afterwards, to ipykernel, and cost the cell its reply.
    With `repeat` the user's code comes next, and gets the interrupt then.
    """
    if not on_main_thread():
        yield
        return
    taken = []
    before = signal.signal(signal.SIGINT, lambda number, frame: taken.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if repeat and taken:
            again = threading.Timer(INTERRUPT_AGAIN, os.kill, (os.getpid(), signal.SIGINT))
            again.name, again.daemon = 'nbos-interrupt', True
            again.start()


@contextlib.contextmanager
def no_output():
    """Inside, what Python prints is dropped: imports and unpickling on a standby may print.

    Warnings go with it. Their filters are left alone, they are part of what is applied.
    """
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def on_main_thread():
    return threading.current_thread() is threading.main_thread()
