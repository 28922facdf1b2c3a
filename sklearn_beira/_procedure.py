"""A whole procedure, fold by fold: what compare and null_test both run."""

import json
import time
from concurrent.futures import CancelledError

import numpy as np
from joblib import Parallel
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.utils import _safe_indexing
from tqdm import tqdm

from ._warn import warn_user
from .covariances import BandCovariance, BandTangentSpace
from .drift import TimePolynomial
from .features import BandPower
from .hrf import HRFBandPower
from .model_selection import BlockedKFold, GapWarning, window_reach
from .preprocessing import EEGFilter, Windower
from .windows import EEGWindows

# How often workers may die with data that others wait for before that is called a failure.
_MOST_LOST = 5


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
    gap_is_given = getattr(study.cv, "gap", 0.0) is not None
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
                # What align kept is all that gap=None knows of.
                other = ", or gap=None" if gap_is_given else f", or align(tmin={-history:g})"
                warn_user(
                    f"training and test volumes are only {apart:g} s apart in {splitter}, but "
                    f"{name!r} looks back {history:g} s (window plus delay), so they share EEG. "
                    f"Use BlockedKFold(gap={history:g}){other}.",
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


def run_tasks(tasks, n_jobs, description, verbose):
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
