"""Log band power on a lag grid: what the linear models read."""

from functools import lru_cache, partial
from numbers import Integral, Real
from typing import ClassVar

import mne
import numpy as np
import scipy.fft
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._utils.mne_log import quiet_mne
from ..eeg.cache import recording_rows
from ..eeg.checks import channel_names, check_eeg

__all__ = ["BANDS", "BandPower", "band_power"]

#: Edges in Hz of the default bands: delta 1 to 4, theta 4 to 8, alpha 8 to 12, low beta 12 to 18,
#: high beta 18 to 30, gamma 30 to 45.
BANDS = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "low beta": (12.0, 18.0),
    "high beta": (18.0, 30.0),
    "gamma": (30.0, 45.0),
}

# The least power that is told from none, V²: log of it stays finite where a channel is silent.
_TINY = 1e-30

_CHUNK = 8


class BandPower(TransformerMixin, BaseEstimator):
    r"""Log power of every channel in frequency bands, on a grid of lags before the volume.

    .. math:: f_{c,b,l} = \log \frac{1}{n}\sum_{t \in \text{segment } l} x_{c,b}(t)^2

    where :math:`x_{c,b}` is channel c filtered to band b, and segment l ends ``l * step`` seconds
    before the end of the window. Filtering runs on the continuous recordings and power is summed
    cumulatively, so a sample of EEG that lies in ten windows is filtered and squared once. The
    features of a volume are remembered (the last 1 GB in every process): in a cross-validation, a
    recording is only filtered while there are volumes that no fold has asked for yet.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        Name and edges in Hz of each band; "default" is the six of ``features.BANDS``; None reads
        the power as it is, unfiltered.
    duration : float or None
        Length of the segment that power is averaged over, in s; None takes the whole window.
    step : float
        Distance of neighboring lags, in s.
    n_jobs : int or None
        Recordings worked on at the same time (threads).

    Attributes
    ----------
    bands_ : dict
        The bands used.
    lags_ : ndarray, shape (n_lags,)
        Time from the end of each segment to the volume onset (which epoched arrays are
        taken to end at), in s.
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
        "bands": "no_validation",  # checked with the bands themselves
        "duration": [Interval(Real, 0, None, closed="neither"), None],
        "step": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
    }

    def __init__(self, bands="default", *, duration=2.0, step=2.0, n_jobs=None):
        self.bands = bands
        self.duration = duration
        self.step = step
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Check the bands and lay out the lags.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.
        y : array-like, DataFrame or None
            Not read. The index of a DataFrame that :func:`align` returned has to be that of X.

        Returns
        -------
        self : BandPower
            Fitted.
        """
        self._validate_params()
        X = check_eeg(self, X, reset=True, y=y)
        self.bands_ = check_bands(self.bands)
        check_filters(X, self._rate(X), self.bands_)
        _, self.lags_ = self._segments(X)
        return self

    def transform(self, X):
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
        check_is_fitted(self)
        X = check_eeg(self, X, reset=False)
        check_filters(X, self._rate(X), self.bands_)
        segments, lags = self._segments(X)
        if len(lags) != len(self.lags_) or not np.allclose(lags, self.lags_, rtol=0, atol=1e-6):
            raise ValueError(
                f"X has windows with {len(lags)} lags from {lags[0]:g} to {lags[-1]:g} s; those in "
                f"fit had {len(self.lags_)} lags from {self.lags_[0]:g} to {self.lags_[-1]:g} s."
            )
        rate = self._rate(X)
        power = recording_rows(
            partial(_log_power, sfreq=rate, bands=self.bands_, segments=segments),
            X,
            ("power", rate, *self.bands_.values(), segments.tobytes()),
            self.n_jobs,
        )
        return power.reshape(len(X), -1)

    def get_feature_names_out(self, input_features=None):
        """Name the features: channel, band and lag.

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _rate(self, X):
        if self.bands_ == {"power": None} and self.duration is None:
            return 1.0  # nothing is measured in seconds
        return X.sfreq

    def _segments(self, X):
        """Sample ranges (n_lags, 2) of the segments in a window, and their lags in s.

        The lag is the time from the end of the segment to the volume onset.
        """
        n_times, rate = X.shape[2], self._rate(X)
        end = X.tmax
        if self.duration is None:
            return np.array([[0, n_times]]), np.array([0.0 - end])
        length, step = round(self.duration * rate), self.step * rate
        if not (length >= 1 and step >= 1):
            raise ValueError(
                f"duration={self.duration} s and step={self.step} s must each hold at least one "
                f"sample of EEG at {rate:g} Hz."
            )
        if length > n_times:
            raise ValueError(
                f"duration={self.duration:g} s is longer than the window of {n_times / rate:g} s."
            )
        # The slack is for steps like 0.1 s, which no binary number equals.
        lags = np.arange(int((n_times - length) / step + 1e-6) + 1)
        stops = n_times - np.round(lags * step).astype(int)
        return np.column_stack([stops - length, stops]), lags * self.step - end


def band_power(eeg, sfreq, bands, segments):
    """Mean power in bands over segments of one continuous recording.

    Parameters
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        Continuous EEG in V.
    sfreq : float
        Sampling rate in Hz.
    bands : dict of str to tuple of float, or to None
        Edges of each band in Hz; None leaves the EEG as it is.
    segments : ndarray of int, shape (n_windows, n_lags, 2)
        First sample and end of every segment. They may overlap.

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
    # A few channels at a time: the work stays in the processor's cache, and memory small.
    for c in range(0, n_channels, _CHUNK):
        channels = slice(c, c + _CHUNK)
        total = np.zeros((len(eeg[channels]), n_times + 1))
        for b, signal in enumerate(filter_bands(eeg[channels], sfreq, bands)):
            np.cumsum(np.square(signal), axis=1, out=total[:, 1:])
            summed = total[:, segments[..., 1]] - total[:, segments[..., 0]]
            power[:, :, b, channels] = np.moveaxis(summed / lengths, 0, -1)
    return power


