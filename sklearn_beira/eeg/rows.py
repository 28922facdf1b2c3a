"""Recording and time of each row, and rows that are apart in time."""

from numbers import Real

import numpy as np
from sklearn.utils.validation import _num_samples, check_consistent_length

from .windows import EEGWindows, group_labels, order_in_groups


def tail_split(X, fraction, gap, groups=None):
    """Split off the last part of every recording, for validation inside ``fit``.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_samples, ...)
        Samples.
    fraction : float
        Share of each recording's volumes that becomes the tail.
    gap : float
        Volumes less than this many s before the tail belong to neither part (where the
        times of the rows are known).
    groups : array-like of shape (n_samples,) or None
        Recording of each row of a plain array; None stands for a single one. EEGWindows know
        theirs, and ``groups`` is ignored.

    Returns
    -------
    head, tail : ndarray of int
        Row indices.

    Raises
    ------
    ValueError
        If either part would be empty.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira import tail_split
    >>> eeg = np.random.default_rng(0).standard_normal((2, 12000)) * 1e-5
    >>> info = mne.create_info(["Fz", "Oz"], sfreq=100.0, ch_types="eeg")
    >>> times = 20.0 + 2.0 * np.arange(50)
    >>> X = EEGWindows([eeg], np.zeros(50, int), times, info, tmin=-16.0, tmax=0.0)
    >>> head, tail = tail_split(X, fraction=0.2, gap=16.0)
    >>> len(head), len(tail)
    (33, 10)
    >>> float(X.times[tail[0]] - X.times[head[-1]])
    16.0
    """
    numbers = isinstance(fraction, Real) and isinstance(gap, Real)
    if not (numbers and 0 < fraction < 1 and gap >= 0):
        raise ValueError(
            f"fraction must lie between 0 and 1 and gap be at least 0 s, got fraction={fraction!r} "
            f"and gap={gap!r}."
        )
    recordings, times = recordings_and_times(X, groups, None, needed=False)
    in_tail = np.zeros(len(times), dtype=bool)
    for k in np.unique(recordings):
        rows = np.flatnonzero(recordings == k)
        rows = rows[np.argsort(times[rows], kind="stable")]
        n_tail = round(fraction * len(rows))
        in_tail[rows[len(rows) - n_tail :]] = True
    head, tail = np.flatnonzero(~in_tail), np.flatnonzero(in_tail)
    if getattr(X, "has_times", False):
        head = head[~is_within(head, tail, recordings, times, gap)]
    if not (len(head) and len(tail)):
        raise ValueError(
            f"{len(times)} volumes are too few to set the last {fraction:.0%} of each recording "
            f"apart for validation with a gap of {gap:g} s: {len(head)} would stay for training "
            f"and {len(tail)} for validation; use more volumes, a shorter gap, or no validation."
        )
    return head, tail


def recordings_and_times(X, groups, t_r, *, needed):
    """Recording and time of each row.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_samples, ...)
        Samples.
    groups : array-like of shape (n_samples,) or None
        Recording of each row of a plain array; None stands for a single one. EEGWindows know
        theirs, and ``groups`` is ignored.
    t_r : float or None
        Repetition time in s of the rows of a plain array.
    needed : bool
        True if the time must be in seconds; False if order alone will do.

    Returns
    -------
    recordings : ndarray of shape (n_samples,)
        Recording of each row.
    times : ndarray of shape (n_samples,)
        Time of each row in s (in rows, where nothing better is known and needed).

    Raises
    ------
    ValueError
        If the time in s is needed and not known.
    """
    if isinstance(X, EEGWindows):
        if X.has_times:
            return X.groups, X.times
        groups = X.groups if groups is None else groups
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


def is_within(rows, others, recordings, times, gap):
    """Which rows lie closer than the gap to one of the others, in the same recording."""
    near = np.zeros(len(rows), dtype=bool)
    for k in np.unique(recordings[rows]):
        mine = recordings[rows] == k
        theirs = np.sort(times[others[recordings[others] == k]])
        if not len(theirs):
            continue
        t = times[rows[mine]]
        after = np.searchsorted(theirs, t)
        nearest = np.minimum(
            np.abs(t - theirs[np.clip(after, 0, len(theirs) - 1)]),
            np.abs(t - theirs[np.clip(after - 1, 0, len(theirs) - 1)]),
        )
        # Volumes exactly the gap apart may stay, whatever arithmetic does to the last digits.
        near[mine] = nearest < gap - 1e-6
    return near
