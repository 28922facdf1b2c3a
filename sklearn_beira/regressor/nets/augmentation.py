"""Windows varied in training, so that a network cannot learn them by heart."""

import torch

from .devices import send


def vary_windows(eeg, max_shift):
    """Turn the sign of windows at random, and move all by a random time.

    BOLD follows the power of oscillations, which neither changes. The waveform, by which a network
    can tell a few hundred windows apart, is another one in every pass.

    Parameters
    ----------
    eeg : tensor, shape (n_windows, n_channels, n_times)
        Windows.
    max_shift : int
        Windows move into the future by fewer samples than this; their newest samples come in at
        their start.

    Returns
    -------
    varied : tensor, shape (n_windows, n_channels, n_times)
        Varied windows.
    """
    # Drawn on the CPU: there a seed means the same for every device.
    sign = 2 * torch.randint(2, (len(eeg), 1, 1)) - 1
    shift = int(torch.randint(max(max_shift, 1), ()))
    return torch.roll(eeg * send(sign.to(eeg.dtype), eeg.device), shift, dims=-1)
