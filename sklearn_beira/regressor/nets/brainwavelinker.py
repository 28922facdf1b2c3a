"""BrainWaveLinker: a spatial filter, blocks of strided convolution, a temporal convolution."""

import torch
from torch import nn

from .augmentation import vary_windows
from .branches import make_parameter


class BrainWaveLinkerNetwork(nn.Module):
    """Spatial filter, blocks of strided convolution, and a temporal convolution to the regions.

    The published description has a 1x1 convolution over channels, three blocks of [convolution of
    kernel 5 and stride 5, GELU, dropout 0.25] and a temporal convolution of kernel 21 to the
    regions. It does not give the number of features, nor the handling of short windows. Here all
    layers have ``n_features``. The temporal convolution covers the last ``readout_size`` steps of
    the window, or all steps of a shorter window, and estimates the window's own volume.

    A step is ``kernel_size ** n_blocks`` samples, 125 by default, counted from the end of the
    window.

    Parameters
    ----------
    n_channels, n_rois : int
        EEG channels and BOLD regions.
    n_times : int
        Samples of a window.
    n_features : int
        Spatial filters, and features of every block.
    kernel_size : int
        Kernel and stride of the blocks, in samples of their input.
    n_blocks : int
        Blocks.
    readout_size : int
        Most steps that the temporal convolution covers.
    dropout : float
        Dropout in every block.
    max_shift : int
        In training every window gets a random sign, and all windows are shifted by a random number
        of samples below this (:mod:`~sklearn_beira.regressor.nets.augmentation`); 0 trains on the
        windows as they are. Not part of the published description.

    Raises
    ------
    ValueError
        If the window is shorter than a step.

    References
    ----------
    BrainWaveLinker (2024), bioRxiv 2024.11.20.624528. Written from its description of the layers.
    """

    own_volume_only = True

    def __init__(
        self,
        n_channels,
        n_rois,
        n_times,
        *,
        n_features=16,
        kernel_size=5,
        n_blocks=3,
        readout_size=21,
        dropout=0.25,
        max_shift=64,
    ):
        super().__init__()
        self.max_shift = max_shift
        self.step = kernel_size**n_blocks
        n_steps = n_times // self.step
        if n_steps < 1:
            raise ValueError(
                f"windows of {n_times} samples are shorter than the {self.step} samples that the "
                f"{n_blocks} blocks of stride {kernel_size} reduce to one step; use longer windows."
            )
        self.spatial = make_parameter(n_features, n_channels, fan_in=n_channels)
        self.spatial_bias = make_parameter(n_features, fan_in=n_channels)
        self.blocks = nn.Sequential(
            *(StridedBlock(n_features, kernel_size, dropout) for _ in range(n_blocks))
        )
        self.n_read = min(n_steps, readout_size)
        n_inputs = self.n_read * n_features
        self.readout = make_parameter(n_inputs, n_rois, fan_in=n_inputs)
        self.readout_bias = make_parameter(n_rois, fan_in=n_inputs)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois)."""
        if self.training and self.max_shift:
            eeg = vary_windows(eeg, self.max_shift)
        # Earlier samples cannot reach the output.
        eeg = eeg[..., eeg.shape[-1] - self.n_read * self.step :]
        x = (self.spatial @ eeg + self.spatial_bias[:, None]).transpose(1, 2)
        return self.blocks(x).flatten(1) @ self.readout + self.readout_bias


class StridedBlock(nn.Module):
    """Convolution whose stride is its kernel, GELU, dropout.

    Parameters
    ----------
    n_features : int
        Features in and out.
    kernel_size : int
        Kernel and stride in samples.
    dropout : float
        Share of activations dropped in training.
    """

    def __init__(self, n_features, kernel_size, dropout):
        super().__init__()
        self.kernel_size = kernel_size
        n_inputs = kernel_size * n_features
        self.weight = make_parameter(n_inputs, n_features, fan_in=n_inputs)
        self.bias = make_parameter(n_features, fan_in=n_inputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        """Map (n_windows, n_times, n_features) to (n_windows, n_times / kernel, n_features)."""
        # Kernels do not overlap, so the convolution is a matrix product.
        x = x.reshape(len(x), x.shape[1] // self.kernel_size, -1)
        # A product per window: the gradient of one long product would be summed in an order that
        # depends on the number of threads.
        x = torch.bmm(x, self.weight.expand(len(x), -1, -1)) + self.bias
        return self.dropout(nn.functional.gelu(x))
