"""Splits that keep test volumes away from training volumes in time."""

import warnings
from numbers import Real

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import _num_samples, check_consistent_length

from .windows import EEGWindows

__all__ = ["BlockedKFold", "GapWarning", "tail_split", "window_reach"]


class GapWarning(UserWarning):
    """Test and training volumes are so close that they may share EEG, or BOLD that is alike."""


class BlockedKFold(BaseCrossValidator):
    """K-fold over contiguous blocks of each recording, with a gap around the test block.

    BOLD is smooth and windows overlap: a volume next to a training volume is known already. So
    each recording is cut into ``n_splits`` blocks, fold k tests on block k of every recording, and
    training volumes of the same recording that lie closer than ``gap`` seconds to a test volume are
    left out. No block spans two recordings.

    Parameters
    ----------
    n_splits : int
        Number of folds.
    gap : float or None
        Time in s between any training and any test volume of one recording. A test that shares no
        EEG with the training needs at least window plus delay of the model. None takes what the
        windows of X reach, which is enough for models that read no more
        (:class:`~sklearn_beira.Windower` warns where it does); for plain arrays it has to be given.
    t_r : float or None
        Repetition time in s, for plain arrays (rows are then volumes in order); EEGWindows carry
        the time of each volume.

    Warns
    -----
    GapWarning
        If the gap is shorter than the history in the windows of X. The splitter does not know how
        much of it a model reads: :func:`~sklearn_beira.compare` and
        :func:`~sklearn_beira.null_test` do, and warn by that.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.model_selection import BlockedKFold
    >>> cv = BlockedKFold(2, gap=4.0, t_r=2.0)
    >>> for train, test in cv.split(np.zeros((8, 1))):
    ...     print(train, test)
    [5 6 7] [0 1 2 3]
    [0 1 2] [4 5 6 7]
    """

    def __init__(self, n_splits=5, *, gap=None, t_r=None):
        self.n_splits = n_splits
        self.gap = gap
        self.t_r = t_r

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            Number of folds.
        """
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Yield the training and test rows of each fold.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, ...)
            Samples.
        y : array-like or None
            Ignored.
        groups : array-like of shape (n_samples,) or None
            Recording of each row of a plain array; None stands for a single one. EEGWindows
            know theirs, and ``groups`` is ignored.

        Yields
        ------
        train, test : ndarray of int
            Row indices.

        Raises
        ------
        ValueError
            If a recording has fewer volumes than folds, if nothing is left to train on, or if the
            time of the rows is not known.
        """
        if not (isinstance(self.n_splits, int | np.integer) and self.n_splits >= 2):
            raise ValueError(f"n_splits must be an integer of at least 2, got {self.n_splits!r}.")
        gap = self._gap(X)
        recordings, times = recordings_and_times(X, groups, self.t_r, needed=gap > 0)
        blocks = np.empty(len(times), dtype=int)
        for k in np.unique(recordings):
            rows = np.flatnonzero(recordings == k)
            if len(rows) < self.n_splits:
                raise ValueError(
                    f"recording {k} has {len(rows)} volumes, too few for {self.n_splits} blocks."
                )
            rows = rows[np.argsort(times[rows], kind="stable")]
            for b, block in enumerate(np.array_split(rows, self.n_splits)):
                blocks[block] = b
        for b in range(self.n_splits):
            test = np.flatnonzero(blocks == b)
            train = np.flatnonzero(blocks != b)
            train = train[~_within(train, test, recordings, times, gap)]
            if not len(train):
                raise ValueError(
                    f"no training volume is left outside the gap of {gap:g} s around test "
                    f"block {b}; use a shorter gap or longer recordings."
                )
            yield train, test

    def _gap(self, X):
        windows = isinstance(X, EEGWindows)
        if self.gap is None:
            if not windows:
                raise ValueError(
                    "rows of a plain array do not tell how much EEG they share; give gap in s (and "
                    "t_r), or gap=0 where they share none."
                )
            return window_reach(X)
        if not (isinstance(self.gap, Real) and self.gap >= 0):
            raise ValueError(f"gap must be a time in s of at least 0, got {self.gap!r}.")
        if windows and self.gap < -X.tmin - 1e-6:
            warnings.warn(
                f"the gap of {self.gap:g} s is shorter than the {-X.tmin:g} s of history in the "
                f"windows of X: training and test share EEG if the model reads all of it. Use "
                f"gap=None, or X.window(tmin, tmax) with the window that the model reads.",
                GapWarning,
                stacklevel=3,
            )
        return float(self.gap)


def window_reach(X):
    """Tell how far apart two volumes must be for their windows to share nothing.

    Parameters
    ----------
    X : EEGWindows
        Samples.

    Returns
    -------
    reach : float
        Time in s from the start of a window to its end, or to its volume where that is later.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.model_selection import window_reach
    >>> eeg = np.random.default_rng(0).standard_normal((2, 12000)) * 1e-5
    >>> info = mne.create_info(["Fz", "Oz"], sfreq=100.0, ch_types="eeg")
    >>> times = 20.0 + 2.0 * np.arange(50)
    >>> X = EEGWindows([eeg], np.zeros(50, int), times, info, tmin=-16.0, tmax=0.0)
    >>> window_reach(X)
    16.0
    """
    return max(X.tmax, 0.0) - X.tmin


def tail_split(X, fraction, gap, groups=None):
    """Split off the last part of every recording, for validation inside ``fit``.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_samples, ...)
        Samples.
    fraction : float
        Share of each recording's volumes that becomes the tail.
    gap : float
        Volumes less than this many s before the tail belong to neither part (EEGWindows only: rows
        of plain arrays have no time).
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
    >>> from sklearn_beira.model_selection import tail_split
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
    if isinstance(X, EEGWindows):
        head = head[~_within(head, tail, recordings, times, gap)]
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
    n = _num_samples(X)
    if isinstance(X, EEGWindows):
        return X.groups, X.times
    check_consistent_length(X, groups)
    recordings = np.zeros(n, dtype=int) if groups is None else group_labels(groups)
    if t_r is not None and not (isinstance(t_r, Real) and 0 < t_r < np.inf):
        raise ValueError(f"t_r must be a positive time in s, got {t_r!r}.")
    if t_r is None and needed:
        raise ValueError(
            "the gap is in seconds, but rows of a plain array have no time; give t_r, or pass the "
            "EEGWindows that align returns."
        )
    times = np.empty(n)
    for k in np.unique(recordings):
        rows = np.flatnonzero(recordings == k)
        times[rows] = np.arange(len(rows)) * (1.0 if t_r is None else t_r)
    return recordings, times


def group_labels(groups):
    """Recording of each row, as labels that can be sorted.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        As given.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The same.

    Raises
    ------
    ValueError
        If a row has no label, or if labels are of types that have no common order.
    """
    labels = np.asarray(groups)
    try:
        known = np.unique(labels)
    except TypeError:
        known = [None]
    if labels.ndim != 1 or any(label is None or label != label for label in known):
        raise ValueError(
            f"groups must name the recording of each row by a number or a text, got "
            f"{np.array2string(labels, threshold=5)}."
        )
    return labels


def _within(rows, others, recordings, times, gap):
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
