"""The default network: branches whose power is read by delay kernels."""

import torch
from torch import nn

from .branches import PowerBranches


class CompactNetwork(nn.Module):
    r"""Branches of every region, with a delay kernel per branch.

    .. math:: \hat y_r(t) = b_r + \sum_k \sum_l h_{r,k}(l)\, e_{r,k}(t - l)

    where :math:`e_{r,k}` is the envelope of branch k of region r in segments of ``segment``
    samples (:class:`~sklearn_beira.regressor.nets.branches.PowerBranches`), and the delay kernel
    :math:`h_{r,k}`, which covers the window, acts as a hemodynamic response.

    The network is convolutional: :meth:`at` estimates all volumes of a stretch of EEG in one
    pass. :func:`~sklearn_beira.regressor.closed_form.fit_closed_form` sets its weights.

    Parameters
    ----------
    n_channels, n_rois : int
        EEG channels and BOLD regions.
    n_times : int
        Samples of a window, which the delay kernels cover.
    n_branches : int
        Branches of each region.
    n_taps : int
        Taps of the FIR filters in the branches, odd.
    segment : int
        Samples of EEG per value of the envelopes.

    Raises
    ------
    ValueError
        If the window is shorter than an FIR filter and a segment.
    """

    own_volume_only = True

    def __init__(self, n_channels, n_rois, n_times, *, n_branches=16, n_taps=101, segment=50):
        super().__init__()
        if n_times == 1:  # a table of features: nothing to filter
            n_taps = segment = 1
        self.n_lags = (n_times - n_taps + 1) // segment
        if self.n_lags < 1:
            raise ValueError(
                f"windows of {n_times} samples are shorter than an FIR filter of {n_taps} and a "
                f"segment of {segment} samples; use longer windows, fewer taps or a smaller "
                f"segment."
            )
        self.n_rois, self.n_branches = n_rois, n_branches
        self.branches = PowerBranches(n_channels, n_rois * n_branches, n_taps, segment)
        # Zero: before the closed form, the network predicts the mean.
        self.kernel = nn.Parameter(torch.zeros(n_rois, n_branches, self.n_lags))
        self.bias = nn.Parameter(torch.zeros(n_rois))

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois)."""
        return self.decode(self.branches(eeg), eeg.shape[-1])

    def at(self, eeg, stops):
        """Map a stretch (n_channels, n_times) to BOLD (n_volumes, n_rois) of windows in it.

        Parameters
        ----------
        eeg : tensor, shape (n_channels, n_times)
            Continuous EEG.
        stops : tensor of int, shape (n_volumes,)
            Sample after the last of each volume's window.
        """
        return self.decode(self.branches.at(eeg, self.segment_stops(stops)), None)

    def segment_stops(self, stops):
        """Return the ends of the segments (n_volumes, n_lags) of windows that end at ``stops``."""
        ago = torch.arange(self.n_lags - 1, -1, -1, device=stops.device) * self.branches.segment
        return stops[:, None] - ago

    def decode(self, envelopes, n_times):
        """Map envelopes (n_windows, n_filters, n_segments) to BOLD (n_windows, n_rois)."""
        recent = envelopes[..., envelopes.shape[-1] - self.n_lags :]
        # Kernels begin with the newest lag, segments with the oldest.
        weighted = recent.unflatten(1, (self.n_rois, -1)) * self.kernel.flip(-1)
        return weighted.flatten(2).sum(dim=-1) + self.bias
