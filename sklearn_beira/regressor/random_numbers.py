"""Random numbers of torch, drawn without moving those of the caller."""

import threading
from contextlib import contextmanager

import torch

# torch draws from one generator for the whole process.
_LOCK = threading.RLock()


class PrivateRandomNumbers:
    """Draw from the generators of torch, and put them back behind.

    Parameters
    ----------
    device : str
        Device that is drawn on, beside the CPU.
    seed : int or None
        Where to begin; None goes on from where the generators are.
    """

    def __init__(self, device="cpu", seed=None):
        self.devices = range(torch.cuda.device_count()) if device.startswith("cuda") else []
        self.seed = seed
        self._states = None

    @contextmanager
    def drawn(self):
        """Draw inside of this context; one that is entered again goes on where the last ended.

        Threads of one process take turns, so that none draws what another has seeded.
        """
        with _LOCK, torch.random.fork_rng(devices=self.devices):
            if self._states is not None:
                self._restore()
            elif self.seed is not None:
                torch.manual_seed(self.seed)
            yield
            self._states = torch.get_rng_state(), list(map(torch.cuda.get_rng_state, self.devices))

    def _restore(self):
        cpu, cuda = self._states
        torch.set_rng_state(cpu)
        for device, state in zip(self.devices, cuda, strict=True):
            torch.cuda.set_rng_state(state, device)
