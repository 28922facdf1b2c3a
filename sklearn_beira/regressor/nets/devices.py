"""Data on the device, and copies to it that nobody waits for."""

import torch


def send(values, device):
    """Send numbers to a device, without waiting for what the device has to do before.

    Parameters
    ----------
    values : ndarray or tensor
        On the host.
    device : str or torch.device
        Where to.

    Returns
    -------
    tensor : tensor
        On the device.
    """
    tensor, kind = torch.as_tensor(values), torch.device(device).type
    if kind == "cpu":
        return tensor
    if kind == "cuda":
        # Only from pinned memory does a copy run while the host goes on.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def has_room(device, n_bytes):
    """Tell whether a device with memory of its own can keep data beside a network.

    Parameters
    ----------
    device : str or torch.device
        Device.
    n_bytes : int
        Size of the data.

    Returns
    -------
    room : bool
        True if they take at most half of the free memory; False on the CPU, where a copy of the
        data is no use.
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
        As given.

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
    """Whether there is a device of this name here, found out by getting a number from it.

    Parameters
    ----------
    device : str
        As torch names it.

    Returns
    -------
    there : bool
        False as well for "meta", which has no numbers, and for what names no device.
    """
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError):  # torch has a class for every kind
        return False
    return True
