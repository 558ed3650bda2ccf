"""How objects of the standard library are taken apart where pickle does not, or not well."""

import array
import functools
import gc
import importlib
import linecache
import marshal
import types
import typing
import weakref

BY_NAME_ONLY = ('__main__', '__mp_main__', None)
NAMED_TYPES = {
    value: name for name, value in vars(types).items()
    if isinstance(value, type) and value.__module__ != 'types'
}
HEAP_TYPE = 1 << 9


def classify(run, cls):
    """Finds and remembers how objects of a type are reduced; None for pickle's own way."""
    handler = None
    if issubclass(cls, type):
        handler = reduce_class
    elif issubclass(cls, enum.Enum):
        handler = share_freely
    elif refusal_of(cls) is not None:
        handler = reduce_refused
    else:
        for base in cls.__mro__:
            handler = HANDLERS_OF_BASES.get(f'{base.__module__}.{base.__qualname__}')
            if handler is not None:
                break
    run.handlers[cls] = handler
    return handler


def share_freely(pickler, obj):
    pickler.run.frozen.add(id(obj))
    return NotImplemented


def is_importable(obj):
    """Whether the name that a class or function gives for itself leads to it, outside __main__."""
    module = getattr(obj, '__module__', None)
    if module in BY_NAME_ONLY:
        return False
    found = sys.modules.get(module)
    if found is None:
        return False
    for part in obj.__qualname__.split('.'):
        found = getattr(found, part, None)
    return found is obj


def reduce_function(pickler, function):
    if is_importable(function):
        return share_freely(pickler, function)
    code = function.__code__
    space = function.__globals__
    if space is pickler.run.user_ns:
        space = None
        pickler.findings.globals |= names_used(code)
    elif getattr(sys.modules.get(space.get('__name__')), '__dict__', None) is space:
        space = space['__name__']
    state = {
        'name': function.__name__,
        'qualname': function.__qualname__,
        'module': function.__module__,
        'doc': function.__doc__,
        'defaults': function.__defaults__,
        'kwdefaults': function.__kwdefaults__,
        'dict': function.__dict__ or None,
        'annotations': annotations_of(function) or None,
        'type_params': getattr(function, '__type_params__', None) or None,
    }
    state = {key: value for key, value in state.items() if value is not None}
    return make_function, (code, space, function.__closure__), state, None, None, set_function


def annotations_of(function):
    try:
        return function.__annotations__
    except Exception:
        # evaluated late, and not possible now
        return None


@rebuilder
def make_function(code, space, closure):
    if space is None:
        space = LOADING.user_ns
    elif isinstance(space, str):
        space = importlib.import_module(space).__dict__
    return types.FunctionType(code, space, code.co_name, None, closure)


@rebuilder
def set_function(function, state):
    for key, value in state.items():
        if key == 'dict':
            function.__dict__.update(value)
        else:
            setattr(function, f'__{key}__', value)


def names_used(code):
    """Names that code and the code inside it may look up; '*' when it can reach any."""
    found = set(code.co_names)
    if not found.isdisjoint(('globals', 'exec', 'eval')):
        import dis

        for step in dis.get_instructions(code):
            if step.opname in ('LOAD_GLOBAL', 'LOAD_NAME') and step.argval in (
                'globals', 'exec', 'eval',
            ):
                found.add('*')
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            found |= names_used(constant)
    return found


def reduce_code(pickler, code):
    """Version 2 of marshal writes the same bytes each time: it does not look at references."""
    pickler.run.frozen.add(id(code))
    known = linecache.cache.get(code.co_filename)
    if known is not None and len(known) == 4 and known[1] is None:
        pickler.findings.sources[code.co_filename] = ''.join(known[2])
    try:
        return load_code, (marshal.dumps(code, 2),)
    except ValueError:
        return load_code, (marshal.dumps(code),)


@rebuilder
def load_code(content):
    return marshal.loads(content)


def reduce_cell(pickler, cell):
    try:
        return make_cell, (), (cell.cell_contents,), None, None, set_cell
    except ValueError:
        return make_cell, ()


@rebuilder
def make_cell():
    return types.CellType()


@rebuilder
def set_cell(cell, state):
    cell.cell_contents = state[0]


def reduce_method(pickler, method):
    owner, function = method.__self__, method.__func__
    # Looked up without running code of the owner (`__getattr__`).
    for base in (owner if isinstance(owner, type) else type(owner)).__mro__:
        found = vars(base).get(getattr(function, '__name__', ''))
        if found is not None:
            if getattr(found, '__func__', found) is function:
                return NotImplemented
            break
    return types.MethodType, (function, owner)


