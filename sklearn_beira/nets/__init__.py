"""Torch modules. A network is one file here and one line in ``ARCHITECTURES``.

A network is built as ``Net(n_channels, n_rois, **sizes)``, where ``sizes`` are those parameters of
``BEIRARegressor`` (and ``n_times``) that its signature names. Its ``forward`` maps EEG of shape
``(n_windows, n_channels, n_times)`` to BOLD of shape ``(n_windows, n_rois, n_times)``: the estimate
at sample t is that of the BOLD one delay later.

To be readable by ``inspection`` it has a module ``branches``, with the weights ``spatial`` and
``bandpass``, that maps EEG to envelopes, and a method ``decode(envelopes, n_times)`` for the rest.
"""

from torch import nn

from .autoencoder import BEIRANet
from .compact import CompactNet

#: Network classes by the name that ``BEIRARegressor(architecture=...)`` takes.
ARCHITECTURES = {"autoencoder": BEIRANet, "compact": CompactNet}


class AtVolumes(nn.Module):
    """A network read at the volumes only.

    Parameters
    ----------
    network : nn.Module
        One of ``ARCHITECTURES``.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, eeg, samples):
        """Map EEG and output samples (n_windows, n_slots) to BOLD (n_windows, n_slots, n_rois)."""
        bold = self.network(eeg).transpose(1, 2)
        at = samples[:, :, None].expand(-1, -1, bold.shape[2])
        return bold.gather(1, at)
