"""State of a kernel: which objects make a unit, what of it is new, and how it comes back.

Interface to the kernel side of the helper (files 00-09 and 50-99):

Registry(user_ns=None)
    What is known between cells; holds no user object strongly. Made before the first cell, so that
    it knows which names are IPython's own; None means the namespace of IPython's shell. `excluded`
    maps names that stay out to the reason shown. `units` maps a unit's id to its UnitRecord.

capture(user_ns, reached, registry, tracker, limits) -> delta
    A Delta of live/log/entries.ts as a dict, without `pinned` ([]). `reached` is the set of names
    that the cell can have touched, or None for all; units that those reach, rebound, new and
    deleted names are found here. When nothing changed, `units` and `dropped` are empty.
    `tracker.fingerprint(address, nbytes, view) -> (changed, hash)` says whether memory that was
    asked for before has the content of then, with the hex SHA-256 of the content now, or None
    when it was not computed. `tracker.write_blob(view) -> blob` hashes and spools bytes (and
    keeps no reference to `view`). `limits`: {'quotaBytes': 0 for none, 'outBytes': of one Out
    entry, 'unitSeconds': of one call of user code while pickling, 'excluded': names that stay out
    with the reason shown}; each may be left out.

apply_state(user_ns, update, registry, read_blob) -> {'failed': [{unit, names, message}]}
    `update` is a StateUpdate of live/agent/kernel/runtime.ts; units of kind 'ambient' are passed
    over. `read_blob(blob)` gives a verified buffer; writable and private for large ones.

unreplicated_names(registry) -> [{name, reason}];  state_bytes(registry) -> int
to_devices(registry)
    Moves tensors that were on a GPU back to it, before a cell that has one.
"""

import os
import sys
import weakref

HIDDEN_NAMES = frozenset(
    'In Out _ih _oh _dh _i _ii _iii exit quit open get_ipython nbos __name__ __doc__ __package__'
    ' __loader__ __spec__ __builtin__ __builtins__ __file__ __session__'.split()
)
NEVER_CARRIED = frozenset(
    'In Out _ih _oh _dh _i _ii _iii get_ipython nbos __builtins__ __builtin__'.split()
)


def shell_namespace():
    """The user's namespace, {} where there is no IPython."""
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    return {} if shell is None else shell.user_ns


class UnitRecord:
    """What the last capture or apply knew of a unit; plain data only."""

    __slots__ = (
        'id', 'version', 'roots', 'digest', 'hashes', 'classes', 'globals', 'careful', 'reasons',
        'nbytes', 'travels',
    )

    def __init__(self, unit_id, version, roots):
        self.id = unit_id
        self.version = version
        # names and class ids, as (kind, key) with kind 'n' or 'c'
        self.roots = roots
        # SHA-256 of the skeleton, and of each buffer
        self.digest = None
        self.hashes = []
        # ids of classes that it refers to, names that functions in it use
        self.classes = frozenset()
        self.globals = frozenset()
        self.careful = False
        # name -> reason
        self.reasons = {}
        self.nbytes = 0
        # whether the kernel's table has it; not when it is over a limit
        self.travels = True


class Registry:
    """See the interface above. Objects are known by weak references and ids only."""

    def __init__(self, user_ns=None):
        if user_ns is None:
            user_ns = shell_namespace()
        self.units = {}
        # root -> unit id
        self.unit_of = {}
        # name -> id() of its object at the last capture: a cheap sign that it was rebound
        self.bound = {}
        # hash -> blob of buffers that the table has as files
        self.blobs = {}
        # class id <-> class
        self.class_refs = {}
        self.class_ids = {}
        self.excluded = {}
        self.refused_types = weakref.WeakKeyDictionary()
        # root -> (id of its value, why nothing of it can be carried)
        self.hopeless = {}
        self.gpu_tensors = []
        # type variables of __main__ by a stable key; small, so held
        self.once = {}
        self.clock = 0
        self.hidden = {
            name: id(user_ns[name]) for name in HIDDEN_NAMES if name in user_ns
        }

    def carries(self, name, value):
        """Whether a name of the namespace is the user's."""
        if name in HIDDEN_NAMES:
            return name not in NEVER_CARRIED and self.hidden.get(name, id(value)) != id(value)
        # _3 is Out[3] and _i3 the text of a cell: both follow from what is carried
        return name[:1] != '_' or not name[1:].lstrip('i').isdigit()

    def class_id(self, cls):
        """Stable id of a class that travels by value."""
        known = self.class_ids.get(id(cls))
        if known is not None and self.class_refs[known]() is cls:
            return known
        fresh = 'c' + os.urandom(6).hex()
        self.learn_class(fresh, cls)
        return fresh

    def learn_class(self, class_id, cls):
        self.class_refs[class_id] = weakref.ref(cls)
        self.class_ids[id(cls)] = class_id

    def class_of(self, class_id):
        """The class, None when it is no more."""
        ref = self.class_refs.get(class_id)
        return None if ref is None else ref()

    def forget_dead_classes(self):
        dead = [key for key, ref in self.class_refs.items() if ref() is None]
        for key in dead:
            del self.class_refs[key]
        if dead:
            self.class_ids = {k: v for k, v in self.class_ids.items() if v in self.class_refs}

    def clear(self):
        excluded, hidden, clock = self.excluded, self.hidden, self.clock
        self.__init__({})
        self.excluded, self.hidden, self.clock = excluded, hidden, clock


def unreplicated_names(registry):
    """All names that exist here but are carried in part or not at all, with the reason."""
    found = {}
    for record in registry.units.values():
        found.update(record.reasons)
    found.update(registry.excluded)
    return [{'name': name, 'reason': found[name]} for name in sorted(found)]


def state_bytes(registry):
    return sum(record.nbytes for record in registry.units.values() if record.travels)
