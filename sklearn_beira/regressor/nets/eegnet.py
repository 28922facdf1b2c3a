"""EEGNet with a linear read-out of BOLD instead of a softmax over classes."""

import torch
from torch import nn

from .augmentation import vary_windows
from .branches import fir_filter, make_parameter


class EEGNetNetwork(nn.Module):
    """Temporal and spatial filters, a separable convolution, pools, and a read-out per region.

    The layers of EEGNet-``n_temporal``,``depth`` [1]_ with a linear read-out of every region:
    temporal convolution; depthwise spatial convolution, batch norm, ELU, average pool, dropout;
    depthwise and pointwise convolution, batch norm, ELU, average pool, dropout; linear.

    Parameters
    ----------
    n_channels, n_rois : int
        EEG channels and BOLD regions.
    n_times : int
        Samples of a window.
    n_taps : int
        Taps of the temporal filters, odd; the original has half a second.
    n_temporal : int
        Temporal filters (F1).
    depth : int
        Spatial filters of each temporal filter (D).
    n_separable : int
        Features after the separable convolution (F2).
    separable_size : int
        Kernel of the separable convolution after the first pool, odd (16 in the original).
    pools : tuple of int
        Average pools after the two stages, counted from the end of the window.
    dropout : float
        Dropout after each pool.
    max_shift : int
        In training every window gets a random sign, and all windows are shifted by a random number
        of samples below this (:mod:`~sklearn_beira.regressor.nets.augmentation`); 0 trains on the
        windows as they are. Not part of the published description.

    Raises
    ------
    ValueError
        If the window is shorter than the two pools, or ``separable_size`` is even.

    Notes
    -----
    Temporal and spatial filters are linear, so their order is changed: only the few spatially
    filtered signals are filtered in time. The batch norm between the two is left out, because the
    one after them undoes its shift and scale. The limits on the norms of weights are left out, too;
    weight decay replaces them.

    References
    ----------
    .. [1] Lawhern, Solon, Waytowich, Gordon, Hung, Lance (2018), EEGNet: a compact convolutional
       neural network for EEG-based brain-computer interfaces, J. Neural Eng. 15, 056013.
    """

    own_volume_only = True

    def __init__(
        self,
        n_channels,
        n_rois,
        n_times,
        *,
        n_taps=51,
        n_temporal=8,
        depth=2,
        n_separable=16,
        separable_size=15,
        pools=(4, 8),
        dropout=0.25,
        max_shift=64,
    ):
        super().__init__()
        self.max_shift = max_shift
        self.first_pool, self.second_pool = pools
        n_steps = n_times // self.first_pool // self.second_pool
        if n_steps < 1:
            raise ValueError(
                f"windows of {n_times} samples are shorter than the pools of {self.first_pool} x "
                f"{self.second_pool} samples; use longer windows or smaller pools."
            )
        n_filters = n_temporal * depth
        self.depth = depth
        self.temporal = make_parameter(n_temporal, n_taps, fan_in=n_taps)
        self.spatial = make_parameter(n_filters, n_channels, fan_in=n_channels)
        self.spatial_norm = nn.BatchNorm1d(n_filters)
        self.depthwise = make_parameter(n_filters, separable_size, fan_in=separable_size)
        self.pointwise = make_parameter(n_separable, n_filters, fan_in=n_filters)
        self.separable_norm = nn.BatchNorm1d(n_separable)
        self.dropout = nn.Dropout(dropout)
        # Zero: the network predicts the mean at first.
        self.readout = nn.Parameter(torch.zeros(n_separable * n_steps, n_rois))
        self.readout_bias = nn.Parameter(torch.zeros(n_rois))

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois)."""
        if self.training and self.max_shift:
            eeg = vary_windows(eeg, self.max_shift)
        taps = self.temporal.repeat_interleave(self.depth, dim=0)
        x = self.spatial_norm(fir_filter(self.spatial @ eeg, taps))
        x = self.dropout(pool_from_end(nn.functional.elu(x), self.first_pool))
        x = self.separable_norm(self.pointwise @ fir_filter(x, self.depthwise))
        x = self.dropout(pool_from_end(nn.functional.elu(x), self.second_pool))
        return x.flatten(1) @ self.readout + self.readout_bias


def pool_from_end(x, size):
    """Average successive samples, so that the last group ends with the window.

    Parameters
    ----------
    x : tensor, shape (..., n_times)
        Signals.
    size : int
        Samples per group.

    Returns
    -------
    y : tensor, shape (..., n_times // size)
        Means; samples before the first whole group are left out.
    """
    n_groups = x.shape[-1] // size
    return x[..., x.shape[-1] - n_groups * size :].unflatten(-1, (n_groups, size)).mean(dim=-1)
