"""Out-of-fold predictions: the procedure that ``compare`` and ``null_test`` run, fold by fold."""

import json
import time
import warnings
from concurrent.futures import CancelledError

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LassoCV, LinearRegression, Ridge, RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from tqdm import tqdm

from .._utils.estimators import is_search, seen_rows
from .._utils.interrupts import interrupts
from .._utils.store import ResultStore
from .._utils.warn import warn_user
from ..exceptions import GapWarning

# How often workers may die with data that others wait for before the run fails.
_MOST_LOST = 5


def check_models(models):
    """Refuse models that are not regressors, before anything is fitted.

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


def check_pretrained(models, study):
    """Refuse models that hold a fitted model which has learned from BOLD of the study.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    study : Study
        Samples.
    """
    for name, model in models.items():
        parts = [model, *model.get_params(deep=True).values()]
        for part in parts:
            is_frozen = isinstance(part, FrozenEstimator)
            fitted = part.estimator if is_frozen else getattr(part, "pretrained", None)
            if hasattr(fitted, "predict"):
                seen = seen_rows(fitted, study.y[study.tested])
            elif is_frozen and not all(map(_ignores_target, _steps(fitted))):
                seen = None
            else:
                continue
            if seen is not None and seen.any():
                of = study.recordings if study.subjects is None else study.subjects
                what = "recording" if study.subjects is None else "subject"
                raise ValueError(
                    f"model {name!r} holds a fitted model that has learned from BOLD of {what} "
                    f"{of[study.tested[seen.argmax()]]}, which is tested here; fit it to other "
                    f"people."
                )
            if seen is None:
                warn_user(
                    f"model {name!r} holds a fitted {type(fitted).__name__}, which is not fitted "
                    f"in the folds; use the estimator itself, unless it has never seen these "
                    f"volumes."
                )


# -- running ------------------------------------------------------------------------------------
def fit_predict(model, study, y, fold, rows=None, keep=False):
    """Fit on the training rows of a fold and predict its test rows.

    Parameters
    ----------
    model : estimator
        Not fitted; it is cloned.
    study : Study
        Samples and folds.
    y : ndarray, shape (n_volumes, n_targets)
        BOLD, or several surrogates side by side.
    fold : int
        Number of the fold.
    rows : ndarray of int or None
        Rows to predict instead.
    keep : bool or callable
        Return the fitted model as well, or what a function of it returns.

    Returns
    -------
    y_pred : ndarray, shape (n_test, n_targets)
        Predictions.
    facts : dict
        ``fit_time`` in s and ``params``, the choice of a search as JSON; with ``keep``,
        ``estimator``.
    """
    train, test = study.folds[fold]
    test = test if rows is None else rows
    target = y[train] if y.shape[1] > 1 else y[train, 0]
    # Some models take Ctrl-C for the end of their training. check_folds has judged the folds.
    with interrupts() as came, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* left out one by one", GapWarning)
        started = time.perf_counter()
        known, asked = _subjects_for(model, study, train, test)
        fitted = clone(model).fit(_safe_indexing(study.X, train), target, **known)
        seconds = time.perf_counter() - started
        y_pred = np.asarray(fitted.predict(_safe_indexing(study.X, test), **asked), dtype=float)
    if came:
        raise KeyboardInterrupt
    chosen = getattr(fitted, "best_params_", {})
    params = json.dumps(chosen, default=str, sort_keys=True) if chosen else ""
    facts = {"fit_time": seconds, "params": params}
    if keep:
        facts["estimator"] = keep(fitted) if callable(keep) else fitted
    return y_pred.reshape(len(test), -1), facts


def _subjects_for(model, study, train, test):
    """What ``fit`` and ``predict`` of a model of several subjects are told of them."""
    if not getattr(model, "_calibrates", False) or study.subjects is None:
        return {}, {}
    subjects = study.subjects
    return (
        {"subjects": subjects[train], "calibrate": np.intersect1d(subjects[train], subjects[test])},
        {"subjects": subjects[test]},
    )


def predict_all(models, study, runner, keep=False, targets=None):
    """Predict every tested row by models that have not seen it; finished folds are read.

    Parameters
    ----------
    models : dict of str to estimator
        Not fitted; they are cloned for each fold.
    study : Study
        Samples and folds.
    runner : Runner
        Runs the folds.
    keep : bool or callable
        Keep the fitted models of folds that are not read, or what a function of them returns.
    targets : list of ndarray of shape (n_volumes, n_rois) or None
        BOLD to fit in each fold; None takes that of the study.

    Returns
    -------
    predictions : dict of str to ndarray of shape (n_volumes, n_rois)
        NaN in rows that no fold tests.
    facts : dict of str to list of dict
        The facts of :func:`fit_predict` for every fold.
    """
    predictions = {name: np.full(study.y.shape, np.nan) for name in models}
    facts = {name: [None] * len(study.folds) for name in models}
    data, calls = runner.store.key(study.X, study.subjects), {}
    targets = [study.y] * len(study.folds) if targets is None else targets
    for name, model in models.items():
        unfitted = clone(model)  # an earlier fit must not change the key
        for k, fold in enumerate(study.folds):
            key = runner.store.key(data, targets[k], unfitted, *fold)
            calls[name, k] = key, delayed(fit_predict)(model, study, targets[k], k, None, keep)
    done = runner.run(list(calls.values()), "Models x folds")
    for (name, k), (y_pred, fact) in zip(calls, done, strict=True):
        predictions[name][study.folds[k][1]], facts[name][k] = y_pred, fact
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
        Text beside the bar.
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
                # A worker of dask died with the only copy of some data: send it, and the rest,
                # again.
                lost += 1
                if lost > _MOST_LOST:
                    raise


class Runner:
    """Runs calls, and keeps their results, so that a killed run can continue.

    Parameters
    ----------
    cache : path-like or None
        Folder of the results, as of :class:`~sklearn_beira._utils.store.ResultStore`.
    n_jobs : int or None
        Processes, as in joblib.
    verbose : bool
        Show a progress bar.
    """

    def __init__(self, cache=None, n_jobs=None, verbose=False):
        self.store = ResultStore(cache)
        self.n_jobs, self.verbose = n_jobs, verbose

    def run(self, calls, description):
        """Run the calls whose results are not there.

        Parameters
        ----------
        calls : list of tuple
            Key, and what ``joblib.delayed`` returns for a function that returns an array and a
            dict for JSON.
        description : str
            Text beside the progress bar.

        Returns
        -------
        results : list of tuple
            Array and dict of each call.
        """
        results = [self.store.get(key) for key, _ in calls]
        waiting = [k for k, result in enumerate(results) if result is None]
        done = run_tasks([calls[k][1] for k in waiting], self.n_jobs, description, self.verbose)
        for k, result in zip(waiting, done, strict=True):
            results[k] = values, facts = result
            facts = {name: fact for name, fact in facts.items() if name != "estimator"}
            self.store.put(calls[k][0], values, facts)
        return results


# -- traits of models -----------------------------------------------------------------------------
# Regressors of scikit-learn that are linear in BOLD but for a penalty, or that were measured not to
# find more (benchmarks/false_findings.py, fixed). There is no tag for it; all others may select.
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
    """Tell whether a model may select features using BOLD; True if it is not known.

    Parameters
    ----------
    model : estimator
        Model. Our own regressors that select have a class attribute ``_selects``.

    Returns
    -------
    selects : bool
        False if its steps and its regressor are known not to select.
    """
    if isinstance(model, TransformedTargetRegressor):
        return model.regressor is not None and may_select(model.regressor)
    choose_among_few = is_search(model) or getattr(model, "_calibrates", False)
    if choose_among_few or type(model) is MultiOutputRegressor:
        return may_select(model.estimator)
    if isinstance(model, Pipeline):
        *steps, model = (step for _, step in model.steps)
        return not all(map(_ignores_target, steps)) or may_select(model)
    kind = type(model)
    if kind.__module__.split(".")[0] == "sklearn_beira":
        return getattr(kind, "_selects", False)
    return kind not in _NO_SELECTION


def reads_eeg(model):
    """Tell whether a model uses the EEG, or only time or nuisance signals.

    Parameters
    ----------
    model : estimator
        Model. Our own steps that do not have a class attribute ``_reads``, which is False.

    Returns
    -------
    reads : bool
        True if it is not known.
    """
    return all(
        getattr(step, "_reads", True) and not isinstance(step, DummyRegressor)
        for step in _steps(model)
    )


def _steps(model):
    """List the steps of a pipeline; any other model is its own step."""
    return [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]


def _ignores_target(step):
    """Tell whether a transformer is known never to use y: it needs none and holds no estimator."""
    if step == "passthrough":
        return True
    kinds = ("sklearn.preprocessing.", "sklearn.decomposition.", "sklearn_beira.")
    return (
        type(step).__module__.startswith(kinds)
        and not get_tags(step).target_tags.required
        and not any(isinstance(v, BaseEstimator) for v in step.get_params(deep=True).values())
    )


def has_independent_targets(model):
    """Tell whether a model is known to treat each column of y as if it were alone.

    Then surrogates are fitted side by side, as further columns.

    Parameters
    ----------
    model : estimator
        Model. Our own regressors with independent targets have ``_independent_targets``.

    Returns
    -------
    independent : bool
        True only if it is known.
    """
    if isinstance(model, Pipeline):
        *steps, model = (step for _, step in model.steps)
        if not all(map(_ignores_target, steps)):
            return False
    kind = type(model)  # nothing is known of subclasses
    if kind is RidgeCV:
        return bool(model.alpha_per_target) and model.cv is None
    if kind is Ridge:
        return not model.positive and np.ndim(model.alpha) == 0  # else one penalty per target
    if kind is LinearRegression:
        return not model.positive
    if kind is DummyRegressor:
        return model.strategy == "mean"
    return vars(kind).get("_independent_targets", False)
