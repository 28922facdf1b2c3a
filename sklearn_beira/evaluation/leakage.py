"""Leaks from training to test: windows that share EEG, and BOLD that is autocorrelated."""

from itertools import product

import numpy as np
from sklearn.model_selection import KFold, LeaveOneOut, RepeatedKFold, ShuffleSplit, check_cv

from .._utils.estimators import is_search
from .._utils.warn import warn_user
from ..eeg.filters import Windower
from ..exceptions import GapWarning
from .cross_validation import reads_eeg
from .smoothness import carried_over, fit_smoothness
from .splitters import BlockedKFold

# By how much, and by how many standard errors, autocorrelated BOLD may raise r. Above both, fixed
# predictions even of a model that only wanders with time are false findings in more than 5 % of
# studies of one recording, and are refused. If a model knows the time, they are false findings
# above fewer errors, and there is a warning (benchmarks/false_findings.py, neighbors).
_REFUSED_R, _REFUSED_ERRORS, _WARNED_ERRORS = 0.2, 2.5, 1.5


# -- how far back a model looks -----------------------------------------------------------------
def windows_read(model, X):
    """List the windows that a model reads.

    Parameters
    ----------
    model : estimator
        A model, with all windows that searches in it try.
    X : EEGWindows
        Samples.

    Returns
    -------
    windows : list of tuple of float
        Start and end in s relative to the volume onset; the window of X if a search draws from a
        distribution of unknown range.
    """
    params = {"": model, **model.get_params(deep=True)}
    cutters = {name: part for name, part in params.items() if isinstance(part, Windower)}
    windows = set() if cutters else {(X.tmin, X.tmax)}
    for name, cutter in cutters.items():
        for step, grid in [*_grids(params, name)] or [(name, {})]:
            for one in grid.get(step, [cutter]):
                if not isinstance(one, Windower):  # the step is left out
                    windows.add((X.tmin, X.tmax))
                    continue
                durations = _extremes(grid.get(f"{step}__duration", [one.duration]))
                delays = _extremes(grid.get(f"{step}__delay", [one.delay]))
                for duration, delay in product(durations, delays):
                    if np.isfinite([delay, 0.0 if duration is None else duration]).all():
                        tmin = X.tmin if duration is None else -delay - duration
                        windows.add((tmin, -delay))
                    else:
                        windows.add((X.tmin, X.tmax))
    return sorted(windows)


def longest_window(model, X):
    """Return X through the window that reaches furthest, of those that a model reads.

    Parameters
    ----------
    model : estimator
        A model, with all windows that searches in it try.
    X : EEGWindows
        Samples.

    Returns
    -------
    windows : EEGWindows
        The samples through it.

    Raises
    ------
    ValueError
        If a window extends beyond its recording.
    """
    return max((X.window(*window) for window in windows_read(model, X)), key=lambda X: X.reach)


def _grids(params, name):
    """Yield the name of a part in the grids of the searches around it, and these grids."""
    for search, part in params.items():
        inside = f"{search}__estimator__" if search else "estimator__"
        if not name.startswith(inside):
            continue
        for kind in ("param_grid", "param_distributions"):
            grids = getattr(part, kind, None) or []
            grids = grids if isinstance(grids, list | tuple) else [grids]
            yield from ((name.removeprefix(inside), grid) for grid in grids)


def _extremes(values):
    """Return all values of a list, or the ends of a distribution; infinity if they are unknown."""
    if np.iterable(values):
        return list(values)
    return [float(v) for v in values.support()] if hasattr(values, "support") else [np.inf]


# -- how far apart folds are --------------------------------------------------------------------
def check_folds(models, study, *, needs_apart, only_refit=False):
    """Refuse folds that leak, or warn of them.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    study : Study
        Samples and folds.
    needs_apart : bool
        Whether folds that leak much are refused.
    only_refit : bool
        Whether every p comes from fits to surrogates. A model that predicts BOLD from its neighbors
        in time has a higher r; so has a fit to surrogates, whose p stays right. All other p are too
        low.

    Returns
    -------
    smoothness : ndarray of shape (n_rois,)
        Lag-one autocorrelation of BOLD.
    neighbor_r : ndarray of shape (n_rois,)
        The r that neighboring training volumes alone could give; NaN if folds mix training and test
        volumes in time.

    Raises
    ------
    ValueError
        If the folds leak much, or if a window extends beyond its recording.

    Warns
    -----
    GapWarning
        If the folds leak, or those of a search in a model.
    """
    cv = _name(study.cv)
    smoothness = fit_smoothness(study.y, study.runs)
    mixed, blocks = blocks_of_test(study)
    if mixed:
        problem = (
            f"the folds of {cv} mix training and test volumes in time, so that BOLD is predicted "
            f"from its neighbors, whatever the EEG; use BlockedKFold."
        )
        if needs_apart:
            raise ValueError(problem)
        warn_user(problem, GapWarning)
        return smoothness[0, :, 0], np.full(study.y.shape[1], np.nan)
    neighbor_r = _check_neighbors(study, smoothness, blocks, cv, needs_apart, only_refit)
    distance = min((apart for block in blocks for apart in block[1:]), default=np.inf)
    if study.reach is not None:
        _check_shared_eeg(models, study.X, cv, distance)
    elif distance <= 1 and not isinstance(study.cv, BlockedKFold):
        # A gap of BlockedKFold was given on purpose.
        warn_user(
            f"the folds of {cv} leave no gap between training and test; use "
            f"BlockedKFold(gap=..., t_r=...), or give groups if these are recordings.",
            GapWarning,
        )
    return smoothness[0, :, 0], neighbor_r


