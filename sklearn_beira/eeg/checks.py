"""Checks of EEG and BOLD that all estimators share."""

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .._utils.hashing import sketch
from .._utils.numbers import check_bold, check_kind, region_names
from .._utils.warn import warn_user
from ..exceptions import GapWarning
from .windows import EEGWindows, are_epochs, check_epochs

# Share of volumes that may be missing one by one, as after scrubbing.
_SCATTERED = 0.05


def check_eeg(
    estimator: BaseEstimator,
    X: ArrayLike | mne.BaseEpochs,
    *,
    reset: bool,
    y: ArrayLike | None = None,
    ensure_min_samples: int = 1,
    reads: bool = True,
) -> EEGWindows:
    """Check EEG, and make EEGWindows of it.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator; ``n_features_in_`` (channels) is set on it or compared.
    X : EEGWindows, mne.Epochs or array-like of shape (n_samples, n_channels[, n_times])
        EEG in V. A 2-D array is read as one time point per sample.
    reset : bool
        True in ``fit``.
    y : array-like, DataFrame, Series or None
        BOLD of the same volumes (:func:`check_rows`).
    ensure_min_samples : int
        Least number of volumes.
    reads : bool
        False if a later step chooses the window, or if only the times of the volumes matter.

    Returns
    -------
    X : EEGWindows
        The checked input. The sampling rate and times of arrays are unknown.
    """
    check_rows(X, y)
    if are_epochs(X):
        X = EEGWindows.from_array(X)
    if isinstance(X, EEGWindows):
        if len(X) < ensure_min_samples:
            raise ValueError(
                f"X has {len(X)} volume(s), but {type(estimator).__name__} needs at least "
                f"{ensure_min_samples}."
            )
        _check_channels(estimator, X, reset=reset)
        n_out = X.n_singly_left_out() if reset else 0
        if n_out > max(_SCATTERED * len(X), 2):
            warn_user(
                f"{n_out} volumes between training volumes were left out one by one; tests on them "
                f"leak, because neighbors share EEG and BOLD is smooth; use BlockedKFold or "
                f"LeaveOneGroupOut instead of shuffled folds.",
                GapWarning,
            )
        if reset and X._cut_by_align and X.tmax > 0 and reads:
            warn_user(
                f"{type(estimator).__name__} reads EEG up to {X.tmax:g} s after the volume; put a "
                f"Windower in front of it, or use X.window(tmin, tmax)."
            )
        return X
    check_kind(X, "X")
    X = validate_data(
        estimator,
        X,
        reset=reset,
        allow_nd=True,
        dtype=[np.float64, np.float32],
        ensure_min_samples=ensure_min_samples,
    )
    if reset:
        estimator.ch_names_in_ = None
    check_epochs(X)
    return EEGWindows._of_epochs(X)


def check_piece(eeg: ArrayLike, n_channels: int, ch_names: list[str] | None = None) -> np.ndarray:
    """Check a piece of EEG that is being recorded.

    Parameters
    ----------
    eeg : array-like, shape (n_channels, n_times)
        EEG in V.
    n_channels : int
        Number of channels that it must have.
    ch_names : list of str or None
        Their names, for the message.

    Returns
    -------
    eeg : ndarray of float64, shape (n_channels, n_times)
        The checked piece.

    Raises
    ------
    ValueError
        If the number of channels differs, or if the EEG holds NaN or infinite values.
    """
    eeg = np.asarray(eeg, dtype=np.float64)
    if eeg.ndim != 2 or len(eeg) != n_channels:
        raise ValueError(
            f"the EEG must have {n_channels} channels, shape ({n_channels}, n_times), got shape "
            f"{eeg.shape}; give the channels of the training, in their order."
        )
    bad = np.flatnonzero(~np.isfinite(eeg).all(axis=1))
    if len(bad):
        names = bad if ch_names is None else [ch_names[k] for k in bad]
        raise ValueError(
            f"the EEG holds NaN or infinite values, in channels {', '.join(map(str, names))}; "
            f"leave the piece out (BoldTwin.skip says that it is missing)."
        )
    return eeg


