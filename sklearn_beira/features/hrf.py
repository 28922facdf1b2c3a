"""The canonical hemodynamic response, and band power that is weighted with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import StrOptions

from ..eeg.checks import channel_names
from ..eeg.windows import EEGWindows
from .band_power import BandPower

_LENGTH = 32.0  # of the response, in s

_POSTERIOR = re.compile(r"P?O(z|\d+)", re.IGNORECASE)


def hrf_at(lags: ArrayLike) -> np.ndarray:
    """Return Glover's hemodynamic response at given times after a neural event.

    Parameters
    ----------
    lags : array-like
        Time since the neural event in s.

    Returns
    -------
    response : ndarray
        Result of nilearn's ``glover_hrf``, scaled to a maximum of 1. It is 0 before the event, and
        from 32 s after it.

    References
    ----------
    Glover (1999), Deconvolution of impulse response in event-related BOLD fMRI, NeuroImage 9.

    Examples
    --------
    >>> from sklearn_beira.features import hrf_at
    >>> hrf_at([-1.0, 5.0, 12.0]).round(1)
    array([ 0. ,  1. , -0.3])
    """
    times, response = _glover()
    return np.interp(lags, times, response, left=0.0, right=0.0)


def response_basis(
    lags: ArrayLike, *, shift: float = 1.5, stretch: float = 0.15, negligible: float = 0.01
) -> np.ndarray:
    r"""Compute a few delay kernels that span the plausible hemodynamic responses.

    Glover's response :math:`h((t - s) / d)`, with a normal shift s of SD ``shift`` and a log-normal
    stretch d of SD ``stretch``, is a random vector at the lags. The kernels are the eigenvectors of
    its second moment, times the square roots of the eigenvalues. With independent normal weights,
    their sum varies as these responses do.

    Parameters
    ----------
    lags : array-like, shape (n_lags,)
        Time since the neural event in s.
    shift : float
        SD of the shift in s.
    stretch : float
        SD of the log of the stretch.
    negligible : float
        Smallest eigenvalue of a kernel, relative to the largest one.

    Returns
    -------
    basis : ndarray, shape (n_lags, n_kernels)
        Kernels in decreasing order of norm; the mean squared norm of a response is 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.features import response_basis
    >>> response_basis(np.arange(40) / 2).shape
    (40, 4)
    """
    lags = np.asarray(lags, dtype=float)
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    weights = weights / weights.sum()
    shifts, stretches = shift * nodes, np.exp(stretch * nodes)
    responses = hrf_at((lags - shifts[:, None, None]) / stretches[None, :, None])
    responses = responses.reshape(-1, len(lags))
    probability = np.outer(weights, weights).reshape(-1, 1)
    second_moment = responses.T @ (probability * responses)
    values, vectors = np.linalg.eigh(second_moment / max(np.trace(second_moment), 1e-12))
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > negligible * values[0]
    basis = vectors[:, keep] * np.sqrt(values[keep])
    return basis * np.where(basis.sum(axis=0) < 0, -1.0, 1.0)


@cache
def _glover():
    from nilearn.glm.first_level import glover_hrf  # nilearn is imported only when it is used

    response = glover_hrf(1.0, oversampling=100, time_length=_LENGTH)
    return np.linspace(0.0, _LENGTH, len(response)), response / response.max()


@dataclass(kw_only=True, repr=False, eq=False)
class HRFBandPower(BandPower):
    r"""Log power of every channel in bands, weighted with the hemodynamic response.

    .. math:: f_{c,b} = \sum_l h(\text{lag}_l) \, p_{c,b,l} / \sum_l |h(\text{lag}_l)|

    where p are the features of :class:`~sklearn_beira.features.BandPower` and h is Glover's
    response at the middle of each segment. A window of one segment is not weighted.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    duration : float or None
        As in :class:`~sklearn_beira.features.BandPower`.
    step : float
        As in :class:`~sklearn_beira.features.BandPower`.
    n_jobs : int or None
        Number of threads, one for each recording.
    average : {"all", "posterior"}, list of str or None
        Channels whose log power is averaged into one value per band: all channels, those with
        occipital and parieto-occipital names of the 10-20 system (all channels if there are none),
        or those listed. None keeps every channel.

    Attributes
    ----------
    weights_ : ndarray, shape (n_lags,)
        Weight of each lag.
    picks_ : ndarray of int or None
        Channels that are averaged.
    bands_ : dict
        The bands used.
    lags_ : ndarray, shape (n_lags,)
        Time from the end of each segment to the volume onset, in s.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.features import HRFBandPower
    >>> eeg = np.random.default_rng(0).standard_normal((5, 8, 2000))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> HRFBandPower({"alpha": (8, 12)}).fit_transform(X).shape
    (5, 8)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BandPower._parameter_constraints,
        "average": [StrOptions({"all", "posterior"}), list, tuple, None],
    }

    duration: float | None = 1.0
    step: float = 1.0
    average: Literal["all", "posterior"] | Sequence[str] | None = None

    def fit(self, X: EEGWindows | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the bands, and compute the weights of the lags.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.
        y : array-like, DataFrame or None
            Only checked: the index of a DataFrame from :func:`align` has to be that of X.

        Returns
        -------
        self : HRFBandPower
            Fitted.
        """
        super().fit(X, y)
        self.weights_ = np.ones(1)
        if len(self.lags_) > 1:
            self.weights_ = normalized_weights(hrf_at(self.lags_ + self.duration / 2), self.lags_)
        self.picks_ = channels_to_average(self.average, self.ch_names_in_)
        return self

    def transform(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Compute the features.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.

        Returns
        -------
        features : ndarray of shape (n_samples, n_bands * n_channels) or (n_samples, n_bands)
            Weighted log power, in the order of :meth:`get_feature_names_out`.
        """
        power = np.einsum("nlbc,l->nbc", self.lagged_power(X), self.weights_)
        if self.average is not None:
            power = power[..., self.picks_].mean(axis=-1)
        return power.reshape(len(power), -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the features: channel and band.

        Parameters
        ----------
        input_features : array-like of str or None
            Channel names; None takes those seen in ``fit``.

        Returns
        -------
        names : ndarray of str
            For example ``"Oz alpha"``, or ``"alpha"`` for an average.
        """
        channels = channel_names(self, input_features)
        if self.average is not None:
            return np.array(list(self.bands_), dtype=object)
        return np.array([f"{c} {band}" for band in self.bands_ for c in channels], dtype=object)


def normalized_weights(weights, lags):
    """Scale weights so that their absolute values sum to 1.

    Parameters
    ----------
    weights : ndarray, shape (n_lags,)
        Response at each lag.
    lags : ndarray, shape (n_lags,)
        Time to the volume onset in s.

    Returns
    -------
    weights : ndarray, shape (n_lags,)
        Scaled.

    Raises
    ------
    ValueError
        If no lag is within the response.
    """
    total = np.abs(weights).sum()
    if not total > 0:
        raise ValueError(
            f"the window, from {lags.min():g} to {lags.max():g} s before the volume, is outside "
            f"the hemodynamic response, from 0 to {_LENGTH:g} s; use a window within it."
        )
    return weights / total


def channels_to_average(average, ch_names):
    """Find the channels that are averaged.

    Parameters
    ----------
    average : {"posterior", "all"}, list of str or None
        As in :class:`HRFBandPower`.
    ch_names : list of str or None
        Names of the channels.

    Returns
    -------
    picks : ndarray of int, slice or None
        "posterior" is all channels if none has a posterior name.
    """
    if average is None:
        return None
    if isinstance(average, str):
        if average == "posterior" and ch_names is not None:
            back = [i for i, name in enumerate(ch_names) if _POSTERIOR.fullmatch(name)]
            if back:
                return np.array(back)
        return slice(None)
    if ch_names is None:
        raise ValueError("X has no channel names; use average='all' or average=None.")
    unknown = [name for name in average if name not in ch_names]
    if unknown or not average:
        raise ValueError(f"average has channels {unknown}, which are not among {ch_names}.")
    return np.array([ch_names.index(name) for name in average])
