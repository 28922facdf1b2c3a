"""Cross-validation with a gap in time between training and test volumes.

The default gap is :attr:`EEGWindows.reach`. ``eeg.rows.is_within`` finds the
volumes that are too near, also for the validation of a training.
"""

import warnings
from collections.abc import Iterator
from numbers import Real

import numpy as np
from sklearn.model_selection import BaseCrossValidator

from ..eeg.rows import (
    first_minutes,
    group_labels,
    is_within,
    recordings_and_times,
    rows_in_time,
)
from ..eeg.windows import EEGWindows, are_epochs, as_windows
from ..exceptions import GapWarning


class BlockedKFold(BaseCrossValidator):
    """K-fold over contiguous blocks of each recording, with a gap around the test block.

    BOLD is autocorrelated and windows overlap, so that a volume next to a training volume is nearly
    known. Each recording is cut into ``n_splits`` blocks, fold k tests on block k of every
    recording, and training volumes of the same recording that are closer than ``gap`` seconds to a
    test volume are left out. No block spans two recordings.

    Parameters
    ----------
    n_splits : int
        Number of folds.
    gap : float or None
        Time in s between any training and any test volume of one recording. To share no EEG, it
        must be at least the window plus delay of the model. None uses the reach of the windows of
        X, which is enough for models that read no more; plain arrays need a number.
    t_r : float or None
        Repetition time in s, for plain arrays (rows are then volumes in order); EEGWindows carry
        the time of each volume.

    Warns
    -----
    GapWarning
        If the gap is shorter than the reach of the windows of X. :func:`~sklearn_beira.compare`
        and :func:`~sklearn_beira.null_test` warn by what the models read of it instead.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.evaluation import BlockedKFold
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

    def get_n_splits(self, X=None, y=None, groups=None) -> int:
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

    def split(self, X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training and test rows of each fold.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_samples, ...)
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
            times of the rows are unknown.
        """
        if not (isinstance(self.n_splits, int | np.integer) and self.n_splits >= 2):
            raise ValueError(f"n_splits must be an integer of at least 2, got {self.n_splits!r}.")
        if are_epochs(X):
            X = as_windows(X)  # which knows the times
        gap = check_gap(self.gap, X)
        recordings, times = recordings_and_times(X, groups, self.t_r, needed=gap > 0)
        blocks = np.empty(len(times), dtype=int)
        for rows in rows_in_time(recordings, times):
            if len(rows) < self.n_splits:
                raise ValueError(
                    f"recording {recordings[rows[0]]} has {len(rows)} volumes, too few for "
                    f"{self.n_splits} blocks."
                )
            for b, block in enumerate(np.array_split(rows, self.n_splits)):
                blocks[block] = b
        for b in range(self.n_splits):
            test = np.flatnonzero(blocks == b)
            train = np.flatnonzero(blocks != b)
            train = train[~is_within(train, test, recordings, times, gap)]
            if not len(train):
                raise ValueError(
                    f"no training volume is left outside the gap of {gap:g} s around test "
                    f"block {b}; use a shorter gap or longer recordings."
                )
            yield train, test


