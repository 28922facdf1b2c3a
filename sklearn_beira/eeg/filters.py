"""Preprocessing of EEG: filtering, and windows in seconds."""

from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

import mne
import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.warn import warn_user
from ..exceptions import GapWarning
from .base import EEGTransformer
from .cache import process_recordings
from .causal import FilterStream
from .checks import check_eeg
from .filtering import (
    STEPS,
    check_rates,
    filter_epochs,
    filter_length,
    filter_recording,
    filtered_info,
    notch_length,
    reference_rows,
)
from .windows import EEGWindows

_POSITIVE = Interval(Real, 0, None, closed="neither")


@dataclass(repr=False, eq=False)
class EEGFilter(EEGTransformer, auto_wrap_output_keys=None):
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
            rows = reference_rows(self.reference, X.info, X.ch_names, X.shape[1])
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
        steps = {name: getattr(self, name) for name in STEPS}
        if self.causal:
            steps["causal"] = True
        if X.epoched:
            return filter_epochs(X, steps)
        process = partial(filter_recording, X, steps, self.folder)
        return process_recordings(process, X, filtered_info(X.info, steps), self.n_jobs)

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
        check_rates(self, sfreq)
        steps = {name: getattr(self, name) for name in STEPS}
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
        check_rates(self, rate)
        if self.causal:
            return
        needs = {f"l_freq={self.l_freq} and h_freq={self.h_freq} need": filter_length(
            self.l_freq, self.h_freq, rate
        )}  # fmt: skip
        if self.notch is not None:
            needs[f"notch={self.notch:g} needs"] = notch_length(self.notch, rate)
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
class Windower(EEGTransformer, auto_wrap_output_keys=None):
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
