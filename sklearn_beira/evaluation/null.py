"""What r would be if EEG and BOLD had nothing to do with each other: nulls of whole procedures."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from joblib import delayed
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._utils.hashing import versions
from .._utils.numbers import fisher_z
from .._utils.warn import warn_user
from ..exceptions import StationarityWarning
from .assumptions import (
    check_alike,
    check_findings,
    check_gaussian,
    check_kept,
    check_others,
    check_stationary,
    kpss,
)
from .cross_validation import (
    check_models,
    has_independent_targets,
    out_of_fold,
    predict_all,
    run_tasks,
)
from .leakage import check_folds
from .metrics import ALPHA, check_confidence_level, pearson_r
from .store import ResultStore
from .study import make_study
from .surrogates import NULLS, slow_trend

__all__ = ["NullTest", "StationarityWarning", "kpss", "null_test"]

# Recordings from which swapping them can give a p of at most .05: 4! - 1 = 23 other orders.
_ENOUGH_TO_SWAP = 4
# How much more r scatters in cross-validation than predictions that are kept tell, at most: see
# metrics.region_scores.
_CHANCE_COUNTS_TWICE = np.sqrt(2)
# Draws are fitted beside each other, up to this many columns of BOLD.
_MOST_TARGETS = 2000

_WITH = {
    "swap": "the BOLD of another recording of those given",
    "shift": "its own BOLD, shifted in time with nothing wrapped around",
    "circular": "its own BOLD, rolled around in time",
    "phase": "its own BOLD with randomized phases",
}
_ASSUMES = {
    "swap": "the recordings' BOLD series are exchangeable where none follows its EEG",
    "shift": "BOLD is stationary (p is an upper bound, up to twice too large: Harris 2020)",
    "circular": "BOLD is stationary and its end fits its beginning",
    "phase": "BOLD is stationary and Gaussian",
}


@dataclass
class NullTest:
    """Result of :func:`null_test`.

    Parameters
    ----------
    table : DataFrame, indexed by region
        ``r``; ``p`` of the region alone; ``p_max``, corrected over the regions by the maximum
        statistic; ``null_mean``, ``null_low`` and ``null_high``: mean and central interval of r
        under the null; ``n``, the volumes r is computed on.
    draws : ndarray, shape (n_surrogates, n_rois)
        Correlations of every draw, widened where predictions were kept (as are ``null_low`` and
        ``null_high``).
    null : str
        Name of the null.
    refit : bool
        Whether the procedure was repeated in every draw.
    n_distinct : int or None
        How many different draws there are; None for practically all.
    question : str
        What p answers, in words.
    p_value : callable
        Takes observed statistics and those of the draws, returns p.
    """

    table: pd.DataFrame
    draws: np.ndarray
    null: str
    refit: bool
    n_distinct: int | None
    question: str
    p_value: object

    def __repr__(self):
        return f"{self.table.to_string(float_format='{:.3f}'.format)}\n\n{self.question}"

    def _repr_html_(self):
        return f"{self.table.to_html(float_format='{:.3f}'.format)}<p>{self.question}</p>"


def null_test(
    model,
    X,
    y,
    *,
    cv=None,
    groups=None,
    null="auto",
    n_surrogates=200,
    refit=True,
    keep_trend=True,
    other_bold=None,
    confidence_level=0.95,
    cache=None,
    n_jobs=None,
    random_state=0,
    verbose=True,
):
    """Test a whole procedure against BOLD that has nothing to do with the EEG.

    The model is cross-validated on the measured BOLD, and again on every draw of surrogate BOLD:
    scaling, inner selection, fitting and scoring alike. p is the share of draws whose r is at least
    as high, with the measured BOLD counted as one of them. r is centered within test blocks
    (:func:`~sklearn_beira.evaluation.pearson_r`).

    Parameters
    ----------
    model : estimator
        Any regressor over X; a search such as GridSearchCV repeats its selection in every draw.
    X : EEGWindows or array-like, shape (n_volumes, ...)
        Samples, of one or several recordings.
    y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
        BOLD.
    cv : cross-validation splitter, int or None
        Every volume may be tested once; None stands for ``BlockedKFold(5)``.
    groups : array-like of shape (n_volumes,) or None
        Groups for the splitter, by default the recordings of EEGWindows. For plain arrays they
        also tell the recordings apart; rows are then taken in order.
    null : {"auto", "swap", "shift", "circular", "phase"}
        Where the surrogate BOLD comes from.

        - "swap": the BOLD of other recordings, scaled: all recordings change places, or stretches
          of ``other_bold`` are drawn. It keeps whatever else real BOLD is like.
        - "shift": the same BOLD, shifted by up to a quarter of the recording, with the bound on p
          of [1]_. Valid for stationary series, costs half of the volumes, and is conservative.
        - "circular": the same BOLD, rolled around. Assumes that BOLD is stationary.
        - "phase": the same BOLD with randomized phases, the same for all regions [2]_. Assumes
          stationary, Gaussian BOLD.

        "auto" takes "swap" where ``other_bold`` or at least four recordings are given, else
        "phase".
    n_surrogates : int
        Number of draws. Where fewer different ones exist, all of them are taken.
    refit : bool
        False keeps the predictions and changes the BOLD only in scoring. That needs no fit. But in
        cross-validation BOLD is learned from as well as tested against, so that r scatters up to
        1.4 times as much (:func:`~sklearn_beira.evaluation.region_scores`): the draws, in Fisher's
        z, are widened by the root of 2. For models linear in BOLD p is then an upper bound. Folds
        so close that BOLD is predicted from its neighbors are refused, or warned of; so are 10 and
        more folds of models that may choose by BOLD what to read.
    keep_trend : bool
        What is exchanged, shifted or randomized is BOLD without its slow trend, which stays in
        place: drifts of EEG and BOLD agree by chance, and are no finding. The trend is a line and
        the cosines with periods above 128 s (at 2 s a volume where a plain array does not tell), so
        that coupling has to be faster to be found. False moves the trend as well. That is sound
        for "swap" with ``refit``, where the recordings are exchangeable, trends and all; it is how
        slow coupling can be found in many recordings.
    other_bold : list of array-like of shape (n, n_rois) or None
        BOLD of the same regions in other recordings, at the same repetition time, for "swap". Each
        draw takes stretches of random recordings at random starts, so each recording in X needs one
        that is at least as long.
    confidence_level : float
        Share of the draws between ``null_low`` and ``null_high``.
    cache : path-like or None
        Folder for finished draws; a run that was killed continues.
    n_jobs : int or None
        Processes, as in joblib; ``joblib.parallel_config("dask")`` works too.
    random_state : int, RandomState instance or None
        Seed of the draws. Give the model its own.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    result : NullTest
        ``result.table`` has one row per region.

    Warns
    -----
    StationarityWarning
        If "shift", "circular" or "phase" meets BOLD that the test of Kwiatkowski et al. (1992)
        finds not stationary around a linear trend, or around its level where the trend is moved
        (5 % over all series together); if "phase" meets BOLD with far heavier tails than its draws,
        or "swap" recordings that are not equally smooth; or if n_eff does not confirm a finding,
        and few volumes decide it.
    GapWarning
        If the model looks back farther than the gap of the splitter, if test blocks are so short
        and close to training volumes that smooth BOLD is predicted from its neighbors (without
        ``refit``, this is an error where it is much), or if BOLD plainly runs on from group to
        group of a plain array as within one recording; few groups cannot tell.

    References
    ----------
    .. [1] Harris (2020), Nonsense correlations in neuroscience, bioRxiv 2020.11.29.402719.
    .. [2] Prichard, Theiler (1994), Generating surrogate data for time series with several
       simultaneously measured variables, Physical Review Letters 73.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import null_test
    >>> from sklearn_beira.evaluation import BlockedKFold
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 3))
    >>> y = X[:, :2] + rng.standard_normal((100, 2))
    >>> test = null_test(Ridge(), X, y, cv=BlockedKFold(5, gap=0), n_surrogates=99, verbose=False)
    >>> bool((test.table["p_max"] <= 0.01).all())
    True
    """
    if isinstance(model, dict):
        raise TypeError(
            "null_test takes one model, got a dict; give its models one by one, or all of them to "
            "compare."
        )
    name = type(model).__name__
    check_models({name: model})
    check_confidence_level(confidence_level)
    study = make_study(X, y, cv, groups)
    p = "refit" if refit else "kept"
    check_folds({name: model}, study, p=p, needs_apart=not refit)
    if not refit:
        check_kept({name: model}, study)
    null = choose_null(null, study, other_bold)
    draws = draw_surrogates(study, null, n_surrogates, other_bold, random_state, keep_trend)
    store = ResultStore(cache)
    at = study.at(draws.rows) if refit else study
    predictions, _ = predict_all({name: model}, at, store, n_jobs, verbose)
    if refit:
        r, null_r = refit_draws(model, at, predictions[name], draws, store, n_jobs, verbose)
    else:
        r, null_r = score_draws(study, predictions[name], draws)
    result = summarize(study, r, null_r, draws, null, refit, keep_trend, confidence_level)
    check_findings({name: result}, at, predictions)
    return result


# -- the pieces, which compare uses as well -----------------------------------------------------
def choose_null(null, study, other_bold):
    """Resolve "auto" and refuse what cannot be drawn.

    Parameters
    ----------
    null : str
        As in :func:`null_test`.
    study : Study
        Samples and folds.
    other_bold : list or None
        As in :func:`null_test`.

    Returns
    -------
    null : str
        One of ``NULLS``.
    """
    n_runs = len(study.runs())
    if null == "auto":
        return "swap" if other_bold is not None or n_runs >= _ENOUGH_TO_SWAP else "phase"
    if not isinstance(null, str) or null not in NULLS:
        raise ValueError(f"null must be 'auto' or one of {', '.join(NULLS)}, got {null!r}.")
    if other_bold is not None and null != "swap":
        raise ValueError(f"other_bold is for null='swap', not for null={null!r}.")
    if null == "swap" and other_bold is None and n_runs < 2:
        raise ValueError(
            "null='swap' needs several recordings, or BOLD of others; X holds one recording. Give "
            "other_bold, or use null='phase'."
        )
    return null


def draw_surrogates(study, null, n_surrogates, other_bold, random_state, keep_trend=True):
    """Prepare the draws, and warn where the null cannot be trusted.

    Parameters
    ----------
    study : Study
        Samples and folds.
    null : str
        One of ``NULLS``.
    n_surrogates : int
        Draws asked for.
    other_bold : list or None
        As in :func:`null_test`.
    random_state : int, RandomState instance or None
        Seed.
    keep_trend : bool
        As in :func:`null_test`.

    Returns
    -------
    surrogates : Surrogates
        The draws.
    """
    if not (isinstance(n_surrogates, Integral) and n_surrogates >= 1):
        raise ValueError(f"n_surrogates must be an integer of at least 1, got {n_surrogates!r}.")
    runs = study.runs()
    if other_bold is not None:
        other_bold = check_others(other_bold, study, max(map(len, runs)))
    if null != "swap":
        check_stationary(study, runs, null, keep_trend)
    rng = check_random_state(random_state)
    trend = np.zeros_like(study.y)
    if keep_trend:
        trend = slow_trend(study.y, runs, study.t_r)
        if other_bold is not None:
            other_bold = [o - slow_trend(o, [np.arange(len(o))], study.t_r) for o in other_bold]
    rest = study.y - trend
    if null == "swap":
        rest[:, np.ptp(rest, axis=0) <= 1e-9 * np.abs(study.y).max(axis=0)] = 0.0  # of rounding
        check_alike(rest, runs, other_bold, study.region_names)
    options = {"scale": keep_trend} if null == "swap" else {}
    draws = NULLS[null](rest, runs, n_surrogates, rng, other_bold, **options).on(trend)
    least = draws.p_value(np.ones(1), np.zeros((draws.n_surrogates, 1)))[0]
    if draws.n_surrogates < n_surrogates and least > ALPHA:
        warn_user(
            f"null={null!r} has only {draws.n_surrogates} draws here, so p cannot fall below "
            f"{least:.2f}; give more or longer recordings, or use another null.",
        )
    if null == "phase":
        check_gaussian(study, runs, trend)
    lost = len(study.y) - len(draws.rows)
    if lost and null == "swap":
        warn_user(
            f"recordings differ in length: {lost} of {len(study.y)} volumes at their ends are left "
            f"out of the swaps.",
        )
    return draws


def score_draws(study, y_pred, draws):
    """Compare fixed predictions with measured BOLD and with every draw.

    Parameters
    ----------
    study : Study
        Samples and folds.
    y_pred : ndarray, shape (n_volumes, n_rois)
        Out-of-fold predictions, NaN where there is none.
    draws : Surrogates
        The draws.

    Returns
    -------
    r : ndarray, shape (n_rois,)
        With measured BOLD, over the rows of the draws.
    null_r : ndarray, shape (n_surrogates, n_rois)
        With the draws, widened where models were trained on BOLD that others are tested on.
    """
    use = study.blocks[draws.rows] >= 0
    rows = draws.rows[use]
    y_pred, blocks = y_pred[rows], study.blocks[rows]
    null_r = np.empty((draws.n_surrogates, study.y.shape[1]))
    for some in _chunks(draws.n_surrogates, _draws_beside(study.y.shape[1])):
        bold = np.concatenate([draws.bold(k)[use] for k in some], axis=1)
        null_r[some] = _r(bold, np.tile(y_pred, len(some)), blocks).reshape(len(some), -1)
    if study.is_cross_validated(study.tested):
        z = fisher_z(null_r)
        # Around their mean, which a trend that stays in place may have moved away from 0.
        null_r = np.tanh(z.mean(axis=0) + _CHANCE_COUNTS_TWICE * (z - z.mean(axis=0)))
    return _r(study.y[rows], y_pred, blocks), null_r


def refit_draws(model, study, y_pred, draws, store, n_jobs, verbose):
    """Repeat the procedure on every draw.

    Parameters
    ----------
    model : estimator
        Not fitted; it is cloned.
    study : Study
        The rows of the draws, in their order.
    y_pred : ndarray, shape (n_volumes, n_rois)
        Out-of-fold predictions of the measured BOLD, NaN where there is none.
    draws : Surrogates
        The draws.
    store : ResultStore
        Where finished draws are kept.
    n_jobs : int or None
        Processes, as in joblib.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    r : ndarray, shape (n_rois,)
        With measured BOLD.
    null_r : ndarray, shape (n_surrogates, n_rois)
        With the draws.
    """
    n_rois = study.y.shape[1]
    beside = _draws_beside(n_rois) if has_independent_targets(model) else 1
    parts = _chunks(draws.n_surrogates, beside)
    shared = store.key(clone(model), study.X, study.folds, study.blocks, versions())
    results, waiting = {}, []
    for part in parts:
        bold = np.concatenate([draws.bold(k) for k in part], axis=1)
        key = store.key(shared, bold)
        found = store.get(key)
        if found is None:
            waiting.append((part, key, bold))
        else:
            results[part.start], _ = found
    tasks = [delayed(_procedure_r)(model, study, bold) for _, _, bold in waiting]
    done = run_tasks(tasks, n_jobs, "Null", verbose)
    for (part, key, _), null_r in zip(waiting, done, strict=True):
        results[part.start] = null_r
        store.put(key, null_r, {})
    null_r = np.concatenate([results[part.start] for part in parts]).reshape(-1, n_rois)
    rows = study.tested
    return _r(study.y[rows], y_pred[rows], study.blocks[rows]), null_r


def summarize(study, r, null_r, draws, null, refit, keep_trend, confidence_level, n_models=1):
    """Make the result of a null test.

    Parameters
    ----------
    study : Study
        Samples and folds.
    r : ndarray, shape (n_rois,)
        Observed.
    null_r : ndarray, shape (n_surrogates, n_rois)
        Of the draws.
    draws : Surrogates
        The draws.
    null : str
        Name of the null.
    refit : bool
        Whether the procedure was repeated.
    keep_trend : bool
        Whether the slow trend stayed in place.
    confidence_level : float
        Share of the draws in the interval.
    n_models : int
        Models that p_max will be corrected over.

    Returns
    -------
    result : NullTest
        Table, draws and words.
    """
    low, high = np.quantile(
        null_r, [(1 - confidence_level) / 2, (1 + confidence_level) / 2], axis=0
    )
    table = pd.DataFrame(
        {
            "r": r,
            "p": draws.p_value(r, null_r),
            "p_max": draws.p_value(r, null_r.max(axis=1, keepdims=True)),
            "null_mean": null_r.mean(axis=0),
            "null_low": low,
            "null_high": high,
            "n": np.count_nonzero(study.blocks[draws.rows] >= 0),
        },
        index=pd.Index(study.region_names, name="region"),
    )
    trend = " on top of its own slow trend" if keep_trend else ""
    # Of 2 M shifts, M + 1 in a row are what p counts among.
    of = "n / 2" if null == "shift" else "n"
    repeated = (
        "It stands in for the BOLD of training and test alike, and selection and fit are repeated."
        if refit
        else "It stands in for the measured BOLD when predictions are scored; the predictions stay "
        "as they are. Where BOLD is learned from as well as tested against, as in "
        "cross-validation, r scatters more than that tells: the draws are widened, in Fisher's z, "
        "by the root of 2, the most it can be for models linear in BOLD."
    )
    question = (
        f"p = (k + 1) / ({of} + 1), where k of the n = {draws.n_surrogates} draws have an r at "
        f"least as high as the measured one, so p is never 0. In a draw, a recording has "
        f"{_WITH[null]}{trend}. {repeated} It is also assumed that {_ASSUMES[null]}"
        f"{', but for that trend' * keep_trend}. p_max is corrected over the {len(r)} "
        f"region{'s' * (len(r) > 1)}{f' and {n_models} models' * (n_models > 1)} by the maximum "
        f"statistic: of a draw the highest r counts, so that a region that scatters much raises "
        f"the p_max of all."
    )
    return NullTest(table, null_r, null, refit, draws.n_distinct, question, draws.p_value)


def _procedure_r(model, study, bold):
    rows = study.tested
    return _r(bold[rows], out_of_fold(model, study, bold)[rows], study.blocks[rows])


def _r(y_true, y_pred, blocks):
    return pearson_r(y_true, y_pred, blocks=blocks, multioutput="raw_values")


def _draws_beside(n_rois):
    return max(1, _MOST_TARGETS // n_rois)


def _chunks(n_surrogates, size):
    return [range(k, min(k + size, n_surrogates)) for k in range(0, n_surrogates, size)]
