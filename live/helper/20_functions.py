"""How functions and modules travel: by name where an import finds them, else by value."""

import enum
import importlib
import linecache
import marshal
import sys
import types

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
            handler = HANDLERS_OF_BASES.get(full_name(base))
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
