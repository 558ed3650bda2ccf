"""Records: what changed, written whole to the spool before the agent hears of it."""

REGISTRY = Registry()
TRACKER = BufferTracker()


def capture_delta(reached):
    """The Delta of log/entries.ts since the last one; `reached`: names to look at, None for all."""
    before = activity()
    if before or not HELPER.verified:
        # Threads and callbacks reach anything, whatever the cell names.
        reached = ALL_NAMES if before or HELPER.foreign else reached
    limits = {'quotaBytes': HELPER.quota_bytes, 'excluded': HELPER.excluded}
    delta = capture(HELPER.shell.user_ns, reached, REGISTRY, TRACKER, limits)
    delta['units'] = capture_history() + capture_ambient() + delta['units']
    delta['pinned'] = before + pins(delta['unreplicated'])
    HELPER.verified = reached is ALL_NAMES and not before
    HELPER.foreign = bool(before)
    HELPER.unreplicated = delta['unreplicated']
    HELPER.pinned = delta['pinned']
    HELPER.state_bytes = delta['stateBytes']
    LOADED_PACKAGES.look()
    return delta


def write_record(name, reached):
    """Captures and spools one record; what fails inside is told in it, never to the user's cell."""
    with HELPER.lock, no_interrupts():
        record = make_record(reached)
        put_record(name, record, json.dumps(record))
    return record


def add_record(reply, name, reached):
    """Captures a record and puts it into the cell's reply, or into the spool when it is large."""
    with HELPER.lock, no_interrupts():
        record = make_record(reached)
        text = json.dumps(record)
        if isinstance(reply, dict) and len(text) <= REPLY_RECORD_BYTES:
            reply['nbos_record'] = text
        else:
            put_record(name, record, text)


def make_record(reached):
    started = time.perf_counter()
    record = {'v': RECORD_FORMAT, 'delta': None}
    try:
        record['delta'] = with_unsent(capture_delta(reached))
    except Exception as error:
        record['error'] = '%s: %s' % (type(error).__name__, error)
        forget_captured()
    if cuda_has_started():
        record['cuda'] = True
    record['captureMs'] = (time.perf_counter() - started) * 1000
    return record


def put_record(name, record, text):
    """Raises OSError when there is no room; what the record says goes into the next one."""
    try:
        path = os.path.join(HELPER.directory, 'spool', name + '.json')
        write_whole(path, text.encode())
    except OSError:
        if record['delta'] is not None:
            HELPER.unsent = record['delta']
        raise


def with_unsent(delta):
    """A delta and what an earlier record could not tell before it."""
    unsent, HELPER.unsent = HELPER.unsent, None
    if unsent is not None:
        newer = {unit['id'] for unit in delta['units']} | set(delta['dropped'])
        delta['units'] = [u for u in unsent['units'] if u['id'] not in newer] + delta['units']
        alive = {unit['id'] for unit in delta['units']}
        dropped = dict.fromkeys(unsent['dropped'] + delta['dropped'])
        delta['dropped'] = [unit for unit in dropped if unit not in alive]
    return delta


def forget_captured():
    """A capture broke off: what it took is not known, so the next one sends all there is."""
    dropped = list(REGISTRY.units)
    REGISTRY.clear()
    AMBIENT.values.clear()
    HistoryRecord.length = 1
    HELPER.unsent = {'units': [], 'dropped': dropped}
    HELPER.verified, HELPER.foreign = False, True


def collect_record():
    """The name of a record of what changed while nothing ran, None for nothing.

    Free when the last record looked at everything and nothing has run since.
    """
    if HELPER.verified and not HELPER.foreign and HELPER.unsent is None and not activity():
        return None
    pinned = HELPER.pinned
    with HELPER.lock, no_interrupts():
        started = time.perf_counter()
        try:
            delta = with_unsent(capture_delta(ALL_NAMES))
        except Exception:
            forget_captured()
            raise
        if not delta['units'] and not delta['dropped'] and delta['pinned'] == pinned:
            return None
        name = 'collect-%x' % time.time_ns()
        took = (time.perf_counter() - started) * 1000
        record = {'v': RECORD_FORMAT, 'delta': delta, 'captureMs': took}
        put_record(name, record, json.dumps(record))
    return name


def forget_users_names():
    """Names that no record has told of would stay otherwise."""
    user_ns = HELPER.shell.user_ns
    for name, value in list(user_ns.items()):
        if name.strip('_') and REGISTRY.carries(name, value):
            del user_ns[name]


def apply_update(update):
    """A StateUpdate of agent/kernel/runtime.ts; gives an ApplyResult."""
    LOADED_PACKAGES.look()
    if LOADED_PACKAGES.outdated:
        return {'failed': [], 'outdated': sorted(LOADED_PACKAGES.outdated)}
    units = [unit for unit in update['units'] if unit['kind'] == AMBIENT_KIND]
    with HELPER.lock, no_interrupts(), no_output():
        if update['reset']:
            reset_ambient()
            forget_users_names()
        failed = apply_ambient(units, early=True)
        result = apply_state(HELPER.shell.user_ns, update, REGISTRY, read_blob)
        failed += result['failed']
        for name in HELPER.excluded:
            # What this process has of it is older than what the executor had.
            HELPER.shell.user_ns.pop(name, None)
        failed += apply_ambient(units, early=False)
        failed += apply_history(units, update['count'], update['reset'])
    LOADED_PACKAGES.look()
    return {'failed': failed, 'outdated': sorted(LOADED_PACKAGES.outdated)}