def reduce_module(pickler, module):
    pickler.run.frozen.add(id(module))
    name = module.__name__
    if name == 'builtins':
        pickler.findings.near_namespace = True
    if getattr(module, '__dict__', None) is pickler.run.user_ns:
        return user_module, ()
    if sys.modules.get(name) is module:
        return import_named, (name, submodules_of(pickler.run, module))
    pickler.run.frozen.discard(id(module))
    state = {key: value for key, value in vars(module).items() if key != '__builtins__'}
    return types.ModuleType, (name,), state


def submodules_of(run, module):
    """Loaded modules of a package, which `import a.b` adds to it. Not NumPy's and the like."""
    if not hasattr(module, '__path__'):
        return ()
    if run.submodules is None:
        run.submodules = {}
        for name in list(sys.modules):
            top, dot, rest = name.partition('.')
            if dot and '._' not in name:
                run.submodules.setdefault(top, []).append(name)
    prefix = module.__name__ + '.'
    loaded = run.submodules.get(module.__name__.partition('.')[0], ())
    return tuple(sorted(name for name in loaded if name.startswith(prefix)))


@rebuilder
def import_named(name, submodules):
    module = importlib.import_module(name)
    for each in submodules:
        if each not in sys.modules:
            try:
                importlib.import_module(each)
            except Exception:
                # made by other means than an import; the package itself is there
                pass
    return module


@rebuilder
def user_module():
    return sys.modules['__main__']


@rebuilder
def user_namespace():
    return LOADING.user_ns


def reduce_shell(pickler, shell):
    pickler.run.frozen.add(id(shell))
    pickler.findings.near_namespace = True
    return the_shell, ()


@rebuilder
def the_shell():
    return sys.modules['IPython'].get_ipython()


def reduce_property(pickler, value):
    return property, (value.fget, value.fset, value.fdel, value.__doc__)


def reduce_wrapped(pickler, value):
    return type(value), (value.__func__,)


def reduce_cached_property(pickler, value):
    if type(value) is not functools.cached_property:
        return NotImplemented
    return make_cached_property, (value.func, value.attrname)


@rebuilder
def make_cached_property(function, name):
    value = functools.cached_property(function)
    value.attrname = name
    return value


def reduce_lru_cache(pickler, wrapper):
    """The function with an empty cache."""
    if is_importable(wrapper):
        return NotImplemented
    kept = wrapper.cache_parameters() if hasattr(wrapper, 'cache_parameters') else {}
    kept = (kept.get('maxsize', 128), kept.get('typed', False))
    return functools._lru_cache_wrapper, (
        wrapper.__wrapped__, *kept, functools._CacheInfo,
    ), dict(vars(wrapper)), None, None, set_lru_cache


@rebuilder
def set_lru_cache(wrapper, state):
    vars(wrapper).update(state)


def reduce_proxy(pickler, proxy):
    # dataclasses share one among all their fields
    pickler.run.frozen.add(id(proxy))
    return types.MappingProxyType, (dict(proxy),)


def reduce_view(pickler, view):
    viewed = [each for each in gc.get_referents(view) if isinstance(each, dict)]
    return view_of, (viewed[0], type(view).__name__.rpartition('_')[2])


@rebuilder
def view_of(mapping, kind):
    return getattr(mapping, kind)()


def reduce_memoryview(pickler, view):
    if view.obj is None or view.nbytes != memoryview(view.obj).nbytes:
        return pickler.placeholder('memoryview', 'it shows a part of its object')
    return memoryview, (view.obj,)


def reduce_weakref(pickler, reference):
    if type(reference) is not weakref.ref:
        return NotImplemented
    return make_weakref, (reference(),)


@rebuilder
def make_weakref(target):
    if target is None:
        target = Placeholder('object', 'it was gone')
    return weakref.ref(target)


def reduce_weak_container(pickler, container):
    content = list(container.items() if hasattr(container, 'items') else container)
    return make_weak_container, (type(container),), content, None, None, fill_weak_container


@rebuilder
def make_weak_container(cls):
    return cls()


@rebuilder
def fill_weak_container(container, content):
    container.update(content)


def reduce_type_variable(pickler, variable):
    """The same object for all units: what refers to it compares it by identity."""
    if variable.__module__ not in BY_NAME_ONLY and is_named(variable):
        return share_freely(pickler, variable)
    pickler.run.frozen.add(id(variable))
    kind = type(variable)
    options = {}
    if kind is typing.TypeVar:
        for name in ('covariant', 'contravariant'):
            options[name] = getattr(variable, f'__{name}__')
        if variable.__bound__ is not None:
            options['bound'] = variable.__bound__
    arguments = (variable.__name__, *getattr(variable, '__constraints__', ()))
    return made_once, (key_of_once(pickler.run.registry, variable), kind, arguments, options)


