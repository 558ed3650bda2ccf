"""Pickling one or more roots (names, classes) of the state.

The C pickler does the work and asks us by `reducer_override` for everything but plain containers
and scalars. (`persistent_id` would be asked for each integer too: three times the time for a list
of them.) Whatever refuses to be pickled becomes a placeholder in its place, found in three steps,
each slower and more thorough: by its type; by trying each object's `__reduce_ex__`; by a pickler in
Python that takes back what it wrote for the innermost object that failed.
"""

import copyreg
import gc
import io
import pickle
import signal
import sys
import threading
import time
import types

PICKLE_PROTOCOL = 5
# Depth of nesting that the Python pickler follows, and the stack of the thread that it runs in.
DEEP_RECURSION = 120_000
DEEP_STACK_BYTES = 512 * 1024 * 1024
# A dict or set that another thread changes meanwhile is tried again.
CHANGED_TRIES = 3
# For one call of user code, `__getstate__` for one.
UNIT_SECONDS = 2.0


PLAIN_TYPES = frozenset(pickle._Pickler.dispatch) - {types.FunctionType, type}


class TooSlow(BaseException):
    """User code inside pickling took too long; not an Exception, so that it is not swallowed."""


class SharedLate(Exception):
    """Found too late that two things share memory; the next attempt knows."""


class Pass:
    """One capture: what its picklers share. Gone afterwards, with every reference it holds."""

    def __init__(self, user_ns, registry, unit_seconds=UNIT_SECONDS):
        self.user_ns = user_ns
        self.registry = registry
        self.unit_seconds = unit_seconds
        # type -> handler(pickler, obj), None for pickle's own way
        self.handlers = dict(HANDLERS)
        # ids of objects that names may share without being one unit for it
        self.frozen = set()
        # ids of arrays that are pickled without the memory they are a view of
        self.cut = set()
        # place of a torch storage -> its StorageMemory; the same and NumPy arrays by address
        self.storages = {}
        self.storage_at = {}
        self.array_at = {}
        # (address, bytes) -> hash, so that nothing is hashed twice
        self.prints = {}
        # every dump: their temporary objects live to the end, so that ids stay unique
        self.dumps = []
        # class id -> its declaration
        self.declared = {}
        # unit id -> Dump, of units that changed
        self.dump_of = {}
        self.tracker = None
        self.names = {}
        self.submodules = None
        # whether pickling is on its last attempt, with a deep stack
        self.deep = False

    def __enter__(self):
        sys.modules[REBUILD_MODULE.__name__] = REBUILD_MODULE
        # Memos are many small tuples, which would set the collector off again and again.
        self.collects = gc.isenabled()
        gc.disable()
        self.watch = SlowCodeWatch(self.unit_seconds)
        self.watch.start()
        return self

    def __exit__(self, *raised):
        self.watch.stop()
        sys.modules.pop(REBUILD_MODULE.__name__, None)
        # Picklers refer to this, so without breaking the ring they would live until a collection.
        for held in (self.dumps, self.dump_of, self.storages, self.storage_at, self.array_at):
            held.clear()
        self.names = {}
        if self.collects:
            gc.enable()


class Findings:
    """What a pickler tells beside its bytes."""

    def __init__(self):
        self.buffers = []
        # reasons of what was replaced by placeholders
        self.notes = []
        # ids of classes referred to, names that functions use, file name -> source of a cell
        self.classes = set()
        self.globals = set()
        self.sources = {}
        # ids of objects that count as met, beside those in the memo
        self.also = set()
        # ids of StorageMemory written as bytes
        self.storages = set()
        # met something that the namespace itself holds
        self.near_namespace = False


