"""Log band power on a grid of lags."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..eeg.checks import channel_names
from ..eeg.windows import EEGWindows
from .bands import BandTransformer, filter_bands

Bands = Mapping[str, tuple[float, float]] | Literal["default"] | None

# Power in V² of a silent channel, so that its logarithm is finite.
_TINY = 1e-30

_CHUNK = 8


@dataclass(repr=False, eq=False)
class BandPower(BandTransformer):
    r"""Log power of every channel in frequency bands, on a grid of lags before the volume.

    .. math:: f_{c,b,l} = \log \frac{1}{n}\sum_{t \in \text{segment } l} x_{c,b}(t)^2

    where :math:`x_{c,b}` is channel c filtered to band b, and segment l ends ``l * step`` seconds
    before the end of the window. Continuous recordings are filtered as a whole and power is summed
    cumulatively, so the EEG that several windows share is filtered and squared once. Each process
    keeps the features of volumes, up to 1 GB; in a cross-validation, a recording is filtered again
    only for volumes that are new.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        Name and edges in Hz of each band. "default" is ``features.BANDS``; None does not filter.
    duration : float or None
        Length of a segment in s; None takes the whole window.
    step : float
        Time between neighboring lags, in s.
    n_jobs : int or None
        Number of threads, one for each recording.

    Attributes
    ----------
    bands_ : dict
        The bands used.
    lags_ : ndarray, shape (n_lags,)
        Time in s from the end of each segment to the volume onset, which is the end of the window
        of epoched arrays.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.features import BandPower
    >>> eeg = np.random.default_rng(0).standard_normal((5, 8, 1000))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> BandPower({"alpha": (8, 12)}).fit_transform(X).shape
    (5, 40)
    """

    _parameter_constraints: ClassVar[dict] = {
        "duration": [Interval(Real, 0, None, closed="neither"), None],
        "step": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
    }

    bands: Bands = "default"
    _: KW_ONLY
    duration: float | None = 2.0
    step: float = 2.0
    n_jobs: int | None = None

    def _fit_window(self, X):
        _, self.lags_ = self._segments(X)

    def transform(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Compute the features.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        features : ndarray of shape (n_samples, n_lags * n_bands * n_channels)
            Log power in V², in the order of :meth:`get_feature_names_out`.
        """
        power = self.lagged_power(X)
        return power.reshape(len(power), -1)

    def lagged_power(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Compute the features as an array with an axis for each of their origins.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        power : ndarray of shape (n_samples, n_lags, n_bands, n_channels)
            Log power in V².
        """
        check_is_fitted(self)
        X = self._check_input(X, reset=False)
        segments, lags = self._segments(X)
        if len(lags) != len(self.lags_) or not np.allclose(lags, self.lags_, rtol=0, atol=1e-6):
            raise ValueError(
                f"X has windows with {len(lags)} lags from {lags[0]:g} to {lags[-1]:g} s, but fit "
                f"had {len(self.lags_)} lags from {self.lags_[0]:g} to {self.lags_[-1]:g} s; use "
                f"the same window."
            )
        power = self._rows(X, _log_power, segments=segments)
        return power.reshape(len(X), len(lags), len(self.bands_), -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the features: channel, band and lag.

        Parameters
        ----------
        input_features : array-like of str or None
            Channel names; None takes those seen in ``fit``.

        Returns
        -------
        names : ndarray of str
            For example ``"Oz alpha 4.0 s"``.
        """
        channels = channel_names(self, input_features)
        return np.array(
            [
                f"{channel} {band} {round(lag, 3)} s"
                for lag in self.lags_
                for band in self.bands_
                for channel in channels
            ],
            dtype=object,
        )

    def _rate(self, X):
        if self.bands_ == {"power": None} and self.duration is None:
            return 1.0  # nothing is measured in seconds
        return X.sfreq

    def _segments(self, X):
        """Return the first sample and the end of each segment (n_lags, 2), and its lag in s."""
        n_times, rate = X.shape[2], self._rate(X)
        end = X.tmax
        if self.duration is None:
            return np.array([[0, n_times]]), np.array([0.0 - end])
        length, step = round(self.duration * rate), self.step * rate
        if not (length >= 1 and step >= 1):
            raise ValueError(
                f"duration={self.duration} s and step={self.step} s must be at least one sample "
                f"long, 1/{rate:g} s."
            )
        if length > n_times:
            raise ValueError(
                f"duration={self.duration:g} s is longer than the window of {n_times / rate:g} s; "
                f"use a longer window."
            )
        # 1e-6 is for steps like 0.1 s, which binary numbers do not represent exactly.
        lags = np.arange(int((n_times - length) / step + 1e-6) + 1)
        stops = n_times - np.round(lags * step).astype(int)
        return np.column_stack([stops - length, stops]), lags * self.step - end


def band_power(
    eeg: np.ndarray,
    sfreq: float,
    bands: Mapping[str, tuple[float, float] | None],
    segments: np.ndarray,
) -> np.ndarray:
    """Compute the mean power in bands over segments of one continuous recording.

    Parameters
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        Continuous EEG in V.
    sfreq : float
        Sampling rate in Hz.
    bands : dict of str to tuple of float, or to None
        Edges of each band in Hz; None does not filter.
    segments : ndarray of int, shape (n_windows, n_lags, 2)
        First sample and end of each segment. Segments may overlap.

    Returns
    -------
    power : ndarray, shape (n_windows, n_lags, n_bands, n_channels)
        Mean square in V².

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.features import BANDS, band_power
    >>> list(BANDS)
    ['delta', 'theta', 'alpha', 'low beta', 'high beta', 'gamma']
    >>> eeg = np.random.default_rng(0).standard_normal((4, 3000)) * 1e-5
    >>> segments = np.array([[[0, 400], [400, 800]], [[200, 600], [600, 1000]]])
    >>> band_power(eeg, 100.0, BANDS, segments).shape  # 2 windows of 2 lags
    (2, 2, 6, 4)
    """
    n_channels, n_times = eeg.shape
    power = np.empty((*segments.shape[:2], len(bands), n_channels))
    lengths = segments[..., 1] - segments[..., 0]
    # A few channels at a time fit in the cache of the processor.
    for c in range(0, n_channels, _CHUNK):
        channels = slice(c, c + _CHUNK)
        total = np.zeros((len(eeg[channels]), n_times + 1))
        for b, signal in enumerate(filter_bands(eeg[channels], sfreq, bands)):
            np.cumsum(np.square(signal), axis=1, out=total[:, 1:])
            summed = total[:, segments[..., 1]] - total[:, segments[..., 0]]
            power[:, :, b, channels] = np.moveaxis(summed / lengths, 0, -1)
    return power


def _log_power(eeg, starts, *, sfreq, bands, segments):
    power = band_power(eeg, sfreq, bands, starts[:, None, None] + segments)
    return np.log(np.maximum(power, _TINY))
