"""What stands in the place of an object that cannot be carried to another process."""

import enum
import io
import os
import sys
import types

# Name under which the functions below are found in a pickle. It is in sys.modules only while one
# is written, because pickle insists; reading never asks for it.
REBUILD_MODULE = types.ModuleType('_nbos_state')


def rebuilder(function):
    """Makes a function (or class) one that pickles of state may call."""
    function.__module__ = REBUILD_MODULE.__name__
    function.__qualname__ = function.__name__
    setattr(REBUILD_MODULE, function.__name__, function)
    return function


class NotCarriedError(RuntimeError):
    """Something was used that stayed behind when the kernel moved to another process."""


NotCarriedError.__module__ = 'nbos'


@rebuilder
class Placeholder:
    """In the place of an object that could not be carried; says so in repr and when used."""

    __slots__ = ('_nbos_what', '_nbos_reason', '__weakref__')

    def __init__(self, what, reason):
        object.__setattr__(self, '_nbos_what', what)
        object.__setattr__(self, '_nbos_reason', reason)

    def __repr__(self):
        return f'<not carried over: {self._nbos_what}>'

    def __reduce_ex__(self, protocol):
        return Placeholder, (self._nbos_what, self._nbos_reason)

    def __getattr__(self, name):
        if name[:1] == '_':
            raise AttributeError(name)
        refuse_use(self)

    def __setattr__(self, name, value):
        refuse_use(self)


def refuse_use(placeholder, *rest, **named):
    raise NotCarriedError(
        f'{placeholder._nbos_what} did not come along when the kernel moved to another process '
        f'({placeholder._nbos_reason}). Make it again.'
    )


for _method in (
    'call iter next len getitem setitem delitem contains enter exit bool int float index add sub '
    'mul truediv lt le gt ge aenter aexit aiter anext await'
).split():
    setattr(Placeholder, f'__{_method}__', refuse_use)


def of_file(file):
    name = getattr(file, 'name', None)
    return 'open file' if name is None else f'open file {name!r}'


# Classes whose instances live in their process only, as `module.qualname` of a class in the MRO;
# with what to call them.
REFUSED = {
    'builtins.generator': 'generator',
    'builtins.coroutine': 'coroutine',
    'builtins.async_generator': 'asynchronous generator',
    'builtins.frame': 'stack frame',
    'builtins.traceback': 'traceback',
    '_thread.lock': 'lock',
    '_thread.RLock': 'lock',
    '_thread._local': 'thread-local data',
    'threading.Thread': 'thread',
    'threading.Condition': 'condition variable',
    'threading.Event': 'threading event',
    'threading.Semaphore': 'semaphore',
    'threading.Barrier': 'barrier',
    'threading._RLock': 'lock',
    '_io.TextIOWrapper': of_file,
    '_io.BufferedReader': of_file,
    '_io.BufferedWriter': of_file,
    '_io.BufferedRandom': of_file,
    '_io.BufferedRWPair': 'pipe',
    '_io.FileIO': of_file,
    'tempfile._TemporaryFileWrapper': of_file,
    'tempfile.TemporaryDirectory': 'temporary directory',
    'zipfile.ZipFile': 'open archive',
    'tarfile.TarFile': 'open archive',
    'gzip.GzipFile': of_file,
    'h5py._hl.files.File': of_file,
    'ipykernel.iostream.OutStream': 'output stream',
    '_socket.socket': 'socket',
    '_ssl._SSLContext': 'TLS context',
    'mmap.mmap': 'memory map',
    'subprocess.Popen': 'child process',
    'sqlite3.Connection': 'database connection',
    'sqlite3.Cursor': 'database cursor',
    'queue.Queue': 'queue',
    '_queue.SimpleQueue': 'queue',
    '_asyncio.Task': 'asynchronous task',
    '_asyncio.Future': 'asynchronous future',
    'concurrent.futures._base.Executor': 'executor',
    'concurrent.futures._base.Future': 'future',
    'multiprocessing.process.BaseProcess': 'child process',
    'multiprocessing.pool.Pool': 'process pool',
    'multiprocessing.queues.Queue': 'queue between processes',
    'multiprocessing.connection._ConnectionBase': 'pipe',
    '_contextvars.ContextVar': 'context variable',
    '_contextvars.Context': 'context',
    '_contextvars.Token': 'context token',
    'ipywidgets.widgets.widget.Widget': 'widget',
}
# Every class of these that is not an exception or an enum.
REFUSED_PACKAGES = {
    'asyncio': 'part of the event loop',
    'select': 'poll object',
    'selectors': 'selector',
    'zmq': 'ZMQ object',
    'comm': 'comm',
}


def type_name(cls, attribute='__qualname__'):
    """A name of a class, whatever its metaclass does when asked."""
    name = type.__getattribute__(cls, attribute)
    return name if isinstance(name, str) else ''


def full_name(cls):
    return f'{type_name(cls, "__module__")}.{type_name(cls)}'


def refusal_of(cls):
    """What to call instances of a class that cannot be carried, None when they can be."""
    if issubclass(cls, (BaseException, enum.Enum)):
        return None
    for base in cls.__mro__:
        what = REFUSED.get(full_name(base))
        if what is None:
            what = REFUSED_PACKAGES.get(type_name(base, '__module__').partition('.')[0])
        if what is not None:
            return what
    return None


def reduce_refused(pickler, obj):
    """The handler of all classes with a refusal."""
    for name in ('stdin', 'stdout', 'stderr', '__stdin__', '__stdout__', '__stderr__'):
        if obj is getattr(sys, name, None):
            pickler.run.frozen.add(id(obj))
            return standard_stream, (name,)
    if full_name(type(obj)).startswith('_io.') and obj.closed:
        return closed_file, (type(obj).__name__, str(getattr(obj, 'name', '')))
    what = refusal_of(type(obj))
    what = what(obj) if callable(what) else f'{what} of type {type_name(type(obj))}'
    return pickler.placeholder(what, 'it lives in its process only')


@rebuilder
def standard_stream(name):
    return getattr(sys, name)


@rebuilder
def closed_file(kind, name):
    """A file that was closed, as `with open(…) as f` leaves it, with its name."""
    raw = io.FileIO(os.devnull, 'r+')
    raw.name = name
    file = raw
    if kind != 'FileIO':
        file = io.BufferedWriter(raw) if kind == 'BufferedWriter' else io.BufferedReader(raw)
    if kind == 'TextIOWrapper':
        file = io.TextIOWrapper(file)
    file.close()
    return file
