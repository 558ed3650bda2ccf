"""One side of a state scenario: takes commands as JSON lines, answers each with one line.

Arguments: folder of the helper's files, folder for blobs, modules to load first. Each scenario runs
in a fork of this process, so that modules are loaded once.
"""

import base64
import builtins
import glob
import hashlib
import importlib
import json
import linecache
import mmap
import os
import sys
import time
import traceback
import types

HELPER_FOLDER, BLOB_FOLDER = sys.argv[1:3]
INLINE_BYTES = 64 * 1024


def load_helper():
    space = {'__name__': 'nbos_helper'}
    for path in sorted(glob.glob(os.path.join(HELPER_FOLDER, '[1-4][0-9]_*.py'))):
        with open(path, encoding='utf-8') as file:
            exec(compile(file.read(), path, 'exec'), space)
    return space


class HashTracker:
    """Stands in for the page tracker: every buffer is hashed."""

    def __init__(self):
        self.written = 0

    def fingerprint(self, address, nbytes, view):
        return True, hashlib.sha256(view).hexdigest()

    def write_blob(self, view, content_hash=None):
        content = bytes(view)
        self.written += len(content)
        blob = {'hash': hashlib.sha256(content).hexdigest(), 'bytes': len(content), 'mac': ''}
        if content_hash not in (None, blob['hash']):
            raise AssertionError('the hash given is not that of the content')
        if len(content) <= INLINE_BYTES:
            blob['inline'] = base64.b64encode(content).decode()
        else:
            with open(os.path.join(BLOB_FOLDER, blob['hash']), 'wb') as file:
                file.write(content)
        return blob


def read_blob(blob):
    if 'inline' in blob:
        return base64.b64decode(blob['inline'])
    with open(os.path.join(BLOB_FOLDER, blob['hash']), 'rb') as file:
        return mmap.mmap(
            file.fileno(), blob['bytes'], flags=mmap.MAP_PRIVATE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )


class Side:
    def __init__(self):
        module = types.ModuleType('__main__')
        module.__dict__['__builtins__'] = builtins
        sys.modules['__main__'] = module
        self.names = module.__dict__
        self.names.update({'In': [], 'Out': {}})
        self.helper = load_helper()
        self.registry = self.helper['Registry'](self.names)
        self.tracker = HashTracker()
        self.count = 0

    def run(self, code):
        self.count += 1
        filename = f'<cell {os.getpid()} {self.count}>'
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        try:
            exec(compile(code, filename, 'exec'), self.names)
            return ''
        except Exception:
            return traceback.format_exc()

    def cell(self, code, reached, limits):
        error = self.run(code)
        reached = None if reached is None else set(reached)
        self.tracker.written = 0
        started = time.perf_counter()
        delta = self.helper['capture'](self.names, reached, self.registry, self.tracker, limits)
        ms = (time.perf_counter() - started) * 1000
        return {'delta': delta, 'error': error, 'ms': ms, 'written': self.tracker.written}

    def apply(self, update):
        return self.helper['apply_state'](self.names, update, self.registry, read_blob)

    def check(self, code):
        return {'error': self.run(code)}

    def value(self, code):
        try:
            return {'value': str(eval(code, self.names)), 'error': ''}
        except Exception:
            return {'value': '', 'error': traceback.format_exc()}


def serve(commands, answers):
    side = None
    for line in commands:
        command = json.loads(line)
        op = command.pop('op')
        if op == 'begin':
            child = os.fork()
            if child != 0:
                os.waitpid(child, 0)
                continue
            side = Side()
            answer = {}
        elif op == 'end':
            os._exit(0)
        else:
            try:
                answer = getattr(side, op)(**command)
            except BaseException:
                answer = {'crash': traceback.format_exc()}
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


if __name__ == '__main__':
    for name in sys.argv[3:]:
        importlib.import_module(name)
    # Unbuffered, so that the parent has not read what is for its child.
    serve(os.fdopen(0, 'rb', buffering=0), os.fdopen(os.dup(1), 'w'))
