"""Blocks of layers on a CPU, a region and a few windows at a time.

If every layer runs over all regions and windows, memory access takes more time than arithmetic.
Here a few windows of a region go through several layers while their activations are in the cache,
and cheap activations are computed again in the backward pass. Each thread works on regions of its
own, not on a share of every operation.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import torch

# Samples that go through a stage together: with 128 features 1 MB.
CHUNK_SIZE = 2048


def run_in_chunks(x, blocks, masks):
    """Run a stage of blocks; on a CPU, on one region and a few windows at a time.

    Parameters
    ----------
    x : tensor, shape (n_rois, n_windows, n_times, n_in)
        Input.
    blocks : list of ConvBlock
        Successive blocks.
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


def each_region(work, n_rois):
    """Call ``work(slice of one region)`` for all regions, on as many threads as torch has.

    Parameters
    ----------
    work : callable
        Function of a region. New threads record gradients, so it must switch that off itself.
    n_rois : int
        Regions.

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
        # Every thread of Python has a number of torch threads of its own, the default of new ones.
        with ThreadPoolExecutor(
            n_workers, "region", torch.set_num_threads, (n_threads // n_workers,)
        ) as pool:
            return list(pool.map(work, regions))
    finally:
        torch.set_num_threads(n_threads)


class _InChunks(torch.autograd.Function):
    """Blocks on chunks of the input, with little kept for the backward pass.

    Only the outputs of the convolutions are kept. In the backward pass a chunk goes through its
    blocks again from these outputs, and autograd records it.
    """

    @staticmethod
    def forward(ctx, keep, blocks, masks, x, *weights):
        """Map x (n_rois, n_windows, n_times, n_in) to the output of the last block."""
        ctx.blocks, ctx.masks = blocks, masks
        ctx.save_for_backward(x, *weights)

        @torch.no_grad()
        def run_region(roi):
            own = [w[roi] for w in weights]
            ys, kept = [], []
            for windows in _windows(x):
                y, products = _run(x[roi, windows], blocks, own, _cut(masks, windows))
                ys.append(y)
                if keep:
                    kept.append(products)
            return torch.cat(ys, dim=1), kept

        ys, ctx.products = zip(*each_region(run_region, len(x)), strict=True)
        return torch.cat(ys)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """Gradients of x and weights."""
        x, *weights = ctx.saved_tensors
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[3] else None
        grad_weights = [torch.zeros_like(w) for w in weights]

        @torch.enable_grad()
        def run_region(roi):
            own = [w[roi].detach().requires_grad_() for w in weights]
            for windows, products in zip(_windows(x), ctx.products[roi.start], strict=True):
                eeg = x[roi, windows].detach().requires_grad_(grad_x is not None)
                y, _ = _run(eeg, ctx.blocks, own, _cut(ctx.masks, windows), products)
                wanted = own if grad_x is None else [eeg, *own]
                found = torch.autograd.grad(y, wanted, grad[roi, windows])
                if grad_x is not None:
                    grad_x[roi, windows], *found = found
                for total, part in zip(grad_weights, found, strict=True):
                    total[roi] += part

        each_region(run_region, len(x))
        return None, None, None, grad_x, *grad_weights


def _windows(x):
    """Return the windows of each chunk as slices."""
    _, n_windows, n_times, _ = x.shape
    step = max(1, CHUNK_SIZE // n_times)
    return [slice(first, first + step) for first in range(0, n_windows, step)]


def _cut(masks, windows):
    return [None if mask is None else mask[windows] for mask in masks]


def _run(x, blocks, weights, masks, products=None):
    """Run blocks with given weights; also return the products of the convolutions."""
    found = []
    for i, block in enumerate(blocks):
        known = None if products is None else products[i]
        x, product = block.run(x, weights[3 * i : 3 * i + 3], masks[i], known)
        # With few features, computing again is faster than memory access.
        found.append(product if _is_costly(block) else None)
    return x, found


def _is_costly(block):
    return math.prod(block.weight.shape[1:3]) >= block.weight.shape[3]
