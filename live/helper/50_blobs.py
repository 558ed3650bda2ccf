"""Blobs: content by its SHA-256, inline or as a file of the spool, signed with the kernel's key."""


class BlobRefused(Exception):
    """A blob is missing, or is not what its hash and signature say."""


def sign(content_hash):
    """Hex HMAC-SHA256 of a content hash under the kernel's key."""
    return hmac.new(HELPER.key, content_hash.encode(), 'sha256').hexdigest()


def write_blob(content, content_hash=None):
    """Content as a Blob of log/entries.ts; above INLINE_BYTES it becomes a file of the spool.

    `content_hash` saves hashing again. The file has its name only when it is whole.
    """
    view = memoryview(content).cast('B') if not isinstance(content, bytes) else content
    content_hash = content_hash or hashlib.sha256(view).hexdigest()
    blob = {'hash': content_hash, 'bytes': len(view), 'mac': sign(content_hash)}
    if len(view) <= INLINE_BYTES:
        blob['inline'] = base64.b64encode(view).decode()
        return blob
    path = os.path.join(HELPER.directory, 'spool', content_hash)
    if not os.path.exists(path) and not os.path.exists(os.path.join(HELPER.blobs, content_hash)):
        write_whole(path, view)
    return blob


def write_whole(path, content):
    """Writes a file that exists under its name only when it is complete."""
    temporary = '%s.%d.part' % (path, threading.get_ident())
    try:
        with open(temporary, 'wb', buffering=0, opener=open_private) as file:
            left = memoryview(content)
            while len(left) > 0:
                left = left[file.write(left):]
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


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
            return mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE,
                             prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except (OSError, ValueError) as error:
        raise BlobRefused('blob file %s: %s' % (path, error)) from None
