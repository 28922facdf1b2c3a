"""Devices: which there are, what fits, and copies that the host does not wait for."""

import os

import torch

_PROCESS = os.getpid()


def use_own_threads():
    """Compute on one thread in a process that was forked, which would wait for lost threads."""
    if os.getpid() != _PROCESS:
        torch.set_num_threads(1)


def send(values, device):
    """Send numbers to a device without waiting for its pending work.

    Parameters
    ----------
    values : ndarray or tensor
        Numbers on the host.
    device : str or torch.device
        Target.

    Returns
    -------
    tensor : tensor
        Numbers on the device.
    """
    tensor, kind = torch.as_tensor(values), torch.device(device).type
    if kind == "cpu":
        return tensor
    if kind == "cuda":
        # Only copies from pinned memory run while the host goes on.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def has_room(device, n_bytes):
    """Whether a device with memory of its own can hold data beside a network.

    Parameters
    ----------
    device : str or torch.device
        Device.
    n_bytes : int
        Size of the data.

    Returns
    -------
    room : bool
        True if the data take at most half of the free memory; False on the CPU, where a copy is of
        no use.
    """
    if torch.device(device).type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= free // 2


def resolve_device(device):
    """Find the device to compute on.

    Parameters
    ----------
    device : str
        Parameter of BEIRARegressor.

    Returns
    -------
    device : str
        As torch names it.

    Raises
    ------
    ValueError
        If it is not available here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not computes(device):
        raise ValueError(
            f"device={device!r} is not available here; use 'auto', which takes CUDA where there is "
            f"one, 'cpu', or the name of a GPU that torch finds, 'cuda' or 'cuda:1'."
        )
    return device


def computes(device):
    """Whether torch can compute on a device of this name.

    Parameters
    ----------
    device : str
        As torch names it.

    Returns
    -------
    there : bool
        False also for "meta", which has no numbers, and for names of no device.
    """
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError):  # depends on the kind of device
        return False
    return True
