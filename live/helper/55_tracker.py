"""Whether a buffer has changed since it was last seen."""


class HashTracker:
    """Knows a buffer by hashing all of it."""

    pages = 'hash'

    def __init__(self):
        self.known = {}

    def fingerprint(self, address, nbytes, view):
        """(changed since last seen at this place, hex SHA-256 of the content)."""
        content_hash = hashlib.sha256(view).hexdigest()
        changed = self.known.get((address, nbytes)) != content_hash
        self.known[(address, nbytes)] = content_hash
        return changed, content_hash

    def write_blob(self, content, content_hash=None):
        return write_blob(content, content_hash)
