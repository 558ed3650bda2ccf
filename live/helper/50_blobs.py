"""Blobs: content by its SHA-256, inline or as a file of the spool, signed with the kernel's key."""


CHUNK_BYTES = 1 << 20
# start -> end of private maps of blob files. Blobs never change, so nobody else writes there.
BLOB_MAPS = {}


class BlobRefused(Exception):
    """A blob is missing, or is not what its hash and signature say."""


def sign(content_hash):
    """Hex HMAC-SHA256 of a content hash under the kernel's key."""
    return hmac.new(HELPER.key, content_hash.encode(), 'sha256').hexdigest()


def write_blob(content, content_hash=None, is_still=None):
    """Content as a Blob of log/entries.ts; above INLINE_BYTES it becomes a file of the spool.

    `content_hash`, when it is known, saves writing what is there already. `is_still` says, after
    it is written, whether it has not changed since it was hashed.
    """
    view = memoryview(content).cast('B')
    if view.nbytes > INLINE_BYTES:
        if isinstance(content, bytes):
            is_still = never_changes
        content_hash = spool(view, content_hash, is_still)
        return {'hash': content_hash, 'bytes': view.nbytes, 'mac': sign(content_hash)}
    inline = bytes(view)
    content_hash = hashlib.sha256(inline).hexdigest()
    return {'hash': content_hash, 'bytes': len(inline), 'mac': sign(content_hash),
            'inline': base64.b64encode(inline).decode()}


def never_changes():
    return True


def spool(view, content_hash, is_still):
    """Writes a blob's file unless there is one; its hash."""
    if content_hash is not None and is_blob_there(content_hash):
        return content_hash
    folder = os.path.join(HELPER.directory, 'spool')
    temporary = os.path.join(folder, '%x.part' % time.time_ns())
    with whole_file(temporary) as file:
        if content_hash is not None and is_still is not None:
            write_all(file, view)
        if content_hash is None or is_still is None or not is_still():
            content_hash = copy_and_hash(view, file)
        os.rename(temporary, os.path.join(folder, content_hash))
    return content_hash


def copy_and_hash(view, file):
    """Each chunk is copied, then hashed and written: a thread of the user that writes on cannot
    make the file another than its name says."""
    file.seek(0)
    file.truncate()
    digest = hashlib.sha256()
    for at in range(0, view.nbytes, CHUNK_BYTES):
        chunk = bytes(view[at:at + CHUNK_BYTES])
        digest.update(chunk)
        write_all(file, chunk)
    return digest.hexdigest()


def is_blob_there(content_hash):
    spooled = os.path.join(HELPER.directory, 'spool', content_hash)
    return os.path.exists(spooled) or os.path.exists(os.path.join(HELPER.blobs, content_hash))


def write_whole(path, content):
    """Writes a file that exists under its name only when it is complete."""
    temporary = path + '.part'
    with whole_file(temporary) as file:
        write_all(file, content)
        os.rename(temporary, path)


@contextlib.contextmanager
def whole_file(temporary):
    """A new private file for writing; removed when its writer raises."""
    try:
        with open(temporary, 'wb', buffering=0, opener=open_private) as file:
            yield file
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_all(file, content):
    left = memoryview(content)
    while len(left) > 0:
        left = left[file.write(left):]


def open_private(path, flags):
    return os.open(path, flags, 0o600)


def read_blob(blob):
    """The content of a Blob, verified: bytes when inline, else a private map of its file.

    The map is copy-on-write, so that arrays can lie on it and be changed. Raises BlobRefused.
    """
    content_hash = blob['hash']
    if not hmac.compare_digest(sign(content_hash), blob['mac']):
        raise BlobRefused('blob %s is not signed with the key of this kernel' % content_hash)
    if 'inline' in blob:
        content = base64.b64decode(blob['inline'])
    else:
        content = map_file(os.path.join(HELPER.blobs, content_hash), blob['bytes'])
    if len(content) != blob['bytes'] or hashlib.sha256(content).hexdigest() != content_hash:
        raise BlobRefused('blob %s has other content than its name says' % content_hash)
    return content


def map_file(path, size):
    if size == 0:
        return b''
    try:
        with open(path, 'rb') as file:
            content = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE,
                                prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except (OSError, ValueError) as error:
        raise BlobRefused('blob file %s: %s' % (path, error)) from None
    import ctypes

    start = ctypes.addressof(ctypes.c_char.from_buffer(content))
    BLOB_MAPS[start] = start + -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    weakref.finalize(content, BLOB_MAPS.pop, start, None)
    return content