class LeaveOneSubjectOut(BaseCrossValidator):
    """Leave out one subject, but for the first minutes, which calibrate a model.

    Fold k trains on all other subjects and on the first minutes of subject k, and tests on the rest
    of subject k. :class:`~sklearn_beira.SubjectRegressor` uses these minutes.

    Parameters
    ----------
    calibration : float
        Minutes of each subject to train on, from the start of the first recording; 0 leaves out the
        whole subject.
    gap : float or None
        Time in s between training and test volumes of one recording, as in :class:`BlockedKFold`.
    t_r : float or None
        Repetition time in s, for plain arrays, whose rows are volumes in order.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.evaluation import LeaveOneSubjectOut
    >>> cv = LeaveOneSubjectOut(calibration=0.1, gap=4.0, t_r=2.0)
    >>> for train, test in cv.split(np.zeros((16, 1)), groups=["A"] * 8 + ["B"] * 8):
    ...     print(train, test)
    [ 0  1  2  8  9 10 11 12 13 14 15] [4 5 6 7]
    [ 0  1  2  3  4  5  6  7  8  9 10] [12 13 14 15]
    """

    def __init__(self, calibration=0.0, *, gap=None, t_r=None):
        self.calibration = calibration
        self.gap = gap
        self.t_r = t_r

    def get_n_splits(self, X=None, y=None, groups=None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : EEGWindows or object
            EEGWindows know their subjects.
        y : object
            Ignored.
        groups : array-like of shape (n_samples,) or None
            Subject of each row; None takes ``X.subjects``.

        Returns
        -------
        n_splits : int
            Number of subjects.
        """
        return len(np.unique(subjects_of(X, groups)))

    def split(self, X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training and test rows of each fold.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_samples, ...)
            Samples.
        y : array-like or None
            Ignored.
        groups : array-like of shape (n_samples,) or None
            Subject of each row; None takes ``X.subjects``. :func:`~sklearn_beira.compare` gives
            the subjects that it knows.

        Yields
        ------
        train, test : ndarray of int
            Row indices.

        Raises
        ------
        ValueError
            If there are fewer than two subjects, or if a subject has no volume left to test.
        """
        if not (isinstance(self.calibration, Real) and 0 <= self.calibration < np.inf):
            raise ValueError(
                f"calibration must be a number of minutes of at least 0, got {self.calibration!r}."
            )
        subjects = subjects_of(X, groups)
        gap = check_gap(self.gap, X) if self.calibration else 0.0
        recordings, times = recordings_and_times(
            X, subjects, self.t_r, needed=bool(self.calibration)
        )
        known = np.unique(subjects)
        if len(known) < 2:
            raise ValueError(f"leaving out a subject needs at least 2, got {len(known)}.")
        for subject in known:
            mine = np.flatnonzero(subjects == subject)
            own = mine[first_minutes(recordings[mine], times[mine], self.calibration)]
            test = np.setdiff1d(mine, own)
            test = test[~is_within(test, own, recordings, times, gap)]
            if not len(test):
                raise ValueError(
                    f"subject {subject} has no volume left to test after {self.calibration:g} "
                    f"minutes and a gap of {gap:g} s; use less calibration."
                )
            yield np.union1d(np.flatnonzero(subjects != subject), own), test


def subjects_of(X, subjects) -> np.ndarray:
    """Return the subject of each row of X.

    Parameters
    ----------
    X : EEGWindows or array-like
        Samples.
    subjects : array-like of shape (n_samples,) or None
        Subjects; None takes those of X.

    Returns
    -------
    subjects : ndarray of shape (n_samples,)
        Subjects.

    Raises
    ------
    ValueError
        If they are unknown.
    """
    known = subjects
    if known is None and isinstance(X, EEGWindows):
        known = X.subjects
    if known is None:
        raise ValueError(
            "the subjects of X are unknown; use align(..., subjects=...) or "
            "EEGWindows.from_array(X, subjects=...), or give the subject of each row."
        )
    return group_labels(known, "subjects")


def check_gap(gap, X) -> float:
    """Check the gap of a splitter, and find that of None.

    Parameters
    ----------
    gap : float or None
        Gap in s; None uses the reach of the windows of X.
    X : EEGWindows or array-like
        Samples.

    Returns
    -------
    gap : float
        Gap in s.
    """
    windows = getattr(X, "has_times", False)
    if gap is None:
        if not windows:
            raise ValueError(
                "rows of a plain array do not tell how much EEG they share; give gap in s (and "
                "t_r), or gap=0 if they share none."
            )
        return X.reach
    if not (isinstance(gap, Real) and gap >= 0):
        raise ValueError(f"gap must be a time in s of at least 0, got {gap!r}.")
    if windows and X.has_sfreq and gap < X.reach - 1e-6:
        warnings.warn(
            f"the gap of {gap:g} s is shorter than the {X.reach:g} s that the windows of X reach: "
            f"training and test share EEG if the model reads all of it. Use gap=None, or "
            f"X.window(tmin, tmax) with the window that the model reads.",
            GapWarning,
            stacklevel=3,  # split is a generator: the loop over it
        )
    return float(gap)
