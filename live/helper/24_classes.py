"""Classes of __main__ and others that no import leads to.

A class is known by a stable id. Whatever refers to it says only the id; what it holds is a root of
its own, so that instances in a hundred units do not become one unit with it. A unit declares its
classes (name, bases, what decides the layout) apart from their attributes, which may refer to
anything. On a standby a class that exists is changed in place: its instances follow.
"""

import abc
import enum
import sys
import types

METHODS = (types.FunctionType, classmethod, staticmethod, property)
IMMUTABLE_TYPE = 1 << 8
NOT_ATTRIBUTES = frozenset(
    '__dict__ __weakref__ __abstractmethods__ _abc_impl __module__ __qualname__ __slots__'
    ' __annotate_func__ __annotations_cache__ __annotate__ __class__'.split()
)
ENUM_INTERNALS = frozenset(
    '_member_names_ _member_map_ _value2member_map_ _unhashable_values_ _member_type_'
    ' _use_args_ _unhashable_values_map_ _hashable_values_ _value_repr_ __new__ __new_member__'
    ' _new_member_ _generate_next_value_ _flag_mask_ _all_bits_ _singles_mask_ _inverted_'
    ' _boundary_ _order_ _use_args_'.split()
)


def reduce_class(pickler, cls):
    name = NAMED_TYPES.get(cls)
    if name is not None and not hasattr(sys.modules['builtins'], cls.__qualname__):
        return named_type, (name,)
    if is_importable(cls):
        return NotImplemented
    if not cls.__flags__ & HEAP_TYPE:
        return pickler.placeholder(f'class {type_name(cls)}', 'it is made by an extension')
    refused = pickler.run.registry.refused_types
    class_id = pickler.run.registry.class_id(cls)
    if cls not in refused:
        try:
            declared_class(pickler.run, class_id)
        except Exception as error:
            refused[cls] = f'{type(error).__name__}: {error}'[:300]
    if cls in refused and not pickler.careful:
        # The careful way puts placeholders for its instances too.
        raise TypeError(refused[cls])
    if cls in refused:
        return pickler.placeholder(f'class {type_name(cls)}', refused[cls])
    pickler.findings.classes.add(class_id)
    return class_by_id, (class_id,)


def declared_class(run, class_id):
    """(declaration as pickle, ids of classes in it). Raises for a class that cannot be made."""
    if class_id not in run.declared:
        # for the time being, should the class be met in its own declaration
        run.declared[class_id] = (b'', set())
        try:
            declared = declaration_of(run.registry.class_of(class_id))
            body, pickler = pickle_with(StatePickler, run, declared, True)
        except BaseException:
            del run.declared[class_id]
            raise
        if pickler.findings.notes:
            del run.declared[class_id]
            raise TypeError(pickler.findings.notes[0])
        run.declared[class_id] = (body, pickler.findings.classes)
    return run.declared[class_id]


@rebuilder
def named_type(name):
    return getattr(types, name)


@rebuilder
def class_by_id(class_id):
    return LOADING.class_of(class_id)


def declaration_of(cls):
    """What a class is made from, as plain values and classes."""
    if issubclass(cls, enum.Enum):
        layout = [
            (name, member._value_, data_of_member(cls._member_type_, member))
            for name, member in cls.__members__.items()
        ]
    else:
        slots = cls.__dict__.get('__slots__')
        layout = (slots,) if isinstance(slots, str) else slots if slots is None else tuple(slots)
    return {
        'name': cls.__name__,
        'qualname': cls.__qualname__,
        'module': cls.__module__,
        'meta': type(cls),
        'bases': cls.__bases__,
        'layout': layout,
        'weak': '__weakref__' in vars(cls),
        'boundary': getattr(cls, '_boundary_', None),
        'orig_bases': vars(cls).get('__orig_bases__'),
        # a property, of proxies; can be given to a class only when it is made
        'class': vars(cls).get('__class__'),
    }


def data_of_member(kind, member):
    """What a member is besides being one: an int of an IntEnum; its value where it is no more."""
    if kind is object:
        return member._value_
    try:
        return str.__str__(member) if kind is str else kind.__new__(kind, member)
    except Exception:
        # made from several arguments, as a date is
        return member._value_


class ClassContent:
    """Stands for a class's content in the pickle of a unit."""

    __slots__ = ('class_id', 'cls')

    def __init__(self, class_id, cls):
        self.class_id = class_id
        self.cls = cls


def reduce_class_content(pickler, content):
    """Methods first: the other attributes may be instances, whose loading calls them."""
    attributes, *rest = attributes_of(content.cls)
    methods = {key: value for key, value in attributes.items() if isinstance(value, METHODS)}
    others = {key: value for key, value in attributes.items() if key not in methods}
    state = (list(attributes), others, *rest)
    return class_methods, (content.class_id, methods), state, None, None, class_rest


@rebuilder
def class_methods(class_id, methods):
    cls = LOADING.class_of(class_id)
    for name, value in methods.items():
        type.__setattr__(cls, name, value)
    return ClassContent(class_id, cls)


