"""Samples and the folds they are evaluated in, checked once."""

import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats
from scipy.signal import detrend
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_consistent_length

from .._utils.numbers import check_bold, check_kind, varying
from .._utils.regions import numbered, some
from .._utils.warn import warn_user
from ..eeg.checks import check_rows
from ..eeg.rows import recordings_and_times, rows_in_time
from ..eeg.windows import EEGWindows, are_epochs
from ..exceptions import GapWarning
from .effective_n import independent_volumes, strongest_burst
from .metrics import correlate, r_p_value, score_regions, unit_pair
from .splitters import BlockedKFold, LeaveOneSubjectOut

# Groups are called pieces of one recording below this p.
_ODD = 1e-3

# A recording is called the copy of another if they share such a part of their pieces: stretches of
# a few volumes or samples, of EEG the same few wherever the recording starts.
_COPIED, _STRETCH, _N_PIECES, _MIX = 0.25, 8, 64, np.uint64(0x9E3779B97F4A7C15)


@dataclass
class Study:
    """Samples and the folds they are evaluated in, checked once by :func:`make_study`.

    Parameters
    ----------
    X : EEGWindows or array-like, shape (n_volumes, ...)
        Samples, as the models get them.
    y : ndarray of float64, shape (n_volumes, n_rois)
        BOLD.
    region_names : list of str
        Regions.
    index : pandas.Index
        Labels of the rows of y.
    recordings : ndarray of shape (n_volumes,)
        Recording of each row.
    times : ndarray of shape (n_volumes,)
        Time of each row in s; its number within the recording if times are unknown.
    reach : float or None
        Time in s by which two volumes must be apart to share no EEG; None if times are unknown.
    subjects : ndarray of shape (n_volumes,) or None
        Subject of each row.
    groups : array-like or None
        Groups for the splitter.
    cv : cross-validation splitter
        Folds.
    folds : list of tuple of ndarray or None
        Rows of training and test; None asks ``cv``.

    Attributes
    ----------
    runs : list of ndarray of int
        Rows of each recording, in order of time.
    fold_of : ndarray of int, shape (n_volumes,)
        Fold that tests each row; -1 if none does.
    blocks : ndarray of int, shape (n_volumes,)
        Test block (fold and recording) of each row; -1 if no fold tests it.
    """

    X: object
    y: np.ndarray
    region_names: list
    index: pd.Index
    recordings: np.ndarray
    times: np.ndarray
    reach: float | None
    subjects: np.ndarray | None
    groups: object
    cv: object
    folds: list | None = None
    runs: list = field(init=False)
    fold_of: np.ndarray = field(init=False)
    blocks: np.ndarray = field(init=False)

    def __post_init__(self):
        run_numbers = np.unique(self.recordings, return_inverse=True)[1].ravel()
        self.runs = rows_in_time(run_numbers, self.times)
        if self.folds is None:
            self.folds = self.split(self.cv)
        self.fold_of = self._number_folds()
        _, blocks = np.unique(
            np.column_stack([self.fold_of, run_numbers]), axis=0, return_inverse=True
        )
        self.blocks = np.where(self.fold_of < 0, -1, blocks.ravel())

    def _number_folds(self):
        n = len(self.y)
        if not self.folds:
            raise ValueError("cv gave no split; an evaluation needs at least one.")
        fold_of = np.full(n, -1)
        for k, (train, test) in enumerate(self.folds):
            for rows in (train, test):
                whole = rows.ndim == 1 and rows.dtype.kind in "iu" and len(rows)
                if not whole or not 0 <= rows.min() <= rows.max() < n:
                    raise ValueError(
                        f"fold {k} of cv must hold numbers of rows from 0 to {n - 1}, at least one "
                        f"for training and one for test, got {np.array2string(rows, threshold=5)}."
                    )
            if len(test) < 2:
                raise ValueError(
                    f"fold {k} of cv tests one volume, and r needs at least 2; use fewer folds."
                )
            if (fold_of[test] >= 0).any() or len(np.intersect1d(train, test)):
                raise ValueError(
                    f"{self.cv} tests some volumes twice, or tests on training volumes; every "
                    f"volume may be predicted once, as with BlockedKFold or LeaveOneGroupOut."
                )
            fold_of[test] = k
        return fold_of

    def split(self, cv):
        """Return the rows of training and test of each fold of a splitter."""
        with warnings.catch_warnings():
            # check_folds knows what the models read of the windows, the splitter does not.
            warnings.simplefilter("ignore", GapWarning)
            # Groups are offered to every splitter; some warn that they need none.
            warnings.filterwarnings("ignore", "The groups parameter is ignored")
            folds = cv.split(self.X, self.y, self.groups)
            return [(np.asarray(train), np.asarray(test)) for train, test in folds]

    def __sizeof__(self):
        # joblib's dask backend asks, and sends large objects to each worker once, not per task.
        samples = getattr(self.X, "nbytes", None) or sys.getsizeof(self.X)
        return object.__sizeof__(self) + samples + self.y.nbytes

    @property
    def t_r(self):
        """Time between volumes in s; 2 s if it is unknown."""
        return self.t_r_of(self.runs)

    def t_r_of(self, runs):
        """Time between the volumes of some recordings in s."""
        if self.reach is None:
            return float(getattr(self.cv, "t_r", None) or 2.0)
        steps = np.concatenate([np.diff(self.times[run]) for run in runs])
        return float(np.median(steps)) if len(steps) else 2.0

    @property
    def step(self):
        """Time between volumes in the unit of ``times``."""
        return 1.0 if self.reach is None else self.t_r

    @property
    def tested(self):
        """Rows that are predicted."""
        return np.flatnonzero(self.blocks >= 0)

    @property
    def tested_in_time(self):
        """Rows that are predicted, recording by recording in order of time."""
        order = np.concatenate(self.runs)
        return order[self.blocks[order] >= 0]

    def is_cross_validated(self, rows):
        """Tell whether folds that test some of these rows learned from each other's."""
        fold = np.full(len(self.y), -1)
        fold[rows] = self.fold_of[rows]
        learns = np.zeros((len(self.folds), len(self.folds)), dtype=bool)
        for k in np.unique(fold[fold >= 0]):
            learned_from = fold[self.folds[k][0]]
            learns[k, learned_from[learned_from >= 0]] = True
        return bool((learns & learns.T).any())

    def scores(self, y_pred, rows, confidence_level=0.95):
        """Score the predictions of some rows, in order of time, as ``region_scores`` does."""
        return score_regions(
            self.y[rows],
            y_pred[rows],
            self.blocks[rows],
            self.is_cross_validated(rows),
            self.region_names,
            confidence_level,
        )

    def r_without_burst(self, y_pred):
        """Compute r without the stretch of volumes that carries most of it (n_rois,)."""
        rows = self.tested_in_time
        return strongest_burst(*unit_pair(self.y[rows], y_pred[rows], self.blocks[rows]))[2]

    def at(self, rows):
        """Return the study of some of the rows, in the given order.

        The folds keep their rows, as far as these are there. Only the blocks of BlockedKFold are
        cut anew, so that they stay equally long.
        """

        def cut(values):
            return None if values is None else np.asarray(values)[rows]

        return replace(
            self,
            X=_safe_indexing(self.X, rows),
            y=self.y[rows],
            index=self.index[rows],
            recordings=self.recordings[rows],
            times=self.times[rows],
            subjects=cut(self.subjects),
            groups=cut(self.groups),
            folds=None if isinstance(self.cv, BlockedKFold) else self._folds_at(rows),
        )

    def _folds_at(self, rows):
        new = np.full(len(self.y), -1)
        new[rows] = np.arange(len(rows))
        folds = [tuple(new[part][new[part] >= 0] for part in fold) for fold in self.folds]
        # A test needs two volumes.
        return [(train, test) for train, test in folds if len(train) and len(test) >= 2]


