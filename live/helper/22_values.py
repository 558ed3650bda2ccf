"""How other objects of the standard library are taken apart, and the tables of all that are."""

import array
import functools
import gc
import os
import pickle
import sys
import types
import typing
import weakref


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
