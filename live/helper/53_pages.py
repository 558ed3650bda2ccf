"""Which pages of this process were written: userfaultfd write protection and PAGEMAP_SCAN.

Needs Linux 6.7. The kernel marks a page when it is first written after it was protected, whoever
writes (Python, C, the kernel's own copies), without a signal or a thread of ours. Registration goes
with the mapping: memory that was unmapped and mapped again is not registered and says so.
"""

SYSCALL_USERFAULTFD = {'x86_64': 323, 'aarch64': 282}
UFFD_USER_MODE_ONLY = 1
UFFD_API = 0xAA
# Bits of struct uffdio_api.features: PAGEFAULT_FLAG_WP, WP_UNPOPULATED, WP_ASYNC.
UFFD_FEATURES = (1 << 0) | (1 << 13) | (1 << 15)
UFFDIO_API = 0xC018AA3F
UFFDIO_REGISTER = 0xC020AA00
UFFDIO_WRITEPROTECT = 0xC018AA06
REGISTER_MODE_WP = 2
WRITEPROTECT_MODE_WP = 1
PAGEMAP_SCAN = 0xC0606610
PM_SCAN_CHECK_WPASYNC = 2
PAGE_IS_WRITTEN = 2
PAGE_IS_FILE = 4
PAGE = mmap.PAGESIZE


class NoPages(Exception):
    """This kernel, or this sandbox, has no page tracking that does what we need."""


class Pages:
    """Ranges are [start, end) in bytes, both multiples of PAGE."""

    def __init__(self):
        """Raises NoPages unless a trial on memory of its own gives what it must."""
        import ctypes

        number = SYSCALL_USERFAULTFD.get(platform.machine())
        if not sys.platform.startswith('linux') or number is None:
            raise NoPages('not a Linux that is known here')
        self.ctypes = ctypes
        self.libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_CLOEXEC | os.O_NONBLOCK | UFFD_USER_MODE_ONLY
        self.faults = self.libc.syscall(number, flags)
        if self.faults < 0:
            raise NoPages('userfaultfd: %s' % os.strerror(ctypes.get_errno()))
        self.pagemap = -1
        self.regions = (ctypes.c_uint64 * 3)()
        self.argument = bytearray(96)
        try:
            request = bytearray(struct.pack('QQQ', UFFD_API, UFFD_FEATURES, 0))
            fcntl.ioctl(self.faults, UFFDIO_API, request)
            self.pagemap = os.open('/proc/self/pagemap', os.O_RDONLY | os.O_CLOEXEC)
            self.try_out()
        except OSError as error:
            self.close()
            raise NoPages(str(error)) from None
        except NoPages:
            self.close()
            raise

    def close(self):
        os.close(self.faults)
        if self.pagemap >= 0:
            os.close(self.pagemap)

    def protect(self, start, end):
        """From now on written(start, end) tells of writes. Raises OSError on foreign mappings."""
        try:
            self.write_protect(start, end)
        except OSError:
            # The range is new, or has parts that are.
            request = bytearray(struct.pack('QQQQ', start, end - start, REGISTER_MODE_WP, 0))
            fcntl.ioctl(self.faults, UFFDIO_REGISTER, request)
            self.write_protect(start, end)

    def write_protect(self, start, end):
        request = bytearray(struct.pack('QQQ', start, end - start, WRITEPROTECT_MODE_WP))
        fcntl.ioctl(self.faults, UFFDIO_WRITEPROTECT, request)

    def written(self, start, end):
        """Whether any page was written since protect; also true where nothing protects any more."""
        return self.scan(start, end, PAGE_IS_WRITTEN)

    def of_file(self, start, end):
        """Whether any page is of a file or shared: others may write it and we would not see."""
        return self.scan(start, end, PAGE_IS_FILE, 0)

    def scan(self, start, end, kind, flags=PM_SCAN_CHECK_WPASYNC):
        struct.pack_into('12Q', self.argument, 0, 96, flags, start, end, 0,
                         self.ctypes.addressof(self.regions), 1, 1, 0, kind, 0, kind)
        try:
            return fcntl.ioctl(self.pagemap, PAGEMAP_SCAN, self.argument) != 0
        except OSError:
            return True

    def try_out(self):
        """A trial: written, untouched, given back and never registered pages must differ."""
        with mmap.mmap(-1, 4 * PAGE, flags=mmap.MAP_PRIVATE) as memory:
            memory[:] = b'\1' * (4 * PAGE)
            view = self.ctypes.c_char.from_buffer(memory)
            start = self.ctypes.addressof(view)
            del view
            if not self.written(start, start + PAGE):
                raise NoPages('a page that was never registered counts as clean')
            self.protect(start, start + 4 * PAGE)
            if self.written(start, start + 4 * PAGE):
                raise NoPages('a page counts as written that was not')
            memory[PAGE] = 2
            memory.madvise(mmap.MADV_DONTNEED, 2 * PAGE, PAGE)
            seen = [self.written(start + at * PAGE, start + (at + 1) * PAGE) for at in range(4)]
            if seen != [False, True, True, False]:
                raise NoPages('written pages are not told from others: %s' % seen)