def check_rows(X: ArrayLike | mne.BaseEpochs, y: ArrayLike | None) -> None:
    """Refuse BOLD whose index or length shows that it is of other volumes than X.

    Parameters
    ----------
    X : EEGWindows or array-like
        EEG.
    y : array-like, DataFrame, Series or None
        BOLD. The index of a DataFrame from :func:`align` names recording and volume.

    Raises
    ------
    TypeError
        If X and y are swapped, or X holds mne.io.Raw.
    ValueError
        If a row of y is of another volume than the row of X.
    """
    first = X[0] if isinstance(X, list | tuple) and X else X
    if isinstance(first, mne.io.BaseRaw):
        raise TypeError("X holds mne.io.Raw; make X and y of it with align(raw, bold, ...).")
    if isinstance(y, EEGWindows):
        raise TypeError("y holds EEG; EEG comes first and BOLD second, as in fit(X, y).")
    if isinstance(X, EEGWindows) and X.alignment is not None and hasattr(y, "__len__"):
        n_all = X.alignment["n_volumes"].sum()
        if len(X) != len(y) == n_all:
            raise ValueError(
                f"y has {n_all} rows, those of all volumes, but X has {len(X)} volumes; take the "
                f"y that align returned beside X."
            )
    index, volumes = getattr(y, "index", None), getattr(X, "volumes", None)
    if volumes is None or not isinstance(index, pd.Index) or len(index) != len(X):
        return
    if list(index.names) == ["recording", "volume"]:
        own = pd.MultiIndex.from_arrays([X.groups, volumes])
        other = np.flatnonzero(index != own)
        if len(other):
            row = other[0]
            raise ValueError(
                f"rows of y are of other volumes than those of X (first: row {row} of y is volume "
                f"{index[row][1]} of recording {index[row][0]}, that of X is volume "
                f"{own[row][1]} of recording {own[row][0]}); take the same rows of both, in the "
                f"same order (for a permutation test, use null_test)."
            )
        return
    left_out = (X.alignment["n_volumes"] - X.alignment["kept"]).sum()
    if X._y_is_indexed and left_out:
        warn_user(
            f"align left out {left_out} volume(s), and the index of y does not say which volumes "
            f"its rows are; use the y that align returned, or keep its index (y.index)."
        )


def check_target(
    estimator: BaseEstimator, X: EEGWindows | ArrayLike, y: ArrayLike | None
) -> tuple[np.ndarray, bool]:
    """Check BOLD to be predicted.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator, which is given ``region_names_`` and ``bold_digests_``.
    X : EEGWindows or array-like, shape (n_volumes, ...)
        EEG or features.
    y : array-like, DataFrame, Series or None
        BOLD of the same volumes.

    Returns
    -------
    y : ndarray of float64, shape (n_volumes, n_rois)
        BOLD.
    is_1d : bool
        Whether it came without an axis of regions.
    """
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    estimator.region_names_ = region_names(y)
    y = check_bold(y, allow_nd=True, estimator=estimator)
    if isinstance(X, mne.BaseEpochs):
        X.drop_bad()  # before, their number is unknown
    check_consistent_length(X, y)
    if y.ndim > 2:
        raise ValueError(
            f"y must be (n_volumes, n_rois), got {y.ndim} dimensions; extract regions from images "
            f"with ROIExtractor."
        )
    estimator.bold_digests_ = sketch(y.reshape(len(y), -1))
    return y.reshape(len(y), -1), y.ndim == 1


def channel_names(estimator: BaseEstimator, input_features: ArrayLike | None) -> np.ndarray:
    """Get the names of the channels seen in ``fit``, or check those given."""
    check_is_fitted(estimator)
    if input_features is None and estimator.ch_names_in_ is not None:
        return np.asarray(estimator.ch_names_in_, dtype=object)
    return _check_feature_names_in(estimator, input_features)


def _check_channels(estimator, X, *, reset):
    if reset:
        estimator.n_features_in_ = X.shape[1]
        estimator.ch_names_in_ = X.ch_names
        vars(estimator).pop("feature_names_in_", None)  # set by an earlier fit on a DataFrame
        return
    known = estimator.ch_names_in_
    if known is None or X.ch_names is None:
        if X.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} channels, but {type(estimator).__name__} was fitted with "
                f"{estimator.n_features_in_}."
            )
    elif X.ch_names != known:
        lost = [name for name in known if name not in X.ch_names]
        new = [name for name in X.ch_names if name not in known]
        what = f"missing: {lost}, extra: {new}" if lost or new else "the same in another order"
        raise ValueError(
            f"X has other channels than {type(estimator).__name__} was fitted with ({what}); pick "
            f"the channels of the training recordings, in the same order."
        )
