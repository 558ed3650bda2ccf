"""Tensors of torch: storages are carried once, tensors are views of them.

Carried beside the data: requires_grad, grad, Parameters with their identity. Not carried: the graph
behind a result; it comes back as a leaf with the same values.
"""

import ctypes
import pickle
import sys


class StorageMemory:
    """The memory of one storage during a capture. Stands for it in pickles, by its identity."""

    __slots__ = ('tensor', 'address', 'nbytes', 'array')

    def __init__(self, tensor, address, nbytes):
        # keeps the memory alive
        self.tensor = tensor
        self.address = address
        self.nbytes = nbytes
        # the NumPy array that owns the memory, for torch.from_numpy
        self.array = None


def untyped_storage(tensor):
    if hasattr(tensor, 'untyped_storage'):
        return tensor.untyped_storage()
    storage = tensor.storage()
    return getattr(storage, '_storage', storage)


def storage_bytes(tensor):
    """A writable buffer over the whole storage of a CPU tensor; valid while the tensor lives."""
    storage = untyped_storage(tensor)
    buffer = (ctypes.c_ubyte * storage.nbytes()).from_address(storage.data_ptr())
    buffer._nbos_owner = storage
    return buffer


def reduce_tensor(pickler, tensor):
    torch = sys.modules['torch']
    cls = type(tensor)
    if cls is not torch.Tensor and cls is not torch.nn.Parameter:
        return NotImplemented
    device = tensor.device.type
    if tensor.layout is not torch.strided or tensor.is_quantized or device not in ('cpu', 'cuda'):
        return NotImplemented
    if tensor.is_conj() or tensor.is_neg():
        return NotImplemented
    memory = memory_of(torch, pickler.run, tensor.detach())
    state = {'grad': tensor.grad if tensor.is_leaf else None, 'dict': vars_of(tensor)}
    state = {key: value for key, value in state.items() if value is not None}
    made = (
        memory, tensor.dtype, tensor.storage_offset(), tuple(tensor.size()), tensor.stride(),
        tensor.requires_grad, cls is torch.nn.Parameter,
        '' if device == 'cpu' else str(tensor.device),
    )
    return make_tensor, made, state or None, None, None, set_tensor


def memory_of(torch, run, tensor):
    storage = untyped_storage(tensor)
    key = (str(tensor.device), storage.data_ptr(), storage.nbytes())
    memory = run.storages.get(key)
    if memory is not None:
        return memory
    if tensor.device.type != 'cpu':
        flat = torch.tensor([], dtype=torch.uint8, device=tensor.device)
        tensor = flat.set_(storage, 0, (storage.nbytes(),), (1,)).cpu()
        storage = untyped_storage(tensor)
    memory = StorageMemory(storage, storage.data_ptr(), storage.nbytes())
    if memory.nbytes > 0:
        run.storages[key] = memory
        if key[0] == 'cpu':
            run.storage_at[memory.address] = memory
            memory.array = run.array_at.get(memory.address)
    return memory


def reduce_storage_memory(pickler, memory):
    if memory.array is not None and memory.array.nbytes >= memory.nbytes:
        return storage_on_array, (memory.array,)
    pickler.findings.storages.add(id(memory))
    if memory.nbytes < OUT_OF_BAND_BYTES:
        return make_storage, (ctypes.string_at(memory.address, memory.nbytes),)
    content = (ctypes.c_ubyte * memory.nbytes).from_address(memory.address)
    return make_storage, (pickle.PickleBuffer(memoryview(content).cast('B')),)


@rebuilder
def make_storage(content):
    """A tensor of bytes whose storage the real ones share."""
    torch = importlib.import_module('torch')
    if len(content) == 0:
        return torch.empty(0, dtype=torch.uint8)
    if isinstance(content, bytes) or memoryview(content).readonly:
        content = bytearray(content)
    return torch.frombuffer(content, dtype=torch.uint8)


@rebuilder
def storage_on_array(array):
    numpy = sys.modules['numpy']
    return importlib.import_module('torch').from_numpy(flat_memory(numpy, array))


@rebuilder
def make_tensor(memory, dtype, offset, size, stride, requires_grad, is_parameter, device):
    torch = importlib.import_module('torch')
    tensor = torch.empty(0, dtype=dtype)
    tensor.set_(untyped_storage(memory), offset, size, stride)
    if is_parameter:
        tensor = torch.nn.Parameter(tensor, requires_grad)
    elif requires_grad:
        tensor.requires_grad_()
    if device:
        LOADING.registry.gpu_tensors.append((weakref.ref(tensor), device))
    return tensor


@rebuilder
def set_tensor(tensor, state):
    if 'grad' in state:
        tensor.grad = state['grad']
    vars(tensor).update(state.get('dict', {}))


def cuda_has_started():
    """Whether the process holds GPUs by torch; those it sees are fixed from then on."""
    # A module of that name may be the user's own.
    cuda = getattr(loaded('torch'), 'cuda', None)
    return hasattr(cuda, 'is_initialized') and bool(cuda.is_initialized())


def to_devices(registry):
    """Moves tensors that were on a GPU back to it; those whose GPU is not there stay."""
    waiting, registry.gpu_tensors = registry.gpu_tensors, []
    for ref, device in waiting:
        tensor = ref()
        if tensor is None:
            continue
        try:
            tensor.data = tensor.data.to(device)
            if tensor.grad is not None:
                tensor.grad.data = tensor.grad.data.to(device)
        except Exception:
            registry.gpu_tensors.append((ref, device))


def reduce_torch_generator(pickler, generator):
    return make_torch_generator, (str(generator.device), generator.get_state())


@rebuilder
def make_torch_generator(device, state):
    generator = importlib.import_module('torch').Generator(device)
    generator.set_state(state)
    return generator


HANDLERS[StorageMemory] = reduce_storage_memory
HANDLERS_OF_BASES.update({
    'torch._tensor.Tensor': reduce_tensor,
    'torch.Tensor': reduce_tensor,
    'torch._C.Generator': reduce_torch_generator,
})
