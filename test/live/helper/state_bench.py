"""How long a cell's capture takes in a real kernel: one JSON object name → figures in ms.

`python3 state_bench.py MEGABYTES [FOLDER]`
"""

import json
import os
import shutil
import statistics
import sys
import tempfile

from kernel_pair import Kernel, text_of

ROUNDS = 7


class Bench:
    def __init__(self, kernel):
        self.kernel = kernel
        self.cells = 0

    def capture_ms(self, code):
        self.cells += 1
        name = 'bench%d' % self.cells
        reply, shown = self.kernel.execute(code, {'record': name, 'count': self.cells})
        assert reply['status'] == 'ok', text_of(reply, shown)
        record = self.kernel.record(name)
        for file in os.listdir(self.kernel.blobs):
            os.unlink(os.path.join(self.kernel.blobs, file))
        return record['captureMs']

    def median(self, code):
        return statistics.median(self.capture_ms(code) for _ in range(ROUNDS))

    def timed(self, code):
        """Seconds that an expression of a cell takes, as the cell measures it."""
        shown = text_of(*self.kernel.execute(
            'import time; started = time.perf_counter()\n%s\n'
            'print(time.perf_counter() - started)' % code, silent=False, store_history=False))
        return float(shown) * 1000


def passes(bench):
    return {'pass': bench.median('pass')}


def large_array(bench, megabytes):
    first = bench.capture_ms(
        'import numpy as np; large = np.ones(%d << 17); large[:] = 2' % megabytes)
    touched = bench.median('large.shape')
    written = bench.capture_ms('large[1000] += 1')
    hashed = bench.timed('import hashlib; _h = hashlib.sha256(large).hexdigest()')
    bench.capture_ms('del large')
    return {'first': first, 'touched, unchanged': touched, 'one element written': written,
            'one SHA-256': hashed}


def many_arrays(bench):
    bench.capture_ms('arrays = [np.random.rand(1 << 17) for _ in range(1000)]')
    touched = bench.median('len(arrays)')
    changed = bench.median('arrays[500][7] += 1')
    bench.capture_ms('del arrays')
    return {'touched, unchanged': touched, 'one of them written': changed}


def integers(bench):
    bench.capture_ms('numbers = list(range(10 ** 6))')
    touched = bench.median('len(numbers)')
    changed = bench.median('numbers[5] += 1')
    pickled = min(bench.timed('import pickle; _p = pickle.dumps(numbers, 5)') for _ in range(3))
    bench.capture_ms('del numbers')
    return {'touched': touched, 'one written': changed, 'one C pickle': pickled}


if __name__ == '__main__':
    megabytes = int(sys.argv[1])
    home = tempfile.mkdtemp(prefix='nbos-bench-', dir=sys.argv[2] if len(sys.argv) > 2 else None)
    blobs = os.path.join(home, 'blobs')
    os.makedirs(blobs)
    kernel = Kernel(home, blobs, home).ready()
    try:
        bench = Bench(kernel)
        found = {'pages': kernel.setup['pages'], 'pass': passes(bench),
                 'array': large_array(bench, megabytes),
                 'arrays': many_arrays(bench), 'integers': integers(bench)}
    finally:
        kernel.stop()
        shutil.rmtree(home, ignore_errors=True)
    json.dump(found, sys.stdout)
