"""Random variations of windows in training, so that a network cannot memorize them."""

import torch

from .devices import send


def vary_windows(eeg, max_shift):
    """Flip the sign of windows at random, and shift all windows by a random time.

    BOLD depends on the power of oscillations, which stays the same. The waveform, by which a
    network could recognize a few hundred windows, changes in every epoch.

    Parameters
    ----------
    eeg : tensor, shape (n_windows, n_channels, n_times)
        Windows.
    max_shift : int
        Windows are rotated to later times by fewer samples than this.

    Returns
    -------
    varied : tensor, shape (n_windows, n_channels, n_times)
        Varied windows.
    """
    # Drawn on the CPU, so that a seed gives the same numbers on every device.
    sign = 2 * torch.randint(2, (len(eeg), 1, 1)) - 1
    shift = int(torch.randint(max(max_shift, 1), ()))
    return torch.roll(eeg * send(sign.to(eeg.dtype), eeg.device), shift, dims=-1)