def filter_bands(eeg, sfreq, bands):
    """Filter one continuous recording to every band: zero-phase FIR filters as MNE designs them.

    Parameters
    ----------
    eeg : ndarray, shape (n_channels, n_times)
        Continuous EEG in V, at least as long as the longest filter.
    sfreq : float
        Sampling rate in Hz.
    bands : dict of str to tuple of float, or to None
        Edges of each band in Hz; None leaves the EEG as it is.

    Yields
    ------
    signal : ndarray of float64, shape (n_channels, n_times)
        The EEG in one band after another, in V; mirrored about its ends, as MNE does.
    """
    n_times = eeg.shape[1]
    filters = {name: _filter(*edges, sfreq) for name, edges in bands.items() if edges is not None}
    if filters:
        # The spectrum of the EEG serves all bands: half the work of filtering band by band.
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


def check_bands(bands):
    """Read the parameter ``bands`` of a feature step.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As given.

    Returns
    -------
    bands : dict of str to tuple of float, or to None
        Edges in Hz; None where the EEG is read as it is.
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
    """Read bands that FIR filters of a given rate can pass.

    Parameters
    ----------
    bands : dict of str to tuple of float, or "default"
        As given. The default bands reach as far as the sampling rate does.
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
        reached = {
            name: (low, min(high, top)) for name, (low, high) in default.items() if low < 0.9 * top
        }
        if not reached:
            raise ValueError(
                f"EEG sampled at {sfreq:g} Hz has none of the default bands, which begin at 1 Hz; "
                f"check the sampling rate, or give bands."
            )
        return reached
    bands = check_bands(bands)
    for name, (_, high) in bands.items():
        _check_nyquist(name, high, sfreq)
    return bands


def check_filters(X, sfreq, bands):
    """Refuse bands that EEG of this rate and length cannot be filtered to.

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
        low, high = edges
        _check_nyquist(name, high, sfreq)
        needed = len(_filter(low, high, sfreq))
        if needed > n_times:
            raise ValueError(
                f"the EEG lasts {n_times / sfreq:.2f} s, shorter than the filter of "
                f"{needed / sfreq:.2f} s for band {name!r} ({low:g}–{high:g} Hz)."
            )


def _check_nyquist(name, high, sfreq):
    if high >= sfreq / 2:
        raise ValueError(
            f"band {name!r} ends at {high:g} Hz, not below {sfreq / 2:g} Hz, the Nyquist "
            f"frequency of EEG sampled at {sfreq:g} Hz."
        )


def _log_power(eeg, starts, *, sfreq, bands, segments):
    power = band_power(eeg, sfreq, bands, starts[:, None, None] + segments)
    return np.log(np.maximum(power, _TINY))
