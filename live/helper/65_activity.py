"""What lives in the process besides objects: threads, children, tasks, timers. It pins the kernel.

Ordinary libraries leave threads and children behind that hold nothing of the user's: the lists
below name them, and each is tested.
"""

# Packages whose threads and tasks are the kernel's own or do no work on the user's objects.
BENIGN_PACKAGES = frozenset(
    'ipykernel IPython zmq tornado jupyter_client debugpy _pydevd_bundle pydevd anyio'
    ' prompt_toolkit nbos_helper tqdm joblib loky matplotlib tensorboard tensorboardX'
    ' ipyparallel'.split()
)
# Threads of the standard library that libraries start, by what they run or are named.
BENIGN_THREADS = frozenset(
    'MainThread IOPub Heartbeat Control IPythonHistorySavingThread QueueFeederThread'
    ' QueueManagerThread ExecutorManagerThread pymp-resource-tracker nbos-orphan'
    ' nbos-interrupt'.split()
)
# In a child's command line: helpers of multiprocessing and loky, which hold no state of their own.
BENIGN_CHILDREN = (
    b'multiprocessing.resource_tracker', b'joblib.externals.loky', b'loky.backend',
    b'semaphore_tracker', b'debugpy', b'pydevd', b'multiprocessing.forkserver',
)

# How the reasons of names begin that keep a kernel where it is.
PINNING = (
    'open file', 'open archive', 'socket', 'pipe', 'generator', 'coroutine',
    'asynchronous', 'thread:', 'thread of', 'child process', 'process pool', 'executor',
    'database', 'temporary directory', 'memory map', 'queue between', 'widget', 'ZMQ', 'future',
)


def activity():
    """One sentence for each thing that would be lost when the kernel moves."""
    found = []
    for look in (live_threads, live_children, pending_tasks):
        try:
            found += look()
        except Exception as error:
            HELPER.kernel.log.debug('nbos: %s: %s', look.__name__, error)
    return found


def live_threads():
    return [
        'thread %s is running' % thread.name
        for thread in threading.enumerate()
        if not is_benign_thread(thread)
    ]


def is_benign_thread(thread):
    if thread.name in BENIGN_THREADS:
        return True
    if loop_of(thread) is not None and loop_of(thread) is script_loop():
        return True
    if isinstance(thread, (threading._MainThread, threading._DummyThread)):
        return True
    if package_of(type(thread)) in BENIGN_PACKAGES:
        return True
    target = getattr(thread, '_target', None)
    if target is None:
        return False
    target = getattr(target, 'func', target)
    owner = type(getattr(target, '__self__', None))
    if package_of(target) in BENIGN_PACKAGES or package_of(owner) in BENIGN_PACKAGES:
        return True
    return is_idle_pool_thread(thread, target)


def loop_of(thread):
    """The event loop that a thread was started to run, if it was."""
    target = getattr(thread, '_target', None)
    return getattr(target, '__self__', None)


def script_loop():
    """The loop by which %%bash and its like wait for their processes, which count as children."""
    magics = HELPER.shell.magics_manager.registry.get('ScriptMagics')
    return getattr(magics, 'event_loop', None)


def package_of(thing):
    return (getattr(thing, '__module__', None) or '').split('.')[0]


def is_idle_pool_thread(thread, target):
    """A thread of concurrent.futures or multiprocessing.pool that waits for work."""
    module = getattr(target, '__module__', '')
    if module not in ('concurrent.futures.thread', 'multiprocessing.pool'):
        return False
    return is_waiting(thread, getattr(target, '__name__', ''))


def is_waiting(thread, function):
    """Whether nothing of the user's is on a thread's stack above the pool's own function."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        package = (frame.f_globals.get('__name__') or '').split('.')[0]
        if package not in ('threading', 'queue', 'concurrent', 'multiprocessing', 'selectors'):
            return False
        frame = frame.f_back
    return False


def live_children():
    """Child processes. Asking whether there is any costs microseconds, naming them more."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):
        return []
    return [
        'process %d (%s) is running' % (pid, command_of(pid))
        for pid in children()
        if not is_benign_child(pid)
    ]