def make_study(X, y, cv, groups, subjects=None):
    """Check the samples and lay out the folds.

    Parameters
    ----------
    X : EEGWindows, mne.Epochs or array-like, shape (n_volumes, ...)
        Samples.
    y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
        BOLD.
    cv : int, cross-validation splitter or None
        Folds; None stands for ``BlockedKFold(5)``, a number for as many blocks.
    groups : array-like of shape (n_volumes,) or None
        Groups for the splitter, by default the recordings of EEGWindows. If times are unknown they
        also separate the recordings.
    subjects : array-like of shape (n_volumes,) or None
        Subject of each row, by default those of EEGWindows.

    Returns
    -------
    study : Study
        Samples and folds.
    """
    check_rows(X, y)
    if are_epochs(X):
        X = EEGWindows.from_array(X)
    n = _num_samples(X)
    check_kind(X, "X")
    index = y.index if hasattr(y, "iloc") else None
    y, names = _check_y(X, y)
    if groups is not None and np.shape(groups) != (n,):
        raise ValueError(
            f"groups must hold one label for each of the {n} volumes, got shape {np.shape(groups)}."
        )
    recordings, times = recordings_and_times(X, groups, None, needed=False)
    is_eeg = isinstance(X, EEGWindows)
    has_times = is_eeg and X.has_times
    subjects_given = subjects is not None
    subjects = X.subjects if is_eeg and not subjects_given else subjects
    if subjects is not None and np.shape(subjects) != (n,):
        raise ValueError(
            f"subjects must name the subject of each of the {n} rows, got shape "
            f"{np.shape(subjects)}."
        )
    if isinstance(cv, LeaveOneSubjectOut):
        groups = groups if subjects is None else np.asarray(subjects)
    elif is_eeg:
        groups = X.groups if groups is None else groups
    if not has_times or X.epoched:
        _check_borders(y, recordings)
    if cv is None or isinstance(cv, int | np.integer):
        cv = BlockedKFold(5 if cv is None else int(cv))
    _check_index(X, index, recordings, has_times)
    study = Study(
        X,
        y,
        names,
        index if isinstance(index, pd.Index) else pd.RangeIndex(n),
        np.asarray(recordings),
        times,
        X.reach if has_times else None,
        None if subjects is None else np.asarray(subjects),
        groups,
        check_cv(cv),
    )
    if subjects_given:
        _check_subjects(study)
    if has_times:
        _check_times(study)
    if is_eeg and not X.epoched:
        eeg = {k: _pieces_of_eeg(X.recordings[k]) for k in np.unique(X.groups)}
        _check_once(study, eeg, "hold the same EEG")
    bold = {k: _pieces_of_bold(y[recordings == k]) for k in pd.unique(recordings)}
    _check_once(study, bold, "have the same BOLD")
    return study


