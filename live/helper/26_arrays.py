"""NumPy arrays and what pandas builds of them: memory is carried once, views stay views.

A view refers to the array at the end of its `base` chain, and that one to its memory. So views of
one array share it after loading too, and count as shared for the units.
"""

import pickle
import sys


def reduce_array(pickler, array):
    numpy = sys.modules['numpy']
    run, dtype, cls = pickler.run, array.dtype, type(array)
    owner = array if id(array) in run.cut else owner_of(numpy, array)
    if dtype.hasobject:
        if cls is not numpy.ndarray or type(owner) is not numpy.ndarray or owner is array:
            return NotImplemented
        if not owner.dtype.hasobject or owner.dtype is not dtype:
            return NotImplemented
        return reduce_array_view(numpy, array, owner, cls)
    if cls is not numpy.ndarray:
        if cls is numpy.memmap and array.filename is not None and owner is array:
            return reduce_memmap(array)
        if '__reduce__' in own_methods(numpy, cls) or '__setstate__' in own_methods(numpy, cls):
            return NotImplemented
    if owner is not array:
        return reduce_array_view(numpy, array, owner, cls)
    source = memory_source(array)
    if source is not None:
        return reduce_array_view(numpy, array, source, cls)
    return reduce_array_owner(numpy, pickler, array, cls)


def own_methods(numpy, cls):
    names = set()
    for base in cls.__mro__:
        if base is numpy.ndarray:
            return names
        names.update(vars(base))
    return names


def owner_of(numpy, array):
    """The array whose memory this one shows; itself when it has its own."""
    ndarray = numpy.ndarray
    base = array.base
    while base is not None:
        if isinstance(base, ndarray):
            array = base
        elif type(base).__name__ != 'DummyArray':
            return array
        base = base.base
    return array


def memory_source(array):
    """An object of the user that owns the memory of an array: bytearray, array.array, tensor."""
    base = array.base
    if type(base) is memoryview:
        base = base.obj
    if base is None:
        return None
    name = f'{type(base).__module__}.{type(base).__name__}'
    return base if name in ('builtins.bytearray', 'array.array', 'torch.Tensor') else None


def address_of(array):
    return array.__array_interface__['data'][0]


def dtype_code(dtype):
    return dtype.str if dtype.isbuiltin == 1 and dtype.metadata is None else dtype


def reduce_array_owner(numpy, pickler, array, cls):
    """An array with its memory, in the order that the memory has."""
    flags = array.flags
    shape, order, stored = array.shape, None, array
    if flags.c_contiguous:
        pass
    elif flags.f_contiguous:
        order = tuple(range(array.ndim))[::-1]
        stored = array.transpose(order)
    else:
        order = tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
        stored = array.transpose(order)
        if not stored.flags.c_contiguous:
            stored, order = numpy.ascontiguousarray(array), None
    if 'torch' in sys.modules and array.nbytes:
        meet_storage(pickler, array)
    if array.nbytes < OUT_OF_BAND_BYTES:
        content = stored.tobytes()
    else:
        if array.dtype.isbuiltin != 1 or stored.dtype.kind in 'mM':
            # kinds that have no buffer protocol of their own
            stored = stored.view(numpy.ndarray).reshape(-1).view(numpy.uint8)
        content = pickle.PickleBuffer(stored)
    made = (content, dtype_code(array.dtype), shape, order, flags.writeable)
    if cls is numpy.ndarray:
        return make_array_owner, made
    return make_array_owner, (*made, cls), vars_of(array), None, None, set_array_state


def meet_storage(pickler, array):
    """Notes whose memory this is, for a tensor made by torch.from_numpy; it may have come first."""
    run, address = pickler.run, address_of(array)
    run.array_at.setdefault(address, array)
    memory = run.storage_at.get(address)
    if memory is None:
        return
    pickler.findings.also.add(id(memory))
    if memory.array is None:
        memory.array = array
        if id(memory) in pickler.findings.storages:
            raise SharedLate('memory was written before the array that owns it was met')


def vars_of(array):
    return dict(getattr(array, '__dict__', {})) or None


@rebuilder
def set_array_state(array, state):
    if state:
        vars(array).update(state)


@rebuilder
def make_array_owner(content, dtype, shape, order, writeable, cls=None):
    """An array over `content`: bytes are copied, so that it has memory of its own."""
    numpy = sys.modules.get('numpy') or importlib.import_module('numpy')
    dtype = numpy.dtype(dtype)
    if isinstance(content, bytes) or memoryview(content).readonly:
        content = bytearray(content) if order or cls else content
        array = numpy.frombuffer(content, numpy.uint8)
        if isinstance(content, bytes):
            array = array.copy()
    else:
        array = numpy.frombuffer(content, numpy.uint8)
    stored = tuple(shape[axis] for axis in order) if order else shape
    array = numpy.ndarray(stored, dtype, array) if not dtype.itemsize else as_shape(
        numpy, array, dtype, stored)
    if order:
        back = [0] * len(order)
        for place, axis in enumerate(order):
            back[axis] = place
        array = array.transpose(back)
    if cls is not None:
        array = array.view(cls)
    if not writeable:
        array.flags.writeable = False
    return array


