"""Packages that change on disk while they are loaded, and the wait for a pip that is at work."""

PACKAGE_FOLDERS = ('site-packages', 'dist-packages')
# Held by a pip to its end; see agent/kernel/packages.ts.
PIP_LOCK = os.path.join(sys.prefix, '.lock')
PIP_PATIENCE_S = 20


def search_user_site():
    """Where pip puts packages is searched from the first one on.

    A folder that was not there when Python started is not on its path.
    """
    import site

    folder = site.getusersitepackages() if site.ENABLE_USER_SITE else ''
    if not os.environ.get('PYTHONUSERBASE') or not folder or folder in sys.path:
        return
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        before = list(sys.path)
        site.addsitedir(folder)
        added = [path for path in sys.path if path not in before]
        # Before those of the system, as it would be had it been there.
        at = [os.path.basename(path) in PACKAGE_FOLDERS for path in before] + [True]
        sys.path[:] = before[:at.index(True)] + added + before[at.index(True):]


class LoadedPackages:
    """What an import of each loaded package would find, as it was when it was loaded.

    A process cannot load a package again as it is now: modules of two versions would mix. So a
    standby that holds an outdated one is started anew.
    """

    def __init__(self):
        # folder -> (its time of change, top-level name -> entry)
        self.listed = {}
        self.found = {}
        self.modules = 0
        # Loaded packages that are others on disk now; it only grows.
        self.outdated = set()
        self.look()

    def look(self):
        """Cheap when nothing was installed and nothing loaded since the last look."""
        if self.list_folders():
            import importlib

            importlib.invalidate_caches()
            for name, before in self.found.items():
                if before is not None and self.find(name) != before:
                    self.outdated.add(name)
        if len(sys.modules) == self.modules:
            return
        self.modules = len(sys.modules)
        for name in {module.partition('.')[0] for module in list(sys.modules)}:
            if name not in self.found:
                self.found[name] = self.find(name)

    def list_folders(self):
        """Whether anything was installed or removed since the last look."""
        is_new = False
        for folder in sys.path:
            if os.path.basename(folder) not in PACKAGE_FOLDERS:
                continue
            stat = stat_of(folder)
            time_of_change = stat.st_mtime_ns if stat else 0
            if folder in self.listed and self.listed[folder][0] == time_of_change:
                continue
            is_new = True
            entries = {}
            with contextlib.suppress(OSError):
                # A package comes before what goes with it: numpy, numpy.libs.
                for entry in sorted(os.listdir(folder)):
                    entries.setdefault(entry.partition('.')[0], entry)
            self.listed[folder] = (time_of_change, entries)
        return is_new

    def find(self, name):
        """The files that an import of `name` would begin with, None for what is no package."""
        for folder in sys.path:
            entry = self.listed[folder][1].get(name) if folder in self.listed else None
            if entry is None:
                continue
            path = os.path.join(folder, entry)
            stat, first = stat_of(path), stat_of(os.path.join(path, '__init__.py'))
            if stat is None:
                continue
            # The time of a folder changes when compiled files are first put into it.
            when = first or stat
            return (path, stat.st_ino, when.st_ino, when.st_mtime_ns, when.st_size)
        return None


def stat_of(path):
    try:
        return os.stat(path)
    except OSError:
        return None


@contextlib.contextmanager
def packages_at_rest():
    """Inside, no pip of this environment is at work; after a time without patience it may be."""
    lock = None
    with contextlib.suppress(OSError):
        lock = os.open(PIP_LOCK, os.O_RDWR)
    late = time.monotonic() + PIP_PATIENCE_S
    try:
        while lock is not None and time.monotonic() < late:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)
        yield
    finally:
        if lock is not None:
            os.close(lock)


LOADED_PACKAGES = LoadedPackages()
