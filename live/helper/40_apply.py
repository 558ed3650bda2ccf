"""Taking units that another process captured."""

import io
import linecache
import pickle
import sys

LOADING = None
# Of a name whose value was lost with what led to it.
LOST = Placeholder('value', 'it could not be pickled')


class Load:
    """One apply: what the functions that rebuild objects need to know."""

    def __init__(self, user_ns, registry):
        self.user_ns = user_ns
        self.registry = registry
        # class id -> its unit on the way in, and its declaration as pickle
        self.bringing = {}
        self.settled = set()
        # classes live here until something else refers to them
        self.held = []

    def class_of(self, class_id):
        """The class of an id: the one that is there, changed if need be, or a new one."""
        known = self.registry.class_of(class_id)
        unit, declared = self.bringing.get(class_id, (None, None))
        if unit is None or class_id in self.settled:
            if known is None:
                raise LookupError(f'class {class_id} is neither here nor part of the update')
            return known
        self.settled.add(class_id)
        declared = load_pickle(declared, ())
        if known is None or not can_become(known, declared):
            known = make_class(declared)
            self.registry.learn_class(class_id, known)
        elif known.__bases__ != declared['bases']:
            known.__bases__ = declared['bases']
        type.__setattr__(known, '__name__', declared['name'])
        type.__setattr__(known, '__qualname__', declared['qualname'])
        self.held.append(known)
        # With its methods, before an instance of it is made.
        unit.try_to_load()
        return known


class StateUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module == REBUILD_MODULE.__name__:
            return getattr(REBUILD_MODULE, name)
        if module in BY_NAME_ONLY and name in LOADING.user_ns:
            return LOADING.user_ns[name]
        return super().find_class(module, name)


def load_pickle(content, buffers):
    return StateUnpickler(io.BytesIO(content), buffers=buffers).load()


class LoadedUnit:
    """A unit on its way in."""

    def __init__(self, unit, read_blob):
        self.unit = unit
        content = read_blob(unit['skeleton'])
        outer = pickle.loads(content)
        if outer['v'] != SKELETON_FORMAT:
            raise ValueError(f'state of format {outer["v"]}, this helper reads {SKELETON_FORMAT}')
        self.outer = outer
        self.classes = outer['classes']
        self.buffers = [read_blob(blob) for blob in unit['buffers']]
        self.nbytes = len(content) + sum(blob['bytes'] for blob in unit['buffers'])
        self.items = self.error = None
        self.busy = False

    def try_to_load(self):
        """Sets `items`, or `error`; nothing while it is at it already."""
        if self.busy or self.items is not None:
            return
        self.busy = True
        try:
            for class_id, _ in self.classes:
                LOADING.class_of(class_id)
            self.items = load_pickle(self.outer['body'], self.buffers)
        except Exception as error:
            self.error = error
        finally:
            self.busy = False


def apply_state(user_ns, update, registry, read_blob):
    """See 10_registry.py. A unit that fails stays as it was; the others are taken."""
    global LOADING
    if update['reset']:
        remove_names(user_ns, registry, list(registry.bound))
        registry.clear()
    failed, loaded = [], []
    before, LOADING = LOADING, Load(user_ns, registry)
    try:
        for unit in update['units']:
            if unit['kind'] == 'ambient':
                continue
            try:
                each = LoadedUnit(unit, read_blob)
                for class_id, declared in each.classes:
                    LOADING.bringing[class_id] = (each, declared)
                loaded.append(each)
            except Exception as error:
                failed.append(failure_of(unit, error))
        # What fails is tried once more, after the others.
        for each in loaded + loaded:
            each.try_to_load()
        for each in loaded:
            if each.items is None:
                failed.append(failure_of(each.unit, each.error))
            else:
                take_unit(user_ns, registry, each)
    finally:
        LOADING = before
    for unit_id in update['dropped']:
        if unit_id in registry.units:
            remove_unit(registry, unit_id)
    bound = {key for record in registry.units.values() for kind, key in record.roots if kind == 'n'}
    remove_names(user_ns, registry, [name for name in registry.bound if name not in bound])
    return {'failed': failed}


def failure_of(unit, error):
    return {
        'unit': unit['id'],
        'names': unit['names'],
        'message': f'{type(error).__name__}: {error}'[:500],
    }


def take_unit(user_ns, registry, loaded):
    outer, unit = loaded.outer, loaded.unit
    for filename, source in outer['sources']:
        if filename not in linecache.cache:
            lines = source.splitlines(True)
            linecache.cache[filename] = (len(source), None, lines, filename)
    values = {item[1]: item[2] for item in loaded.items if type(item) is list and item[0] == 'n'}
    for name in outer['names']:
        value = values.get(name, LOST)
        bind(user_ns, name, value)
        registry.bound[name] = id(value)
    roots = [('c', class_id) for class_id, _ in outer['classes']]
    roots += [('n', name) for name in outer['names']]
    record = UnitRecord(unit['id'], unit['version'], tuple(sorted(roots)))
    record.digest = unit['skeleton']['hash']
    record.hashes = [blob['hash'] for blob in unit['buffers']]
    record.classes, record.globals = map(frozenset, outer['refers'])
    record.reasons = dict(outer['reasons'])
    record.nbytes = loaded.nbytes
    registry.clock = max(registry.clock, unit['version'])
    for blob in unit['buffers']:
        if 'inline' not in blob:
            registry.blobs[blob['hash']] = blob
    replace_unit(registry, record)


def bind(user_ns, name, value):
    shell = shell_of(user_ns)
    if name.startswith('Out['):
        count = int(name[4:-1])
        user_ns.setdefault('Out', {})[count] = value
        user_ns[f'_{count}'] = value
        return
    user_ns[name] = value
    if name in LAST_OUTPUTS and shell is not None:
        # IPython goes on with these only where they are its own.
        setattr(shell.displayhook, name, value)
        # IPython 9 takes a value that is not the hidden one for the user's own, and keeps it.
        shell.user_ns_hidden[name] = value


def shell_of(user_ns):
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    return shell if shell is not None and shell.user_ns is user_ns else None


def remove_names(user_ns, registry, names):
    for name in names:
        registry.bound.pop(name, None)
        if name.startswith('Out['):
            user_ns.get('Out', {}).pop(int(name[4:-1]), None)
            user_ns.pop(f'_{name[4:-1]}', None)
        elif name in registry.hidden and name in user_ns:
            # the name of IPython's own that the user had taken
            user_ns.pop(name)
        else:
            user_ns.pop(name, None)