def children():
    """Process ids of the direct children: those of all processes whose parent is this one."""
    own, pids = os.getpid(), []
    for entry in os.listdir('/proc'):
        if entry.isdigit() and parent_of(entry) == own:
            pids.append(int(entry))
    return pids


def parent_of(pid):
    return int(stat_field(pid, 1) or 0)


def stat_field(pid, index):
    """A field of /proc/PID/stat after the name; empty for a process that is gone."""
    try:
        with open('/proc/%s/stat' % pid) as file:
            # The name in parentheses may hold anything, spaces and parentheses too.
            return file.read().rpartition(')')[2].split()[index]
    except (OSError, IndexError):
        return ''


def command_line(pid):
    """Waits, 50 ms at most, for one that is just being started: until then it has none."""
    deadline = time.monotonic() + 0.05
    while True:
        try:
            with open('/proc/%d/cmdline' % pid, 'rb') as file:
                command = file.read(4096)
        except OSError:
            return b''
        if command or child_has_ended(pid) or time.monotonic() > deadline:
            return command
        time.sleep(0.001)


def child_has_ended(pid):
    return stat_field(pid, 0) in ('', 'Z', 'X')


def command_of(pid):
    return command_line(pid).replace(b'\0', b' ').decode(errors='replace')[:60].strip()


def is_benign_child(pid):
    """Helpers of libraries, and what has ended."""
    command = command_line(pid)
    return child_has_ended(pid) or any(mark in command for mark in BENIGN_CHILDREN)


def pending_tasks():
    """asyncio tasks and timers of the user in the kernel's loop."""
    loop = running_loop()
    if loop is None:
        return []
    found = []
    for task in asyncio.all_tasks(loop):
        if not is_own_frame(getattr(task.get_coro(), 'cr_frame', None)):
            found.append('asyncio task %s is pending' % task.get_name())
    for handle in getattr(loop, '_scheduled', ()):
        callback = getattr(handle, '_callback', None)
        if not handle.cancelled() and not is_own_callback(callback):
            found.append('an asyncio timer is pending')
    return found


def running_loop():
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_own_frame(frame):
    if frame is None:
        return True
    return (frame.f_globals.get('__name__') or '').split('.')[0] in BENIGN_PACKAGES | {'asyncio'}


def is_own_callback(callback):
    callback = getattr(callback, 'func', callback)
    owner = getattr(callback, '__self__', None)
    if owner is not None and package_of(type(owner)) in ('_asyncio', 'asyncio'):
        # The wake-up of a sleeping task, which is told on its own.
        return True
    return package_of(callback) in BENIGN_PACKAGES | {'asyncio'}


def pins(unreplicated):
    """Names that hold what would be lost by a move, with the reason; unless it has ended already.

    A lock, an event or a context that stays behind is made again by who needs it.
    """
    user_ns = HELPER.shell.user_ns
    return [
        '%s: %s' % (entry['name'], entry['reason'])
        for entry in unreplicated
        if entry['name'] not in HELPER.excluded
        and any(part.startswith(PINNING) for part in entry['reason'].split('; '))
        and not has_ended(user_ns.get(entry['name']))
    ]


def has_ended(thing):
    """Whether a thread, process, file, socket, task or generator has nothing left to lose."""
    try:
        if isinstance(thing, threading.Thread):
            return not thing.is_alive()
        if isinstance(thing, types.GeneratorType):
            return thing.gi_frame is None
        if isinstance(thing, types.CoroutineType):
            return thing.cr_frame is None
        for attribute, ended in (('returncode', is_number), ('closed', is_true),
                                 ('_closed', is_true), ('_shutdown', is_true)):
            if attribute in dir(type(thing)) or attribute in getattr(thing, '__dict__', ()):
                return ended(getattr(thing, attribute))
        return isinstance(thing, asyncio.Future) and thing.done()
    except Exception:
        return False


def is_number(value):
    return isinstance(value, int)


def is_true(value):
    return value is True
