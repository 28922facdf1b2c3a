"""BEIRA: a regression autoencoder behind readable branches, all regions in one network.

Every region has a network of its own. Their weights are stacked along a first axis, and behind the
branches the layout is ``(n_rois, n_windows, n_times, n_features)``: features last, as the matrix
products and the layer norm want them.

On a CPU the time goes to memory rather than to arithmetic when layer after layer runs over all
regions and windows. So a few windows of a region at a time go through several layers while their
activations are in the cache (``_InChunks``); what is cheap is computed again in the backward pass.
A thread has regions of its own, rather than a share of every operation. Convolutions between wide
layers need less than half of the products (``convolution.py``).
"""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from torch import nn

from .branches import RectifiedBranches, make_parameter
from .convolution import convolve, transform_kernel

# Samples that go through a stage together on a CPU: with 128 features 1 MB.
CHUNK_SIZE = 2048


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
        Dropout in every block. What is dropped differs between windows, samples and features. All
        regions drop the same: to a region, which sees no other, it makes no difference.

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
        # Interpolation in time and a 1x1 convolution commute: to one feature first, then up.
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

        ``masks`` replaces what dropout draws in training: for every block what to keep, uint8 of
        shape (n_windows, n_times of the block, n_features), or None.
        """
        x = envelopes.unflatten(1, (self.n_rois, self.n_branches)).permute(1, 0, 3, 2)
        # Zeros before the window make its length a multiple of what is pooled.
        padding = -n_times % self.hop
        x = nn.functional.pad(x, (0, 0, padding, 0))
        blocks = [*self.encoder, *self.decoder]
        if masks is None:
            masks = self._draw_masks(x.shape[1], x.shape[2])
        # The first stage is the work at the full rate. The others have fewer samples, so that more
        # windows make a chunk.
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
        """Return what ``run`` takes as weights, each of shape (n_rois, ...)."""
        return transform_kernel(self.weight), self.scale, self.shift

    def run(self, x, weights, mask=None, product=None):
        """Map (n_rois, n_windows, n_times, n_in) to (n_rois, n_windows, new n_times, n_out).

        ``weights`` are those of ``prepare``, or of the regions in x. ``mask`` (n_windows, n_times,
        n_out) says what dropout keeps. Also returned is the output of the convolution, which is
        not computed when it is given as ``product``.
        """
        kernel, scale, shift = weights
        product = convolve(x, kernel, self.weight.shape[1], product)
        x = nn.functional.layer_norm(product, product.shape[-1:])
        x = nn.functional.gelu(torch.addcmul(shift, x, scale))
        if mask is not None:
            x.mul_(mask)
        if self.pool > 1:
            n_rois, n_windows, n_times, n_features = x.shape
            # Images of one column with the features last are what torch pools fastest.
            x = x.reshape(-1, n_times, 1, n_features).permute(0, 3, 1, 2)
            x = nn.functional.max_pool2d(x, (self.pool, 1))
            x = x.permute(0, 2, 3, 1).reshape(n_rois, n_windows, -1, n_features)
        if mask is not None:
            x = x / (1 - self.dropout)  # behind the pooling, where less is left
        return upsample(x, self.factor), product


def run_in_chunks(x, blocks, masks):
    """Run a stage of blocks, on a CPU one region and a few windows at a time.

    Parameters
    ----------
    x : tensor, shape (n_rois, n_windows, n_times, n_in)
        Input.
    blocks : list of ConvBlock
        Blocks, one behind the other.
    masks : list of (tensor or None)
        Dropout mask of each block.

    Returns
    -------
    y : tensor, shape (n_rois, n_windows, new n_times, n_out)
        Output of the last block.
    """
    weights = [w for block in blocks for w in block.prepare()]
    if x.device.type != "cpu":
        return _run(x, blocks, weights, masks)[0]
    return _InChunks.apply(torch.is_grad_enabled(), blocks, masks, x, *weights)


def _run(x, blocks, weights, masks, products=None):
    """Run blocks on weights of the same regions; also return the products of the convolutions."""
    found = []
    for i, block in enumerate(blocks):
        known = None if products is None else products[i]
        x, product = block.run(x, weights[3 * i : 3 * i + 3], masks[i], known)
        # Few features in: computed again sooner than written and read.
        found.append(product if _is_costly(block) else None)
    return x, found


def _is_costly(block):
    return math.prod(block.weight.shape[1:3]) >= block.weight.shape[3]


class _InChunks(torch.autograd.Function):
    """Blocks on chunks of the input, with little kept for the backward pass.

    Only the convolutions' outputs are kept. In the backward pass a chunk goes through its blocks
    again, from those outputs, this time recorded by autograd.
    """

    @staticmethod
    def forward(ctx, keep, blocks, masks, x, *weights):
        """Map x (n_rois, n_windows, n_times, n_in) to the output of the last block."""
        ctx.blocks, ctx.masks = blocks, masks
        ctx.save_for_backward(x, *weights)
        chunks = _chunks(x)

        def run_region(roi):
            found = []
            with torch.no_grad():
                for windows in chunks:
                    inputs = [w[roi] for w in weights]
                    y, products = _run(x[roi, windows], blocks, inputs, _cut(masks, windows))
                    found.append((y, products if keep else None))
            ys, products = zip(*found, strict=True)
            return torch.cat(ys, dim=1), products

        ys, ctx.products = zip(*_each_region(run_region, len(x)), strict=True)
        return torch.cat(ys)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """Gradients of x and weights."""
        x, *weights = ctx.saved_tensors
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[3] else None
        grad_weights = [torch.zeros_like(w) for w in weights]
        chunks = _chunks(x)

        def run_region(roi):
            n = roi.start
            for windows, products in zip(chunks, ctx.products[n], strict=True):
                inputs = [x[roi, windows], *(w[roi] for w in weights)]
                inputs = [tensor.detach().requires_grad_() for tensor in inputs]
                masks = _cut(ctx.masks, windows)
                with torch.enable_grad():
                    y, _ = _run(inputs[0], ctx.blocks, inputs[1:], masks, products)
                wanted = inputs if grad_x is not None else inputs[1:]
                found = torch.autograd.grad(y, wanted, grad[roi, windows])
                if grad_x is not None:
                    grad_x[roi, windows], *found = found
                for total, part in zip(grad_weights, found, strict=True):
                    total[roi] += part

        _each_region(run_region, len(x))
        return None, None, None, grad_x, *grad_weights


def _chunks(x):
    """Windows of each chunk."""
    _, n_windows, n_times, _ = x.shape
    step = max(1, CHUNK_SIZE // n_times)
    return [slice(first, first + step) for first in range(0, n_windows, step)]


def _each_region(work, n_rois):
    """Call ``work(slice of one region)`` for all regions, on as many threads as torch has.

    Returns
    -------
    results : list
        By region.
    """
    regions = [slice(roi, roi + 1) for roi in range(n_rois)]
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, n_rois)
    if n_workers == 1:
        return [work(region) for region in regions]
    try:
        # The number of threads is one per thread of Python, and the default of new ones.
        with ThreadPoolExecutor(
            n_workers, "region", torch.set_num_threads, (n_threads // n_workers,)
        ) as pool:
            return list(pool.map(work, regions))
    finally:
        torch.set_num_threads(n_threads)


def _cut(masks, windows):
    return [None if mask is None else mask[windows] for mask in masks]


def draw_mask(shape, dropout, device):
    """Draw what dropout keeps.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    dropout : float
        Share to drop, realised in steps of 1/65,536.
    device : torch.device
        Device.

    Returns
    -------
    mask : tensor of uint8, shape ``shape``
        1 for what is kept.
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
    n_times = x.shape[-2]
    at = (torch.arange(n_times * factor, device=x.device) + 0.5) / factor - 0.5
    at = at.clamp_min(0)
    left = at.floor().long()
    right = (left + 1).clamp_max(n_times - 1)
    weight = (at - left).to(x.dtype)[:, None]
    return torch.lerp(x.index_select(-2, left), x.index_select(-2, right), weight)
