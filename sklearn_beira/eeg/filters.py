"""Preprocessing of EEG: filtering, and windows in seconds."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar, Self

import mne
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.hashing import environment
from .._utils.mne_log import quiet_mne
from .._utils.warn import warn_user
from ..exceptions import GapWarning
from . import cache
from .base import EEGEstimator
from .causal import FilterStream, filter_causally, resampling
from .checks import channel_names, check_eeg
from .recordings import find_recording, in_pieces, recording_path, write_recording
from .windows import EEGWindows

_POSITIVE = Interval(Real, 0, None, closed="neither")


class _EEGTransformer(TransformerMixin, EEGEstimator):
    """A transformer that returns EEG, never a table; `fit` remembers the channels only."""

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the parameters and remember the channels.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.
        y : array-like, DataFrame or None
            Ignored, but for the index of a DataFrame from :func:`align`, which must match X.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._validate_params()
        X = check_eeg(self, X, reset=True, y=y, reads=False)
        self._check_parameters(X)
        self._fit(X)
        return self

    def _fit(self, X):
        """Learn more of EEGWindows than the channels."""

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Get the names of the channels, which do not change.

        Parameters
        ----------
        input_features : array-like of str or None
            Channel names; None uses those seen in ``fit``.

        Returns
        -------
        names : ndarray of str
            Channel names.
        """
        return channel_names(self, input_features)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing, because EEG has three dimensions; so ``Pipeline.set_output`` works.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : estimator
            The same.
        """
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(repr=False, eq=False)
class EEGFilter(_EEGTransformer, auto_wrap_output_keys=None):
    """Band-pass, notch, re-reference and resample EEG, on the continuous recordings.

    Windows of a recording share its filtered version, so that no window has filter edges of its
    own. A recording is filtered once per set of parameters, however many folds and grid points ask
    for it: filtered recordings are kept in memory, up to 1 GB per process
    (:func:`~sklearn_beira.eeg.set_cache_size`).

    Parameters
    ----------
    l_freq, h_freq : float or None
        Edges of the pass band in Hz, of MNE's zero-phase FIR filter unless ``causal``; None leaves
        that side open.
    sfreq : float or None
        Sampling rate after filtering, in Hz; None does not resample.
    notch : float or None
        Mains frequency in Hz; it is removed together with its harmonics.
    reference : {"average", None} or list of str
        Common average, no change, or the names of the reference channels.
    causal : bool
        True uses filters that need no later EEG, so that the model can run while EEG is recorded
        (:class:`BoldTwin`).
    folder : path-like or None
        Folder for filtered continuous recordings. They are written as files, which are read when
        needed: for recordings that do not fit in memory together, and for workers, which then
        share them. Recordings found there are not filtered again. Keep the folder as long as you
        use the result.
    n_jobs : int or None
        Number of recordings to filter in parallel (threads).

    Attributes
    ----------
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Names of the channels; None if unknown.
    delay_ : float
        Delay of causal filters in s, at the sampling rate seen in ``fit``; else 0.
    is_causal : bool
        Whether no later EEG is needed: with ``causal``, or if nothing is filtered.

    See Also
    --------
    Windower : Cut windows of another duration and delay.
    BoldTwin : Predict while EEG is recorded.

    Notes
    -----
    Epoched arrays (:meth:`EEGWindows.from_array`) are filtered epoch by epoch, padded by
    reflection: at both ends of each epoch, half the filter length is estimated from mirrored EEG.
    Filtered recordings are float32; epoched arrays keep their type. The order is reference, notch,
    band pass, resampling.

    Causal filters are a notch of 2 Hz width at half power, a Chebyshev low-pass of type II, and,
    after resampling, a Butterworth high-pass of second order. The low-pass loses 1 dB at ``h_freq``
    (without it, at 40 % of the new rate) and 40 dB from 25 %, at least 2 Hz, above on, or from the
    first frequency that resampling folds into the pass band. Resampling keeps every n-th sample;
    for ratios that are not whole, each sample is repeated before the low-pass, which loses another
    0.5 dB at 45 of 250 Hz. Filtered EEG comes out later by ``delay_``, the mean group delay in the
    pass band, which is taken off, so that windows need no correction. Slow waves near ``l_freq``
    are delayed more than the mean: 1 Hz by some .2 s, 8 Hz by .01 s. What is withheld at the end
    of a recording is computed as if its last sample went on. Epochs are filtered from their first
    sample on.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGFilter, EEGWindows
    >>> X = np.random.default_rng(0).standard_normal((5, 8, 1000))
    >>> EEGFilter(8, 12, sfreq=100).fit_transform(EEGWindows.from_array(X, sfreq=250)).shape
    (5, 8, 400)
    """

    _parameter_constraints: ClassVar[dict] = {
        "l_freq": [_POSITIVE, None],
        "h_freq": [_POSITIVE, None],
        "sfreq": [_POSITIVE, None],
        # MNE's notch is 2 Hz wide.
        "notch": [Interval(Real, 2, None, closed="left"), None],
        "reference": [StrOptions({"average"}), list, tuple, None],
        "causal": ["boolean"],
        "folder": [str, PathLike, None],
        "n_jobs": [Integral, None],
    }

    l_freq: float | None = 1.0
    h_freq: float | None = 45.0
    _: KW_ONLY
    sfreq: float | None = 100.0
    notch: float | None = None
    reference: str | list[str] | None = "average"
    causal: bool = False
    folder: str | PathLike | None = None
    n_jobs: int | None = None

    def _fit(self, X):
        self.delay_, self._rows = 0.0, None
        if self.is_causal:
            rows = _reference_rows(self.reference, X.info, X.ch_names, X.shape[1])
            self._rows = self.reference, rows
        if self.causal and not self._filters_nothing():
            self.delay_ = self.stream(X.sfreq).delay

    def transform(self, X: ArrayLike) -> EEGWindows:
        """Filter.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        X : EEGWindows, shape (n_samples, n_channels, n_times_out)
            The same samples over filtered recordings.
        """
        check_is_fitted(self)
        X = check_eeg(self, X, reset=False)
        self._check_parameters(X)
        steps = {name: getattr(self, name) for name in _STEPS}
        if self.causal:
            steps["causal"] = True
        if X.epoched:
            return _filter_epochs(X, steps)
        used = np.unique(X.source)
        # Threads, whatever the backend: the cache is that of this process.
        results = Parallel(n_jobs=self.n_jobs, require="sharedmem")(
            delayed(_filter_recording)(X, k, steps, self.folder) for k in used
        )
        # Recordings without samples are not filtered, but keep their number.
        info = results[0][1]
        recordings = [np.zeros((X.shape[1], 1), np.float32)] * len(X.recordings)
        tokens = list(X.tokens)
        for k, (data, _) in zip(used, results, strict=True):
            recordings[k] = data
            tokens[k] = f"{X.tokens[k]}|{sorted(steps.items())}"
        return X.with_recordings(recordings, info, tokens)

    def stream(self, sfreq: float) -> FilterStream:
        """Start to filter EEG that is being recorded.

        Parameters
        ----------
        sfreq : float
            Sampling rate of the EEG in Hz.

        Returns
        -------
        stream : FilterStream
            Takes EEG of the channels seen in ``fit``, in pieces.

        Raises
        ------
        ValueError
            If the filter needs later EEG, or if edges or ratios do not fit the rate.
        """
        check_is_fitted(self)
        if not self.is_causal:
            raise ValueError(
                "this EEGFilter is a zero-phase filter, which needs later EEG; fit the model with "
                "EEGFilter(..., causal=True)."
            )
        if getattr(self, "_rows", None) is None or self._rows[0] != self.reference:
            raise ValueError("this EEGFilter was fitted with other parameters; fit it again.")
        _check_rates(self, sfreq)
        steps = {name: getattr(self, name) for name in _STEPS}
        return FilterStream(steps, sfreq, self._rows[1], self.n_features_in_)

    @property
    def is_causal(self) -> bool:
        """Whether no later EEG is needed: with ``causal``, or if nothing is filtered."""
        return self.causal or self._filters_nothing()

    def _filters_nothing(self):
        return self.l_freq is self.h_freq is self.sfreq is self.notch is None

    def _check_parameters(self, X):
        if self.reference == "average":
            n_channels = X.shape[1]
            if X.info is not None:
                n_channels = len(mne.pick_types(X.info, eeg=True, seeg=True, ecog=True, dbs=True))
            if n_channels < 2:
                raise ValueError(
                    f"an average reference needs at least 2 good EEG channels, got "
                    f"n_features={X.shape[1]}, {n_channels} of them good EEG; use reference=None."
                )
        elif self.reference is not None:
            if self.ch_names_in_ is None:
                raise ValueError(
                    "the names of the channels are unknown, so that reference must be 'average' or "
                    "None; pass EEGWindows.from_array(X, ch_names=...)."
                )
            unknown = [name for name in self.reference if name not in self.ch_names_in_]
            if unknown or not self.reference:
                raise ValueError(
                    f"the reference channels {unknown} are not among the channels "
                    f"{self.ch_names_in_}."
                )
        if self._filters_nothing():
            return
        rate = X.sfreq
        _check_rates(self, rate)
        if self.causal:
            return
        needs = {f"l_freq={self.l_freq} and h_freq={self.h_freq} need": filter_length(
            self.l_freq, self.h_freq, rate
        )}  # fmt: skip
        if self.notch is not None:
            needs[f"notch={self.notch:g} needs"] = _notch_length(self.notch, rate)
        used = np.unique(X.source)
        shortest = used[X.lengths[used].argmin()]
        length = X.lengths[shortest]
        for what, needed in needs.items():
            if length < needed:
                where = "each epoch" if X.epoched else f"recording {shortest}"
                raise ValueError(
                    f"{where} lasts {length / rate:.2f} s, shorter than the filter of "
                    f"{needed / rate:.2f} s that {what}; filter longer recordings, or move the "
                    f"edges away from 0 and from the Nyquist frequency."
                )


@dataclass(repr=False, eq=False)
class Windower(_EEGTransformer, auto_wrap_output_keys=None):
    """Set the window of EEG that predicts a volume, by its duration and delay.

    A volume at time t is predicted from the EEG in ``[t - delay - duration, t - delay)``. With a
    negative delay, the window ends after the volume. As BOLD follows the EEG, a model that predicts
    best with a negative delay reveals a misalignment.

    Parameters
    ----------
    duration : float or None
        Length of the window in s; None keeps the start of the window of X.
    delay : float
        Time from the end of the window to the onset of the volume, in s.

    Attributes
    ----------
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Names of the channels; None if unknown.

    See Also
    --------
    EEGFilter : Filter the recordings behind the windows.

    Notes
    -----
    No EEG is copied, so that a grid search over durations and delays is cheap. Epoched arrays are
    taken to end at the volume onset.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows, Windower
    >>> X = EEGWindows.from_array(np.zeros((5, 8, 3000)), sfreq=100)
    >>> Windower(20.0, 4.0).fit_transform(X).shape
    (5, 8, 2000)
    """

    _parameter_constraints: ClassVar[dict] = {
        "duration": [_POSITIVE, None],
        "delay": [Interval(Real, None, None, closed="neither")],
    }

    duration: float | None = 20.0
    delay: float = 0.0

    def transform(self, X: ArrayLike) -> EEGWindows:
        """Apply the window.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        X : EEGWindows, shape (n_samples, n_channels, n_times_out)
            The same samples through the new window.
        """
        check_is_fitted(self)
        X = check_eeg(self, X, reset=False)
        windows = self._window(X)
        if windows.reach > X.reach + 1e-6:
            tmin, tmax = windows.tmin, windows.tmax
            warn_user(
                f"the window [{tmin:g}, {tmax:g}) s reaches further than that of X, "
                f"[{X.tmin:g}, {X.tmax:g}) s, so that training and test volumes may share EEG; "
                f"give align tmin={min(tmin, X.tmin):g} and tmax={max(tmax, X.tmax):g}.",
                GapWarning,
            )
        return windows

    def _check_parameters(self, X):
        if X.epoched:
            self._window(X)

    def _window(self, X):
        if X.epoched and self.duration is None and X.tmax == -self.delay:
            return X  # whose rate may be unknown
        tmin = X.tmin if self.duration is None else -self.delay - self.duration
        return X.window(tmin, -self.delay)


# What is done to the EEG.
_STEPS = ("l_freq", "h_freq", "sfreq", "notch", "reference")


# -- filtering one recording --------------------------------------------------------------------
def _filter_recording(X, k, steps, folder):
    """Filter one continuous recording, or get the result from the folder or the cache."""
    token = f"{X.tokens[k]}|{sorted(steps.items())}"
    if folder is not None:
        # What MNE computes depends on its version, and files outlive it.
        return _filter_to_folder(X, k, steps, recording_path(folder, f"{token}{environment()}"))
    result = cache.results.get(token)
    if result is None:
        result = _filter(X.recordings[k], X.info, steps)
        cache.results.put(token, result)
    return result


def _filter_to_folder(X, k, steps, path):
    data = find_recording(path)
    if data is None:
        data, info = _filter(X.recordings[k], X.info, steps)
        data = write_recording(path.parent, data.shape, data.dtype, in_pieces(data), lambda _: path)
        return data, info
    # Zeros tell what MNE writes into the Info of a filtered recording.
    n_times = min(X.recordings[k].shape[1], 2**16)
    return data, _filter(np.zeros((X.shape[1], n_times)), X.info, steps)[1]


def _filter(data, info, steps):
    if "causal" in steps:
        rows = _reference_rows(steps["reference"], info, info["ch_names"], len(data))
        stream = FilterStream(steps, info["sfreq"], rows, len(data))
        return filter_causally(data, stream), _filtered_info(info, steps)
    with quiet_mne():
        # MNE filters in place. It takes an array of an unpickled dtype for a copy of its own.
        own = np.empty(data.shape)
        own[:] = data
        raw = mne.io.RawArray(own, info, copy="info")
        # Projectors that have not been applied refer to the EEG before filtering.
        raw.del_proj([i for i, p in enumerate(raw.info["projs"]) if not p["active"]])
        _filter_raw(raw, **steps)
        return raw.get_data().astype(np.float32), raw.info


def _filter_raw(raw, *, l_freq, h_freq, sfreq, notch, reference):
    if reference is not None:
        raw.set_eeg_reference(reference if isinstance(reference, str) else list(reference))
    if notch is not None:
        raw.notch_filter(_harmonics(notch, raw.info["sfreq"]), picks="all")
    if l_freq is not None or h_freq is not None:
        raw.filter(l_freq, h_freq, picks="all")
    if sfreq is not None and sfreq != raw.info["sfreq"]:
        raw.resample(sfreq)


def _filtered_info(info, steps):
    """Info as MNE writes it for a filtered recording."""
    only = dict.fromkeys(_STEPS) | {"reference": steps["reference"]}
    info = _filter(np.zeros((len(info["ch_names"]), 1)), info, only)[1]
    l_freq, h_freq, sfreq = (steps[name] for name in ("l_freq", "h_freq", "sfreq"))
    with info._unlock():
        info["sfreq"] = float(sfreq or info["sfreq"])
        info["highpass"] = max(info["highpass"], l_freq or 0.0)
        info["lowpass"] = min(info["lowpass"], h_freq or np.inf, info["sfreq"] / 2)
    return info


def _reference_rows(reference, info, ch_names, n_channels):
    """Channels whose mean is subtracted, and those from which it is; None without a reference."""
    if reference is None:
        return None
    if info is not None:  # channels of other types than EEG may be among them
        only = dict.fromkeys(_STEPS) | {"reference": reference}
        change = np.eye(n_channels) - _filter(np.eye(n_channels), info, only)[0]
        return np.flatnonzero(change.any(axis=0)), np.flatnonzero(change.any(axis=1))
    every = np.arange(n_channels)
    if reference == "average":
        return every, every
    return np.array([ch_names.index(name) for name in reference]), every


def _filter_epochs(X, steps):
    """Filter epoched arrays, each epoch on its own."""
    if "causal" in steps:
        return _filter_epochs_causally(X, steps)
    eeg, rate, reference = X.recordings, X._sfreq, steps["reference"]
    if reference is not None:
        picks = slice(None)
        if reference != "average":
            picks = [X.ch_names.index(name) for name in reference]
        eeg = eeg - eeg[:, picks].mean(axis=1, keepdims=True)
    out = np.asarray(eeg, dtype=np.float64)
    with quiet_mne():
        if steps["notch"] is not None:
            out = mne.filter.notch_filter(out, rate, _harmonics(steps["notch"], rate))
        if steps["l_freq"] is not None or steps["h_freq"] is not None:
            out = mne.filter.filter_data(
                out, rate, steps["l_freq"], steps["h_freq"], pad="reflect_limited"
            )
        if steps["sfreq"] is not None and steps["sfreq"] != rate:
            out = mne.filter.resample(out, up=steps["sfreq"], down=rate)
            rate = steps["sfreq"]
    info = X.info and _filter(np.zeros(X.shape[1:]), X.info, steps)[1]
    return X.with_recordings(out.astype(X.dtype, copy=False), info, sfreq=rate)


def _filter_epochs_causally(X, steps):
    rate = X._sfreq
    if all(steps[name] is None for name in _STEPS if name != "reference"):
        rate = rate or 1.0  # nothing is measured in seconds
    rows = _reference_rows(steps["reference"], X.info, X.ch_names, X.shape[1])
    streams = [FilterStream(steps, rate, rows, X.shape[1]) for _ in range(len(X))]
    pairs = zip(X.recordings, streams, strict=True)
    out = np.stack([filter_causally(epoch, stream) for epoch, stream in pairs])
    info = X.info and _filtered_info(X.info, steps)
    return X.with_recordings(
        out.astype(X.dtype, copy=False), info, sfreq=steps["sfreq"] or X._sfreq
    )


def filter_length(l_freq: float | None, h_freq: float | None, sfreq: float) -> int:
    """Compute the length of the filter that MNE designs for a band.

    Parameters
    ----------
    l_freq, h_freq : float or None
        Band edges in Hz.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    n_times : int
        Number of taps; 0 without a band.
    """
    if l_freq is None and h_freq is None:
        return 0
    with quiet_mne():
        return len(mne.filter.create_filter(None, sfreq, l_freq, h_freq))


def _notch_length(notch, sfreq):
    with quiet_mne():
        freqs = _harmonics(notch, sfreq)
        edges = freqs * (1 + 1 / 400) + 0.5, freqs * (1 - 1 / 400) - 0.5
        return len(
            mne.filter.create_filter(
                None, sfreq, *edges, l_trans_bandwidth=0.5, h_trans_bandwidth=0.5
            )
        )


def _harmonics(notch, sfreq):
    # MNE's notch is 1/200 of the frequency wide, with transition bands of 1 Hz on either side.
    freqs = notch * np.arange(1, sfreq / 2 // notch + 1)
    return freqs[freqs * (1 + 1 / 400) + 1 < sfreq / 2]


def _check_rates(eeg_filter, rate):
    """Refuse edges and rates that do not fit EEG recorded at a rate in Hz."""
    _check_band(eeg_filter.l_freq, eeg_filter.h_freq, rate, eeg_filter.sfreq)
    notch = eeg_filter.notch
    if notch is not None and not len(_harmonics(notch, rate)):
        raise ValueError(
            f"notch={notch:g} Hz is less than 1 Hz below {rate / 2:g} Hz, the Nyquist frequency of "
            f"EEG recorded at {rate:g} Hz; use notch=None."
        )
    if eeg_filter.causal:
        resampling(rate, eeg_filter.sfreq)


def _check_band(l_freq, h_freq, rate, new_rate):
    if l_freq is not None and h_freq is not None and l_freq >= h_freq:
        raise ValueError(f"l_freq={l_freq:g} Hz must lie below h_freq={h_freq:g} Hz.")
    for name, edge in (("l_freq", l_freq), ("h_freq", h_freq)):
        if edge is None:
            continue
        for rate_name, this in (("recorded at", rate), ("resampled to", new_rate)):
            if this is not None and edge >= this / 2:
                raise ValueError(
                    f"{name}={edge:g} Hz is not below {this / 2:g} Hz, the Nyquist frequency of "
                    f"EEG {rate_name} {this:g} Hz; lower {name} or use a higher sampling rate."
                )
