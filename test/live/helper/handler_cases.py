"""What the helper's handlers answer, on one real kernel: prints one JSON object name → seen."""

import json
import os
import shutil
import sys
import tempfile
import threading
import time

from kernel_pair import KEY, Kernel, text_of

PASSES = 60


def setup_answer(kernel):
    return {'fields': sorted(kernel.setup), 'python': kernel.setup['python'],
            'packages': 'ipykernel' in kernel.setup['packages']}


def unseen(kernel):
    """Nothing of ours in the namespace, the history, the modules or the count."""
    code = ('import sys; print(sorted(n for n in list(globals()) if "nbos" in n.lower()),'
            ' In[:1], get_ipython().execution_count,'
            ' [m for m in sys.modules if "nbos" in m.lower()])')
    return text_of(*kernel.execute(code, store_history=False))


def answers_in_cell(kernel):
    """Status and ping on control, while a cell runs: it ends when they have been answered."""
    begun, done = (os.path.join(kernel.directory, name) for name in ('begun', 'done'))
    answered = []

    def ask():
        while not os.path.exists(begun):
            time.sleep(0.01)
        answered.append(sorted(kernel.ask('nbos_status_request', {}, 'control')))
        kernel.ask('nbos_ping_request', {}, 'control')
        open(done, 'w').close()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    code = ('import os, time; open(%r, "w").close()\n'
            'for _ in range(3000):\n    if os.path.exists(%r): break\n    time.sleep(0.01)\n'
            'print(os.path.exists(%r))' % (begun, done, done))
    shown = text_of(*kernel.execute(code, {'record': 'in-cell', 'count': 1}))
    asking.join()
    kernel.record('in-cell')
    return [[*answered, shown]]


def whole_before_reply(kernel):
    """The record and its blobs are there when the reply is; none is half written."""
    kernel.execute('big = bytearray(3 << 20); small = 1', {'record': 'whole', 'count': 2})
    spool = os.path.join(kernel.directory, 'spool')
    names = os.listdir(spool)
    modes = {oct(os.stat(os.path.join(spool, name)).st_mode & 0o777) for name in names}
    record = kernel.record('whole')
    outside = [blob for unit in record['delta']['units']
               for blob in [unit['skeleton']] + unit['buffers'] if 'inline' not in blob]
    return {'modes': sorted(modes), 'outside': [blob['bytes'] for blob in outside],
            'there': all(os.path.exists(os.path.join(kernel.blobs, b['hash'])) for b in outside)}


def own_failures(kernel):
    """A failure of the helper is in the record; the cell has its own result."""
    code = ('import gc\n'
            'state = [o for o in gc.get_objects() if type(o).__name__ == "HelperState"][0]\n'
            'program = state.kernel.do_execute.__globals__\n'
            'kept = program["capture"]\n'
            'program["capture"] = lambda *rest: 1 / 0\n'
            '"result"')
    reply, shown = kernel.execute(code, {'record': 'failed', 'count': 3})
    with open(os.path.join(kernel.directory, 'spool', 'failed.json')) as file:
        record = json.load(file)
    os.unlink(file.name)
    kernel.execute('program["capture"] = kept; del state, program, kept', {'record': 'again'},
                   silent=True, store_history=False)
    delta = kernel.record('again')['delta']
    sent = [name for unit in delta['units'] for name in unit['names']]
    return [reply['status'], text_of(reply, shown), record['delta'], record['error'],
            'small' in sent, len(delta['dropped']) > 0]


# So much that its record does not fit into the reply.
LARGE = 'import os; w1, w2 = os.urandom(40000), os.urandom(40000)\n'


def no_room(kernel):
    """A spool that cannot be written costs the record, not the cell."""
    spool = os.path.join(kernel.directory, 'spool')
    os.rename(spool, spool + '.away')
    reply, shown = kernel.execute(LARGE + '1 + 1', {'record': 'lost', 'count': 4})
    os.rename(spool + '.away', spool)
    return [reply['status'], text_of(reply, shown), os.listdir(spool)]


