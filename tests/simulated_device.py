"""A device that is not the CPU, with numbers, for machines that have no such device.

Importing this module registers ``sim`` with torch, for the rest of the process. Its tensors lie in
the memory of the CPU and compute there, so that results are those of the CPU bit for bit. But they
say that they lie elsewhere, and refuse what a GPU refuses: operations on tensors of two devices,
and ``numpy()``. ``watched()`` tells when the host waited for numbers, and what was sent.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten

# What is not known before the device has computed it: a number, or the size of a result. The
# eigenvalues are checked by torch.
WAITING = {
    getattr(getattr(aten, name), overload)
    for name, overload in {
        "_local_scalar_dense": "default",
        "_linalg_eigh": "default",
        "equal": "default",
        "masked_select": "default",
        "nonzero": "default",
        "_unique2": "default",
    }.items()
}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}
COPIES = {aten._to_copy.default, aten.copy_.default}
# Views that a tensor marks and others have to look up; here they are computed at once.
MARKED = {aten._conj.default: aten.conj_physical.default, aten._neg_view.default: aten.neg.default}

_watching = []


class SimulatedTensor(torch.Tensor):
    """A tensor on the device; ``inner`` is where its numbers are."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device("sim", 0),
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return _run(op, *args, **(kwargs or {}))


@contextmanager
def watched():
    """Collect what happens inside: operations that ``waits``, and tensors ``sent``.

    Yields
    ------
    seen : SimpleNamespace
        ``waits``, a list of names of operations, and ``sent``, a list of tensors.
    """
    seen = SimpleNamespace(waits=[], sent=[])
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def _run(op, *args, **kwargs):
    """Compute an operation on the inner tensors, and put the results on the device."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    here = {id(t.inner): t for t in tensors if isinstance(t, SimulatedTensor)}
    of_cpu = [t for t in tensors if not isinstance(t, SimulatedTensor)]
    if op not in COPIES and any(t.ndim for t in of_cpu):
        raise RuntimeError(f"{op} got tensors on the simulated device and on the CPU.")
    target = kwargs.get("device")
    to_cpu = target is not None and torch.device(target).type == "cpu"
    if op is aten.copy_.default:
        to_cpu = not isinstance(args[0], SimulatedTensor)
    masks = args[1] if op in INDEXING else []
    waits = op in WAITING or any(t is not None and t.dtype == torch.bool for t in masks)
    for seen in _watching:
        if waits or (op in COPIES and to_cpu):
            seen.waits.append(str(op))
        elif op in COPIES:
            seen.sent.extend(of_cpu)

    if target is not None:
        kwargs = {**kwargs, "device": "cpu"}
    args, kwargs = tree_map(
        lambda x: x.inner if isinstance(x, SimulatedTensor) else x, (args, kwargs)
    )
    result = MARKED.get(op, op)(*args, **kwargs)
    if op is aten._to_copy.default:
        result = result.clone()  # devices share no memory

    def place(x):
        if not isinstance(x, torch.Tensor) or to_cpu:
            return x
        # What an operation changed in place is the tensor that it was.
        return here[id(x)] if id(x) in here else SimulatedTensor(x)

    return tree_map(place, result)


backend_registration._setup_privateuseone_for_python_backend("sim")
# Operations without a tensor of the device, such as torch.empty, arrive here.
_library = torch.library.Library("_", "IMPL")
_library.fallback(_run, "PrivateUse1")
