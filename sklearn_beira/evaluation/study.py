"""Samples and the folds they are evaluated in, checked once."""

import sys
import warnings
from dataclasses import dataclass, field

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from scipy.signal import detrend
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_consistent_length

from .._utils.numbers import check_bold, check_kind, varying
from .._utils.warn import warn_user
from ..eeg.checks import check_rows
from ..eeg.rows import group_labels
from ..eeg.windows import EEGWindows
from ..exceptions import GapWarning
from .metrics import effective_n, pearson_r, r_p_value
from .splitters import BlockedKFold

# How seldom recordings may continue each other so smoothly by chance.
_ODD = 1e-3


@dataclass
class Study:
    """Samples and the folds they are evaluated in, checked once.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_volumes, ...)
        Samples.
    y : ndarray of float64, shape (n_volumes, n_rois)
        BOLD.
    region_names : list of str
        Regions.
    recordings : ndarray of shape (n_volumes,)
        Recording of each row.
    groups : array-like or None
        What the splitter gets.
    cv : cross-validation splitter
        Folds.
    folds : list of tuple of ndarray or None
        Rows of training and test; None asks ``cv``.
    index : pandas.Index or None
        Labels of the rows of y, where it has some.
    """

    X: object
    y: np.ndarray
    region_names: list
    recordings: np.ndarray
    groups: object
    cv: object
    folds: list | None = None
    index: object = None  # of the rows of y
    fold_of: np.ndarray = field(init=False)  # the fold that tests each row, or -1
    blocks: np.ndarray = field(init=False)

    def __post_init__(self):
        n = len(self.y)
        if self.folds is None:
            self.folds = self.split(self.cv)
        if not self.folds:
            raise ValueError("cv gave no split; an evaluation needs at least one.")
        fold = np.full(n, -1)
        for k, (train, test) in enumerate(self.folds):
            for rows in (train, test):
                _check_rows(rows, n, k)
            if len(test) < 2:
                raise ValueError(
                    f"fold {k} of cv tests one volume, and r needs at least 2; use fewer folds."
                )
            if (fold[test] >= 0).any() or len(np.intersect1d(train, test)):
                raise ValueError(
                    f"{self.cv} tests some volumes twice, or tests on training volumes; every "
                    f"volume may be predicted once, as with BlockedKFold or LeaveOneGroupOut."
                )
            fold[test] = k
        # One block for every recording in every fold; -1 where a volume is never tested.
        self.fold_of = fold
        _, blocks = np.unique(
            np.column_stack([fold, self.run_numbers]), axis=0, return_inverse=True
        )
        self.blocks = np.where(fold < 0, -1, blocks.ravel())

    def split(self, cv):
        """Rows of training and test of each fold of a splitter."""
        with warnings.catch_warnings():
            # What the models read of the windows is known here, see check_folds.
            warnings.simplefilter("ignore", GapWarning)
            # Groups are offered to every splitter; some say that they need none.
            warnings.filterwarnings("ignore", "The groups parameter is ignored")
            folds = cv.split(self.X, self.y, self.groups)
            return [(np.asarray(train), np.asarray(test)) for train, test in folds]

    def __sizeof__(self):
        # joblib's dask backend asks, and sends what is large to each worker once, not per task.
        samples = getattr(self.X, "nbytes", None) or sys.getsizeof(self.X)
        return object.__sizeof__(self) + samples + self.y.nbytes

    @property
    def times(self):
        """Time of each row in s; for a plain array its number."""
        return self.X.times if isinstance(self.X, EEGWindows) else np.arange(len(self.y))

    @property
    def run_numbers(self):
        return np.unique(self.recordings, return_inverse=True)[1].ravel()

    @property
    def t_r(self):
        """Time between volumes in s; 2 s where nothing tells."""
        if isinstance(self.X, EEGWindows):
            steps = np.concatenate([np.diff(self.X.times[run]) for run in self.runs()])
            return float(np.median(steps)) if len(steps) else 2.0
        return float(getattr(self.cv, "t_r", None) or 2.0)

    @property
    def tested(self):
        """Rows that are predicted."""
        return np.flatnonzero(self.blocks >= 0)

    def is_cross_validated(self, rows):
        """Tell whether folds that test some of these rows learned from each other's."""
        fold = np.full(len(self.y), -1)
        fold[rows] = self.fold_of[rows]
        numbers = np.unique(fold[fold >= 0])
        if len(numbers) < 2:
            return False
        learns = np.zeros((len(self.folds), len(self.folds)), dtype=bool)
        for k in numbers:
            learned_from = fold[self.folds[k][0]]
            learns[k, learned_from[learned_from >= 0]] = True
        return bool((learns & learns.T).any())

    def runs(self):
        """Rows of each recording, in order of time."""
        times, numbers = self.times, self.run_numbers
        rows = [np.flatnonzero(numbers == k) for k in range(numbers.max() + 1)]
        return [r[np.argsort(times[r], kind="stable")] for r in rows]

    def at(self, rows):
        """Make the same study of some of the rows, in the given order.

        The folds stay what they are, as far as their rows are there: numbers of rows, in a list of
        splits or in PredefinedSplit, are those of the whole. Only the blocks of BlockedKFold are
        cut anew where rows were left out, so that they stay equally long.
        """
        groups = None if self.groups is None else np.asarray(self.groups)[rows]
        return Study(
            _safe_indexing(self.X, rows),
            self.y[rows],
            self.region_names,
            self.recordings[rows],
            groups,
            self.cv,
            None if isinstance(self.cv, BlockedKFold) else self._folds_at(rows),
        )

    def _folds_at(self, rows):
        new = np.full(len(self.y), -1)
        new[rows] = np.arange(len(rows))
        folds = [tuple(new[part][new[part] >= 0] for part in fold) for fold in self.folds]
        # As everywhere, a test needs two volumes.
        return [(train, test) for train, test in folds if len(train) and len(test) >= 2]


