"""The band of frequencies in which BOLD has power, and the components of series inside it."""

import numpy as np
from scipy.fft import dct

# Smaller powers, relative to the mean, are rounding errors.
_ROUNDING = 1e-12

# BOLD has no power at frequencies where a spectrum that fits the other frequencies expects ten
# times as much. The evidence for an edge has to exceed this (in nats); a pass band has at least
# so many frequencies, and those without power are at least so many below and above it.
_DROP, _PRICE, _FEWEST, _BELOW, _ABOVE = 0.1, 6.0, 15, 2, 5


def find_pass_band(y, elapsed):
    """Find the band of frequencies in which a centered target (n_samples,) has power.

    Returns
    -------
    low, high : float
        Edges in cycles per sample; 0 and 0.5 where the target has power everywhere.
    """
    parts = [(dct(y[s], norm="ortho") ** 2, _frequencies(s)) for s in _stretches(elapsed)]
    power, f = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(f, kind="stable")
    order = order[f[order] > 0]
    power, f = power[order], f[order]
    n = len(f)
    if n < _FEWEST + _ABOVE or not power.sum():
        return 0.0, 0.5
    # The spectrum inside: a first-order autoregressive process and white noise.
    rho, white = np.meshgrid([0, 0.3, 0.5, 0.7, 0.85, 0.93, 0.97], [0, 0.1, 0.4])
    rho, white = rho.reshape(-1, 1), white.reshape(-1, 1)
    shape = white + (1 - white) * (1 - rho**2) / (1 - 2 * rho * np.cos(2 * np.pi * f) + rho**2)
    logs, ratios, shapes, powers = (
        np.pad(np.cumsum(a, axis=-1), [(0, 0)] * (a.ndim - 1) + [(1, 0)])
        for a in (np.log(shape), power / shape, shape, power)
    )
    # From the first frequency inside to the first one above; edges at every 0.005 or 0.01.
    low = np.unique(np.r_[0, np.searchsorted(f, np.arange(0.005, 0.1, 0.005))])[:, None]
    high = np.unique(np.r_[n, np.searchsorted(f, np.arange(0.1, 0.49, 0.01))])[None]
    inside = np.maximum(high - low, 1)
    scale = np.maximum((ratios[:, high] - ratios[:, low]) / inside, 1e-300)
    evidence = -0.5 * (logs[:, high] - logs[:, low] + inside * (np.log(scale) + 1))
    best = evidence.argmax(axis=0)
    evidence = evidence.max(axis=0)
    scale = np.take_along_axis(scale, best[None], axis=0)[0]
    allowed = high - low >= _FEWEST
    # Below, at least as much as at the edge: coupled BOLD may be flat where noise would rise.
    below = powers[low], scale * shape[best, low] * low, low, _BELOW
    expected = scale * (shapes[best, n] - shapes[best, high])
    above = powers[n] - powers[high], expected, n - high, _ABOVE
    for found, expected, count, fewest in (below, above):
        level = np.maximum(found / np.maximum(count, 1), _ROUNDING * powers[n] / n)
        evidence = evidence - np.where(count, 0.5 * count * (np.log(level) + 1) + _PRICE, 0.0)
        allowed = allowed & ((count == 0) | ((count >= fewest) & (found < _DROP * expected)))
    i, j = np.unravel_index(np.where(allowed, evidence, -np.inf).argmax(), evidence.shape)
    if not allowed[i, j]:
        return 0.0, 0.5
    i, j = low[i, 0], high[0, j]
    return (f[i - 1 : i + 1].mean() if i else 0.0), (f[j - 1 : j + 1].mean() if j < n else 0.5)


def _stretches(elapsed):
    """Slices of samples at equal steps."""
    starts = np.flatnonzero(np.abs(elapsed - 1) > 0.1)
    starts = np.union1d(starts, [0])
    return [slice(*pair) for pair in zip(starts, [*starts[1:], len(elapsed)], strict=True)]


def _frequencies(stretch):
    n = stretch.stop - stretch.start
    return np.arange(n) / (2 * n)


def components(values, elapsed, band):
    """Components of samples (n_samples, ...) in a band of frequencies, along the first axis.

    They are orthonormal: cosines of every stretch, or the samples if the band is that of all.
    """
    if tuple(band) == (0.0, 0.5):
        return values
    inside = []
    for s in _stretches(elapsed):
        f = _frequencies(s)
        inside.append(dct(values[s], axis=0, norm="ortho")[(f >= band[0]) & (f <= band[1])])
    return np.concatenate(inside)
