"""Torch modules of the architectures.

A network is made as ``Network(n_channels, n_rois, **sizes)``, by its class in ``architectures.py``.
Its ``forward`` maps EEG of shape ``(n_windows, n_channels, n_times)`` to BOLD of shape
``(n_windows, n_rois, n_times)``: the estimate at sample t is that of the BOLD one delay later. A
network that estimates only the volume of the window has the class attribute
``own_volume_only = True`` and returns ``(n_windows, n_rois)``.

Two methods are optional. ``at(eeg, stops)`` maps a continuous stretch ``(n_channels, n_times)`` to
the volumes whose windows end before the samples ``stops``: prediction then reads whole recordings
in one pass. For ``inspection``, a network has a module ``branches``, with the weights ``spatial``
and ``bandpass``, that maps EEG to envelopes, and a method ``decode(envelopes, n_times)`` for the
rest.
"""

import torch
from torch import nn


class AtVolumes(nn.Module):
    """A network whose output is read at the volumes only.

    Parameters
    ----------
    network : nn.Module
        A network by the rules above.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(
        self, eeg: torch.Tensor, window: torch.Tensor, sample: torch.Tensor
    ) -> torch.Tensor:
        """Map EEG to the BOLD (n_estimates, n_rois) of volumes.

        Parameters
        ----------
        eeg : tensor, shape (n_windows, n_channels, n_times)
            Windows.
        window, sample : tensor of int, shape (n_estimates,)
            Window that a volume is estimated in, and sample of the output. A network that
            estimates only the volume of a window gives one estimate per window, in their order.
        """
        bold = self.network(eeg)
        if estimates_own_volume_only(self.network):
            return bold
        return bold[window, :, sample]


def estimates_own_volume_only(network: nn.Module | type) -> bool:
    """Whether a network, or its class, estimates only the volume of the window.

    Parameters
    ----------
    network : nn.Module or type
        Network or its class.

    Returns
    -------
    own_volume_only : bool
        True for output of shape (n_windows, n_rois), False for (n_windows, n_rois, n_times).
    """
    return bool(getattr(network, "own_volume_only", False))