def _check_rows(rows, n, fold):
    whole = rows.ndim == 1 and rows.dtype.kind in "iu" and len(rows)
    if not whole or not 0 <= rows.min() <= rows.max() < n:
        raise ValueError(
            f"fold {fold} of cv must hold numbers of rows of X, for training and for test at least "
            f"one from 0 to {n - 1}, got {np.array2string(rows, threshold=5)}."
        )


def make_study(X, y, cv, groups):
    """Check the samples and lay out the folds.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_volumes, ...)
        Samples.
    y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
        BOLD.
    cv : int, cross-validation splitter or None
        Folds; None stands for ``BlockedKFold(5)``, a number for as many blocks.
    groups : array-like of shape (n_volumes,) or None
        Groups for the splitter, by default the recordings of EEGWindows. For plain arrays they
        also tell the recordings apart.

    Returns
    -------
    study : Study
        Samples and folds.
    """
    check_rows(X, y)
    n = _num_samples(X)
    check_kind(X, "X")
    columns = getattr(y, "columns", None)
    name, index = getattr(y, "name", None), getattr(y, "index", None)
    y = check_bold(y, ensure_all_finite=False)
    check_consistent_length(X, y)
    if groups is not None and np.shape(groups) != (n,):
        raise ValueError(
            f"groups must hold one label for each of the {n} volumes, got shape {np.shape(groups)}."
        )
    y = y.reshape(n, -1)
    if columns is not None:
        names = [str(c) for c in columns]
    else:
        names = [f"ROI {i}" for i in range(y.shape[1])] if name is None else [str(name)]
    finite = np.isfinite(y)
    if not finite.all():
        bad = [name for name, good in zip(names, finite.all(axis=0), strict=True) if not good]
        raise ValueError(
            f"Input y contains NaN or infinity in {', '.join(bad)}, first in row "
            f"{int(np.argmin(finite.all(axis=1)))}; leave these volumes out of X and y."
        )
    if isinstance(X, EEGWindows):
        _check_twins(X)
        recordings = X.groups
        groups = X.groups if groups is None else groups
    else:
        recordings = np.zeros(n, dtype=int) if groups is None else group_labels(groups)
        _check_borders(y, recordings)
    if cv is None or isinstance(cv, int | np.integer):
        cv = BlockedKFold(5 if cv is None else int(cv))
    _check_index(X, index, recordings)
    _check_same_bold(y, recordings)
    return Study(X, y, names, recordings, groups, check_cv(cv), index=index)


