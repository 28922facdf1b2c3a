"""Recording and time of each row, and rows that are apart in time."""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import _num_samples, check_consistent_length


def recordings_and_times(
    X: ArrayLike, groups: ArrayLike | None, t_r: float | None, *, needed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Find the recording and the time of each row.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_samples, ...)
        Samples.
    groups : array-like of shape (n_samples,) or None
        Recording of each row, where X does not know times; None stands for a single one.
    t_r : float or None
        Repetition time in s, where X does not know times.
    needed : bool
        Whether times must be in s. If not, the order of the rows will do.

    Returns
    -------
    recordings : ndarray of shape (n_samples,)
        Label of the recording of each row.
    times : ndarray of shape (n_samples,)
        Time of each row in s, or its number within the recording.

    Raises
    ------
    ValueError
        If times in s are needed and unknown.
    """
    if getattr(X, "has_times", False):
        return X.groups, X.times
    if groups is None and hasattr(X, "has_times"):
        groups = X.groups
    check_consistent_length(X, groups)
    recordings = np.zeros(_num_samples(X), dtype=int) if groups is None else group_labels(groups)
    if t_r is not None and not (isinstance(t_r, Real) and 0 < t_r < np.inf):
        raise ValueError(f"t_r must be a positive time in s, got {t_r!r}.")
    if t_r is None and needed:
        raise ValueError(
            "the gap is in seconds, but the times of the rows are unknown; give t_r, or pass "
            "EEGWindows.from_array(X, times=...)."
        )
    return recordings, order_in_groups(recordings) * (1.0 if t_r is None else t_r)


def group_labels(groups: ArrayLike, name: str = "groups") -> np.ndarray:
    """Check the labels of recordings or subjects.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Label of each row.
    name : str
        What it is called in errors.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    ValueError
        If a label is missing, or if labels cannot be sorted.
    """
    labels = np.asarray(groups)
    try:
        known = np.unique(labels)
    except TypeError:
        known = [None]
    if labels.ndim != 1 or any(label is None or label != label for label in known):
        raise ValueError(
            f"{name} must name the {'recording' if name == 'groups' else 'subject'} of each row by "
            f"a number or a text, got {np.array2string(labels, threshold=5)}."
        )
    return labels


def rows_in_time(recordings: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each recording, in order of time."""
    runs = [np.flatnonzero(recordings == k) for k in np.unique(recordings)]
    return [rows[np.argsort(times[rows], kind="stable")] for rows in runs]


def order_in_groups(groups: np.ndarray) -> np.ndarray:
    """Number the rows of each group, in the order in which they come."""
    order = np.argsort(groups, kind="stable")
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    number = np.empty(len(groups))
    number[order] = np.arange(len(groups)) - np.repeat(first, counts)
    return number


def is_within(
    rows: np.ndarray, others: np.ndarray, recordings: np.ndarray, times: np.ndarray, gap: float
) -> np.ndarray:
    """Tell which rows are less than the gap apart from one of the others, in one recording."""
    near = np.zeros(len(rows), dtype=bool)
    for k in np.unique(recordings[rows]):
        mine = recordings[rows] == k
        theirs = np.sort(times[others[recordings[others] == k]])
        t, reach = times[rows[mine]], gap - 1e-6  # volumes exactly the gap apart are not near
        near[mine] = np.searchsorted(theirs, t + reach) > np.searchsorted(
            theirs, t - reach, "right"
        )
    return near


def repetition_time(recordings: np.ndarray, times: np.ndarray) -> float:
    """Return the median time between successive rows of a recording; 1 if there are none."""
    steps = np.concatenate([np.diff(times[rows]) for rows in rows_in_time(recordings, times)])
    return float(np.median(steps)) if len(steps) else 1.0


def first_minutes(recordings: np.ndarray, times: np.ndarray, minutes: float) -> np.ndarray:
    """Return the first rows, recording by recording, that together last so many minutes."""
    rows = np.concatenate(rows_in_time(recordings, times))
    return rows[: max(round(60 * minutes / repetition_time(recordings, times)), 0)]
