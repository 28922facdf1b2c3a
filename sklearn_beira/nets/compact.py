"""The small sibling of BEIRA: shared branches, log power, delay kernels per region."""

import torch
from torch import nn

from .branches import PowerBranches


class CompactNet(nn.Module):
    r"""Branches shared by the regions, read by a few hundred weights per region.

    .. math:: \hat y_r(t) = b_r + \sum_k \sum_l h_{r,k}(l)\, p_k(t - l)

    where :math:`p_k` is the log power of branch k in segments of ``segment`` samples, and the delay
    kernel :math:`h_{r,k}` covers the window: it plays the part of the hemodynamic response.

    Parameters
    ----------
    n_channels, n_rois : int
        EEG channels and BOLD regions.
    n_times : int
        Samples of a window, which the delay kernels cover.
    n_branches : int
        Branches in all.
    n_taps : int
        Taps of the FIR filters in the branches, odd.
    segment : int
        Samples of EEG per value of the envelopes.
    dropout : float
        Dropout of envelope values.
    """

    def __init__(
        self, n_channels, n_rois, n_times, *, n_branches=16, n_taps=51, segment=50, dropout=0.3
    ):
        super().__init__()
        self.n_lags = n_times // segment
        if self.n_lags < 1:
            raise ValueError(
                f"windows of {n_times} samples are shorter than one segment of {segment} samples; "
                f"use longer windows or a smaller segment."
            )
        self.segment = segment
        self.branches = PowerBranches(n_channels, n_branches, n_taps, segment)
        self.dropout = nn.Dropout(dropout)
        # Zero: training starts from the prediction of the mean.
        self.kernel = nn.Parameter(torch.zeros(n_rois, n_branches, self.n_lags))
        self.bias = nn.Parameter(torch.zeros(n_rois))

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois, n_times)."""
        return self.decode(self.branches(eeg), eeg.shape[-1])

    def decode(self, envelopes, n_times):
        """Map envelopes (n_windows, n_branches, n_segments) to (n_windows, n_rois, n_times)."""
        # Before the window the envelopes are taken to be at their mean, which is zero.
        past = nn.functional.pad(self.dropout(envelopes), (self.n_lags - 1, 0))
        # A convolution as one matrix product: unlike that of conv1d, its gradient does not depend
        # on the number of threads.
        lagged = past.unfold(-1, self.n_lags, 1).transpose(1, 2).flatten(2)
        bold = (lagged @ self.kernel.flatten(1).T + self.bias).transpose(1, 2)
        bold = bold.repeat_interleave(self.segment, dim=-1)
        # Samples before the first whole segment repeat its estimate.
        rest = n_times - bold.shape[-1]
        return torch.cat([bold[..., :1].expand(-1, -1, rest), bold], dim=-1)
