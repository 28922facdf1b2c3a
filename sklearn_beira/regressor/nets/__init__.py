"""Torch modules. A network is one file here and one line in ``ARCHITECTURES``.

A network is built as ``Net(n_channels, n_rois, **sizes)``, where ``sizes`` are those parameters of
``BEIRARegressor`` (and ``n_times``) that its signature names, and what the regressor's
``network_params`` hold. Its ``forward`` maps EEG of shape ``(n_windows, n_channels, n_times)`` to
BOLD of shape ``(n_windows, n_rois, n_times)``: the estimate at sample t is that of the BOLD one
delay later. A network that estimates only the volume of the window says so by the class attribute
``own_volume_only = True``, and returns ``(n_windows, n_rois)``.

A network that has a method ``at(eeg, stops)``, which maps a continuous stretch ``(n_channels,
n_times)`` to the volumes whose windows end before the samples ``stops``, predicts whole recordings
by it. One with the class attribute ``starts_from_data = True`` gets its weights from
``_start.start_from_data`` before any training by gradients.

To be readable by ``inspection`` it has a module ``branches``, with the weights ``spatial`` and
``bandpass``, that maps EEG to envelopes, and a method ``decode(envelopes, n_times)`` for the rest.

Users' networks keep to the same rules and need no line here: ``BEIRARegressor`` takes the class.
"""

from torch import nn

from .autoencoder import BEIRANet
from .brainwavelinker import BrainWaveLinkerNet
from .compact import CompactNet
from .eegnet import EEGNet

#: Network classes by the name that ``BEIRARegressor(architecture=...)`` takes.
ARCHITECTURES = {
    "autoencoder": BEIRANet,
    "compact": CompactNet,
    "brainwavelinker": BrainWaveLinkerNet,
    "eegnet": EEGNet,
}


class AtVolumes(nn.Module):
    """A network read at the volumes only.

    Parameters
    ----------
    network : nn.Module
        One of ``ARCHITECTURES``, or a network by the same rules.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, eeg, window, sample):
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


def estimates_own_volume_only(network):
    """Tell whether a network, or its class, gives no BOLD but that of the window's own volume.

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


def starts_from_data(network):
    """Tell whether a network, or its class, gets its first weights from the data.

    Parameters
    ----------
    network : nn.Module or type
        Network or its class.

    Returns
    -------
    starts_from_data : bool
        True for a network that ``_start.start_from_data`` knows.
    """
    return bool(getattr(network, "starts_from_data", False))
