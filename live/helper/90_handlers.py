"""The messages of PROTOCOL.md, and the wrapped execute_request."""


def answering(handle):
    """A handler of ipykernel from a function content → content of the answer."""

    async def handler(stream, ident, parent):
        HELPER.silent_ticks = 0
        try:
            content = dict(handle(parent['content']), status='ok')
        except Exception as error:
            content = {'status': 'error', 'ename': type(error).__name__, 'evalue': str(error)}
        kind = parent['header']['msg_type'].replace('_request', '_reply')
        HELPER.kernel.session.send(stream, kind, content, parent, ident=ident)

    return handler


def handle_setup(content):
    HELPER.key = bytes.fromhex(content['key'])
    HELPER.directory = content['directory']
    HELPER.blobs = content['blobs']
    HELPER.quota_bytes = content.get('quotaBytes') or 0
    for name in content.get('excluded') or ():
        HELPER.excluded.setdefault(name, 'excluded by the administrator')
    os.makedirs(os.path.join(HELPER.directory, 'spool'), mode=0o700, exist_ok=True)
    for name, value in (content.get('env') or {}).items():
        os.environ[name] = value
    if content.get('cwd'):
        with contextlib.suppress(OSError):
            os.chdir(content['cwd'])
    if not START['cwd']:
        search_user_site()
        remember_start()
        start_orphan_timer()
    HELPER.orphan_ms = content.get('orphanMs') or 0
    return {
        'python': platform.python_version(),
        'platform': '%s-%s' % (sys.platform, platform.machine()),
        'packages': versions_of('numpy', 'torch', 'pandas', 'ipykernel', 'IPython'),
        'pages': TRACKER.pages,
    }


def versions_of(*packages):
    """Installed versions, without importing anything; a package that is absent is left out."""
    from importlib import metadata

    found = {}
    for package in packages:
        with contextlib.suppress(Exception):
            found[package] = metadata.version(package)
    return found


def handle_collect(content):
    return {'record': collect_record()}


def handle_status(content):
    return {
        'unreplicated': HELPER.unreplicated,
        'pinned': HELPER.pinned,
        'stateBytes': HELPER.state_bytes,
        'names': sorted(name for name, value in list(HELPER.shell.user_ns.items())
                        if not name.startswith('_') and REGISTRY.carries(name, value)),
    }


def handle_ping(content):
    return {}


def wrap_execute_request(original):
    """Gives a cell its execution count and devices, and remembers where its record goes."""

    async def execute_request(stream, ident, parent):
        HELPER.silent_ticks = 0
        cell = (parent.get('metadata') or {}).get('nbos')
        if not isinstance(cell, dict) or not on_main_thread():
            # Of a subshell, or not of a cell: found when the kernel is idle.
            HELPER.verified, HELPER.foreign = False, True
            await finished(original(stream, ident, parent))
            return
        HELPER.cell = cell
        with contextlib.suppress(Exception), no_interrupts(repeat=True):
            prepare_cell(cell)
        try:
            await finished(original(stream, ident, parent))
        finally:
            HELPER.cell = None

    return execute_request


async def finished(result):
    """The result of a handler that may or may not be asynchronous."""
    return await result if inspect.isawaitable(result) else result


def prepare_cell(cell):
    count = cell.get('count')
    if isinstance(count, int):
        pad_inputs(count - 1)
        HELPER.shell.execution_count = count
    devices = cell.get('devices')
    if isinstance(devices, list):
        show_devices(devices)
    if devices and REGISTRY.gpu_tensors:
        to_devices(REGISTRY)


def show_devices(devices):
    """Which GPUs the process sees; once CUDA has started that cannot change any more."""
    if cuda_has_started():
        return
    # Numbers are those of nvidia-smi.
    os.environ['CUDA_DEVICE_ORDER'] = 'PCI_BUS_ID'
    os.environ['CUDA_VISIBLE_DEVICES'] = ','.join(str(device) for device in devices)


def begin_cell(record):
    """From here on the cell counts as begun, also if the process is killed right now."""
    try:
        os.unlink(os.path.join(HELPER.directory, 'spool', record + '.waiting'))
    except FileNotFoundError:
        pass
    except OSError:
        # What stays says that nothing ran, and the cell would run again elsewhere.
        os._exit(1)


def wrap_do_execute(original):
    """Writes the cell's record once it has run, before ipykernel sends the reply."""

    @functools.wraps(original)
    async def do_execute(*args, **kwargs):
        cell = HELPER.cell if on_main_thread() else None
        is_recorded = cell is not None and bool(cell.get('record')) and HELPER.directory != ''
        reached = ALL_NAMES
        if is_recorded:
            code = kwargs['code'] if 'code' in kwargs else args[0]
            with contextlib.suppress(Exception), no_interrupts(repeat=True):
                reached = names_reached(code)
            begin_cell(cell['record'])
        reply = await finished(original(*args, **kwargs))
        if is_recorded:
            with contextlib.suppress(OSError):
                add_record(reply, cell['record'], reached)
        return reply

    return do_execute


def marks_foreign(original):
    """Comms call the user's code: what they change is looked for when the kernel is idle."""

    def handler(stream, ident, parent):
        HELPER.foreign, HELPER.verified = True, False
        return original(stream, ident, parent)

    return handler


def install():
    kernel = HELPER.kernel
    shell, control = kernel.shell_handlers, kernel.control_handlers
    shell['nbos_setup_request'] = answering(handle_setup)
    shell['nbos_apply_request'] = answering(apply_update)
    shell['nbos_collect_request'] = answering(handle_collect)
    for handlers in (shell, control):
        handlers['nbos_status_request'] = answering(handle_status)
        handlers['nbos_ping_request'] = answering(handle_ping)
    shell['execute_request'] = wrap_execute_request(shell['execute_request'])
    for kind in ('comm_open', 'comm_msg', 'comm_close'):
        if kind in shell:
            shell[kind] = marks_foreign(shell[kind])
    kernel.do_execute = wrap_do_execute(kernel.do_execute)
    keep_all_output(kernel)
    add_user_module()


def keep_all_output(kernel):
    """A publisher drops what its reader has not taken once a thousand messages wait, and the agent
    may have to wait for a core. What waits without limit here is bounded by the agent, which reads
    all and spills to disk."""
    thread = getattr(kernel, 'iopub_thread', None)
    if thread is None:
        return
    import zmq

    # In the thread that owns the socket. Connections that exist already heed it too.
    thread.schedule(lambda: thread.socket.setsockopt(zmq.SNDHWM, 0))