def _check_index(X, index, recordings):
    """Refuse tables whose own labels say that rows do not belong together, or are not in order."""
    own = getattr(X, "index", None)
    labels = [i for i in (own, index) if isinstance(i, pd.Index) and i.is_unique]
    if len(labels) == 2 and not own.equals(index) and own.isin(index).all():
        raise ValueError(
            "X and y have the same index in another order, so that rows do not belong together; "
            "take y.loc[X.index]."
        )
    if isinstance(X, EEGWindows):  # which know the time of every row
        return
    times = pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex
    for label in labels:
        runs = (label[recordings == k] for k in pd.unique(recordings))
        if (isinstance(label, times) or pd.api.types.is_numeric_dtype(label)) and not all(
            run.is_monotonic_increasing for run in runs
        ):
            raise ValueError(
                "the index says that rows are not in order of time, but rows of a table are taken "
                "in order; take X.sort_index() and y.sort_index(), or reset_index(drop=True) where "
                "the index means nothing."
            )


def _check_borders(y, recordings):
    """Notice groups that are pieces of one recording: BOLD runs on from each to the next.

    Between recordings, neighbors differ as any two volumes do, so that the rank of a difference
    among those of random pairs is uniform. Where groups come in turn, such as conditions do, there
    are more borders than groups, which know of each other: then neighbors are correlated, with as
    many independent pairs as the smoothness of both sides leaves. With few borders nothing can be
    told.
    """
    borders = np.flatnonzero(recordings[1:] != recordings[:-1]) + 1
    y = y[:, varying(y)][:, :100]
    if not len(borders) or not y.shape[1]:
        return
    if len(borders) == len(np.unique(recordings)) - 1:
        pairs = np.random.default_rng(0).integers(len(y), size=(2, 2000))
        usual = np.sort(np.abs(y[pairs[0]] - y[pairs[1]]), axis=0)
        steps = np.abs(y[borders] - y[borders - 1])
        ranks = [np.searchsorted(u, s) / len(u) for u, s in zip(usual.T, steps.T, strict=True)]
        p = stats.norm.cdf((np.mean(ranks) - 0.5) * np.sqrt(12 * len(borders)))
    else:
        pair = detrend(y, axis=0)[[borders - 1, borders]]
        r = pearson_r(*pair, multioutput="raw_values")
        p = r_p_value(r, effective_n(*pair)).min() * len(r)
    if p < _ODD:
        warn_user(
            f"groups are taken for recordings, but BOLD runs on from group to group "
            f"({len(borders)} borders) as within one recording: left-out groups are then predicted "
            f"from their neighbors in time. Use BlockedKFold, and groups only where these are "
            f"recordings.",
            GapWarning,
        )


def _check_same_bold(y, recordings):
    """Refuse BOLD that two recordings have in common: two measurements never are the same."""
    seen = {}
    for k in pd.unique(recordings):
        series = y[recordings == k]
        if len(series) > 2 and (np.ptp(series, axis=0) > 0).any():
            first = seen.setdefault(joblib.hash(series), k)
            if first != k:
                raise ValueError(
                    f"recordings {first} and {k} have the same BOLD; give each recording once."
                )


def _check_twins(X):
    """Refuse a recording that is there twice: it would be training and test at once."""
    if X.epoched:
        return
    seen = {}
    for k in np.unique(X.groups):
        first = seen.setdefault(X.tokens[k], k)
        if first != k:
            raise ValueError(
                f"recordings {first} and {k} hold the same EEG; give each recording once."
            )
