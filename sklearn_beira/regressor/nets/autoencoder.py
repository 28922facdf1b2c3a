"""The published network: a regression autoencoder behind the branches of every region.

Every region has a network of its own. Their weights are stacked along a first axis, and after the
branches the layout is ``(n_rois, n_windows, n_times, n_features)``, with features last for fast
matrix products and layer norms.

On a CPU, blocks run on a region and a few windows at a time (``chunks.py``), and convolutions
between wide layers need less than half of the products (``convolution.py``).
"""

import math
from itertools import pairwise

import torch
from torch import nn

from .branches import RectifiedBranches, make_parameter
from .chunks import run_in_chunks
from .convolution import convolve, transform_kernel


class AutoencoderNetwork(nn.Module):
    """One regression autoencoder per region.

    Parameters
    ----------
    n_channels, n_rois : int
        EEG channels and BOLD regions.
    n_branches : int
        Branches per region.
    n_taps : int
        Taps of the FIR filters in the branches, odd.
    rectifier : {"relu", "abs"}
        Rectifier of the branches.
    encoder_width, decoder_width : int
        Features of the encoder's and the decoder's blocks.
    kernel_sizes : tuple of int
        Kernels of the encoder's blocks, odd. The decoder mirrors all but the first.
    pool_sizes : tuple of int
        Max-pool after each encoder block but the first; the decoder upsamples in reverse order.
    dropout : float
        Dropout in every block. Windows, samples and features have different masks. Regions share
        them, which makes no difference, as regions do not interact.

    References
    ----------
    Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
    interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.
    """

    def __init__(
        self,
        n_channels,
        n_rois,
        *,
        n_branches=16,
        n_taps=51,
        rectifier="relu",
        encoder_width=128,
        decoder_width=32,
        kernel_sizes=(3, 5, 5, 3),
        pool_sizes=(8, 8, 4),
        dropout=0.3,
    ):
        super().__init__()
        self.n_rois, self.n_branches = n_rois, n_branches
        self.dropout = dropout
        self.branches = RectifiedBranches(n_channels, n_rois * n_branches, n_taps, rectifier)
        self.hop = math.prod(pool_sizes)
        widths = [n_branches] + [encoder_width] * len(kernel_sizes)
        self.encoder = nn.ModuleList(
            ConvBlock(n_rois, n_in, n_out, size, dropout, pool=pool)
            for (n_in, n_out), size, pool in zip(
                pairwise(widths), kernel_sizes, (1, *pool_sizes), strict=True
            )
        )
        widths = [encoder_width] + [decoder_width] * len(pool_sizes)
        # Interpolation and a 1x1 convolution commute: one feature is upsampled instead of many.
        *factors, self.last_factor = pool_sizes[::-1]
        self.decoder = nn.ModuleList(
            ConvBlock(n_rois, n_in, n_out, size, dropout, factor=factor)
            for (n_in, n_out), size, factor in zip(
                pairwise(widths), kernel_sizes[:0:-1], (*factors, 1), strict=True
            )
        )
        self.output = make_parameter(n_rois, 1, widths[-1], 1, fan_in=widths[-1])
        self.output_bias = make_parameter(n_rois, 1, 1, 1, fan_in=widths[-1])

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois, n_times)."""
        return self.decode(self.branches(eeg), eeg.shape[-1])

    def decode(self, envelopes, n_times, masks=None):
        """Map envelopes (n_windows, n_filters, n_times) to BOLD (n_windows, n_rois, n_times).

        ``masks`` replaces the masks that dropout draws in training: for every block a uint8 tensor
        (n_windows, n_times of the block, n_features), or None.
        """
        x = envelopes.unflatten(1, (self.n_rois, self.n_branches)).permute(1, 0, 3, 2)
        # Zeros before the window make its length a multiple of the pools.
        padding = -n_times % self.hop
        x = nn.functional.pad(x, (0, 0, padding, 0))
        blocks = [*self.encoder, *self.decoder]
        if masks is None:
            masks = self._draw_masks(x.shape[1], x.shape[2])
        # The first stage runs at the full rate. Later blocks have fewer samples, so more
        # windows fit into a chunk.
        n_full_rate = 1 + next((i for i, block in enumerate(blocks) if block.pool > 1), 0)
        for stage in (slice(n_full_rate), slice(n_full_rate, None)):
            x = run_in_chunks(x, blocks[stage], masks[stage])
        x = x @ self.output + self.output_bias
        x = upsample(x, self.last_factor)
        return x[:, :, padding:, 0].transpose(0, 1)

    def _draw_masks(self, n_windows, n_times):
        blocks = [*self.encoder, *self.decoder]
        if not (self.training and self.dropout):
            return [None] * len(blocks)
        masks = []
        for block in blocks:
            shape = n_windows, n_times, block.shift.shape[-1]
            masks.append(draw_mask(shape, self.dropout, self.output.device))
            n_times = n_times // block.pool * block.factor
        return masks


class ConvBlock(nn.Module):
    """Convolution in time, layer norm over features, GELU, dropout, then pooling or upsampling.

    Parameters
    ----------
    n_rois, n_in, n_out : int
        Regions, features in and out.
    size : int
        Kernel length, odd.
    dropout : float
        Share of activations dropped where a mask is given.
    pool : int
        Max-pool along time; 1 for none.
    factor : int
        Linear upsampling along time; 1 for none.
    """

    def __init__(self, n_rois, n_in, n_out, size, dropout, *, pool=1, factor=1):
        super().__init__()
        self.dropout, self.pool, self.factor = dropout, pool, factor
        self.weight = make_parameter(n_rois, size, n_in, n_out, fan_in=size * n_in)
        self.scale = nn.Parameter(torch.ones(n_rois, 1, 1, n_out))
        self.shift = nn.Parameter(torch.zeros(n_rois, 1, 1, n_out))

    def prepare(self):
        """Return the weights that ``run`` takes, each of shape (n_rois, ...)."""
        return transform_kernel(self.weight), self.scale, self.shift

    def run(self, x, weights, mask=None, product=None):
        """Map (n_rois, n_windows, n_times, n_in) to (n_rois, n_windows, new n_times, n_out).

        ``weights`` come from ``prepare``, for the regions in x. ``mask`` marks what dropout keeps,
        (n_windows, n_times, n_out). The output of the convolution is returned as well; if it is
        given as ``product``, it is not computed again.
        """
        kernel, scale, shift = weights
        product = convolve(x, kernel, self.weight.shape[1], product)
        x = nn.functional.layer_norm(product, product.shape[-1:])
        x = nn.functional.gelu(torch.addcmul(shift, x, scale))
        if mask is not None:
            x.mul_(mask)
        if self.pool > 1:
            n_rois, n_windows, n_times, n_features = x.shape
            # torch pools images of one column with channels last fastest.
            x = x.reshape(-1, n_times, 1, n_features).permute(0, 3, 1, 2)
            x = nn.functional.max_pool2d(x, (self.pool, 1))
            x = x.permute(0, 2, 3, 1).reshape(n_rois, n_windows, -1, n_features)
        if mask is not None:
            x = x / (1 - self.dropout)  # after the pooling, which leaves fewer values
        return upsample(x, self.factor), product


def draw_mask(shape, dropout, device):
    """Draw a mask of dropout.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    dropout : float
        Share to drop, in steps of 1/65,536.
    device : torch.device
        Device.

    Returns
    -------
    mask : tensor of uint8, shape ``shape``
        1 for values that are kept.
    """
    # Four numbers of 16 bits at a time: ``bernoulli_`` takes several times as long on a CPU.
    n = math.prod(shape)
    bits = torch.empty(-(-n // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
    least = round(dropout * 2**16) - 2**15
    return (bits.view(torch.int16)[:n] >= least).view(torch.uint8).view(shape)


def upsample(x, factor):
    """Interpolate linearly in time by a whole factor (``nn.Upsample``, corners not aligned).

    Parameters
    ----------
    x : tensor, shape (..., n_times, n_features)
        Signals.
    factor : int
        Output samples per input sample.

    Returns
    -------
    y : tensor, shape (..., n_times * factor, n_features)
        Interpolated signals.
    """
    if factor == 1:
        return x
    # ``factor`` samples between neighbors, with the first and last sample repeated at the ends.
    # Slices instead of an index, whose gradient a GPU would sum in no fixed order.
    x = torch.cat([x[..., :1, :], x, x[..., -1:, :]], dim=-2)[..., None, :]
    weight = (torch.arange(factor, device=x.device, dtype=x.dtype) + (1 - factor % 2) / 2) / factor
    y = torch.lerp(x[..., :-1, :, :], x[..., 1:, :, :], weight[:, None]).flatten(-3, -2)
    start = (factor + 1) // 2
    return y[..., start : y.shape[-2] - factor + start, :]
