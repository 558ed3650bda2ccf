"""Records: what changed, written whole to the spool before the agent hears of it."""

REGISTRY = Registry()
TRACKER = BufferTracker()


def capture_delta(reached):
    """The Delta of log/entries.ts since the last one; `reached`: names to look at, None for all."""
    limits = {'quotaBytes': HELPER.quota_bytes, 'excluded': HELPER.excluded}
    delta = capture(HELPER.shell.user_ns, reached, REGISTRY, TRACKER, limits)
    delta.setdefault('pinned', [])
    HELPER.unreplicated = delta['unreplicated']
    HELPER.pinned = delta['pinned']
    HELPER.state_bytes = delta['stateBytes']
    return delta


def write_record(name, reached):
    """Captures and spools one record; what fails inside is told in it, never to the user's cell."""
    started = time.perf_counter()
    record = {'v': RECORD_FORMAT, 'delta': None}
    with HELPER.lock, no_interrupts():
        try:
            record['delta'] = capture_delta(reached)
        except Exception as error:
            record['error'] = '%s: %s' % (type(error).__name__, error)
        record['captureMs'] = (time.perf_counter() - started) * 1000
        path = os.path.join(HELPER.directory, 'spool', name + '.json')
        write_whole(path, json.dumps(record).encode())
    return record


def is_empty(delta):
    return not delta['units'] and not delta['dropped']