class ReducerOverride:
    """The part that the C pickler and the Python one have in common."""

    careful = False

    def reducer_override(self, obj):
        try:
            handler = self.run.handlers[type(obj)]
        except KeyError:
            handler = classify(self.run, type(obj))
        if handler is None:
            return self.reduce_carefully(obj) if self.careful else NotImplemented
        if not self.careful:
            return handler(self, obj)
        try:
            reduced = handler(self, obj)
        except (RecursionError, SharedLate):
            raise
        except BaseException as error:
            return self.refused(obj, error)
        return self.reduce_carefully(obj) if reduced is NotImplemented else reduced

    def reduce_carefully(self, obj):
        cls = type(obj)
        if issubclass(cls, type) or cls is types.FunctionType:
            return NotImplemented
        if cls in self.run.registry.refused_types:
            return self.refused(obj, self.run.registry.refused_types[cls])
        try:
            reduce = copyreg.dispatch_table.get(cls)
            value = obj.__reduce_ex__(PICKLE_PROTOCOL) if reduce is None else reduce(obj)
            if isinstance(value, str):
                return NotImplemented
            if not (isinstance(value, tuple) and 2 <= len(value) <= 6 and callable(value[0])
                    and isinstance(value[1], tuple)):
                raise TypeError(f'__reduce__ of {type_name(cls)} gave {type(value).__name__}')
            return value
        except BaseException as error:
            # A deep structure is no fault of its objects: the deep thread tries again.
            if isinstance(error, RecursionError) and not self.run.deep:
                raise
            if isinstance(error, (TooSlow, RecursionError)):
                self.run.registry.refused_types[cls] = str(error) or type(error).__name__
            return self.refused(obj, error)

    def refused(self, obj, error):
        reason = error if isinstance(error, str) else f'{type(error).__name__}: {error}'
        return self.placeholder(f'object of type {type_name(type(obj))}', reason[:300])

    def placeholder(self, what, reason):
        self.findings.notes.append(f'{what}: {reason}')
        return Placeholder, (what, reason)


class StatePickler(ReducerOverride, pickle.Pickler):
    """With `careful`, objects are reduced under guard."""

    def __init__(self, run, file, careful):
        self.run = run
        self.findings = Findings()
        self.careful = careful
        # Not a method of ours: that would be a cycle, and keep the user's objects alive.
        super().__init__(file, PICKLE_PROTOCOL, buffer_callback=self.findings.buffers.append)


class PatientPickler(ReducerOverride, pickle._Pickler):
    """In Python: what fails is taken back to the innermost object that failed."""

    careful = True

    def __init__(self, run, file, careful=True):
        self.run = run
        self.findings = Findings()
        self.file = file
        super().__init__(file, PICKLE_PROTOCOL, buffer_callback=self.findings.buffers.append)

    def reducer_override(self, obj):
        # The C pickler does not ask about these.
        return NotImplemented if type(obj) in PLAIN_TYPES else super().reducer_override(obj)

    def dump(self, obj):
        # without framing, so that the end of the file is where writing goes on
        self.write(pickle.PROTO + bytes([PICKLE_PROTOCOL]))
        self.save(obj)
        self.write(pickle.STOP)

    def save(self, obj, save_persistent_id=True):
        if obj is self.run.user_ns:
            return self.save_reduce(user_namespace, (), obj=obj)
        at, memoized, buffers = self.file.tell(), len(self.memo), len(self.findings.buffers)
        try:
            super().save(obj, save_persistent_id)
        except (RecursionError, SharedLate):
            raise
        except BaseException as error:
            self.file.seek(at)
            self.file.truncate()
            while len(self.memo) > memoized:
                self.memo.popitem()
            del self.findings.buffers[buffers:]
            self.save_reduce(*self.refused(obj, error), obj=obj)


class Dump:
    """Roots as pickle: `body`, what the pickler found, and the memo (id -> (index, object))."""

    __slots__ = (
        'roots', 'body', 'findings', 'pickler', 'careful', 'skeleton', 'digest', 'hashes', 'views',
        'ids', 'reasons',
    )

    def __init__(self, roots, body, pickler):
        self.roots = roots
        self.body = body
        self.pickler = pickler
        self.findings = pickler.findings
        self.careful = pickler.careful
        self.ids = None

    def memo(self):
        if self.ids is None:
            memo = self.pickler.memo
            self.ids = memo if isinstance(memo, dict) else memo.copy()
        return self.ids


