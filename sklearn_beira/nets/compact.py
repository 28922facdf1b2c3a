"""The small sibling of BEIRA: shared branches, log power at a low rate, a delay kernel per region."""

import torch
from torch import nn

from .branches import _parameter, fir_filter


class CompactNet(nn.Module):
    """Branches shared by all regions, read by a few hundred weights per region.

    A branch is a spatial filter, a FIR band-pass and an envelope: the log of its power, averaged
    over ``pool_size`` samples. A region is a sum of the branches' envelopes, each convolved with a
    delay kernel of its own, so that the hemodynamic response can be read off.
    """

    def __init__(self, n_channels, n_rois, n_times, *, n_branches=16, n_taps=51, pool_size=50, dropout=0.3):
        super().__init__()
        self.n_rois, self.n_branches, self.pool_size = n_rois, n_branches, pool_size
        self.n_lags = max(n_times // pool_size, 1)
        self.spatial = _parameter(n_branches, n_channels, fan_in=n_channels)
        self.norm = nn.BatchNorm1d(n_branches, affine=False)
        self.bandpass = _parameter(n_branches, n_taps, fan_in=n_taps)
        self.band_norm = nn.BatchNorm1d(n_branches, affine=False)
        self.power_norm = nn.BatchNorm1d(n_branches, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.kernel = nn.Parameter(torch.zeros(n_rois, n_branches, self.n_lags))
        self.bias = nn.Parameter(torch.zeros(n_rois))

    def envelopes(self, eeg):
        x = self.norm(self.spatial @ eeg)
        x = self.band_norm(fir_filter(x, self.bandpass))
        n_low = max(x.shape[-1] // self.pool_size, 1)
        size = min(self.pool_size, x.shape[-1])
        x = x[..., -n_low * size :].reshape(*x.shape[:2], n_low, size)
        return self.power_norm(torch.log(x.square().mean(-1) + 1e-4))

    def forward(self, eeg):
        return self.decode(self.envelopes(eeg), eeg.shape[-1])

    def decode(self, p, n_times):
        p = self.dropout(p)
        p = nn.functional.pad(p, (self.n_lags - 1, 0))
        y = nn.functional.conv1d(p, self.kernel, self.bias)
        y = y.repeat_interleave(self.pool_size, dim=-1)
        if y.shape[-1] < n_times:
            y = nn.functional.pad(y, (n_times - y.shape[-1], 0))
        return y[..., -n_times:]
