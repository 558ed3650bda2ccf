"""Cases of the buffer tracker, without a kernel: prints one JSON object name → what was seen.

A case gives the list of `changed` answers, after a first look that is always a change.
"""

import base64
import bisect
import contextlib
import ctypes
import fcntl
import hashlib
import hmac
import json
import mmap
import os
import platform
import random
import struct
import sys
import tempfile
import time
import types
import weakref

FOLDER = os.path.join(os.path.dirname(__file__), '..', '..', '..', 'live', 'helper')
PROGRAM = {
    name: globals()[name]
    for name in ('base64', 'bisect', 'contextlib', 'ctypes', 'fcntl', 'hashlib', 'hmac', 'mmap',
                 'os', 'platform', 'struct', 'sys', 'types', 'weakref')
}
PROGRAM['address_of_buffer'] = lambda view: place(view)
PROGRAM['INLINE_BYTES'] = 64 * 1024
PROGRAM['time'] = time
PROGRAM['HELPER'] = types.SimpleNamespace(key=b'key', directory='', blobs='')
for part in ('50_blobs.py', '53_pages.py', '55_tracker.py'):
    with open(os.path.join(FOLDER, part)) as source:
        exec(compile(source.read(), part, 'exec'), PROGRAM)
BufferTracker, NoPages = PROGRAM['BufferTracker'], PROGRAM['NoPages']
MB = 1 << 20


def place(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def look(tracker, buffer):
    view = memoryview(buffer).cast('B')
    changed, content_hash = tracker.fingerprint(place(buffer), len(view), view)
    assert content_hash == hashlib.sha256(view).hexdigest(), 'a stale hash'
    return changed


def mapped(size, flags=mmap.MAP_PRIVATE):
    memory = mmap.mmap(-1, size, flags=flags | mmap.MAP_ANONYMOUS)
    memory[:] = os.urandom(size)
    return memory


def plain(tracker):
    array = bytearray(os.urandom(MB))
    seen = [look(tracker, array), look(tracker, array)]
    array[MB // 2] ^= 1
    seen += [look(tracker, array), look(tracker, array)]
    array[0] ^= 1
    seen.append(look(tracker, array))
    array[-1] ^= 1
    seen += [look(tracker, array), look(tracker, array)]
    return seen


def same_bytes_written(tracker):
    array = bytearray(os.urandom(MB))
    look(tracker, array)
    array[5000] = array[5000]
    return [look(tracker, array)]


def read_into(tracker):
    array = bytearray(os.urandom(MB))
    look(tracker, array)
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(MB))
        file.seek(0)
        file.readinto(memoryview(array)[4096 * 8:4096 * 9])
    seen = [look(tracker, array), look(tracker, array)]
    reader, writer = os.pipe()
    os.write(writer, b'from the kernel')
    os.readv(reader, [memoryview(array)[8192 * 4:8192 * 4 + 15]])
    return seen + [look(tracker, array)]


def forked(tracker):
    array = bytearray(os.urandom(MB))
    look(tracker, array)
    child = os.fork()
    if child == 0:
        array[70000] ^= 1
        os._exit(0)
    os.waitpid(child, 0)
    seen = [look(tracker, array)]
    array[90000] ^= 1
    return seen + [look(tracker, array), look(tracker, array)]


def mapped_again(tracker):
    """Memory given back and mapped anew at the same place."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    private, fixed = 0x22, 0x10
    where = libc.mmap(None, MB, 3, private, -1, 0)
    array = (ctypes.c_char * MB).from_address(where)
    array[:] = os.urandom(MB)
    seen = [look(tracker, array), look(tracker, array)]
    libc.munmap(where, MB)
    assert libc.mmap(where, MB, 3, private | fixed, -1, 0) == where
    seen.append(look(tracker, array))
    array[:] = os.urandom(MB)
    seen.append(look(tracker, array))
    libc.madvise(ctypes.c_void_p(where), ctypes.c_size_t(MB), 4)
    return seen + [look(tracker, array)]


def freed_and_given_anew(tracker):
    """A new buffer over part of a freed one takes its pages; the old place is hashed again."""
    memory = mapped(4 * MB)
    first = memoryview(memory)[:2 * MB]
    second = memoryview(memory)[MB:3 * MB]
    seen = []
    for view in (first, second):
        seen.append(tracker.fingerprint(place(memory) + (MB if view is second else 0),
                                        2 * MB, view)[0])
    memory[MB + 5000] ^= 1
    seen.append(tracker.fingerprint(place(memory) + MB, 2 * MB, second)[0])
    seen.append(tracker.fingerprint(place(memory), 2 * MB, first)[0])
    del first, second
    return seen


def neighbours(tracker):
    """Buffers that share a page: a write to one is not lost by looking at the other."""
    memory = mapped(MB)
    cut = 300_001
    views = [memoryview(memory)[:cut], memoryview(memory)[cut:]]
    places = [place(memory), place(memory) + cut]

    def both():
        return [tracker.fingerprint(at, len(v), v)[0] for at, v in zip(places, views)]

    seen = both()
    memory[cut - 1] ^= 1
    seen += both()
    memory[cut] ^= 1
    seen += both()
    seen += both()
    del views
    return seen


def shared(tracker):
    """Others may write shared memory through a mapping of their own."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(MB))
        file.flush()
        memory = mmap.mmap(file.fileno(), MB)
        other = mmap.mmap(file.fileno(), MB)
        seen = [look(tracker, memory)]
        other[5000] ^= 1
        return seen + [look(tracker, memory), look(tracker, memory)]


def blob_map(tracker):
    """A private map of a blob file: nobody else writes it, so it is watched."""
    with tempfile.TemporaryDirectory() as folder:
        content = os.urandom(MB)
        name = hashlib.sha256(content).hexdigest()
        with open(os.path.join(folder, name), 'wb') as file:
            file.write(content)
        PROGRAM['HELPER'].blobs = folder
        memory = PROGRAM['read_blob'](
            {'hash': name, 'bytes': MB, 'mac': PROGRAM['sign'](name)})
    seen = [look(tracker, memory), look(tracker, memory)]
    assert tracker.pages == 'hash' or tracker.known[(place(memory), MB)].tracked
    memory[123456] ^= 1
    seen += [look(tracker, memory), look(tracker, memory)]
    del memory
    assert PROGRAM['BLOB_MAPS'] == {}
    return seen


def written_between(tracker):
    """Written after it was hashed and before it is spooled: the file is what its name says."""
    array = bytearray(os.urandom(MB))
    view = memoryview(array)
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, 'spool'))
        PROGRAM['HELPER'].directory = PROGRAM['HELPER'].blobs = folder
        for write in (False, True):
            array[9000] ^= 1
            told = tracker.fingerprint(place(array), MB, view)[1]
            if write:
                array[50000] ^= 1
            blob = tracker.write_blob(view, told)
            with open(os.path.join(folder, 'spool', blob['hash']), 'rb') as file:
                assert hashlib.sha256(file.read()).hexdigest() == blob['hash']
            seen.append(blob['hash'] != told)
        seen.append(look(tracker, array))
    return seen


