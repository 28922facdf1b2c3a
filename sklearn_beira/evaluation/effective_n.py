"""Numerics of the effective number of volumes, which ``metrics.effective_n`` documents."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from .._utils.columns import by_columns, columns_at_a_time, joined


def independent_volumes(x, y, codes, r=None):
    """Estimate the number of independent volumes that would give r the variance it has.

    Parameters
    ----------
    x, y : ndarray, shape (n_volumes, n_rois)
        Series sorted by block, centered in each.
    codes : ndarray of int, shape (n_volumes,)
        Block of each row, from 0, ascending.
    r : ndarray of shape (n_rois,) or None
        Correlations, for the variance of coupled series (xDF) and of non-Gaussian series; None
        uses Bartlett's variance.

    Returns
    -------
    n_eff : ndarray of shape (n_rois,)
        As described in :func:`sklearn_beira.effective_n`.
    """

    def work(some):
        return _independent_volumes(x[:, some], y[:, some], codes, None if r is None else r[some])

    return joined(by_columns(work, x.shape[1], columns_at_a_time(len(x))))


def _independent_volumes(x, y, codes, r):
    lengths = np.bincount(codes)
    if lengths.max() == 1:
        return np.ones(x.shape[1])  # centered, single volumes are 0
    n_lags = max(min(int(2 * np.sqrt(len(x))), lengths.max() // 2, lengths.max() - 2), 0)
    sums = _lagged_sums(x, y, codes, n_lags)
    covariances = np.linalg.solve(centering_effect(lengths, n_lags), sums)
    covariances *= np.minimum(1, 2 - 2 * np.arange(n_lags + 1) / (n_lags + 1))[:, np.newaxis]
    # Not positive if a series is constant, or if blocks are too short.
    known = (covariances[:2, 0] > 0).all(axis=0)
    scale = np.sqrt(np.where(known, covariances[:2, 0], 1.0))
    rho_x, rho_y = covariances[:2] / scale[:, np.newaxis] ** 2
    n_eff, known_n = bartlett_n(rho_x, rho_y, lengths)
    if r is not None:
        rho_xy, rho_yx = covariances[2:] / (scale[0] * scale[1])
        n_eff /= np.maximum(1, _xdf_ratio(r, rho_x, rho_y, rho_xy, rho_yx, lengths))
        n_eff /= np.maximum(1, influence_ratio(x, y, r))
    return np.clip(np.where(known & known_n, n_eff, 3.0), 3.0, len(x) - len(lengths) + 1)


def _lagged_sums(x, y, codes, n_lags):
    """Sums over volumes of x x, y y, x y and y x at lags 0 to n_lags: (4, n_lags + 1, n_rois)."""
    # So many zeros between the blocks that no lag spans two.
    rows = np.arange(len(x)) + n_lags * codes
    n_fft = next_fast_len(rows[-1] + 1 + n_lags, real=True)
    padded = np.zeros((2, n_fft, x.shape[1]))
    padded[0, rows], padded[1, rows] = x, y
    fx, fy = rfft(padded, axis=1)
    products = np.stack([fx.conj() * fx, fy.conj() * fy, fx.conj() * fy, fy.conj() * fx])
    return irfft(products, n_fft, axis=1)[:, : n_lags + 1]


def _pairs_of(lengths, n_lags):
    """Yield block lengths, how often each occurs, and its pairs of volumes at each lag."""
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        yield length, count, np.maximum(length - np.arange(n_lags + 1), 0)


def centering_effect(lengths, n_lags):
    """Return expected sums of lagged products of centered series per autocovariance before it.

    Row k, column j: trace of (shift by k) C (Toeplitz matrix of ones at lag +-j) C, over blocks.
    """
    effect = np.zeros((n_lags + 1, n_lags + 1))
    for length, count, n_pairs in _pairs_of(lengths, n_lags):
        t = np.arange(length)
        lags = np.arange(min(n_lags, length - 1) + 1)
        for j in lags:
            row_sums = np.ones(length) if j == 0 else (t >= j) * 1.0 + (t < length - j)
            before = np.append(0, np.cumsum(row_sums))
            ends = before[length - lags] + before[length] - before[lags]
            found = n_pairs[lags] * row_sums.sum() / length**2 - ends / length
            found[j] += n_pairs[j]
            effect[lags, j] += count * found
    return effect


def bartlett_n(rho_x, rho_y, lengths):
    """Return 1 + tr(C Sx) tr(C Sy) / tr(C Sx C Sy), and where the estimates are usable."""
    n_lags = len(rho_x) - 1
    trace_x = trace_y = trace_xy = uncentered = 0.0
    for length, count, n_pairs in _pairs_of(lengths, n_lags):
        weights = (n_pairs * np.where(np.arange(n_lags + 1) == 0, 1, 2))[:, np.newaxis]
        sum_x, sum_y = ((weights * rho).sum(axis=0) for rho in (rho_x, rho_y))
        rows = _toeplitz_row_sums(rho_x, length) * _toeplitz_row_sums(rho_y, length)
        trace_x += count * (length - sum_x / length)
        trace_y += count * (length - sum_y / length)
        products = (weights * rho_x * rho_y).sum(axis=0)
        uncentered += count * products
        trace_xy += count * (products - 2 * rows.sum(axis=0) / length + sum_x * sum_y / length**2)
    known = (trace_x > 0) & (trace_y > 0) & (trace_xy > 0) & (uncentered > 0)
    return 1 + trace_x * trace_y / np.where(known, trace_xy, 1.0), known


def _toeplitz_row_sums(rho, length):
    """Row sums of the (length, length) Toeplitz matrices of autocorrelations (n_lags + 1, n)."""
    later = np.zeros((length, rho.shape[1]))
    n_lags = min(len(rho), length) - 1
    later[1 : n_lags + 1] = rho[1 : n_lags + 1]
    later = later.cumsum(axis=0)
    return rho[0] + later + later[::-1]


def _xdf_ratio(r, rho_x, rho_y, rho_xy, rho_yx, lengths):
    """Return the variance of r with cross-correlations (xDF) over (1 - r^2)^2 / n_eff."""
    weights = sum(count * n_pairs for _, count, n_pairs in _pairs_of(lengths, len(rho_x) - 1))
    weights = (weights / lengths.sum())[1:, np.newaxis]
    x, y, xy, yx = (rho[1:] for rho in (rho_x, rho_y, rho_xy, rho_yx))
    uncoupled = 1 + 2 * (weights * x * y).sum(axis=0)
    coupled = (1 - r**2) ** 2 + (
        weights
        * (
            r**2 * (x**2 + y**2 + xy**2 + yx**2)
            - 2 * r * (x + y) * (xy + yx)
            + 2 * (x * y + xy * yx)
        )
    ).sum(axis=0)
    expected = uncoupled * (1 - r**2) ** 2
    # Only rounding is left if the series are equal.
    known = expected > 1e-12
    return np.where(known, coupled / np.where(known, expected, 1.0), 1.0)


def influence_ratio(x, y, r):
    """Return the variance of r from the influence of single volumes, over that of Gaussian volumes.

    The SD of this ratio for Gaussian volumes, about sqrt(8 / n), is subtracted.
    Devlin, Gnanadesikan, Kettenring (1975), Robust estimation and outlier detection with
    correlation coefficients, Biometrika 62: a volume moves r by x y - r (x^2 + y^2) / 2, for series
    of mean square 1. Here they have a sum of squares of 1.
    """
    influence = x * y - r * (x**2 + y**2) / 2
    expected = (1 - r**2) ** 2
    known = expected > 1e-12
    found = len(x) * (influence**2).sum(axis=0) / np.where(known, expected, 1)
    return np.where(known, found - np.sqrt(8 / len(x)), 1.0)


def strongest_burst(x, y, codes):
    """Find the stretch of volumes without which r is lowest.

    A stretch is as long as the autocorrelations make neighboring volumes redundant: the number of
    volumes over that of independent ones (Bartlett), rounded up.

    Parameters
    ----------
    x, y, codes : ndarray
        As in :func:`independent_volumes`.

    Returns
    -------
    start, length : ndarray of int, shape (n_rois,)
        First volume of the stretch, and its number of volumes.
    r : ndarray, shape (n_rois,)
        Without it.
    """
    length = np.ceil(len(x) / independent_volumes(x, y, codes)).astype(int)

    def work(some):
        start, lowest = np.empty(len(length[some]), dtype=int), np.empty(len(length[some]))
        for n in np.unique(length[some]):
            same = length[some] == n
            r = r_without(x[:, some][:, same], y[:, some][:, same], n)
            start[same], lowest[same] = r.argmin(axis=0), r.min(axis=0)
        return start, lowest

    found = by_columns(work, x.shape[1], columns_at_a_time(len(x)))
    start, lowest = map(joined, zip(*found, strict=True))
    return start, length, lowest


def r_without(x, y, length):
    """Compute r without each stretch of volumes: (n_volumes - length + 1, ...).

    Parameters
    ----------
    x, y : ndarray, shape (n_volumes, ...)
        Centered series.
    length : int
        Volumes of a stretch.
    """
    products = np.stack([x * y, x * x, y * y], axis=1)
    sums = np.cumsum(np.concatenate([np.zeros_like(products[:1]), products]), axis=0)
    xy, xx, yy = np.moveaxis(sums[-1] - (sums[length:] - sums[:-length]), 1, 0)
    varies = np.minimum(xx, yy) > 1e-12
    return np.where(varies, xy / np.sqrt(np.where(varies, xx * yy, 1.0)), 0.0)
