"""BEIRA: a regression autoencoder behind readable branches, all regions in one pass.

Every region has a network of its own. Their weights are stacked along a first axis, so that a layer
of all regions is one batched matrix product. Behind the branches the layout is
``(n_rois, n_windows, n_times, n_features)``: features last, as the products and the layer norm want
them.
"""

import math

import torch
from torch import nn

from .branches import RectifiedBranches, make_parameter


class BEIRANet(nn.Module):
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
        Max-pool behind each encoder block but the first; upsampling in the decoder, reversed.
    dropout : float
        Dropout in every block.

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
        self.branches = RectifiedBranches(n_channels, n_rois * n_branches, n_taps, rectifier)
        self.hop = math.prod(pool_sizes)
        widths = [n_branches] + [encoder_width] * len(kernel_sizes)
        pools = [1, *pool_sizes]
        self.encoder = nn.Sequential(
            *(
                ConvBlock(n_rois, n_in, n_out, size, dropout, pool)
                for n_in, n_out, size, pool in zip(
                    widths[:-1], widths[1:], kernel_sizes, pools, strict=True
                )
            )
        )
        layers, n_in = [], encoder_width
        for size, factor in zip(kernel_sizes[:0:-1], pool_sizes[::-1], strict=True):
            layers += [
                ConvBlock(n_rois, n_in, decoder_width, size, dropout),
                LinearUpsample(factor),
            ]
            n_in = decoder_width
        # Interpolation in time and a 1x1 convolution commute: to one feature first, then up.
        self.last_upsample = layers.pop()
        self.decoder = nn.Sequential(*layers)
        self.output = make_parameter(n_rois, 1, n_in, 1, fan_in=n_in)
        self.output_bias = make_parameter(n_rois, 1, 1, 1, fan_in=n_in)

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois, n_times)."""
        return self.decode(self.branches(eeg), eeg.shape[-1])

    def decode(self, envelopes, n_times):
        """Map envelopes (n_windows, n_filters, n_times) to BOLD (n_windows, n_rois, n_times)."""
        x = envelopes.unflatten(1, (self.n_rois, self.n_branches)).permute(1, 0, 3, 2)
        # Zeros before the window make its length a multiple of what is pooled.
        padding = -n_times % self.hop
        x = nn.functional.pad(x, (0, 0, padding, 0))
        x = self.decoder(self.encoder(x))
        x = self.last_upsample(x @ self.output + self.output_bias)
        return x[:, :, padding:, 0].transpose(0, 1)


class ConvBlock(nn.Module):
    """Convolution in time, layer norm over features, GELU, dropout, max-pool, for every region.

    Parameters
    ----------
    n_rois, n_in, n_out : int
        Regions, features in and out.
    size : int
        Kernel length, odd.
    dropout : float
        Share of activations dropped in training.
    pool : int
        Max-pool along time; 1 for none.
    """

    def __init__(self, n_rois, n_in, n_out, size, dropout, pool=1):
        super().__init__()
        self.pool = pool
        self.weight = make_parameter(n_rois, size, n_in, n_out, fan_in=size * n_in)
        self.scale = nn.Parameter(torch.ones(n_rois, 1, 1, n_out))
        self.shift = nn.Parameter(torch.zeros(n_rois, 1, 1, n_out))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        """Map (n_rois, n_windows, n_times, n_in) to (n_rois, n_windows, n_times / pool, n_out)."""
        x = convolve(x, self.weight)
        x = nn.functional.layer_norm(x, x.shape[-1:])
        x = torch.addcmul(self.shift, x, self.scale)
        x = self.dropout(nn.functional.gelu(x))
        if self.pool > 1:
            n_rois, n_windows, n_times, n_features = x.shape
            x = x.reshape(n_rois, n_windows, n_times // self.pool, self.pool, n_features)
            x = x.amax(dim=3)
        return x


class LinearUpsample(nn.Module):
    """Linear interpolation in time by a whole factor (``nn.Upsample``, corners not aligned).

    Parameters
    ----------
    factor : int
        Output samples per input sample.
    """

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        """Map (..., n_times, n_features) to (..., n_times * factor, n_features)."""
        n_times = x.shape[-2]
        at = (torch.arange(n_times * self.factor, device=x.device) + 0.5) / self.factor - 0.5
        at = at.clamp_min(0)
        left = at.floor().long()
        right = (left + 1).clamp_max(n_times - 1)
        weight = (at - left).to(x.dtype)[:, None]
        return torch.lerp(x.index_select(-2, left), x.index_select(-2, right), weight)


def convolve(x, weight):
    """Convolve in time, zero padded to the same length, with one kernel per region.

    Parameters
    ----------
    x : tensor, shape (n_rois, n_windows, n_times, n_in)
        Input.
    weight : tensor, shape (n_rois, size, n_in, n_out)
        Cross-correlation kernels.

    Returns
    -------
    y : tensor, shape (n_rois, n_windows, n_times, n_out)
        Output.
    """
    n_rois, n_windows, n_times, n_in = x.shape
    size, pad = weight.shape[1], weight.shape[1] // 2
    # All windows of a region, padded, in one long row: every tap is then one matrix product on a
    # shifted view, with nothing copied. What straddles two windows falls into the padding.
    rows = nn.functional.pad(x, (0, 0, pad, pad)).reshape(n_rois, -1, n_in)
    rows = nn.functional.pad(rows, (0, 0, 0, size - 1))
    y = _ConvolveRows.apply(rows, weight)
    return y.reshape(n_rois, n_windows, n_times + 2 * pad, -1)[:, :, :n_times]


class _ConvolveRows(torch.autograd.Function):
    """Valid cross-correlation along long rows, summed tap by tap in place.

    Left to autograd, each tap would allocate an activation of its own, and each shifted view a
    full-length gradient.
    """

    @staticmethod
    def forward(ctx, rows, weight):
        """Map rows (n_rois, length + size - 1, n_in) to (n_rois, length, n_out)."""
        ctx.save_for_backward(rows, weight)
        length = rows.shape[1] - weight.shape[1] + 1
        y = torch.bmm(rows[:, :length], weight[:, 0])
        for tap in range(1, weight.shape[1]):
            y.baddbmm_(rows[:, tap : tap + length], weight[:, tap])
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """Gradients of rows and weight."""
        rows, weight = ctx.saved_tensors
        length = grad.shape[1]
        grad_rows = torch.zeros_like(rows) if ctx.needs_input_grad[0] else None
        grad_weight = torch.empty_like(weight)
        for tap in range(weight.shape[1]):
            shifted = slice(tap, tap + length)
            grad_weight[:, tap] = torch.bmm(rows[:, shifted].mT, grad)
            if grad_rows is not None:
                grad_rows[:, shifted].baddbmm_(grad, weight[:, tap].mT)
        return grad_rows, grad_weight