def as_shape(numpy, memory, dtype, shape):
    """In place where the array owns its memory, so that it still does."""
    if memory.base is None:
        memory.dtype = dtype
        memory.shape = shape
        return memory
    return memory.view(dtype).reshape(shape)


def reduce_array_view(numpy, array, owner, cls):
    if array.dtype.hasobject:
        start = address_of(owner)
    elif isinstance(owner, numpy.ndarray):
        start = numpy.lib.array_utils.byte_bounds(owner)[0] if hasattr(
            numpy.lib, 'array_utils') else numpy.byte_bounds(owner)[0]
    elif type(owner).__module__ == 'torch':
        start = untyped_storage(owner).data_ptr()
    else:
        start = address_of_buffer(owner)
    made = (
        owner, address_of(array) - start, dtype_code(array.dtype), array.shape, array.strides,
        array.flags.writeable,
    )
    if cls is numpy.ndarray:
        return make_array_view, made
    return make_array_view, (*made, cls), vars_of(array), None, None, set_array_state


@rebuilder
def make_array_view(owner, offset, dtype, shape, strides, writeable, cls=None):
    numpy = sys.modules.get('numpy') or importlib.import_module('numpy')
    dtype = numpy.dtype(dtype)
    if dtype.hasobject:
        flat = owner.ravel(order='K')
        if not numpy.shares_memory(flat, owner):
            flat = owner.reshape(-1)
        array = numpy.lib.stride_tricks.as_strided(flat[offset // dtype.itemsize:], shape, strides)
    elif type(owner).__module__.partition('.')[0] == 'torch':
        memory = numpy.frombuffer(storage_bytes(owner), numpy.uint8)
        array = numpy.ndarray(shape, dtype, memory, offset, strides)
    else:
        memory = flat_memory(numpy, owner)
        array = numpy.ndarray(shape, dtype, memory, offset, strides)
    if cls is not None:
        array = array.view(cls)
    if not writeable:
        array.flags.writeable = False
    return array


def flat_memory(numpy, owner):
    """All bytes of an owner as an array."""
    if not isinstance(owner, numpy.ndarray):
        return numpy.frombuffer(owner, numpy.uint8)
    plain = owner.view(numpy.ndarray)
    order = sorted(range(plain.ndim), key=lambda axis: -abs(plain.strides[axis]))
    return plain.transpose(order).reshape(-1).view(numpy.uint8)


def reduce_memmap(array):
    mode = {'w+': 'r+'}.get(array.mode, array.mode)
    return make_memmap, (
        str(array.filename), mode, array.offset, array.shape, array.dtype,
        'C' if array.flags.c_contiguous else 'F',
    )


@rebuilder
def make_memmap(filename, mode, offset, shape, dtype, order):
    numpy = importlib.import_module('numpy')
    return numpy.memmap(filename, dtype, mode, offset, shape, order)


def copies_on_write():
    """Whether this pandas keeps frames that share memory apart when one is written to."""
    pandas = sys.modules['pandas']
    if int(pandas.__version__.partition('.')[0]) >= 3:
        return True
    try:
        return pandas.options.mode.copy_on_write is True
    except Exception:
        return False


def reduce_blocks(pickler, holder):
    """Under copy-on-write sharing is bookkeeping of pandas, lost by pickling: each its own copy.

    Sharing the memory without the books would let a write to one frame show in the other.
    """
    if copies_on_write():
        for block in getattr(holder, 'blocks', (holder,)):
            values = block.values
            pickler.run.cut.update((id(values), id(getattr(values, '_ndarray', None))))
    return NotImplemented


def reduce_index(pickler, index):
    """An index never changes, so frames may share it without being one unit."""
    frozen = pickler.run.frozen
    numpy = sys.modules['numpy']
    frozen.add(id(index))
    data = getattr(index, '_data', None)
    for each in (data, getattr(data, '_ndarray', None)):
        if each is not None:
            frozen.add(id(each))
            if isinstance(each, numpy.ndarray):
                frozen.add(id(owner_of(numpy, each)))
    return NotImplemented




def reduce_frame(pickler, frame):
    # One list for all frames, part of the state of each.
    pickler.run.frozen.add(id(type(frame)._metadata))
    return NotImplemented


HANDLERS_OF_BASES.update({
    'pandas.core.generic.NDFrame': reduce_frame,
    'numpy.ndarray': reduce_array,
    'pandas.core.internals.blocks.Block': reduce_blocks,
    'pandas.core.internals.managers.BaseBlockManager': reduce_blocks,
    'pandas.core.indexes.base.Index': reduce_index,
    'pandas.Index': reduce_index,
    'pandas.core.dtypes.base.ExtensionDtype': share_freely,
    'pandas.api.extensions.ExtensionDtype': share_freely,
})
