"""Whether a buffer has changed since it was last seen, and its hash."""

# Below this size hashing is cheaper than asking the kernel.
TRACKED_BYTES = 64 * 1024
# A buffer that changed this many times in a row is hashed without protecting it: the faults of
# its next writes would cost more than they save. Protected again once it stood still.
HOT_CHANGES = 4
# Buffers remembered; more than this and those not seen for longest are forgotten.
KNOWN_BUFFERS = 100_000
# Each watched buffer may split a mapping in three, and a process has 65,530 of them.
WATCHED_BUFFERS = 10_000


class KnownBuffer:
    """What was at an address. Not an object: the memory may have been freed and given anew."""

    __slots__ = ('hash', 'edges', 'start', 'end', 'tracked', 'changes')

    def __init__(self):
        self.hash = None
        self.edges = 0
        self.start = self.end = 0
        self.tracked = False
        self.changes = 0


class BufferTracker:
    """Finds changed buffers by pages where the kernel can, else by hashing all of them.

    An entry says: these bytes had this hash when their whole pages were last protected. That holds
    for whatever object lies there now, so freed and reused memory needs no special care. Bytes on
    the first and last page, which neighbours may share, are compared on their own.
    """

    def __init__(self):
        self.known = {}
        # Watched page ranges do not overlap: their starts in order, and whose they are.
        self.starts = []
        self.owners = {}
        try:
            self.pages_of = Pages()
            self.pages = 'userfaultfd'
        except NoPages as reason:
            self.pages_of = None
            self.pages = 'hash'
            self.reason = str(reason)

    def fingerprint(self, address, nbytes, view):
        """(whether it changed since last seen at this place, hex SHA-256 of the content now)."""
        key = (address, nbytes)
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = KnownBuffer()
            self.forget_oldest()
        elif known.tracked and self.is_untouched(known, address, view):
            known.changes = 0
            return False, known.hash
        known.changes += 1
        # Protected first, read second: a write in between is seen next time.
        known.tracked = self.protect(known, address, nbytes, view)
        if known.tracked:
            known.edges = self.edges_of(known, address, view)
        before, known.hash = known.hash, hashlib.sha256(view).hexdigest()
        if known.hash == before:
            known.changes = 0
        return known.hash != before, known.hash

    def is_untouched(self, known, address, view):
        if self.pages_of.written(known.start, known.end):
            return False
        return known.edges == self.edges_of(known, address, view)

    def edges_of(self, known, address, view):
        """A hash of the bytes before the first and after the last whole page."""
        return hash((bytes(view[:known.start - address]), bytes(view[known.end - address:])))

    def protect(self, known, address, nbytes, view):
        """Starts watching a buffer's whole pages; False when it has to be hashed next time."""
        full = len(self.starts) >= WATCHED_BUFFERS and not known.tracked
        hot = known.changes >= HOT_CHANGES
        if self.pages_of is None or nbytes < TRACKED_BYTES or hot or full:
            self.release(known)
            return False
        known.start = -(-address // PAGE) * PAGE
        known.end = (address + nbytes) // PAGE * PAGE
        try:
            if self.is_foreign(known, view[known.start - address]):
                raise OSError('shared, or a file that others may write')
            self.pages_of.protect(known.start, known.end)
        except OSError:
            self.release(known)
            return False
        if not known.tracked:
            self.own(known)
        return True

    def is_foreign(self, known, first_byte):
        """Whether others may write this memory; `first_byte` was read so that a page is there."""
        if any(start <= known.start and known.end <= end for start, end in BLOB_MAPS.items()):
            return False
        return self.pages_of.of_file(known.start, known.end)

    def own(self, known):
        """Protecting cleared the marks of these pages for every other entry that lies on them."""
        at = bisect.bisect_left(self.starts, known.start)
        if at > 0 and self.owners[self.starts[at - 1]].end > known.start:
            at -= 1
        last = at
        while last < len(self.starts) and self.starts[last] < known.end:
            self.owners.pop(self.starts[last]).tracked = False
            last += 1
        self.starts[at:last] = [known.start]
        self.owners[known.start] = known

    def release(self, known):
        if known.tracked:
            known.tracked = False
            del self.owners[known.start]
            del self.starts[bisect.bisect_left(self.starts, known.start)]

    def forget_oldest(self):
        if len(self.known) <= KNOWN_BUFFERS:
            return
        for key in list(self.known)[:KNOWN_BUFFERS // 4]:
            self.release(self.known.pop(key))

    def write_blob(self, content, content_hash=None):
        """Content as a Blob of log/entries.ts; `content_hash` is what fingerprint said of it."""
        if isinstance(content, bytes):
            return write_blob(content, content_hash)
        view = memoryview(content).cast('B')
        address = address_of_buffer(view)
        known = self.known.get((address, view.nbytes))

        def is_still():
            return known.tracked and known.hash == content_hash and self.is_untouched(
                known, address, view)

        return write_blob(view, content_hash, is_still if known is not None else None)
