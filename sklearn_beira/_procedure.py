"""A whole procedure, fold by fold: what compare and null_test both run."""

import json
import sys
import time
import warnings
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_consistent_length
from tqdm import tqdm

from ._numbers import check_bold, check_kind
from ._warn import warn_user
from .covariances import BandCovariance, BandTangentSpace
from .drift import TimePolynomial
from .features import BandPower
from .hrf import HRFBandPower
from .model_selection import BlockedKFold, GapWarning, group_labels, window_reach
from .preprocessing import EEGFilter, Windower
from .windows import EEGWindows

# How often workers may die with data that others wait for before that is called a failure.
_MOST_LOST = 5
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
    """

    X: object
    y: np.ndarray
    region_names: list
    recordings: np.ndarray
    groups: object
    cv: object
    folds: list = field(init=False)
    blocks: np.ndarray = field(init=False)

    def __post_init__(self):
        n = len(self.y)
        with warnings.catch_warnings():
            # What the models read of the windows is known here, see check_folds.
            warnings.simplefilter("ignore", GapWarning)
            # Groups are offered to every splitter; some say that they need none.
            warnings.filterwarnings("ignore", "The groups parameter is ignored")
            self.folds = [
                (np.asarray(train), np.asarray(test))
                for train, test in self.cv.split(self.X, self.y, self.groups)
            ]
        if not self.folds:
            raise ValueError("cv gave no split; an evaluation needs at least one.")
        fold = np.full(n, -1)
        for k, (train, test) in enumerate(self.folds):
            for rows in (train, test):
                _check_rows(rows, n, k)
            if (fold[test] >= 0).any() or len(np.intersect1d(train, test)):
                raise ValueError(
                    f"{self.cv} tests some volumes twice, or tests on training volumes; every "
                    f"volume may be predicted once, as with BlockedKFold or LeaveOneGroupOut."
                )
            fold[test] = k
        # One block for every recording in every fold; -1 where a volume is never tested.
        _, blocks = np.unique(
            np.column_stack([fold, self.run_numbers]), axis=0, return_inverse=True
        )
        self.blocks = np.where(fold < 0, -1, blocks.ravel())

    def __sizeof__(self):
        # joblib's dask backend asks, and sends what is large to each worker once, not per task.
        samples = getattr(self.X, "nbytes", None) or sys.getsizeof(self.X)
        return object.__sizeof__(self) + samples + self.y.nbytes

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
        for k, (_, test) in enumerate(self.folds):
            fold[test] = k
        chosen = np.zeros(len(self.y), dtype=bool)
        chosen[rows] = True
        fold[~chosen] = -1
        learns = np.zeros((len(self.folds), len(self.folds)), dtype=bool)
        for k, (train, _) in enumerate(self.folds):
            from_folds = np.unique(fold[train])
            learns[k, from_folds[from_folds >= 0]] = (fold == k).any()
        return bool((learns & learns.T).any())

    def runs(self):
        """Rows of each recording, in order of time."""
        times = self.X.times if isinstance(self.X, EEGWindows) else np.arange(len(self.y))
        numbers = self.run_numbers
        rows = [np.flatnonzero(numbers == k) for k in range(numbers.max() + 1)]
        return [r[np.argsort(times[r], kind="stable")] for r in rows]

    def at(self, rows):
        """Make the same study of some of the rows, in the order of the whole."""
        groups = None if self.groups is None else np.asarray(self.groups)[rows]
        return Study(
            _safe_indexing(self.X, rows),
            self.y[rows],
            self.region_names,
            self.recordings[rows],
            groups,
            self.cv,
        )


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
    n = _num_samples(X)
    check_kind(X, "X")
    columns = getattr(y, "columns", None)
    name, index = getattr(y, "name", None), getattr(y, "index", None)
    y = check_bold(y, ensure_all_finite=False)
    check_consistent_length(X, y, groups)
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
    return Study(X, y, names, recordings, groups, check_cv(cv))


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

    Between recordings, neighbours differ as any two volumes do, so that the rank of a difference
    among those of random pairs is uniform. With few groups that cannot be told.
    """
    borders = np.flatnonzero(recordings[1:] != recordings[:-1]) + 1
    # Not where there is one recording, nor where rows of a recording are apart.
    if not len(borders) or len(borders) != len(np.unique(recordings)) - 1:
        return
    y = y[:, np.ptp(y, axis=0) > 1e-9 * np.abs(y).max(axis=0)][:, :100]
    if not y.shape[1]:
        return
    pairs = np.random.default_rng(0).integers(len(y), size=(2, 2000))
    usual = np.sort(np.abs(y[pairs[0]] - y[pairs[1]]), axis=0)
    steps = np.abs(y[borders] - y[borders - 1])
    ranks = [np.searchsorted(u, s) / len(u) for u, s in zip(usual.T, steps.T, strict=True)]
    if stats.norm.cdf((np.mean(ranks) - 0.5) * np.sqrt(12 * len(borders))) < _ODD:
        warn_user(
            f"groups are taken for recordings, but BOLD runs on from group to group "
            f"({len(borders)} borders) as within one recording: left-out groups are then predicted "
            f"from their neighbours in time. Use BlockedKFold, and groups only where these are "
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


def check_models(models):
    """Refuse what is no regressor, before anything is fitted.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    """
    for name, model in models.items():
        wanted = ("fit", "predict", "get_params")
        if isinstance(model, type) or not all(hasattr(model, method) for method in wanted):
            what = f"{model!r}" if len(repr(model)) < 60 else type(model).__name__
            raise TypeError(
                f"model {name!r} must be a scikit-learn regressor, got {what}; call the maker, as "
                f"in make_band_power_ridge(), and give several models as a dict of name: model."
            )
        parts = [model, *model.get_params(deep=True).values()]
        if any(isinstance(part, FrozenEstimator) for part in parts):
            warn_user(
                f"model {name!r} holds a FrozenEstimator, which is not fitted in the folds: if it "
                f"has seen volumes that are tested here, r is too high."
            )


def _check_twins(X):
    """Refuse a recording that is there twice: it would be training and test at once."""
    seen = {}
    for k in np.unique(X.groups):
        first = seen.setdefault(X.tokens[k], k)
        if first != k:
            raise ValueError(
                f"recordings {first} and {k} hold the same EEG; give each recording once."
            )


# -- how far back a model looks -----------------------------------------------------------------
def longest_history(model, X):
    """Tell how far apart volumes must be for a model to share no EEG between them.

    Parameters
    ----------
    model : estimator
        A model, or a search around one; the windows of its grid count.
    X : EEGWindows
        Samples.

    Returns
    -------
    history : float
        Time in s: window plus delay, or the length of the window where that is more.
    """
    params = model.get_params(deep=True)
    cutters = {name: p for name, p in params.items() if isinstance(p, Windower)}
    if isinstance(model, Windower):
        cutters[""] = model
    if not cutters:
        return window_reach(X)
    grids = [params.get("param_grid"), params.get("param_distributions")]
    grids = [g for grid in grids if grid for g in (grid if isinstance(grid, list) else [grid])]
    reaches = []
    for name, cutter in cutters.items():
        step = name.removeprefix("estimator__")
        durations, delays = [cutter.duration], [cutter.delay]
        for grid in grids:
            for found, parameter in ((durations, "duration"), (delays, "delay")):
                values = grid.get(f"{step}__{parameter}", ())
                found.extend(values if np.iterable(values) else values.support())
            durations += [w.duration for w in grid.get(step, ()) if isinstance(w, Windower)]
            delays += [w.delay for w in grid.get(step, ()) if isinstance(w, Windower)]
        for delay in delays:
            for duration in durations:
                tmin = X.tmin if duration is None else -delay - duration
                reaches.append(max(-delay, 0.0) - tmin)
    return max(reaches)


def check_folds(models, study, *, needs_apart):
    """Tell where training and test volumes are so close that they know of each other.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    study : Study
        Samples and folds.
    needs_apart : bool
        Whether what follows is meaningless if training and test volumes are mixed in time.
    """
    cv = repr(study.cv)
    cv = cv if len(cv) < 100 else type(study.cv).__name__
    mixed, distance = _closeness(study)
    if mixed:
        what = f"the folds of {cv} mix training and test volumes in time: smooth BOLD is then "
        what += "predicted from its neighbours, whatever the EEG"
        if needs_apart:
            raise ValueError(
                f"{what}, and a test that keeps the predictions would call that a finding. Use "
                f"BlockedKFold."
            )
        warn_user(f"{what}, and r is too high. Use BlockedKFold.", GapWarning)
        return
    if not isinstance(study.X, EEGWindows):
        # With BlockedKFold, the gap was given on purpose.
        if distance <= 1 and not isinstance(study.cv, BlockedKFold):
            warn_user(
                f"the folds of {cv} leave no gap between training and test: rows next to each "
                f"other may share EEG, and their BOLD is alike. Use BlockedKFold(gap=..., "
                f"t_r=...), or give groups where these are recordings.",
                GapWarning,
            )
        return
    for name, model in models.items():
        history = longest_history(model, study.X)
        inner = [p for p in model.get_params(deep=True).values() if isinstance(p, BlockedKFold)]
        close = [(cv, distance), *((inside, inside.gap) for inside in inner if inside.gap)]
        for splitter, apart in close:
            if apart < history - 1e-6:
                warn_user(
                    f"training and test volumes are only {apart:g} s apart in {splitter}, but "
                    f"{name!r} looks back {history:g} s (window plus delay), so they share EEG. "
                    f"Use BlockedKFold(gap={history:g}), or gap=None.",
                    GapWarning,
                )


def _closeness(study):
    """Whether folds mix training and test volumes, and their least distance (s, or in rows)."""
    times = study.X.times if isinstance(study.X, EEGWindows) else np.arange(len(study.y))
    mixed, distance = False, np.inf
    runs = study.runs()
    for train, test in study.folds:
        role = np.zeros(len(study.y), dtype=int)
        role[train], role[test] = 1, 2
        for run in runs:
            used = run[role[run] > 0]
            changes = np.flatnonzero(np.diff(role[used]))
            # One block of test volumes has training volumes on at most two sides.
            mixed |= len(changes) > 2
            if len(changes):
                distance = min(distance, np.diff(times[used])[changes].min())
    return mixed, float(distance)


# -- running ------------------------------------------------------------------------------------
def fit_predict(model, study, y, fold):
    """Fit on the training rows of a fold and predict its test rows.

    Parameters
    ----------
    model : estimator
        Not fitted; it is cloned.
    study : Study
        Samples and folds.
    y : ndarray, shape (n_volumes, n_targets)
        BOLD, or draws of it beside each other.
    fold : int
        Number of the fold.

    Returns
    -------
    y_pred : ndarray, shape (n_test, n_targets)
        Predictions.
    facts : dict
        ``fit_time`` in s and ``params``, what a search has chosen, as JSON.
    """
    train, test = study.folds[fold]
    target = y[train] if y.shape[1] > 1 else y[train, 0]
    started = time.perf_counter()
    fitted = clone(model).fit(_safe_indexing(study.X, train), target)
    seconds = time.perf_counter() - started
    y_pred = np.asarray(fitted.predict(_safe_indexing(study.X, test)), dtype=np.float64)
    chosen = getattr(fitted, "best_params_", {})
    params = json.dumps(chosen, default=str, sort_keys=True) if chosen else ""
    return y_pred.reshape(len(test), -1), {"fit_time": seconds, "params": params}


def out_of_fold(model, study, y):
    """Predict every tested row by a model that has not seen it.

    Parameters
    ----------
    model : estimator
        Not fitted; it is cloned for each fold.
    study : Study
        Samples and folds.
    y : ndarray, shape (n_volumes, n_targets)
        BOLD, or draws of it beside each other.

    Returns
    -------
    y_pred : ndarray, shape (n_volumes, n_targets)
        Predictions, NaN in rows that no fold tests.
    """
    out = np.full(y.shape, np.nan)
    for k, (_, test) in enumerate(study.folds):
        out[test] = fit_predict(model, study, y, k)[0]
    return out


def run_tasks(tasks, n_jobs, description="", verbose=False):
    """Run delayed calls with a progress bar, in order.

    Parameters
    ----------
    tasks : list
        What ``joblib.delayed`` returns.
    n_jobs : int or None
        Processes, as in joblib.
    description : str
        Beside the bar.
    verbose : bool
        Show the bar.

    Yields
    ------
    result : object
        Of each task.
    """
    done, lost = 0, 0
    with tqdm(total=len(tasks), desc=description, disable=not verbose, leave=False) as bar:
        while done < len(tasks):
            try:
                results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks[done:])
                for result in results:
                    yield result
                    done += 1
                    bar.update()
            except CancelledError:
                # A worker of dask died with data that no other had: send them, and the rest, again.
                lost += 1
                if lost > _MOST_LOST:
                    raise


# -- models whose targets do not know of each other ---------------------------------------------
#: Transformers that never look at y.
_TARGET_BLIND = (
    EEGFilter,
    Windower,
    BandPower,
    HRFBandPower,
    BandCovariance,
    BandTangentSpace,
    TimePolynomial,
    StandardScaler,
    RobustScaler,
    MinMaxScaler,
    PCA,
    PolynomialFeatures,
    SplineTransformer,
)


def has_independent_targets(model):
    """Tell whether a model treats each column of y as if it were alone.

    Then the draws of a null can be fitted beside each other, as further columns.

    Parameters
    ----------
    model : estimator
        Model.

    Returns
    -------
    independent : bool
        True only where it is known.
    """
    if isinstance(model, Pipeline):
        *steps, model = (step for _, step in model.steps)
        if not all(s == "passthrough" or isinstance(s, _TARGET_BLIND) for s in steps):
            return False
    if isinstance(model, RidgeCV):
        return bool(model.alpha_per_target) and model.cv is None
    if isinstance(model, LinearRegression | Ridge):
        return not model.positive
    if isinstance(model, DummyRegressor):
        return model.strategy == "mean"
    # Set by those of our own regressors of which it is true.
    return getattr(model, "_independent_targets", False)