def _check_y(X, y):
    columns, name = getattr(y, "columns", None), getattr(y, "name", None)
    y = check_bold(y, ensure_all_finite=False)
    check_consistent_length(X, y)
    y = y.reshape(len(y), -1)
    if columns is not None:
        names = [str(column) for column in columns]
    else:
        names = numbered(y.shape[1]) if name is None else [str(name)]
    finite = np.isfinite(y)
    if not finite.all():
        bad = [name for name, good in zip(names, finite.all(axis=0), strict=True) if not good]
        raise ValueError(
            f"Input y contains NaN or infinity in {some(bad)}, first in row "
            f"{int(np.argmin(finite.all(axis=1)))}; leave these volumes out of X and y."
        )
    return y, names


def _check_subjects(study):
    for run in study.runs:
        if len(np.unique(study.subjects[run])) > 1:
            raise ValueError(
                f"recording {study.recordings[run[0]]} has rows of several subjects; for a plain "
                f"array, tell the recordings apart with groups."
            )


def _check_times(study):
    """Refuse rows of one recording at the same time, as of recordings that nothing tells apart."""
    for run in study.runs:
        if (np.diff(study.times[run]) == 0).any():
            raise ValueError(
                f"recording {study.recordings[run[0]]} has several rows at one time; if times "
                f"start again in each recording, tell these apart with groups."
            )