def hot(tracker):
    """Written before each look: it is hashed, and watched again when it stands still."""
    array = bytearray(os.urandom(MB))
    seen = []
    for at in range(8):
        array[8192 + at] ^= 1
        seen.append(look(tracker, array))
    return seen + [look(tracker, array), look(tracker, array)]


def drawn(tracker, seed):
    """Random writes to random buffers of one heap: every answer must be right."""
    draw = random.Random(seed)
    memory = mapped(2 * MB)
    looks, wrong = {}, 0
    for _ in range(300):
        for _ in range(draw.randrange(3)):
            memory[draw.randrange(2 * MB)] = draw.randrange(256)
        start = draw.randrange(0, MB)
        if looks and draw.random() < 0.7:
            start, size = draw.choice(list(looks))
        else:
            size = draw.randrange(PROGRAM['TRACKED_BYTES'], MB)
        view = memoryview(memory)[start:start + size]
        content_hash = hashlib.sha256(view).hexdigest()
        answer = tracker.fingerprint(place(memory) + start, size, view)
        if answer != (looks.get((start, size)) != content_hash, content_hash):
            wrong += 1
        looks[(start, size)] = content_hash
        view.release()
    return wrong


def unchanged_ms(tracker):
    """The least time of a look at 64 MB that did not change: others may use the core meanwhile."""
    array = bytearray(64 * MB)
    look(tracker, array)
    times = []
    view = memoryview(array)
    for _ in range(9):
        started = time.perf_counter()
        tracker.fingerprint(place(array), len(view), view)
        times.append((time.perf_counter() - started) * 1000)
    return min(times)


if __name__ == '__main__':
    pages, seed = sys.argv[1] == 'pages', int(sys.argv[2])
    if not pages:
        def refused(self):
            raise NoPages('left out on purpose')

        PROGRAM['Pages'].__init__ = refused
    tracker = BufferTracker()
    found = {'pages': tracker.pages, 'reason': getattr(tracker, 'reason', '')}
    for case in (plain, same_bytes_written, read_into, forked, mapped_again,
                 freed_and_given_anew, neighbours, shared, blob_map,
                 written_between, hot):
        found[case.__name__] = ''.join('c' if seen else '.' for seen in case(tracker))
    found['drawn'] = drawn(tracker, seed)
    found['unchangedMs'] = unchanged_ms(tracker)
    print(json.dumps(found))