def after_no_room(kernel):
    """What such a cell changed is in the next record."""
    spool = os.path.join(kernel.directory, 'spool')
    os.rename(spool, spool + '.away')
    kernel.execute(LARGE + 'unsaved = 1', {'record': 'lost', 'count': 5})
    os.rename(spool + '.away', spool)
    kernel.execute('pass', {'record': 'next', 'count': 6})
    units = kernel.record('next')['delta']['units']
    return 'unsaved' in [name for unit in units for name in unit['names']]


def tampered(kernel):
    """Blobs that are not signed, or have other content, are not loaded."""
    kernel.execute('secret = [1, 2]', {'record': 'good', 'count': 7})
    units = [u for u in kernel.record('good')['delta']['units'] if u['names'] == ['secret']]
    answers = []
    for field, value in (('mac', '00' * 32), ('inline', 'AAAA'), ('hash', 'ff' * 32)):
        unit = json.loads(json.dumps(units[0]))
        unit['skeleton'][field] = value
        unit['version'] += 1
        answer = kernel.ask('nbos_apply_request', {
            'reset': False, 'units': [unit], 'dropped': [], 'count': 7})
        answers.append([failed['names'] for failed in answer['failed']])
    return answers


def devices(kernel):
    code = 'import os; print(os.environ.get("CUDA_VISIBLE_DEVICES"))'
    seen = []
    for count, listed in enumerate(([0, 2], [], None), 8):
        nbos = {'record': 'devices', 'count': count}
        if listed is not None:
            nbos['devices'] = listed
        seen.append(text_of(*kernel.execute(code, nbos)))
        kernel.record('devices')
    return seen


def bad_requests(kernel):
    answers = []
    for kind in ('nbos_setup_request', 'nbos_apply_request'):
        try:
            kernel.ask(kind, {})
        except RuntimeError as error:
            answers.append(str(error))
    return answers


def syntax_warnings(kernel):
    """[with a record, without]: reading a cell's text shows nothing twice."""
    code = 'import warnings\nx = 1 is 1\nfor _ in range(3): warnings.warn("mine")'
    seen = []
    for nbos in ({'record': 'warned', 'count': 12}, None):
        shown = text_of(*kernel.execute(code, nbos, store_history=False))
        seen.append([shown.count('SyntaxWarning'), shown.count('UserWarning')])
    kernel.record('warned')
    return seen


def capture_ms(kernel):
    """The least that the helper says it took for `pass`: others may use the core meanwhile."""
    kernel.execute('del big', {'record': 'deleted', 'count': 13})
    kernel.record('deleted')
    took = []
    for _ in range(PASSES):
        kernel.execute('pass', {'record': 'pass', 'count': 14}, store_history=False)
        took.append(kernel.record('pass')['captureMs'])
    return min(took)


def orphan(kernel):
    """With words from the agent it lives, without it ends itself; returns [lived, ended]."""
    content = {'key': KEY, 'directory': kernel.directory, 'blobs': kernel.blobs, 'orphanMs': 3_000}
    kernel.ask('nbos_setup_request', content)
    for _ in range(8):
        time.sleep(0.5)
        kernel.ask('nbos_ping_request', {}, 'control')
    lived = kernel.manager.is_alive()
    deadline = time.monotonic() + 60
    while kernel.manager.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    return [lived, not kernel.manager.is_alive()]


if __name__ == '__main__':
    home = tempfile.mkdtemp(prefix='nbos-kernel-')
    blobs = os.path.join(home, 'blobs')
    os.makedirs(blobs)
    kernel = Kernel(home, blobs, home).ready()
    found = {}
    try:
        for case in (setup_answer, unseen, answers_in_cell, whole_before_reply, own_failures,
                     no_room, after_no_room, tampered, devices, bad_requests, syntax_warnings,
                     capture_ms, orphan):
            found[case.__name__] = case(kernel)
    finally:
        kernel.stop()
        shutil.rmtree(home, ignore_errors=True)
    json.dump(found, sys.stdout)
