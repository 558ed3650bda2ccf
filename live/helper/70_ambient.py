"""State of a process that no name holds: a closed list of adapters, each a unit 'ambient:NAME'.

An adapter takes a plain value (picklable, compared with ==) and gives it back on a standby. Those
that are as they were at the start are not sent.
"""

# Keys of the environment that belong to a process or its host.
OWN_ENVIRONMENT = ('CUDA_', 'LD_', 'JPY_', 'NBOS_', 'DYLD_')
OWN_VARIABLES = frozenset('HOSTNAME PWD OLDPWD SHLVL _ PYTHONHASHSEED'.split())
# Loaded by the kernel when it needs them, not by the user.
KERNEL_PACKAGES = BENIGN_PACKAGES - {'tqdm', 'joblib', 'loky', 'matplotlib'} | frozenset(
    'jedi parso traitlets encodings comm pexpect ptyprocess nbos'.split()
)
AMBIENT_KIND = 'ambient'
# (name, take, give, whether it is given before the names are loaded), in the order given.
ADAPTERS = []
ABSENT = None


def adapter(name, early=False):
    """Registers a class with static take() → value or ABSENT, and give(value)."""

    def register(cls):
        ADAPTERS.append((name, cls.take, cls.give, early))
        return cls

    return register


class AmbientRecord:
    """What was last captured or applied."""

    def __init__(self):
        self.values = {}
        self.versions = {}


AMBIENT = AmbientRecord()
# Of the start, so that only changes are sent.
START = {'environment': {}, 'path': [], 'cwd': '', 'modules': frozenset()}


def remember_start():
    """Called once the agent has set the process up, before the user's first cell."""
    START['environment'] = dict(os.environ)
    Environment.seen = [None, {}]
    START['path'] = list(sys.path)
    START['cwd'] = os.getcwd()
    START['modules'] = frozenset(sys.modules)
    for name, take, give, early in ADAPTERS:
        with contextlib.suppress(Exception):
            AMBIENT.values[name] = take()


def capture_ambient():
    """The ambient units that changed since the last capture or apply."""
    units = []
    for name, take, give, early in ADAPTERS:
        try:
            value = take()
            known = AMBIENT.values.get(name)
            if value is ABSENT or value is known or value == known:
                continue
            units.append(ambient_unit(name, value))
            AMBIENT.values[name] = value
        except Exception as error:
            HELPER.kernel.log.debug('nbos: ambient %s: %s', name, error)
    return units


def ambient_unit(name, value):
    content = pickle.dumps(value, protocol=5)
    AMBIENT.versions[name] = AMBIENT.versions.get(name, 0) + 1
    return {
        'id': '%s:%s' % (AMBIENT_KIND, name),
        'version': AMBIENT.versions[name],
        'kind': AMBIENT_KIND,
        'names': [],
        'skeleton': write_blob(content),
        'buffers': [],
    }


def apply_ambient(units, early):
    """Gives values of one phase back; the list of those that failed, as in an ApplyResult."""
    failed = []
    by_name = {unit['id'].partition(':')[2]: unit for unit in units}
    for name, take, give, is_early in ADAPTERS:
        unit = by_name.get(name)
        if unit is None or is_early != early:
            continue
        try:
            value = pickle.loads(bytes(read_blob(unit['skeleton'])))
            give(value)
            AMBIENT.values[name] = value
        except Exception as error:
            message = '%s: %s: %s' % (name, type(error).__name__, error)
            failed.append({'unit': unit['id'], 'names': [], 'message': message})
        AMBIENT.versions[name] = unit['version']
    return failed


def reset_ambient():
    """As at the start, for what was set since. The rest is set when its unit is applied."""
    for name, take, give, early in ADAPTERS:
        if name in ('environment', 'path', 'cwd'):
            with contextlib.suppress(Exception):
                give({} if name == 'environment' else START[name])
                AMBIENT.values[name] = take()


@adapter('path', early=True)
class SearchPath:
    @staticmethod
    def take():
        return list(sys.path)

    @staticmethod
    def give(value):
        import importlib

        sys.path[:] = value
        importlib.invalidate_caches()


@adapter('cwd', early=True)
class WorkingDirectory:
    @staticmethod
    def take():
        return os.getcwd()

    @staticmethod
    def give(value):
        os.chdir(value)


@adapter('environment', early=True)
class Environment:
    """Keys that were set, changed or (None) removed since the start."""

    # The environment at the last look, and what it gave.
    seen = [None, {}]

    @staticmethod
    def take():
        now = getattr(os.environ, '_data', None)
        if now is None or now != Environment.seen[0]:
            Environment.seen = [dict(now or {}), Environment.changed()]
        return Environment.seen[1]

    @staticmethod
    def changed():
        start = START['environment']
        changed = {k: v for k, v in os.environ.items() if start.get(k) != v and is_users(k)}
        changed.update((k, None) for k in start if k not in os.environ and is_users(k))
        return changed

    @staticmethod
    def give(value):
        for key in Environment.take():
            if key not in value:
                put_variable(key, START['environment'].get(key))
        for key, text in value.items():
            put_variable(key, text)


def is_users(key):
    return not key.startswith(OWN_ENVIRONMENT) and key not in OWN_VARIABLES


def put_variable(key, text):
    if text is None:
        os.environ.pop(key, None)
    else:
        os.environ[key] = text


@adapter('imports', early=True)
class Imports:
    """Modules loaded since the start, in order; loading them again runs their effects again."""

    # How many modules there were at the last look, and what it gave.
    seen = [0, ()]

    @staticmethod
    def take():
        if len(sys.modules) != Imports.seen[0]:
            Imports.seen = [len(sys.modules), tuple(Imports.loaded())]
        return Imports.seen[1] or ABSENT

    @staticmethod
    def loaded():
        for name, module in list(sys.modules.items()):
            if name in START['modules'] or name.split('.')[0] in KERNEL_PACKAGES:
                continue
            # Other names of a module, and modules that were made by hand, cannot be found again.
            if getattr(getattr(module, '__spec__', None), 'name', None) == name:
                yield name

    @staticmethod
    def give(value):
        import importlib

        missing = [name for name in value if name not in sys.modules]
        if not missing:
            return
        with packages_at_rest():
            for name in missing:
                # What is not found here is told by the unit that needs it.
                with contextlib.suppress(BaseException):
                    importlib.import_module(name)


@adapter('extensions', early=True)
class Extensions:
    @staticmethod
    def take():
        return sorted(HELPER.shell.extension_manager.loaded)

    @staticmethod
    def give(value):
        for name in value:
            if name not in HELPER.shell.extension_manager.loaded:
                HELPER.shell.extension_manager.load_extension(name)
