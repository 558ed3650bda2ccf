"""Which roots make a unit, and what of it changed.

A root is a name or a class. To find what two roots share, the memos of their pickles are compared:
a memo holds each object that was met, by id, so this costs two set operations in C and looks at
nothing that was not pickled anyway. What cannot change (strings, functions that an import finds,
modules, enum members…) does not join; a tuple is in the memo together with what it holds.

Only roots in question are pickled: new and rebound names, names that the cell can have touched,
whole units of those, classes that they refer to, names that their functions use. By induction a
root outside shares nothing with one inside, unless through something that is no state of ours (a
cache in a module); that is found when all are looked at, between cells.
"""

import ctypes
import gc
import hashlib
import pickle
import types

SKELETON_FORMAT = 1
OUT_BYTES = 1024 * 1024
REASONS_SHOWN = 3
# Objects; older Pythons do not show the memo to the collector, and then it is copied.
LARGE_MEMO = 10_000
# Types that do not join what shares them; instances of subclasses as well.
UNCHANGING = (
    str, bytes, tuple, frozenset, int, float, complex, range, slice, type, types.ModuleType,
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.GenericAlias,
)
LAST_OUTPUTS = ('_', '__', '___')


def roots_of_namespace(run):
    """name -> value of all that is the user's, entries of Out as `Out[3]`."""
    registry, excluded = run.registry, run.registry.excluded
    found = {
        name: value for name, value in run.user_ns.copy().items()
        if isinstance(name, str) and name not in excluded and registry.carries(name, value)
    }
    out = run.user_ns.get('Out')
    if isinstance(out, dict):
        found.update((f'Out[{count}]', value) for count, value in out.copy().items())
    return found


class Question:
    """The roots that one capture looks at, grown by what they lead to."""

    def __init__(self, run, names):
        self.run = run
        self.names = names
        self.units = {}
        self.fresh = set()
        self.used_all = False

    def add_root(self, root):
        """A root with its whole unit; one of no unit is fresh when it exists."""
        registry = self.run.registry
        unit_id = registry.unit_of.get(root)
        if unit_id is None:
            if self.exists(root):
                self.fresh.add(root)
        elif unit_id not in self.units:
            record = self.units[unit_id] = registry.units[unit_id]
            self.add_links(record.classes, record.globals)

    def add_links(self, classes, used):
        for class_id in classes:
            self.add_root(('c', class_id))
        if '*' in used and not self.used_all:
            self.used_all = True
            used = self.names
        for name in used:
            if name in self.names:
                self.add_root(('n', name))

    def exists(self, root):
        kind, key = root
        if kind == 'n':
            return key in self.names
        return self.run.registry.class_of(key) is not None

    def item(self, root):
        """What is pickled for a root."""
        kind, key = root
        if kind == 'n':
            return [kind, key, self.names[key]]
        return [kind, key, ClassContent(key, self.run.registry.class_of(key))]


def question_of(run, reached):
    """The roots that a cell can have touched, and those seen to be new, rebound or gone."""
    registry, names = run.registry, roots_of_namespace(run)
    question = Question(run, names)
    if reached is None:
        for root in list(registry.unit_of):
            question.add_root(root)
        reached = names
    for name in reached:
        question.add_root(('n', name))
    bound = registry.bound
    for name, value in names.items():
        if bound.get(name) != id(value):
            question.add_root(('n', name))
    for name in bound:
        if name not in names:
            question.add_root(('n', name))
    return question


def dump_all(question):
    """Dumps of whole units and of single roots, with all classes that they lead to."""
    run, done, dumps = question.run, set(), []

    def dump(roots, careful=False, reasons=None):
        items = [question.item(root) for root in roots]
        result = dump_roots(run, roots, items, careful)
        if reasons is None or len(roots) == 1:
            reasons = reasons_of(run, result)
        finish_dump(run, result, reasons)
        dumps.append(result)
        question.add_links(result.findings.classes, result.findings.globals)
        return result

    while True:
        waiting = [unit_id for unit_id in question.units if unit_id not in done]
        fresh = sorted(question.fresh - done)
        if not waiting and not fresh:
            return dumps
        for unit_id in waiting:
            done.add(unit_id)
            record = question.units[unit_id]
            roots = tuple(root for root in record.roots if question.exists(root))
            if not roots:
                continue
            whole = dump(roots, record.careful, record.reasons)
            if len(roots) > 1 and not is_as_known(whole, record):
                # It may have come apart.
                dumps.pop()
                for root in roots:
                    dump((root,), record.careful)
        for root in fresh:
            done.add(root)
            dump((root,))


