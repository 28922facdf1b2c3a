"""Whether folds keep apart what a model reads, and BOLD that is alike."""

from bisect import bisect_left
from collections import defaultdict
from itertools import product

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold, LeaveOneOut, RepeatedKFold, ShuffleSplit, check_cv
from sklearn.pipeline import Pipeline

from .._utils.estimators import is_search
from .._utils.warn import warn_user
from ..eeg.filters import Windower
from ..eeg.windows import EEGWindows
from ..exceptions import GapWarning
from ..features.time import TimePolynomial
from .smoothness import carried_over, fit_smoothness
from .splitters import BlockedKFold

# By how much, and by how many standard errors, smooth BOLD may raise r. Above both, kept
# predictions even of a model that only wanders with time are false findings in more than 5 % of one
# recording, and are refused. Of a model that is told the time they are above fewer errors, and
# there is a warning (benchmarks/false_findings.py, neighbors).
_REFUSED_R, _REFUSED_ERRORS, _WARNED_ERRORS = 0.2, 2.5, 1.5
_A_FINDING = {
    "kept": "and a test that keeps the predictions would call that a finding.",
    "n_eff": "and that would be called a finding.",
}


# -- how far back a model looks -----------------------------------------------------------------
def windows_read(model, X):
    """List the windows that a model reads.

    Parameters
    ----------
    model : estimator
        A model; the windows that searches in it try count.
    X : EEGWindows
        Samples.

    Returns
    -------
    windows : list of tuple of float
        Start and end in s relative to the volume onset; the window of X where a distribution does
        not tell.
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
    """Find the window that reaches furthest, of those that a model reads.

    Parameters
    ----------
    model : estimator
        A model; the windows that searches in it try count.
    X : EEGWindows
        Samples.

    Returns
    -------
    windows : EEGWindows
        The samples through it.

    Raises
    ------
    ValueError
        If one of the windows leaves its recording.
    """
    return max((X.window(*window) for window in windows_read(model, X)), key=lambda X: X.reach)


def _reads_no_eeg(model):
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    return any(isinstance(step, DummyRegressor | TimePolynomial) for step in steps)


def _grids(params, name):
    """What searches among the parts of a model try: name of the part in the grid, and the grid."""
    for search, part in params.items():
        inside = f"{search}__estimator__" if search else "estimator__"
        if not name.startswith(inside):
            continue
        for kind in ("param_grid", "param_distributions"):
            grids = getattr(part, kind, None) or []
            grids = grids if isinstance(grids, list | tuple) else [grids]
            yield from ((name.removeprefix(inside), grid) for grid in grids)


def _extremes(values):
    """All values of a list, the ends of a distribution; infinity where it does not tell them."""
    if np.iterable(values):
        return list(values)
    return [float(v) for v in values.support()] if hasattr(values, "support") else [np.inf]


# -- how far apart folds are --------------------------------------------------------------------
def check_folds(models, study, *, p, needs_apart):
    """Tell where training and test volumes are so close that they know of each other.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    study : Study
        Samples and folds.
    p : {"kept", "refit", "n_eff"}
        Where p comes from: draws that keep the predictions, draws that are fitted, or the effective
        number of volumes. A model that predicts BOLD from its neighbors in time has a higher r. So
        have draws that are fitted, and p stays right; by the other two, p is too low.
    needs_apart : bool
        Whether what follows is meaningless if BOLD is predicted from its neighbors.

    Raises
    ------
    ValueError
        If the folds are too close for what follows, or if a window leaves its recording.

    Warns
    -----
    GapWarning
        If they are close, or those of a search in a model.
    """
    cv = repr(study.cv)
    cv = cv if len(cv) < 100 else type(study.cv).__name__
    cv = "the given splits" if cv.startswith("_CVIterable") else cv
    mixed, blocks = _test_blocks(study, study.folds)
    if mixed:
        what = (
            f"the folds of {cv} mix training and test volumes in time: smooth BOLD is then "
            f"predicted from its neighbors, whatever the EEG"
        )
        if needs_apart:
            raise ValueError(f"{what}, {_A_FINDING[p]} Use BlockedKFold.")
        said = [f"{what}, and r is too high. Use BlockedKFold."]
    else:
        said = _told_by_smoothness(study, blocks, cv, p, needs_apart)
        distance = min((apart for block in blocks for apart in block[1:]), default=np.inf)
        if isinstance(study.X, EEGWindows):
            said += _shared_eeg(models, study.X, cv, distance)
        elif distance <= 1 and not isinstance(study.cv, BlockedKFold):
            # With BlockedKFold, the gap was given on purpose.
            said.append(
                f"the folds of {cv} leave no gap between training and test: rows next to each "
                f"other may share EEG, and their BOLD is alike. Use BlockedKFold(gap=..., "
                f"t_r=...), or give groups where these are recordings."
            )
    for sentence in said:
        warn_user(sentence, GapWarning)


def _told_by_smoothness(study, blocks, cv, p, needs_apart):
    """Tell where smooth BOLD goes on from training volumes into the test blocks."""
    step = study.t_r if isinstance(study.X, EEGWindows) else 1.0
    smoothness = fit_smoothness(study.y, study.runs())
    r, n_errors, region = carried_over(smoothness, blocks, step)
    is_much = r > _REFUSED_R and n_errors > _REFUSED_ERRORS
    if not is_much and (p == "refit" or n_errors <= _WARNED_ERRORS):
        return []
    name = study.region_names[region]
    ways = [_enough_gap(study, smoothness, blocks, step), _few_blocks(study, smoothness, step)]
    if len(study.runs()) > 1:
        ways.append("LeaveOneGroupOut")
    ways = [way for way in ways if way]
    if not is_much:
        blind = "p does not know of it"
        if p == "kept":
            ways.append("a test that refits")
        else:
            blind = "neither the interval nor the p of n_eff knows of it"
        return [
            f"smooth BOLD goes on from training volumes into the test blocks of {cv}: a model that "
            f"follows time could have an r of up to {r:.2f} in {name} ({n_errors:.1f} standard "
            f"errors), whatever the EEG, and {blind}. Use {_listed(ways, 'or')}."
        ]
    what = (
        f"the test blocks of {cv} are so short and so close to training volumes that smooth BOLD "
        f"is predicted from its neighbors, whatever the EEG, with an r of up to {r:.2f} in {name}"
    )
    instead = f"Use {_listed(ways, 'or')}"
    if needs_apart:
        mended = "; a test that refits mends p, not r" if p == "kept" else ""
        raise ValueError(f"{what}, {_A_FINDING[p]} {instead}{mended}.")
    return [f"{what}: r is too high. {instead}."]


def _shared_eeg(models, X, cv, distance):
    """Tell where models look back further than test volumes are from training volumes."""
    close, careless = defaultdict(list), defaultdict(list)  # models, by what is said of them
    for name, model in models.items():
        longest = longest_window(model, X)  # or refused, before anything is fitted
        if _reads_no_eeg(model):
            continue
        history = longest.reach
        if history > X.reach + 1e-6:
            ahead = f", tmax={longest.tmax:g}" if longest.tmax > 0 else ""
            instead = f"align(tmin={longest.tmin:g}{ahead}), and gap=None"
        else:
            instead = f"BlockedKFold(gap={history:g}), or gap=None"
        splitters = [(f"{cv},", distance)]
        for part in [model, *model.get_params(deep=True).values()]:
            inner = check_cv(part.cv) if is_search(part) else None
            if isinstance(inner, BlockedKFold) and inner.gap is not None:
                splitters.append((f"{inner}, inside of the search,", inner.gap))
            elif isinstance(inner, KFold | LeaveOneOut | RepeatedKFold | ShuffleSplit):
                careless[str(inner)].append(name)
        for splitter, apart in splitters:
            if apart < history - 1e-6:
                close[splitter, apart, history, instead].append(name)
    said = []
    for inner, names in careless.items():
        said.append(
            f"the search in {_named(names)} chooses by {inner}, whose training "
            f"and test volumes lie next to each other: it may choose what follows time. Use "
            f"BlockedKFold."
        )
    for (splitter, apart, history, instead), names in close.items():
        look = f"{_named(names)} look{'' if len(set(names)) > 1 else 's'}"
        said.append(
            f"training and test volumes are only {apart:g} s apart in {splitter} but {look} back "
            f"{history:g} s (window plus delay): the EEG of a volume behind the gap reaches past "
            f"one before it. Use {instead}."
        )
    return said


def _named(models):
    return _listed(map(repr, dict.fromkeys(models)), "and")


def _listed(words, conjunction):
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _test_blocks(study, folds):
    """Tell whether folds mix training and test volumes, and list the test blocks.

    A block is its number of volumes and its distance to training volumes before and behind it, in
    s (or in rows), infinite where there are none.
    """
    times = study.X.times if isinstance(study.X, EEGWindows) else np.arange(len(study.y))
    mixed, blocks = False, []
    runs = study.runs()
    for train, test in folds:
        role = np.zeros(len(study.y), dtype=int)
        role[train], role[test] = 1, 2
        for run in runs:
            used = run[role[run] > 0]
            tests = np.flatnonzero(role[used] == 2)
            if not len(tests):
                continue
            # One block of test volumes has training volumes on at most two sides.
            mixed |= np.count_nonzero(np.diff(role[used])) > 2
            steps = np.concatenate([[np.inf], np.diff(times[used]), [np.inf]])
            for block in np.split(tests, np.flatnonzero(np.diff(tests) > 1) + 1):
                apart = steps[block[0]], steps[block[-1] + 1]
                blocks.append((len(block), *map(float, apart)))
    return mixed, blocks


# -- advice ------------------------------------------------------------------------------------
def _enough_gap(study, smoothness, blocks, step):
    """Say, in words, over which gap of BlockedKFold neighbors tell little."""

    def is_enough(n_volumes):
        apart = [(n, *(max(a, n_volumes * step) for a in sides)) for n, *sides in blocks]
        return carried_over(smoothness, apart, step)[1] <= _WARNED_ERRORS

    if not isinstance(study.cv, BlockedKFold):
        return "BlockedKFold with a gap"
    # Beyond half of the other blocks little would be left to train on.
    candidates = range(1, max(n for n, *_ in blocks) * (study.cv.n_splits - 1) // 2)
    first = bisect_left(candidates, True, key=is_enough)
    if first == len(candidates):
        return "a larger gap"
    n_volumes = candidates[first]
    if isinstance(study.X, EEGWindows):  # whose EEG should not be shared, either
        return f"a gap of {max(round(n_volumes * step, 2), study.X.reach):g} s"
    if study.cv.t_r is None:
        return f"a gap of {n_volumes} volumes (gap={n_volumes} * t_r, and t_r)"
    return f"a gap of {round(n_volumes * study.cv.t_r, 2):g} s"


def _few_blocks(study, smoothness, step):
    """Say, in words, in how many blocks of BlockedKFold neighbors tell little, if in any."""
    cv = study.cv
    if not isinstance(cv, BlockedKFold):
        return ""

    def is_too_many(n_splits):
        folds = study.split(BlockedKFold(n_splits, gap=cv.gap, t_r=cv.t_r))
        _, blocks = _test_blocks(study, folds)
        return carried_over(smoothness, blocks, step)[1] > _WARNED_ERRORS

    candidates = range(2, cv.n_splits)
    try:
        first = bisect_left(candidates, True, key=is_too_many)
    except ValueError:  # of BlockedKFold: the gap leaves nothing to train on
        return ""
    return f"{candidates[first - 1]} blocks" if first else ""