def reduce_new_type(pickler, value):
    if value.__module__ not in BY_NAME_ONLY:
        return share_freely(pickler, value)
    pickler.run.frozen.add(id(value))
    arguments = (value.__name__, value.__supertype__)
    return made_once, (key_of_once(pickler.run.registry, value), typing.NewType, arguments, {})


def is_named(obj):
    return getattr(sys.modules.get(obj.__module__), obj.__name__, None) is obj


def key_of_once(registry, obj):
    for key, known in registry.once.items():
        if known is obj:
            return key
    key = os.urandom(6).hex()
    registry.once[key] = obj
    return key


@rebuilder
def made_once(key, kind, arguments, options):
    once = LOADING.registry.once
    if key not in once:
        once[key] = kind(*arguments, **options)
        once[key].__module__ = '__main__'
    return once[key]


def reduce_array_module(pickler, value):
    if len(value) * value.itemsize < OUT_OF_BAND_BYTES or type(value) is not array.array:
        return NotImplemented
    return make_array, (value.typecode, pickle.PickleBuffer(value))


@rebuilder
def make_array(typecode, content):
    value = array.array(typecode)
    value.frombytes(content)
    return value


def reduce_log_handler(pickler, handler):
    """Everything but its lock, which a new one takes the place of."""
    state = {key: value for key, value in vars(handler).items() if key != 'lock'}
    return make_log_handler, (type(handler),), state, None, None, set_log_handler


@rebuilder
def make_log_handler(cls):
    return cls.__new__(cls)


@rebuilder
def set_log_handler(handler, state):
    vars(handler).update(state)
    handler.createLock()


def reduce_sentinel(pickler, obj):
    """Objects of dataclasses that are compared by identity."""
    import dataclasses

    pickler.run.frozen.add(id(obj))
    for name, value in vars(dataclasses).items():
        if value is obj:
            return dataclass_sentinel, (name,)
    return NotImplemented


@rebuilder
def dataclass_sentinel(name):
    import dataclasses

    return getattr(dataclasses, name)


def reduce_environment(pickler, obj):
    if obj is not os.environ:
        return NotImplemented
    pickler.run.frozen.add(id(obj))
    return the_environment, ()


@rebuilder
def the_environment():
    return os.environ


# Buffers of at least this many bytes lie outside a unit's skeleton, each a blob of its own.
OUT_OF_BAND_BYTES = 16 * 1024

HANDLERS = {
    Placeholder: reduce_placeholder,
    types.FunctionType: reduce_function,
    types.CodeType: reduce_code,
    types.CellType: reduce_cell,
    types.MethodType: reduce_method,
    types.ModuleType: reduce_module,
    types.MappingProxyType: reduce_proxy,
    functools._lru_cache_wrapper: reduce_lru_cache,
    type({}.keys()): reduce_view,
    type({}.values()): reduce_view,
    type({}.items()): reduce_view,
    property: reduce_property,
    classmethod: reduce_wrapped,
    staticmethod: reduce_wrapped,
    memoryview: reduce_memoryview,
    array.array: reduce_array_module,
    weakref.WeakSet: reduce_weak_container,
    weakref.WeakKeyDictionary: reduce_weak_container,
    weakref.WeakValueDictionary: reduce_weak_container,
}
# By name of a class in the MRO, so that nothing is imported for it.
HANDLERS_OF_BASES = {
    'builtins.module': reduce_module,
    'functools.cached_property': reduce_cached_property,
    'weakref.ReferenceType': reduce_weakref,
    'builtins.weakref': reduce_weakref,
    'typing.TypeVar': reduce_type_variable,
    'typing.ParamSpec': reduce_type_variable,
    'typing.TypeVarTuple': reduce_type_variable,
    'typing.NewType': reduce_new_type,
    'logging.Handler': reduce_log_handler,
    'logging.Logger': share_freely,
    'dataclasses._MISSING_TYPE': reduce_sentinel,
    'dataclasses._FIELD_BASE': reduce_sentinel,
    'dataclasses._KW_ONLY_TYPE': reduce_sentinel,
    'dataclasses._HAS_DEFAULT_FACTORY_CLASS': reduce_sentinel,
    'os._Environ': reduce_environment,
    'IPython.core.interactiveshell.InteractiveShell': reduce_shell,
    'datetime.date': share_freely,
    'datetime.time': share_freely,
    'datetime.timedelta': share_freely,
    'datetime.tzinfo': share_freely,
    'decimal.Decimal': share_freely,
    'fractions.Fraction': share_freely,
    'uuid.UUID': share_freely,
    'pathlib.PurePath': share_freely,
    'pathlib._local.PurePath': share_freely,
    're.Pattern': share_freely,
    'numpy.dtype': share_freely,
    'numpy.generic': share_freely,
    'numpy.ufunc': share_freely,
    'torch.dtype': share_freely,
    'torch.device': share_freely,
    'torch.Size': share_freely,
}