def reasons_of(run, dump):
    """What is said of each root of a dump that was not carried whole."""
    reason = '; '.join(list(dict.fromkeys(dump.findings.notes))[:REASONS_SHOWN])
    return {shown_name(run, root): reason for root in dump.roots} if reason else {}


def shown_name(run, root):
    kind, key = root
    if kind == 'n':
        return key
    cls = run.registry.class_of(key)
    name = type_name(cls, '__name__')
    return name if run.names.get(name) is cls else f'class {type_name(cls)}'


def finish_dump(run, dump, reasons):
    """Makes the skeleton and the hashes that say whether something changed."""
    dump.reasons = reasons
    names = [key for kind, key in dump.roots if kind == 'n']
    classes = []
    for kind, key in dump.roots:
        if kind == 'c':
            declared, referred = declared_class(run, key)
            classes.append((key, declared))
            dump.findings.classes |= referred
    findings = dump.findings
    dump.skeleton = pickle.dumps({
        'v': SKELETON_FORMAT,
        'names': names,
        'classes': classes,
        'refers': (sorted(findings.classes), sorted(findings.globals)),
        'reasons': sorted(reasons.items()),
        'sources': sorted(findings.sources.items()),
        'body': dump.body,
    }, 5)
    dump.digest = hashlib.sha256(dump.skeleton).hexdigest()
    dump.views = [buffer.raw() for buffer in dump.findings.buffers]
    tracker, dump.hashes = run.tracker, []
    for view in dump.views:
        place = (address_of_buffer(view), view.nbytes)
        if place not in run.prints:
            run.prints[place] = tracker.fingerprint(*place, view)[1]
        dump.hashes.append(run.prints[place])


def is_as_known(dump, record):
    return (
        dump.digest == record.digest
        and dump.roots == record.roots
        and dump.hashes == record.hashes
    )


def join(run, dumps):
    """Sets of dumps that share something mutable."""
    group = list(range(len(dumps)))

    def find(at):
        while group[at] != at:
            group[at] = group[group[at]]
            at = group[at]
        return at

    first_of = {}
    for at, key in shared_objects(run, dumps):
        group[find(at)] = find(first_of.setdefault(key, at))
    # A name bound to a class goes with it.
    place = {root: at for at, dump in enumerate(dumps) for root in dump.roots}
    for at, dump in enumerate(dumps):
        for kind, key in dump.roots:
            value = run.names.get(key) if kind == 'n' else None
            # not isinstance, which asks lazy proxies for their class
            if issubclass(type(value), type):
                class_root = ('c', run.registry.class_ids.get(id(value)))
                if class_root in place:
                    group[find(at)] = find(place[class_root])
    joined = {}
    for at, dump in enumerate(dumps):
        joined.setdefault(find(at), []).append(dump)
    return list(joined.values())


def shared_objects(run, dumps):
    """(index of a dump, id of an object) for mutable objects that more than one dump met."""
    if len(dumps) < 2:
        return []
    *order, last = sorted(range(len(dumps)), key=lambda at: len(dumps[at].skeleton))
    seen, shared = {}, {}
    for at in order:
        memo = dumps[at].memo()
        for key in memo.keys() & seen.keys():
            shared[key] = memo[key][1]
        seen.update(memo)
    met = [(at, key) for at, dump in enumerate(dumps) for key in dump.findings.also]
    also = {key for _, key in met}
    in_last = ids_met(dumps[last], seen.keys() | also)
    shared.update((key, seen[key][1]) for key in in_last if key in seen)
    keys = {key for key, obj in shared.items() if key not in run.frozen and joins(obj)} | also
    for at in order:
        met.extend((at, key) for key in keys & dumps[at].memo().keys())
    met.extend((last, key) for key in keys & in_last)
    return met


def ids_met(dump, keys):
    """Those of `keys` that are in a dump's memo; a large memo is not copied where that can be."""
    if dump.ids is None and not isinstance(dump.pickler.memo, dict):
        referents = gc.get_referents(dump.pickler)
        if len(referents) > LARGE_MEMO:
            return keys.intersection(map(id, referents))
    return keys & dump.memo().keys()


def joins(obj):
    """Whether names that share an object are one unit."""
    try:
        return not isinstance(obj, UNCHANGING) and not (
            hasattr(obj, '__qualname__') and is_importable(obj)
        )
    except Exception:
        # a proxy that fails when asked for its class
        return True


class AddressView(ctypes.Structure):
    """The head of a Py_buffer, with room for the rest."""

    _fields_ = [('buf', ctypes.c_void_p), ('rest', ctypes.c_char * 128)]


def address_of_buffer(view):
    """The address of the memory that an object with a buffer shows."""
    head = AddressView()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(head), 0)
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(head))
    return head.buf
