"""Random numbers of torch that leave the generators of the caller unchanged."""

import threading
from contextlib import contextmanager

import torch

# torch draws from one generator for the whole process.
_LOCK = threading.RLock()


class PrivateRandomNumbers:
    """Draw from torch's generators, and restore their states afterwards.

    Parameters
    ----------
    device : str
        Device whose generators are used, beside the CPU's.
    seed : int or None
        Seed; None continues from the state of the generators.
    """

    def __init__(self, device="cpu", seed=None):
        self.device = device
        self.devices = range(torch.cuda.device_count()) if device.startswith("cuda") else []
        self.seed = seed
        self._states = None

    @contextmanager
    def drawn(self):
        """Draw inside this context; entered again, it continues with the next numbers.

        Threads of a process take turns, because they share torch's generators.
        """
        with _LOCK, torch.random.fork_rng(devices=self.devices):
            if self._states is not None:
                cpu, cuda = self._states
                torch.set_rng_state(cpu)
                for device, state in zip(self.devices, cuda, strict=True):
                    torch.cuda.set_rng_state(state, device)
            elif self.seed is not None:
                torch.manual_seed(self.seed)
            yield
            self._states = torch.get_rng_state(), list(map(torch.cuda.get_rng_state, self.devices))
