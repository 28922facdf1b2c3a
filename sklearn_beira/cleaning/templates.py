"""Templates of an artifact that comes again: weighted sums of its other occurrences."""

from collections.abc import Iterable

import numpy as np

_TINY = np.finfo(float).tiny
# Penalties are rounded to half powers of ten, for each of which there are weights.
_STEPS = 2


class Templates:
    """Templates of the cycles of an artifact, such as volumes or heart beats.

    The template of a cycle is a sum of all other cycles. Its weights predict the cycle best in a
    band in which the artifact exceeds the EEG, over all channels, by ridge regression that leaves
    out one cycle at a time. The penalty is the power of what varies from cycle to cycle relative to
    that of their mean, and differs by frequency: where there is no artifact, templates are about 0.

    Parameters
    ----------
    channels : iterable of tuple of ndarray
        For each channel, its cycles (n_cycles, n_times), and the cycles (n_cycles, n_some) in the
        band.
    least : float
        Smallest penalty.
    """

    def __init__(self, channels: Iterable[tuple[np.ndarray, np.ndarray]], least: float):
        gram, artifact, rest = 0.0, 0.0, 0.0
        for cycles, banded in channels:
            spectra = np.fft.rfft(cycles)
            artifact += np.abs(spectra.mean(axis=0)) ** 2
            rest += np.median(np.abs(np.diff(spectra, axis=0)) ** 2, axis=0) / 2
            gram += banded @ banded.T / max((banded**2).sum(), _TINY)
        if not np.ndim(gram) or not np.isfinite(gram).all():
            raise ValueError("the recording has no good EEG channel, or one that holds NaN.")
        penalty = rest / np.maximum(artifact - rest / len(gram), 1e-3 * rest + _TINY)
        self._levels = np.rint(_STEPS * np.log10(np.maximum(penalty, least))).astype(int)
        self._weights = {
            level: _weights(gram, 10.0 ** (level / _STEPS)) for level in np.unique(self._levels)
        }

    def __call__(self, cycles: np.ndarray) -> np.ndarray:
        """Make the templates of the cycles of one channel, shape (n_cycles, n_times).

        The rate may be lower than that of the channels of the beginning.
        """
        spectra = np.fft.rfft(cycles)
        levels = self._levels[: spectra.shape[1]]
        for level, weights in self._weights.items():
            spectra[:, levels == level] = weights @ spectra[:, levels == level]
        return np.fft.irfft(spectra, cycles.shape[1])


def _weights(gram, penalty):
    """Weights (n_cycles, n_cycles) of ridge regressions of each cycle on all others."""
    n = len(gram)
    inverse = np.linalg.inv(gram + penalty * np.trace(gram) / n * np.eye(n))
    weights = -inverse / np.diag(inverse)[:, np.newaxis]
    np.fill_diagonal(weights, 0.0)
    return weights
