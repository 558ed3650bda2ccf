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
    HELPER.excluded.update(content.get('excluded') or ())
    os.makedirs(os.path.join(HELPER.directory, 'spool'), mode=0o700, exist_ok=True)
    for name, value in (content.get('env') or {}).items():
        os.environ[name] = value
    if content.get('cwd'):
        with contextlib.suppress(OSError):
            os.chdir(content['cwd'])
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


def handle_apply(content):
    with HELPER.lock, no_interrupts(), no_output():
        result = apply_state(HELPER.shell.user_ns, content, REGISTRY, read_blob)
        HELPER.shell.execution_count = content['count'] + 1
    return {'failed': result['failed']}


def handle_collect(content):
    name = 'collect-%x' % time.time_ns()
    with HELPER.lock, no_interrupts():
        delta = capture_delta(None)
        if is_empty(delta):
            return {'record': None}
        record = {'v': RECORD_FORMAT, 'delta': delta, 'captureMs': 0}
        path = os.path.join(HELPER.directory, 'spool', name + '.json')
        write_whole(path, json.dumps(record).encode())
    return {'record': name}


def handle_status(content):
    return {
        'unreplicated': HELPER.unreplicated,
        'pinned': HELPER.pinned,
        'stateBytes': HELPER.state_bytes,
        'names': sorted(name for name in list(HELPER.shell.user_ns) if not name.startswith('_')),
    }


def handle_ping(content):
    return {}


def wrap_execute_request(original):
    """Gives a cell its execution count and remembers where its record goes."""

    async def execute_request(stream, ident, parent):
        HELPER.silent_ticks = 0
        metadata = parent.get('metadata') or {}
        cell = metadata.get('nbos')
        HELPER.cell = cell if isinstance(cell, dict) else None
        if HELPER.cell is not None:
            count = HELPER.cell.get('count')
            if isinstance(count, int):
                HELPER.shell.execution_count = count
        try:
            result = original(stream, ident, parent)
            if inspect.isawaitable(result):
                await result
        finally:
            HELPER.cell = None

    return execute_request


def wrap_do_execute(original):
    """Writes the cell's record once it has run, before ipykernel sends the reply."""

    @functools.wraps(original)
    async def do_execute(*args, **kwargs):
        reply = original(*args, **kwargs)
        if inspect.isawaitable(reply):
            reply = await reply
        cell = HELPER.cell
        if cell is not None and cell.get('record') and HELPER.directory and on_main_thread():
            with contextlib.suppress(OSError):
                write_record(cell['record'], None)
        return reply

    return do_execute


def install():
    kernel = HELPER.kernel
    shell, control = kernel.shell_handlers, kernel.control_handlers
    shell['nbos_setup_request'] = answering(handle_setup)
    shell['nbos_apply_request'] = answering(handle_apply)
    shell['nbos_collect_request'] = answering(handle_collect)
    for handlers in (shell, control):
        handlers['nbos_status_request'] = answering(handle_status)
        handlers['nbos_ping_request'] = answering(handle_ping)
    shell['execute_request'] = wrap_execute_request(shell['execute_request'])
    kernel.do_execute = wrap_do_execute(kernel.do_execute)
