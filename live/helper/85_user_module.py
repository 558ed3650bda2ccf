"""The module `nbos` that cells can import."""


class NbosUnavailable(RuntimeError):
    """The call makes no sense here, and says why."""


def user_save():
    """Saves the variables now, inside a running cell.

    What a cell has computed is saved when the cell ends. In a cell of hours, call this now and
    then: if the host is lost, the variables are as they were at the last call.

    Returns None once the variables are written down on this host; copies on other hosts follow
    at once, in the background. Raises RuntimeError outside a cell and in other threads.
    """
    if HELPER.cell is None or not HELPER.directory:
        raise NbosUnavailable('nbos.save() works inside a running cell')
    if not on_main_thread():
        raise NbosUnavailable('nbos.save() works in the main thread: others are still writing')
    name = 'save-%x' % time.time_ns()
    record = write_record(name, ALL_NAMES)
    if record['delta'] is None:
        raise NbosUnavailable('nbos.save() could not save: %s' % record['error'])
    tell_agent('nbos_saved', {'record': name})


def user_exclude(*names):
    """Keeps variables out of what is saved: `nbos.exclude('cache', 'model')`.

    Of use for what is large and quick to make again. They are lost when the kernel moves to
    another host. Returns the names that are excluded now; with no argument nothing changes.
    """
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError('nbos.exclude takes names of variables as text, not %r' % (name,))
        HELPER.excluded[name] = 'excluded by nbos.exclude'
    if names:
        HELPER.foreign = True
    return sorted(HELPER.excluded)


def user_include(*names):
    """Takes back `nbos.exclude` for these names, or for all when none is given."""
    for name in names or list(HELPER.excluded):
        HELPER.excluded.pop(name, None)
    HELPER.foreign = True
    return sorted(HELPER.excluded)


@adapter('excluded', early=True)
class ExcludedNames:
    """The names kept out are part of the state themselves."""

    @staticmethod
    def take():
        return dict(HELPER.excluded)

    @staticmethod
    def give(value):
        HELPER.excluded.clear()
        HELPER.excluded.update(value)


@adapter('user-module')
class UserModuleName:
    """Whether a cell has imported the module under its own name, which is none of the units'."""

    @staticmethod
    def take():
        return HELPER.shell.user_ns.get('nbos') is sys.modules.get('nbos', HELPER)

    @staticmethod
    def give(value):
        if value:
            HELPER.shell.user_ns['nbos'] = sys.modules['nbos']
        else:
            HELPER.shell.user_ns.pop('nbos', None)


def user_output(cell=-1):
    """Shows the output of an earlier cell again, figures too.

    For when a page was closed while a cell ran: its output was kept. `cell` is the number in
    `In [n]`, or -1 for the last cell before this one, -2 for the one before that.
    """
    if HELPER.cell is None:
        raise NbosUnavailable('nbos.output() works inside a running cell')
    if not isinstance(cell, int) or cell == 0:
        raise ValueError('nbos.output takes the number of a cell, or -1 for the last one')
    # Not the shell's count: newer IPython has it one further while a cell runs.
    own = HELPER.cell.get('count', HELPER.shell.execution_count)
    count = cell if cell > 0 else own + cell
    flush_output()
    tell_agent('nbos_output', {'count': count})


def user_status():
    """What of this kernel is saved and what is not, as a dict.

    `unreplicated` maps the names that cannot be saved to the reason, `pinned` lists why the
    kernel stays on its host, `state_bytes` is the size of what is saved, `excluded` the names
    that `nbos.exclude` keeps out. As of the end of the last cell.
    """
    return {
        'unreplicated': {each['name']: each['reason'] for each in HELPER.unreplicated},
        'pinned': list(HELPER.pinned),
        'state_bytes': HELPER.state_bytes,
        'excluded': sorted(HELPER.excluded),
    }


def tell_agent(kind, content):
    """An iopub message that the agent takes for itself."""
    kernel = HELPER.kernel
    parent = kernel.get_parent('shell') if hasattr(kernel, 'get_parent') else kernel._parent_header
    kernel.session.send(kernel.iopub_socket, kind, content, parent, ident=kernel._topic(kind))


def flush_output():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def add_user_module():
    module = types.ModuleType('nbos', 'What a notebook can ask of NotebookOS; see help(nbos).')
    for function in (user_save, user_exclude, user_include, user_output, user_status):
        name = function.__name__[len('user_'):]
        function.__name__ = function.__qualname__ = name
        function.__module__ = 'nbos'
        setattr(module, name, function)
    module.__all__ = ['save', 'exclude', 'include', 'output', 'status']
    module.__spec__ = importlib_spec('nbos')
    sys.modules['nbos'] = module


def importlib_spec(name):
    from importlib.machinery import ModuleSpec

    return ModuleSpec(name, None)
