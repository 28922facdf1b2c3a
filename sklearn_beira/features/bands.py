"""Frequency bands, and the filters that extract them."""

from functools import lru_cache, partial
from typing import Self

import mne
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin

from .._utils.mne_log import quiet_mne
from ..eeg.base import EEGEstimator
from ..eeg.cache import recording_rows
from ..eeg.checks import check_eeg
from ..eeg.windows import EEGWindows

#: Edges in Hz of the default bands of features and baselines: delta 1 to 4, theta 4 to 8, alpha 8
#: to 12, low beta 12 to 18, high beta 18 to 30, gamma 30 to 45.
BANDS = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "low beta": (12.0, 18.0),
    "high beta": (18.0, 30.0),
    "gamma": (30.0, 45.0),
}

# Default bands of the closed form of BEIRARegressor, which are narrower above alpha.
BRANCH_BANDS = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "low beta": (12.0, 16.0),
    "beta": (16.0, 24.0),
    "high beta": (24.0, 32.0),
    "gamma": (32.0, 45.0),
}

# Bands of its models of log power that tell frequencies of one rhythm apart.
NARROW_BANDS = {
    f"{low:g} to {high:g} Hz": (low, high)
    for low, high in zip(
        (1.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 26.0, 34.0),
        (4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 26.0, 34.0, 45.0),
        strict=True,
    )
}


class BandTransformer(TransformerMixin, EEGEstimator):
    """Base class of features of EEG in bands.

    Subclasses have the parameters ``bands`` and ``n_jobs`` and the methods ``_rate(X)`` and
    ``_fit_window(X)``.
    """

    def fit(self, X: EEGWindows | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the bands and remember the window.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.
        y : array-like, DataFrame or None
            Only checked: the index of a DataFrame from :func:`align` has to be that of X.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._validate_params()
        self._fit_window(self._check_input(X, reset=True, y=y))
        return self

    def _rows(self, X, compute, **settings):
        """Compute rows of features with arrays as settings, or find those that are known."""
        rate, bands = self._rate(X), self.bands_
        key = compute.__name__, rate, *bands.values(), *(v.tobytes() for v in settings.values())
        return recording_rows(
            partial(compute, sfreq=rate, bands=bands, **settings), X, key, self.n_jobs
        )

    def _check_input(self, X, *, reset, y=None):
        X = check_eeg(self, X, reset=reset, y=y)
        if reset:
            self.bands_ = check_bands(self.bands)
        check_filters(X, self._rate(X), self.bands_)
        return X


def check_bands(bands):
    """Read the parameter ``bands`` of a transformer.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As given.

    Returns
    -------
    bands : dict of str to tuple of float, or to None
        Edges in Hz; None for EEG that is not filtered.
    """
    if bands is None:
        return {"power": None}
    if isinstance(bands, str) and bands == "default":
        return dict(BANDS)
    if not isinstance(bands, dict) or not bands:
        raise TypeError(
            f"bands must be 'default', None or a dict of name: (low, high), got {bands!r}."
        )
    for name, edges in bands.items():
        if np.shape(edges) != (2,) or not 0 < edges[0] < edges[1]:
            raise ValueError(
                f"band {name!r} must be (low, high) in Hz with 0 < low < high, got {edges!r}."
            )
    return {name: tuple(map(float, edges)) for name, edges in bands.items()}


def bands_within(bands, sfreq, default=BANDS):
    """Read bands, and cut the default ones off below the Nyquist frequency.

    Parameters
    ----------
    bands : dict of str to tuple of float, or "default"
        As given.
    sfreq : float
        Sampling rate in Hz.
    default : dict of str to tuple of float
        The default bands.

    Returns
    -------
    bands : dict of str to tuple of float
        Edges in Hz.
    """
    if bands == "default":
        top = 0.49 * sfreq
        within = {n: (low, min(high, top)) for n, (low, high) in default.items() if low < 0.9 * top}
        if not within:
            raise ValueError(
                f"EEG sampled at {sfreq:g} Hz has none of the default bands, which begin at 1 Hz; "
                f"check the sampling rate, or give bands."
            )
        return within
    bands = check_bands(bands)
    for name, (_, high) in bands.items():
        _check_nyquist(name, high, sfreq)
    return bands


def check_filters(X, sfreq, bands):
    """Refuse bands whose filters the sampling rate or the length of the EEG does not allow.

    Parameters
    ----------
    X : EEGWindows
        EEG.
    sfreq : float
        Sampling rate in Hz.
    bands : dict of str to tuple of float, or to None
        Edges in Hz.
    """
    n_times = X.lengths[np.unique(X.source)].min()
    for name, edges in bands.items():
        if edges is None:
            continue
        _check_nyquist(name, edges[1], sfreq)
        needed = len(_filter(*edges, sfreq))
        if needed > n_times:
            raise ValueError(
                f"the EEG lasts {n_times / sfreq:.2f} s, shorter than the filter of "
                f"{needed / sfreq:.2f} s for band {name!r} ({edges[0]:g}–{edges[1]:g} Hz); use "
                f"longer recordings or a wider band."
            )


def _check_nyquist(name, high, sfreq):
    if high >= sfreq / 2:
        raise ValueError(
            f"band {name!r} ends at {high:g} Hz, not below {sfreq / 2:g} Hz, the Nyquist "
            f"frequency of EEG sampled at {sfreq:g} Hz; use a lower band."
        )


def filter_bands(eeg, sfreq, bands):
    """Filter one continuous recording to each band, with the zero-phase FIR filters of MNE.

    Parameters
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        Continuous EEG in V, at least as long as the longest filter.
    sfreq : float
        Sampling rate in Hz.
    bands : dict of str to tuple of float, or to None
        Edges of each band in Hz; None does not filter.

    Yields
    ------
    signal : ndarray of float64, shape (n_channels, n_times)
        The EEG in each band, one after another, in V. The ends are reflected, as in MNE.
    """
    n_times = eeg.shape[1]
    filters = {name: _filter(*edges, sfreq) for name, edges in bands.items() if edges is not None}
    if filters:
        # All bands use one spectrum of the EEG, half the work of filtering band by band.
        half = max(len(h) for h in filters.values()) // 2
        n_fft = scipy.fft.next_fast_len(n_times + 2 * half, real=True)
        padded = np.pad(
            eeg.astype(np.float64), ((0, 0), (half, half)), "reflect", reflect_type="odd"
        )
        spectrum = scipy.fft.rfft(padded, n_fft)
    for name in bands:
        if name not in filters:
            yield eeg.astype(np.float64)
            continue
        centered = np.zeros(n_fft)
        centered[: len(filters[name])] = filters[name]
        response = scipy.fft.rfft(np.roll(centered, -(len(filters[name]) // 2)))
        filtered = scipy.fft.irfft(spectrum * response, n_fft)
        yield filtered[:, half : half + n_times]


@lru_cache
def _filter(low, high, sfreq):
    with quiet_mne():
        return mne.filter.create_filter(None, sfreq, low, high)