@rebuilder
def class_rest(content, state):
    fill_class(content.cls, *state)


def attributes_of(cls):
    """What can change in a class: (attributes, abstract methods, virtual subclasses, members)."""
    attributes = {}
    is_enum = issubclass(cls, enum.Enum)
    slots = slot_names(cls)
    for name, value in vars(cls).items():
        if name in NOT_ATTRIBUTES or name in slots:
            continue
        if is_enum and (name in ENUM_INTERNALS or name in cls._member_map_):
            continue
        attributes[name] = value
    if '__annotations__' not in attributes and sys.version_info >= (3, 14):
        try:
            attributes['__annotations__'] = cls.__annotations__
        except Exception:
            # forward references that lead nowhere yet
            attributes['__annotate__'] = cls.__annotate__
    abstract = vars(cls).get('__abstractmethods__')
    virtual = []
    if isinstance(cls, abc.ABCMeta):
        virtual = [ref() for ref in abc._get_dump(cls)[0]]
        virtual = [each for each in virtual if each is not None]
        virtual.sort(key=lambda each: each.__qualname__)
    members = None
    if is_enum:
        members = {name: dict(vars(member)) for name, member in cls._member_map_.items()}
        for state in members.values():
            state.pop('__objclass__', None)
    return (attributes, sorted(abstract) if abstract else (), virtual, members)


def slot_names(cls):
    """Names that the class itself makes descriptors for."""
    return {
        name for name, value in vars(cls).items()
        if type(value) is types.MemberDescriptorType and value.__objclass__ is cls
    }


def make_class(declared):
    """A class without its attributes."""
    name, meta, bases = declared['name'], declared['meta'], declared['bases']
    space = {'__module__': declared['module'], '__qualname__': declared['qualname']}
    if issubclass(meta, enum.EnumMeta):
        return make_enum(declared)
    if declared['layout'] is not None:
        space['__slots__'] = declared['layout']
    if declared['orig_bases'] is not None:
        space['__orig_bases__'] = declared['orig_bases']
    if declared['class'] is not None:
        space['__class__'] = declared['class']
    hooked = init_subclass_hook(bases)
    # What the hook did, when the class was made for the first time, is part of the state.
    try:
        if hooked is not None:
            type.__setattr__(hooked[0], '__init_subclass__', classmethod(lambda cls, **_: None))
        cls = type.__new__(meta, name, bases, space)
    finally:
        if hooked is not None:
            type.__setattr__(hooked[0], '__init_subclass__', hooked[1])
    if isinstance(cls, abc.ABCMeta):
        abc._abc_init(cls)
    return cls


def init_subclass_hook(bases):
    """(class that holds it, hook) of what runs when a subclass of `bases` is made, or None."""
    for base in (each for first in bases for each in first.__mro__):
        hook = vars(base).get('__init_subclass__')
        if hook is not None and base is not object:
            changeable = base.__flags__ & HEAP_TYPE and not base.__flags__ & IMMUTABLE_TYPE
            return (base, hook) if changeable else None
    return None


def make_enum(declared):
    """An enum with its members; values are given as they came out, so no `__new__` runs."""
    meta, bases = declared['meta'], declared['bases']
    options = {}
    if declared['boundary'] is not None:
        options['boundary'] = declared['boundary']
    space = meta.__prepare__(declared['name'], bases, **options)
    space['__module__'] = declared['module']
    space['__qualname__'] = declared['qualname']
    for name, value, data in declared['layout']:
        space[name] = data
    cls = meta.__new__(meta, declared['name'], bases, space, **options)
    for name, value, data in declared['layout']:
        member = cls._member_map_[name]
        if value is not data and member._value_ != value:
            cls._value2member_map_.pop(member._value_, None)
            member._value_ = value
            cls._value2member_map_[value] = member
    return cls


def can_become(cls, declared):
    """Whether an existing class can be changed into the declared one."""
    ours = declaration_of(cls)
    return all(
        ours[key] == declared[key] for key in ('meta', 'layout', 'weak', 'boundary')
    )


def fill_class(cls, names, others, abstract, virtual, members):
    """Gives a class its attributes, past what its metaclass thinks of that; removes the rest."""
    slots = slot_names(cls)
    is_enum = members is not None
    for name in list(vars(cls)):
        if name in names or name in NOT_ATTRIBUTES or name in slots:
            continue
        if is_enum and (name in ENUM_INTERNALS or name in cls._member_map_):
            continue
        if name not in ('__doc__', '__firstlineno__', '__static_attributes__'):
            type.__delattr__(cls, name)
    for name, value in others.items():
        type.__setattr__(cls, name, value)
    if isinstance(cls, abc.ABCMeta):
        cls.__abstractmethods__ = frozenset(abstract)
        for each in virtual:
            abc.ABCMeta.register(cls, each)
    for name, state in (members or {}).items():
        vars(cls._member_map_[name]).update(state)


HANDLERS[ClassContent] = reduce_class_content
