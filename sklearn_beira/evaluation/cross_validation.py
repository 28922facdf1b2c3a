"""A whole procedure, fold by fold: what compare and null_test both run."""

import json
import time
from concurrent.futures import CancelledError

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LassoCV, LinearRegression, Ridge, RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
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

from .._utils.estimators import is_search
from .._utils.hashing import versions
from .._utils.warn import warn_user
from ..eeg.filters import EEGFilter, Windower
from ..features.band_power import BandPower
from ..features.covariance import BandCovariance, BandTangentSpace
from ..features.hrf import HRFBandPower
from ..features.time import TimePolynomial

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


def predict_all(models, study, store, n_jobs, verbose):
    """Predict every tested row by models that have not seen it, what is in the store aside.

    Parameters
    ----------
    models : dict of str to estimator
        Not fitted; they are cloned for each fold.
    study : Study
        Samples and folds.
    store : ResultStore
        Where finished folds are kept.
    n_jobs : int or None
        Processes, as in joblib.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    predictions : dict of str to ndarray of shape (n_volumes, n_rois)
        NaN in rows that no fold tests.
    facts : dict of str to list of dict
        What :func:`fit_predict` tells of every fold.
    """
    predictions = {name: np.full(study.y.shape, np.nan) for name in models}
    facts = {name: [None] * len(study.folds) for name in models}
    data = store.key(study.X, study.y, versions())
    waiting = []
    for name, model in models.items():
        unfitted = clone(model)  # what an earlier fit left in it decides nothing
        for k, (train, test) in enumerate(study.folds):
            key = store.key(data, unfitted, train, test)
            found = store.get(key)
            if found is None:
                waiting.append((name, k, key))
            else:
                predictions[name][test], facts[name][k] = found
    tasks = [delayed(fit_predict)(models[name], study, study.y, k) for name, k, _ in waiting]
    done = run_tasks(tasks, n_jobs, "Models x folds", verbose)
    for (name, k, key), (y_pred, fact) in zip(waiting, done, strict=True):
        predictions[name][study.folds[k][1]], facts[name][k] = y_pred, fact
        store.put(key, y_pred, fact)
    return predictions, facts


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


# -- what is known of models ---------------------------------------------------------------------
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


#: Regressors of scikit-learn that are linear in BOLD, but for a penalty, or were measured not to
#: find more (benchmarks/false_findings.py, kept).
_NO_SELECTION = (
    DummyRegressor,
    KernelRidge,
    KNeighborsRegressor,
    LassoCV,
    LinearRegression,
    PLSRegression,
    Ridge,
    RidgeCV,
)


def may_select(model):
    """Tell whether a model may choose what it reads by BOLD, as a selection of features does.

    Parameters
    ----------
    model : estimator
        Model.

    Returns
    -------
    selects : bool
        False where its steps and its regressor are known not to.
    """
    if isinstance(model, TransformedTargetRegressor):
        return model.regressor is not None and may_select(model.regressor)
    if is_search(model) or type(model) is MultiOutputRegressor:  # searches choose among few
        return may_select(model.estimator)
    if isinstance(model, Pipeline):
        *steps, model = (step for _, step in model.steps)
        return not _are_target_blind(steps) or may_select(model)
    kind = type(model)
    if kind.__module__.split(".")[0] == "sklearn_beira":
        return getattr(kind, "_selects", False)
    return kind not in _NO_SELECTION


def _are_target_blind(steps):
    return all(step == "passthrough" or type(step) in _TARGET_BLIND for step in steps)


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
        if not _are_target_blind(steps):
            return False
    # Of what is derived from these nobody knows.
    kind = type(model)
    if kind is RidgeCV:
        return bool(model.alpha_per_target) and model.cv is None
    if kind is Ridge:
        return not model.positive and np.ndim(model.alpha) == 0  # else one penalty per target
    if kind is LinearRegression:
        return not model.positive
    if kind is DummyRegressor:
        return model.strategy == "mean"
    # Set by those of our own regressors of which it is true.
    return vars(kind).get("_independent_targets", False)