def dump_roots(run, roots, items, careful):
    """Pickles `items`; `careful` when the plain way is known to fail. Never raises for an item."""
    hopeless = run.registry.hopeless
    error = None
    known = hopeless.get(roots[0]) if len(roots) == 1 else None
    if known is not None and known[0] == id(items[0][2]):
        error = known[1]
    for step in THOROUGHLY[careful:] if error is None else ():
        try:
            body, pickler = try_again(step, run, items)
            break
        except BaseException as raised:
            error = f'{type(raised).__name__}: {raised}'[:300]
    else:
        if len(roots) == 1:
            hopeless[roots[0]] = (id(items[0][2]), error)
        items = [(kind, key, Placeholder('value of ' + key, error)) for kind, key, _ in items]
        body, pickler = pickle_with(StatePickler, run, items, True)
    result = Dump(roots, body, pickler)
    run.dumps.append((result, items))
    return result


THOROUGHLY = (
    lambda run, items: pickle_with(StatePickler, run, items, False),
    lambda run, items: pickle_with(StatePickler, run, items, True),
    lambda run, items: pickle_with(PatientPickler, run, items, True),
    lambda run, items: in_deep_thread(pickle_with, PatientPickler, run, items, True),
)


def try_again(step, run, items):
    """One way of pickling, once more where the reason to fail has passed."""
    for _ in range(CHANGED_TRIES - 1):
        try:
            return step(run, items)
        except (RuntimeError, SharedLate) as error:
            if not is_changing(error):
                raise
    return step(run, items)


def is_changing(error):
    return isinstance(error, SharedLate) or 'changed size' in str(error)


def pickle_with(kind, run, items, careful):
    file = io.BytesIO()
    pickler = kind(run, file, careful)
    before, run.watch.working = run.watch.working, True
    try:
        pickler.dump(items)
    finally:
        run.watch.working = before
    # Plain dicts are not asked about; what only the namespace holds shows that it is inside.
    if pickler.findings.near_namespace and kind is StatePickler:
        if id(run.user_ns) in pickler.memo.copy():
            raise ValueError('the namespace itself is inside')
    return file.getvalue(), pickler


def in_deep_thread(work, *arguments):
    """Runs in a thread whose stack takes very deep structures, as linked lists are."""
    outcome = []

    def body():
        try:
            outcome.append((work(*arguments), None))
        except BaseException as error:
            outcome.append((None, error.with_traceback(None)))

    arguments[1].deep = True
    limit, stack = sys.getrecursionlimit(), threading.stack_size(DEEP_STACK_BYTES)
    sys.setrecursionlimit(max(limit, DEEP_RECURSION))
    try:
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(stack)
        arguments[1].deep = False
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


class SlowCodeWatch:
    """Ends one call of user code inside pickling (`__getstate__`…) that takes too long.

    It looks at the stack from time to time, so large data that pickles for long is left alone.
    Only on the main thread, and only while the user has no timer of this kind running.
    """

    def __init__(self, seconds):
        self.seconds = seconds
        self.working = False
        self.armed = False
        self.frame = None
        self.since = 0.0

    def start(self):
        if threading.current_thread() is not threading.main_thread() or self.seconds <= 0:
            return
        if signal.getitimer(signal.ITIMER_REAL)[0] or signal.getsignal(signal.SIGALRM) is None:
            return
        self.before = signal.signal(signal.SIGALRM, self.look)
        interval = min(self.seconds / 4, 1.0)
        signal.setitimer(signal.ITIMER_REAL, interval, interval)
        self.armed = True

    def stop(self):
        if self.armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self.before)
            self.armed = False
        self.frame = None

    def look(self, number, frame):
        if not self.working:
            self.frame = None
            return
        ours = pickle_with.__globals__
        outermost = None
        while frame is not None and frame.f_code is not pickle_with.__code__:
            if frame.f_globals is not ours and frame.f_globals.get('__name__') != 'pickle':
                outermost = frame
            frame = frame.f_back
        if frame is None:
            # the work is on another thread
            outermost = None
        if outermost is None or outermost is not self.frame:
            self.frame, self.since = outermost, time.monotonic()
        elif time.monotonic() - self.since >= self.seconds * 0.75:
            self.frame = None
            raise TooSlow(f'pickling it took longer than {self.seconds:g} s')


def reduce_placeholder(pickler, obj):
    """It moves on as what it is, and stays listed."""
    return pickler.placeholder(obj._nbos_what, obj._nbos_reason)