def _check_index(X, index, recordings, has_times):
    """Refuse tables whose labels contradict each other, or the order of time."""
    own = getattr(X, "index", None)
    labels = [i for i in (own, index) if isinstance(i, pd.Index)]
    unique = all(label.is_unique for label in labels)
    if len(labels) == 2 and unique and not own.equals(index) and own.isin(index).all():
        raise ValueError(
            "X and y have the same index in another order, so that rows do not belong together; "
            "take y.loc[X.index]."
        )
    if has_times:
        return
    for label in labels:
        runs = [label[recordings == k] for k in pd.unique(recordings)]
        if not _is_ordered(label) or not all(run.is_unique for run in runs):
            continue
        if not all(run.is_monotonic_increasing for run in runs):
            raise ValueError(
                "the index says that rows are not in order of time; take X.sort_index() and "
                "y.sort_index(), or reset_index(drop=True) if the index means nothing."
            )


def _is_ordered(index):
    """Tell whether labels are numbers or times, such as those of recording and volume."""
    if isinstance(index, pd.MultiIndex):
        return all(map(_is_ordered, index.levels))
    times = pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex
    return isinstance(index, times) or pd.api.types.is_numeric_dtype(index)


def _check_borders(y, recordings):
    """Warn if groups look like pieces of one recording, as BOLD continues from each to the next.

    Between recordings, neighbors differ as any two volumes do: the rank of a difference among those
    of random pairs is uniform. Groups that take turns, such as conditions, have more borders than
    groups: then the correlation of neighbors across borders is tested.
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
        pair = unit_pair(*detrend(y, axis=0)[[borders - 1, borders]])
        r = correlate(*pair[:2])
        p = r_p_value(r, independent_volumes(*pair, r)).min() * len(r)
    if p < _ODD:
        warn_user(
            f"groups should be recordings, but BOLD continues across their {len(borders)} borders "
            f"as within one recording; use BlockedKFold, and groups only for recordings.",
            GapWarning,
        )


def _check_once(study, pieces, what):
    """Refuse a recording that is there twice: it would be training and test at once.

    ``pieces`` are parts of each recording, by which copies are found that were cut.
    """
    owner = {}
    for k, own in pieces.items():
        counts = Counter(owner[piece] for piece in own if piece in owner)
        for first, n in counts.most_common(1):
            if n >= _COPIED * min(len(own), len(pieces[first])):
                names = " and ".join(_whose(study, one) for one in (first, k))
                raise ValueError(f"recordings {names} {what}; give each recording once.")
        for piece in own:
            owner.setdefault(piece, k)


def _whose(study, recording):
    """Name a recording, and its subject if it is known."""
    if study.subjects is None:
        return str(recording)
    return f"{recording} (subject {study.subjects[study.recordings == recording][0]})"


def _pieces_of_bold(y):
    """All stretches of a few volumes, none of which are the same, as hashes of volumes."""
    rows = [hash(row.tobytes()) for row in np.ascontiguousarray(y)]
    length = min(_STRETCH, len(rows))
    every = (tuple(rows[i : i + length]) for i in range(len(rows) - length + 1))
    return {piece for piece in every if length > 2 and len(set(piece)) == length}


def _pieces_of_eeg(eeg):
    """Some stretches of the first channel of a recording: those whose first numbers hash lowest."""
    channel = np.ascontiguousarray(eeg[0])
    bits = channel.view(f"u{channel.itemsize}").astype(np.uint64)
    lowest = np.argsort(bits * _MIX, kind="stable")[:_N_PIECES]
    pieces = (tuple(channel[i : i + _STRETCH].tolist()) for i in lowest)
    return {piece for piece in pieces if len(set(piece)) == _STRETCH}
