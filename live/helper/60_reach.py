"""Which names a cell can touch: read from its code before it runs.

Only names in the cell's own text are found here; what functions and classes behind those names use
is known to the units. Code that can reach anything (exec, magics, frames …) gives None, for all.
What this misses (a callback that a library calls) is found when the kernel is idle.
"""

# As a plain name.
REACHES_ALL_NAMES = frozenset(
    'exec eval compile globals locals vars get_ipython breakpoint __main__ __builtins__'
    ' __import__ importlib inspect runpy gc ctypes'.split()
)
# As an attribute of anything; `eval` is not here, models have it.
REACHES_ALL_ATTRIBUTES = frozenset(
    'modules _getframe currentframe stack get_objects get_referrers f_globals f_locals'
    ' __globals__ user_ns user_global_ns ex exec_module run_cell'.split()
)
REACHES_ALL = REACHES_ALL_NAMES | REACHES_ALL_ATTRIBUTES
ALL_NAMES = None
REACH_CACHE = 64
# Text longer than this is not worth reading: it reaches all.
READ_CHARACTERS = 100_000


def names_reached(code):
    """The set of names that a cell with this text can touch, or None for all."""
    shell = HELPER.shell
    if len(code) > READ_CHARACTERS or shell.ast_transformers:
        return ALL_NAMES
    if len(shell.input_transformers_post) > 0 or starts_magic(code):
        return ALL_NAMES
    return names_of_text(code)


def starts_magic(code):
    """Whether a line's first word could be taken for a magic: `who` with automagic on."""
    shell = HELPER.shell
    if not shell.automagic:
        return False
    magics = shell.magics_manager.magics['line']
    for line in code.split('\n'):
        word = line.split(None, 1)[0] if line and not line.isspace() else ''
        if word in magics and word not in shell.user_ns:
            return True
    return False


@functools.lru_cache(REACH_CACHE)
def names_of_text(code):
    try:
        # Text that is not Python has magics in it, or will fail.
        with no_syntax_warnings():
            compiled = compile(code, '<cell>', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            names = names_of_code(compiled)
            if names & REACHES_ALL and touches_all(ast.parse(code)):
                return ALL_NAMES
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ALL_NAMES
    return frozenset(names)


@contextlib.contextmanager
def no_syntax_warnings():
    """The user sees a cell's syntax warnings once. Without telling `warnings` of the new filter,
    since that makes it show again what it has shown."""
    ignore = ('ignore', None, SyntaxWarning, None, 0)
    older = ('ignore', None, DeprecationWarning, None, 0)
    warnings.filters[0:0] = [ignore, older]
    try:
        yield
    finally:
        del warnings.filters[0:2]


def names_of_code(code):
    """Names that a code object and those inside it load or store, attributes among them."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_of_code(constant)
    return names


def touches_all(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in REACHES_ALL_NAMES:
            return True
        if isinstance(node, ast.Attribute) and node.attr in REACHES_ALL_ATTRIBUTES:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)) and imports_all(node):
            return True
    return False


def imports_all(node):
    modules = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        modules.append(node.module or '')
    return any(name.split('.')[0] in REACHES_ALL for name in modules)
