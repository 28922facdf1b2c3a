"""Random numbers of torch, drawn without moving those of the caller."""

import threading
from contextlib import contextmanager

import torch

# torch draws from one generator for the whole process.
_LOCK = threading.RLock()


@contextmanager
def private_random_numbers(device="cpu", seed=None):
    """Draw from the generators of torch, and put them back behind.

    Threads of one process take turns, so that none draws what another has seeded.

    Parameters
    ----------
    device : str
        Device that is drawn on, beside the CPU.
    seed : int or None
        Where to begin; None goes on from where the generators are.
    """
    cuda = device.startswith("cuda")
    devices = range(torch.cuda.device_count()) if cuda else []
    with _LOCK, torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield
