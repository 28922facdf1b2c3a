"""Convolutions in time with features last, every region with kernels of its own.

On a CPU a kernel of five taps on many features is applied by the Toom-Cook (Winograd) algorithm:
four outputs at a time are found from 8 products instead of 20,

    y = out_map @ ((kernel_map @ kernel) * (in_map @ x)),

where x is a tile of eight inputs, and ``*`` the matrix product over features at each of eight
points. Other kernels are applied by one matrix product, on a copy of the input in which every row
holds its neighbors. So are all kernels on a GPU, where products are cheap compared with the maps.

References
----------
Lavin, Gray (2016), Fast algorithms for convolutional neural networks, CVPR, arXiv 1509.09308.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

TAPS, TILE = 5, 4  # taps of the kernels that are applied by tiles; outputs of a tile
N_POINTS = TAPS + TILE - 1
MIN_FEATURES = 32  # with fewer features, the maps take the time that the products save
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


def transform_kernel(weight):
    """Transform kernels to the form that ``convolve`` takes.

    Parameters
    ----------
    weight : tensor, shape (n_rois, size, n_in, n_out)
        Cross-correlation kernels, odd size.

    Returns
    -------
    kernel : tensor, shape (n_rois, n_points, n_in, n_out) or (n_rois, size * n_in, n_out)
        For tiles, or for one product.
    """
    size, n_in, _ = weight.shape[1:]
    if weight.device.type == "cpu" and size == TAPS and n_in >= MIN_FEATURES:
        kernel_map = maps(weight.dtype, weight.device)[1]
        # Padded with zeros: with five rows, gradients depended on the number of threads.
        taps = nn.functional.pad(weight.flatten(2), (0, 0, 0, N_POINTS - TAPS))
        kernel_map = nn.functional.pad(kernel_map, (0, N_POINTS - TAPS))
        return (kernel_map @ taps).unflatten(2, weight.shape[2:])
    return weight.flatten(1, 2)


def convolve(x, kernel, size, product=None):
    """Convolve in time, zero padded to the same length.

    Parameters
    ----------
    x : tensor, shape (n_rois, n_windows, n_times, n_in)
        Input.
    kernel : tensor
        Kernels from ``transform_kernel``.
    size : int
        Number of taps.
    product : tensor, optional
        The result, if it is known and only its gradients are wanted.

    Returns
    -------
    y : tensor, shape (n_rois, n_windows, n_times, n_out)
        Output.
    """
    if kernel.ndim == 4:
        return _ConvolveTiles.apply(x, kernel, product)
    return _ConvolveRows.apply(x, kernel, size, product)


@lru_cache
def maps(dtype, device):
    """Compute the maps of the Toom-Cook algorithm for five taps and four outputs.

    A kernel and a tile are polynomials: their product is found from its values at seven points and
    at infinity. The filter is the transpose of that multiplication.

    Parameters
    ----------
    dtype, device : torch.dtype, torch.device
        Of the result.

    Returns
    -------
    in_map : tensor, shape (8, 8)
        Applied to a tile of inputs.
    kernel_map : tensor, shape (8, 5)
        Applied to a kernel.
    out_map : tensor, shape (4, 8)
        Applied to the products.
    """
    points = np.array(POINTS)
    in_map, kernel_map = np.zeros((N_POINTS, N_POINTS)), np.zeros((N_POINTS, TAPS))
    out_map = np.zeros((TILE, N_POINTS))
    for k, point in enumerate(points):
        others = np.delete(points, k)
        in_map[k, :-1] = np.poly(others)[::-1]
        kernel_map[k] = point ** np.arange(TAPS) / np.prod(point - others)
        out_map[:, k] = point ** np.arange(TILE)
    in_map[-1] = np.poly(points)[::-1]
    kernel_map[-1, -1] = out_map[-1, -1] = 1.0
    return tuple(torch.as_tensor(m).to(device, dtype) for m in (in_map, kernel_map, out_map))


class _ConvolveTiles(torch.autograd.Function):
    """Convolution by tiles.

    The windows lie in one long row, with at least two zeros between them, so that tiles are a fixed
    step apart. Tiles that straddle two windows are not used.
    """

    @staticmethod
    def forward(ctx, x, kernel, product):
        """Map x (n_rois, n_windows, n_times, n_in) to (n_rois, n_windows, n_times, n_out)."""
        ctx.save_for_backward(x, kernel)
        if product is not None:
            return product.view_as(product)
        in_map, _, out_map = maps(x.dtype, x.device)
        rows, tiles = _make_tiles(x)
        values = _apply(in_map, tiles) @ kernel.transpose(0, 1)
        y = rows.new_empty(*rows.shape[:-1], kernel.shape[-1])
        y.view(len(y), -1, TILE, y.shape[-1])[:, :-1] = _apply(out_map, values).permute(1, 2, 0, 3)
        return y[:, :, : x.shape[2]]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """Gradients of x and kernel: the maps and products of the forward pass, transposed."""
        x, kernel = ctx.saved_tensors
        n_times, pad = x.shape[2], TAPS // 2
        in_map, _, out_map = maps(x.dtype, x.device)
        rows, tiles = _make_tiles(x)
        grad = nn.functional.pad(grad, (0, 0, 0, rows.shape[2] - n_times))
        grad = grad.reshape(len(grad), -1, TILE, grad.shape[-1])[:, :-1].permute(2, 0, 1, 3)
        grad = _apply(out_map.T, grad)
        grad_kernel = (_apply(in_map, tiles).mT @ grad).transpose(0, 1)
        grad_x = None
        if ctx.needs_input_grad[0]:
            found = _apply(in_map.T, grad @ kernel.transpose(0, 1).mT).permute(1, 2, 0, 3)
            grad_x = torch.zeros_like(rows)
            steps = grad_x.view(len(rows), -1, TILE, rows.shape[-1])
            steps[:, :-1] = found[:, :, :TILE]
            steps[:, 1:, : TAPS - 1] += found[:, :, TILE:]
            grad_x = grad_x[:, :, pad : pad + n_times]
        return grad_x, grad_kernel, None


def _make_tiles(x):
    """Pad windows, and view them as tiles (8, n_rois, n_tiles, n_in) that overlap."""
    pad = TAPS // 2
    rows = nn.functional.pad(x, (0, 0, pad, TILE - pad + -x.shape[2] % TILE))
    n_rois, n_windows, n_times, n_in = rows.shape
    n_tiles = n_windows * n_times // TILE - 1
    shape = N_POINTS, n_rois, n_tiles, n_in
    return rows, rows.as_strided(shape, (n_in, rows.stride(0), TILE * n_in, 1))


def _apply(matrix, tiles):
    """Apply a map along the first axis."""
    return (matrix @ tiles.reshape(len(tiles), -1)).view(len(matrix), *tiles.shape[1:])


class _ConvolveRows(torch.autograd.Function):
    """Convolution as one product."""

    @staticmethod
    def forward(ctx, x, kernel, size, product):
        """Map x (n_rois, n_windows, n_times, n_in) to (n_rois, n_windows, n_times, n_out)."""
        ctx.size = size
        ctx.save_for_backward(x, kernel)
        if product is not None:
            return product.view_as(product)
        return (_with_neighbors(x, size) @ kernel).unflatten(1, x.shape[1:3])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """Gradients of x and kernel."""
        x, kernel = ctx.saved_tensors
        n_times, pad = x.shape[2], ctx.size // 2
        grad = grad.flatten(1, 2)
        grad_kernel = _with_neighbors(x, ctx.size).mT @ grad
        grad_x = None
        if ctx.needs_input_grad[0]:
            found = (grad @ kernel.mT).unflatten(1, x.shape[1:3]).unflatten(3, (ctx.size, -1))
            grad_x = nn.functional.pad(torch.zeros_like(x), (0, 0, pad, pad))
            for tap in range(ctx.size):
                grad_x[:, :, tap : tap + n_times] += found[:, :, :, tap]
            grad_x = grad_x[:, :, pad : pad + n_times]
        return grad_x, grad_kernel, None, None


def _with_neighbors(x, size):
    """Copy x so that rows (n_rois, n_windows * n_times, size * n_in) hold what a kernel covers."""
    n_rois, n_windows, n_times, n_in = x.shape
    x = nn.functional.pad(x, (0, 0, size // 2, size // 2))
    rows = x.as_strided((n_rois, n_windows, n_times, size * n_in), (*x.stride()[:2], n_in, 1))
    return rows.reshape(n_rois, -1, size * n_in)
