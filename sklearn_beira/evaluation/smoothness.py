"""Autocorrelation of BOLD, and what follows from it."""

from collections import Counter

import numpy as np
from scipy.signal import detrend

from .._utils.columns import by_columns, columns_at_a_time

# Lags that the autocorrelation is fitted to, and training volumes on each side of a test block.
_N_LAGS, _N_NEIGHBORS = 8, 10


def fit_smoothness(y, runs):
    r"""Fit the autocorrelation of BOLD around a line.

    The autocorrelation at lag k is modeled as :math:`a \varphi^k`, that of a first-order
    autoregressive process with white noise: once with :math:`a = 1` and the measured lag one, and
    once as fits the first lags best.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.
    runs : list of ndarray of int
        Rows of each recording, in order of time.

    Returns
    -------
    smoothness : ndarray of shape (2, n_rois, 2)
        :math:`\varphi` and :math:`a`; 0 where a region does not vary.
    """
    size = columns_at_a_time(len(y), 2**20)
    found = by_columns(lambda some: _fit_smoothness(y[:, some], runs), y.shape[1], size)
    return np.concatenate(found, axis=1)


def _fit_smoothness(y, runs):
    if max(map(len, runs)) < 2:
        return np.zeros((2, y.shape[1], 2))
    largest, y = np.abs(y).max(axis=0), y.copy()
    for run in runs:
        y[run] = detrend(y[run], axis=0)
    y[:, y.std(axis=0) <= 1e-9 * largest] = 0.0  # only rounding is left of a line
    lags = np.arange(1, min(_N_LAGS, max(map(len, runs)) - 1) + 1)
    found = np.empty((len(lags), y.shape[1]))
    for k, lag in enumerate(lags):
        pairs = np.concatenate([np.column_stack([run[:-lag], run[lag:]]) for run in runs])
        products = (y[pairs[:, 0]] * y[pairs[:, 1]]).sum(axis=0)
        norms = np.sqrt(np.square(y[pairs]).sum(axis=0).prod(axis=0))
        found[k] = products / np.where(norms > 0, norms, np.inf)
    rhos = np.arange(0.01, 1.0, 0.01)
    powers = rhos[:, np.newaxis] ** lags
    shares = (powers @ found) / np.square(powers).sum(axis=1, keepdims=True)
    shares = np.clip(shares, 0.0, 1.0)
    errors = np.square(found - shares[:, np.newaxis] * powers[:, :, np.newaxis]).sum(axis=1)
    best, region = errors.argmin(axis=0), np.arange(y.shape[1])
    one = np.column_stack([np.clip(found[0], 0.0, 0.99), found[0] > 0])
    fitted = np.column_stack([rhos[best], shares[best, region]])
    return np.stack([one, fitted]).round(2)


def scatter_of_r(these, those):
    r"""Compute the variance of r of two unrelated series, relative to white noise.

    The variance of r is :math:`1 + 2 \sum_k \rho_x(k) \rho_y(k)` over the number of volumes, for
    long series (Bartlett 1935).

    Parameters
    ----------
    these, those : ndarray of shape (..., n_rois, 2)
        :math:`\varphi` and :math:`a` of each, see :func:`fit_smoothness`.

    Returns
    -------
    ratio : ndarray of shape (..., n_rois)
        Of the variances.
    """
    rho, share = np.moveaxis(these * those, -1, 0)
    return 1 + 2 * share * rho / (1 - rho)


def carried_over(smoothness, blocks, step):
    r"""Compute the r, centered within test blocks, that neighboring training volumes could give.

    With the covariances :math:`\Sigma` within the block, :math:`T` between block and neighbors and
    :math:`N` of the neighbors, and centering :math:`C`, the neighbors explain
    :math:`tr(C T N^{-1} T' C)` of :math:`tr(C \Sigma C)`, and r of unrelated series that are as
    smooth has the variance :math:`tr((C \Sigma C)^2) / tr(C \Sigma C)^2`, each trace summed over
    blocks.

    Parameters
    ----------
    smoothness : ndarray of shape (n_models, n_rois, 2)
        Of :func:`fit_smoothness`.
    blocks : list of tuple
        Volumes of each block, and its distances to training volumes.
    step : float
        Time between volumes, in the unit of the distances.

    Returns
    -------
    r : ndarray of shape (n_rois,)
        The r, by the model of the autocorrelation that makes it most standard errors.
    n_errors : ndarray of shape (n_rois,)
        The same in standard errors of r.
    """
    in_volumes = Counter((n, *np.divide(apart, step).round(3).tolist()) for n, *apart in blocks)
    r, n_errors = np.zeros(smoothness.shape[:2]), np.zeros(smoothness.shape[:2])
    kinds, kind_of = np.unique(smoothness.reshape(-1, 2), axis=0, return_inverse=True)
    kind_of = kind_of.reshape(r.shape)
    for kind, (rho, share) in enumerate(kinds):
        if not rho * share:
            continue
        told, variance, squares = sum(
            count * _told_by_neighbors(rho, share, n, apart)
            for (n, *apart), count in in_volumes.items()
        )
        if variance > 0:
            same = kind_of == kind
            r[same] = np.sqrt(told / variance)
            n_errors[same] = r[same] * variance / np.sqrt(squares)
    worst, region = n_errors.argmax(axis=0), np.arange(r.shape[1])
    return r[worst, region], n_errors[worst, region]


def _told_by_neighbors(rho, share, n, apart):
    """Sums of :func:`carried_over` for a block of n volumes, at distances in volumes."""
    place = np.arange(n, dtype=float)
    # Without noise the nearest volume on a side makes the others redundant.
    behind = np.arange(1 if share == 1 else _N_NEIGHBORS)
    neighbors = np.concatenate([-apart[0] - behind, n - 1 + apart[1] + behind])
    neighbors = neighbors[np.isfinite(neighbors)]
    within = _covariance(rho, share, place, place)
    within -= within.mean(axis=0)
    within -= within.mean(axis=1, keepdims=True)
    sums = [0.0, np.trace(within), np.square(within).sum()]
    if len(neighbors):
        across = _covariance(rho, share, place, neighbors)
        across -= across.mean(axis=0)
        among = _covariance(rho, share, neighbors, neighbors)
        sums[0] = np.trace(across @ np.linalg.solve(among, across.T))
    return np.array(sums)


def _covariance(rho, share, these, those):
    apart = np.abs(np.subtract.outer(these, those))
    return share * rho**apart + (1 - share) * (apart == 0)