def _name(cv):
    name = repr(cv)
    return "the given splits" if name.startswith("_CVIterable") else name[:100]


def _check_neighbors(study, smoothness, blocks, cv, needs_apart, only_refit):
    """Refuse folds, or warn, if training volumes predict much of their neighbors in the test."""
    r, n_errors = carried_over(smoothness, blocks, study.step)
    worst = n_errors.argmax()
    is_much = r[worst] > _REFUSED_R and n_errors[worst] > _REFUSED_ERRORS
    if is_much or (not only_refit and n_errors[worst] > _WARNED_ERRORS):
        problem = (
            f"autocorrelated BOLD leaks across the folds of {cv}: neighboring training volumes "
            f"alone could give r = {r[worst]:.2f} in {study.region_names[worst]}, "
            f"{n_errors[worst]:.1f} standard errors; use a larger gap, or fewer blocks."
        )
        if is_much and needs_apart:
            raise ValueError(problem)
        warn_user(problem, GapWarning)
    return r


def _check_shared_eeg(models, X, cv, distance):
    """Warn if models look back further than test volumes are from training volumes."""
    reach = {name: longest_window(model, X).reach for name, model in models.items()}
    close, careless = {}, {}
    for name, model in models.items():
        if not reads_eeg(model):
            continue
        if distance < reach[name] - 1e-6:
            close.setdefault((cv, distance), []).append(name)
        for part in [model, *model.get_params(deep=True).values()]:
            inner = check_cv(part.cv) if is_search(part) else None
            if isinstance(inner, BlockedKFold):
                if inner.gap is not None and inner.gap < reach[name] - 1e-6:
                    close.setdefault((f"the search over {_name(inner)}", inner.gap), []).append(
                        name
                    )
            elif isinstance(inner, KFold | LeaveOneOut | RepeatedKFold | ShuffleSplit):
                careless.setdefault(str(inner), []).append(name)
    for inner, names in careless.items():
        warn_user(
            f"searches choose by {inner}, whose training and test volumes are neighbors "
            f"({_quoted(names)}); use BlockedKFold.",
            GapWarning,
        )
    for (folds, apart), names in close.items():
        furthest = max(reach[name] for name in names)
        use = (
            f"BlockedKFold(gap={furthest:g})"
            if furthest <= X.reach + 1e-6
            else ("align with the window that the models read, and BlockedKFold()")
        )
        warn_user(
            f"training and test volumes share EEG: they are {apart:g} s apart in {folds}, and "
            f"models look back up to {furthest:g} s ({_quoted(names)}); use {use}.",
            GapWarning,
        )


def _quoted(names):
    return ", ".join(map(repr, dict.fromkeys(names)))


def blocks_of_test(study):
    """List the test blocks, and whether folds mix training and test volumes.

    Parameters
    ----------
    study : Study
        Samples and folds.

    Returns
    -------
    mixed : bool
        Whether a recording alternates between training and test.
    blocks : list of tuple
        Volumes of each block, and its distance to the training volumes before and behind it, in the
        unit of ``study.times``; infinite if there are none.
    """
    mixed, blocks = False, []
    for train, test in study.folds:
        role = np.zeros(len(study.y), dtype=int)
        role[train], role[test] = 1, 2
        for run in study.runs:
            used = run[role[run] > 0]
            tests = np.flatnonzero(role[used] == 2)
            if not len(tests):
                continue
            # One block of test volumes has training volumes on at most two sides.
            mixed |= np.count_nonzero(np.diff(role[used])) > 2
            steps = np.concatenate([[np.inf], np.diff(study.times[used]), [np.inf]])
            for block in np.split(tests, np.flatnonzero(np.diff(tests) > 1) + 1):
                apart = steps[block[0]], steps[block[-1] + 1]
                blocks.append((len(block), *map(float, apart)))
    return mixed, blocks
