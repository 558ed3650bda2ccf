"""`In`, `_i` and the execution count: inputs travel as ambient units of a few cells each."""

HISTORY_PREFIX = 'history-'
# Inputs a unit; each cell sends those of its own unit again.
HISTORY_CELLS = 16


class HistoryRecord:
    """How many inputs are captured or applied."""

    length = 1


def capture_history():
    """Units with the inputs that came since."""
    inputs = HELPER.shell.history_manager.input_hist_parsed
    raw = HELPER.shell.history_manager.input_hist_raw
    length = min(len(inputs), len(raw))
    if length <= HistoryRecord.length:
        return []
    first, last = HistoryRecord.length // HISTORY_CELLS, (length - 1) // HISTORY_CELLS
    HistoryRecord.length = length
    units = []
    for at in range(first, last + 1):
        cells = range(at * HISTORY_CELLS, min(length, (at + 1) * HISTORY_CELLS))
        texts = [(raw[cell], None if inputs[cell] == raw[cell] else inputs[cell]) for cell in cells]
        units.append(ambient_unit('%s%d' % (HISTORY_PREFIX, at), texts))
    return units


def apply_history(units, count, reset):
    """Brings inputs and count to what they are after cell `count`; the units that failed."""
    manager = HELPER.shell.history_manager
    failed = []
    if reset:
        manager.input_hist_parsed[:] = ['']
        manager.input_hist_raw[:] = ['']
    for unit in units:
        name = unit['id'].partition(':')[2]
        if not name.startswith(HISTORY_PREFIX):
            continue
        try:
            texts = pickle.loads(bytes(read_blob(unit['skeleton'])))
            put_inputs(int(name[len(HISTORY_PREFIX):]) * HISTORY_CELLS, texts)
        except Exception as error:
            failed.append({'unit': unit['id'], 'names': [], 'message': 'history: %s' % error})
        AMBIENT.versions[name] = unit['version']
    pad_inputs(count)
    HistoryRecord.length = len(manager.input_hist_parsed)
    show_inputs()
    HELPER.shell.execution_count = count + 1
    return failed


def put_inputs(first, texts):
    manager = HELPER.shell.history_manager
    pad_inputs(first + len(texts) - 1)
    for at, (raw, parsed) in enumerate(texts, first):
        manager.input_hist_raw[at] = raw
        manager.input_hist_parsed[at] = raw if parsed is None else parsed
        if at > 0:
            HELPER.shell.user_ns['_i%d' % at] = raw


def pad_inputs(count):
    """Makes In[count] the last; cells that never ran have an empty input."""
    manager = HELPER.shell.history_manager
    for inputs in (manager.input_hist_parsed, manager.input_hist_raw):
        inputs.extend([''] * (count + 1 - len(inputs)))


def show_inputs():
    """_i, _ii and _iii as the last cell left them, and what the next will shift into them."""
    manager = HELPER.shell.history_manager
    last = ([''] * 4 + list(manager.input_hist_raw[1:]))[-4:]
    manager._i00, manager._i, manager._ii, manager._iii = last[3], last[2], last[1], last[0]
    HELPER.shell.user_ns.update(_i=manager._i, _ii=manager._ii, _iii=manager._iii)
