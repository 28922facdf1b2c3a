"""Null distributions of r for EEG and BOLD that are unrelated, over whole procedures."""

from copy import deepcopy
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from joblib import delayed
from sklearn.base import clone
from sklearn.utils import check_random_state, gen_batches

from .._utils.columns import by_columns, columns_at_a_time, joined
from .._utils.numbers import fisher_z
from .._utils.warn import warn_user
from .assumptions import (
    check_alike,
    check_fixed,
    check_gaussian,
    check_other_bold,
    check_stationary,
)
from .cross_validation import (
    Runner,
    check_models,
    check_pretrained,
    fit_predict,
    has_independent_targets,
    predict_all,
)
from .leakage import check_folds
from .metrics import (
    ALPHA,
    block_correlation,
    block_starts,
    center,
    check_confidence_level,
    correlate,
    unit,
)
from .study import make_study
from .surrogates import NULLS, slow_trend

# With so many recordings, swaps give a fine p: 265 orders leave none in place; with five, only 44.
_ENOUGH_TO_SWAP = 6
# They are cut to the shortest; at least so much of the volumes has to be left.
_MUCH = 0.8
# How much more r scatters in cross-validation than with fixed predictions, at most: see
# metrics.region_scores.
_CHANCE_COUNTS_TWICE = np.sqrt(2)
# Surrogates are fitted side by side, up to this many columns of BOLD.
_MOST_TARGETS = 2000
# Share of the variance within blocks that may be rounding of float32.
_CONSTANT = 1e-6


@dataclass
class NullTest:
    """Result of :func:`null_test`.

    Parameters
    ----------
    table : DataFrame, indexed by region
        ``r``; ``p`` of the region alone; ``p_max``, corrected over the regions by the maximum
        statistic; ``null_mean``, ``null_low`` and ``null_high``: mean and central interval of r
        under the null; ``n``, the volumes r is computed on; ``p_parametric`` and ``influence``, as
        in :func:`~sklearn_beira.region_scores`.
    draws : ndarray, shape (n_surrogates, n_rois)
        Correlations of every surrogate, widened for fixed predictions (as are ``null_low`` and
        ``null_high``).
    null : str
        Name of the null.
    refit : bool
        Whether the procedure was repeated for every surrogate.
    n_distinct : int or None
        How many different surrogates exist, if they are few.
    question : str
        What p answers, in words.
    """

    table: pd.DataFrame
    draws: np.ndarray
    null: str
    refit: bool
    n_distinct: int | None
    question: str

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
) -> NullTest:
    """Test a model against a null distribution from surrogate BOLD, whole procedure included.

    The model is cross-validated on the measured BOLD, and again on every surrogate: scaling, inner
    selection, fitting and scoring. p is the share of surrogates whose r is at least as high, with
    the measured BOLD counted as one of them. r is centered within test blocks
    (:func:`~sklearn_beira.pearson_r`).

    Parameters
    ----------
    model : estimator
        Any regressor over X. A search such as GridSearchCV repeats its selection for every
        surrogate.
    X, y, cv, groups : object
        As in :func:`~sklearn_beira.compare`.
    null : {"auto", "swap", "shift", "circular", "phase"}
        Source of the surrogate BOLD.

        - "swap": BOLD of other recordings, scaled. Recordings change places, or stretches of
          ``other_bold`` are drawn. All other properties of real BOLD stay.
        - "shift": the same BOLD, shifted by up to a quarter of the recording, with the bound on p
          of [1]_. Valid for stationary BOLD and conservative; costs half of the volumes.
        - "circular": the same BOLD, rolled. Assumes stationary BOLD.
        - "phase": the same BOLD with randomized phases, the same for all regions [2]_. Assumes
          stationary, Gaussian BOLD.

        Recordings whose lengths differ by at most a tenth are rolled, or turned, alike, so that
        they keep a time course that they share. "auto" uses "swap" if ``other_bold`` or at least
        six recordings of about one length are given, else "phase".
    n_surrogates : int
        Number of surrogates. If fewer different ones exist, all of them are used.
    refit : bool
        False uses fixed predictions and replaces BOLD in scoring only, which needs no fit. As BOLD
        of each fold is also learned from, r scatters up to 1.4 times as much in cross-validation
        (:func:`~sklearn_beira.region_scores`), and the null distribution is widened by the root of
        2 in Fisher's z. p is then an upper bound for models linear in BOLD; for others, such as
        BEIRA, that is measured and not proven. Folds that leak are refused, and models that may
        select features using BOLD are warned of in 10 folds or more.
    keep_trend : bool
        Surrogates keep the slow trend of BOLD in place, as drifts of EEG and BOLD agree by chance.
        The trend is a line and the cosines with periods above 128 s (2 s per volume if times are
        unknown); only faster coupling can be found. False moves the trend as well. This is valid
        for "swap" with ``refit``, if recordings are exchangeable with their trends.
    other_bold : list of array-like of shape (n, n_rois) or None
        BOLD of the same regions in other recordings, at the same repetition time, for "swap". At
        least one must be as long as the longest recording in X. Stretches begin a tenth of their
        length apart: others are nearly the same.
    confidence_level : float
        Share of the surrogates between ``null_low`` and ``null_high``.
    cache, n_jobs : object
        As in :func:`~sklearn_beira.compare`.
    random_state : int, RandomState instance or None
        Seed of the surrogates. Models have their own.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    result : NullTest
        ``result.table`` has one row per region.

    Raises
    ------
    ValueError
        If folds leak so much that p would be meaningless, or if the null cannot be drawn.

    Warns
    -----
    StationarityWarning
        If BOLD violates an assumption of the null: it is not stationary (KPSS test, 5 % over all
        series), has far heavier tails than surrogates of random phases, or comes from recordings
        that are not equally smooth.
    GapWarning
        If training and test volumes share EEG, if autocorrelated BOLD leaks across the folds, or if
        groups of a plain array look like pieces of one recording.

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
    if null is None:
        raise ValueError(f"null must be 'auto' or one of {', '.join(NULLS)}, got None.")
    models = {type(model).__name__: model}
    check_confidence_level(confidence_level)
    check_models(models)
    study = make_study(X, y, cv, groups)
    check_pretrained(models, study)
    draws, _ = prepare(
        models,
        study,
        null,
        n_surrogates=n_surrogates,
        refit=refit,
        keep_trend=keep_trend,
        other_bold=other_bold,
        random_state=random_state,
        only_refit=refit,
    )
    tests = null_distributions(
        models,
        study,
        draws,
        refit=refit,
        confidence_level=confidence_level,
        runner=Runner(cache, n_jobs, verbose),
    )
    return next(iter(tests.values()))


# -- the runner, which compare shares -------------------------------------------------------------
def prepare(
    models,
    study,
    null,
    *,
    n_surrogates,
    refit,
    keep_trend,
    other_bold,
    random_state,
    only_refit=False,
):
    """Check folds and null before anything is computed, and make the surrogates.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    study : Study
        Samples and folds.
    null : str or None
        As in :func:`null_test`; None makes no surrogates.
    n_surrogates, refit, keep_trend, other_bold, random_state : object
        As in :func:`null_test`.
    only_refit : bool
        As in :func:`~sklearn_beira.evaluation.leakage.check_folds`.

    Returns
    -------
    draws : Surrogates or None
        The surrogates.
    doubts : dict of str to ndarray of shape (n_rois,)
        ``smoothness``, ``neighbor_r`` and ``null_scatter``.
    """
    fixed = null is not None and not refit
    smoothness, neighbor_r = check_folds(models, study, needs_apart=fixed, only_refit=only_refit)
    if fixed:
        check_fixed(models, study)
    draws, scatter = None, np.nan
    if null is not None:
        null = choose_null(null, study, other_bold)
        draws = draw_surrogates(study, null, n_surrogates, other_bold, random_state, keep_trend)
        scatter = draws.scatter
    doubts = {"smoothness": smoothness, "neighbor_r": neighbor_r, "null_scatter": scatter}
    return draws, doubts


def choose_null(null, study, other_bold):
    """Resolve "auto" and refuse a null that cannot be drawn.

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
    n_runs = len(study.runs)
    if null == "auto":
        shortest = min(map(len, study.runs))
        enough = n_runs >= _ENOUGH_TO_SWAP and n_runs * shortest >= _MUCH * len(study.y)
        return "swap" if other_bold is not None or enough else "phase"
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
    """Make the surrogates, and warn if the null cannot be trusted.

    Parameters
    ----------
    study : Study
        Samples and folds.
    null : str
        One of ``NULLS``.
    n_surrogates, other_bold, random_state, keep_trend : object
        As in :func:`null_test`.

    Returns
    -------
    draws : Surrogates
        The surrogates.
    """
    if not (isinstance(n_surrogates, Integral) and n_surrogates >= 1):
        raise ValueError(f"n_surrogates must be an integer of at least 1, got {n_surrogates!r}.")
    n_surrogates = int(n_surrogates)  # a number of NumPy is no JSON
    if other_bold is not None:
        other_bold = check_other_bold(other_bold, study)
    if null != "swap":
        check_stationary(study, null, keep_trend)
    rng = check_random_state(random_state)
    trend = np.zeros_like(study.y)
    if keep_trend:
        for run in study.runs:
            trend[run] = slow_trend(study.y[run], study.t_r_of([run]))
        if other_bold is not None:
            other_bold = [o - slow_trend(o, study.t_r) for o in other_bold]
    rest, scatter, options = study.y - trend, np.nan, {}
    if null == "swap":
        # Only rounding is left of a region that is nothing but trend.
        rest[:, np.ptp(rest, axis=0) <= 1e-9 * np.abs(study.y).max(axis=0)] = 0.0
        scatter = check_alike(rest, study.runs, other_bold, study.region_names)
        options = {"scale": keep_trend}
    once_more = deepcopy(rng)
    draws = NULLS[null](rest, study.runs, n_surrogates, rng, other_bold, **options).on(trend)
    draws.null, draws.keep_trend, draws.scatter = null, keep_trend, scatter

    def some_columns(some):
        y, others = np.empty(rest[:, some].shape, np.float32), other_bold
        for run in study.runs:
            y[run] = rest[run, some] - rest[run, some].mean(axis=0)
        if others is not None:
            others = [(o[:, some] - o[:, some].mean(axis=0)).astype(np.float32) for o in others]
        return NULLS[null](y, study.runs, n_surrogates, deepcopy(once_more), others, **options)

    draws.some_columns = some_columns
    if draws.n_surrogates < n_surrogates and draws.lowest_p > ALPHA:
        warn_user(
            f"null={null!r} has only {draws.n_surrogates} draws here, so p cannot fall below "
            f"{draws.lowest_p:.2f}; give more or longer recordings, or use another null.",
        )
    if null == "phase":
        check_gaussian(study, trend)
    lost = len(study.y) - len(draws.rows)
    if lost and null == "swap":
        warn_user(
            f"recordings differ in length: {lost} of {len(study.y)} volumes at their ends are left "
            f"out of the swaps, so p is not of all volumes that r is of; cut the recordings to one "
            f"length, or use null='phase'.",
        )
    return draws


def null_distributions(
    models, study, draws, *, refit, confidence_level, runner, predictions=None, over_models=False
):
    """Compare every model with its null distribution.

    Parameters
    ----------
    models : dict of str to estimator
        Not fitted; they are cloned.
    study : Study
        Samples and folds.
    draws : Surrogates
        The surrogates.
    refit : bool
        Whether the procedure is repeated for every surrogate.
    confidence_level : float
        Share of the surrogates between ``null_low`` and ``null_high``.
    runner : Runner
        Runs the fits.
    predictions : dict of str to ndarray of shape (n_volumes, n_rois) or None
        Out-of-fold predictions; None computes them.
    over_models : bool
        Correct ``p_max`` over models as well as regions.

    Returns
    -------
    tests : dict of str to NullTest
        Of each model.
    """
    n = np.count_nonzero(study.blocks[draws.rows] >= 0)
    if refit and not np.array_equal(draws.rows, np.arange(len(study.y))):
        study, predictions = study.at(draws.rows), None
        n = len(study.tested)
    if predictions is None:
        predictions, _ = predict_all(models, study, runner)
    tests = {}
    for name, model in models.items():
        if refit:
            r, null_r = refit_draws(model, study, predictions[name], draws, runner)
        else:
            r, null_r = score_draws(study, predictions[name], draws)
        null_r = draws.complete(r, null_r)
        n_models = len(models) if over_models else 1
        test = _summarize(study, r, null_r, draws, n, refit, confidence_level, n_models)
        scores = study.scores(predictions[name], study.tested_in_time)
        test.table["p_parametric"], test.table["influence"] = scores["p"], scores["influence"]
        tests[name] = test
    if over_models:
        highest = np.max([t.draws.max(axis=1) for t in tests.values()], axis=0)[:, np.newaxis]
        for test in tests.values():
            test.table["p_max"] = draws.p_value(test.table["r"].to_numpy(), highest)
    return tests


def score_draws(study, y_pred, draws):
    """Compare fixed predictions with measured BOLD and with every surrogate.

    Parameters
    ----------
    study : Study
        Samples and folds.
    y_pred : ndarray, shape (n_volumes, n_rois)
        Out-of-fold predictions, NaN in rows that no fold tests.
    draws : Surrogates
        The surrogates.

    Returns
    -------
    r : ndarray, shape (n_rois,)
        With measured BOLD, over the rows of the surrogates.
    null_r : ndarray, shape (n_surrogates, n_rois)
        With the surrogates, widened if models were trained on BOLD that others are tested on.
    """
    place = np.flatnonzero(study.blocks[draws.rows] >= 0)
    place = place[np.argsort(study.blocks[draws.rows[place]], kind="stable")]
    rows, blocks = draws.rows[place], study.blocks[draws.rows[place]]
    in_order = np.array_equal(place, np.arange(len(draws.rows)))
    starts, lengths = block_starts(blocks)
    widen = study.is_cross_validated(study.tested)

    def score(some):
        pred = unit(y_pred[rows, some], blocks)
        r = correlate(unit(study.y[rows, some], blocks), pred)
        pred = pred.astype(np.float32)
        trend = center(draws.trend[rows, some], starts, lengths).astype(np.float32)
        surrogates = draws.some_columns(some)
        least = len(rows) * (1e-10 * np.abs(study.y[:, some]).max(axis=0)) ** 2  # as in unit
        null_r = np.empty((draws.n_surrogates, len(r)), dtype=np.float32)
        for k in range(draws.n_surrogates):
            bold = surrogates.bold(k)
            bold = bold if in_order else bold[place]
            bold += trend
            total = np.einsum("ij,ij->j", bold, bold)
            sums = np.add.reduceat(bold, starts, axis=0)
            within = total - np.einsum("ij,ij,i->j", sums, sums, 1 / lengths)
            varies = within > np.maximum(_CONSTANT * total, least)
            product = np.einsum("ij,ij->j", pred, bold)
            null_r[k] = np.where(varies, product / np.sqrt(np.where(varies, within, 1.0)), 0.0)
        if widen:
            # Around their mean, which a trend that stays in place may have moved away from 0.
            z = fisher_z(null_r)
            null_r[:] = np.tanh(z.mean(axis=0) + _CHANCE_COUNTS_TWICE * (z - z.mean(axis=0)))
        return r, null_r

    size = columns_at_a_time(len(draws.rows), itemsize=4)
    r, null_r = zip(*by_columns(score, study.y.shape[1], size), strict=True)
    return joined(r), joined(null_r)


def refit_draws(model, study, y_pred, draws, runner):
    """Repeat the procedure for every surrogate.

    Parameters
    ----------
    model : estimator
        Not fitted; it is cloned.
    study : Study
        The rows of the surrogates, in their order.
    y_pred : ndarray, shape (n_volumes, n_rois)
        Out-of-fold predictions of the measured BOLD, NaN in rows that no fold tests.
    draws : Surrogates
        The surrogates.
    runner : Runner
        Runs the fits.

    Returns
    -------
    r : ndarray, shape (n_rois,)
        With measured BOLD.
    null_r : ndarray, shape (n_surrogates, n_rois)
        With the surrogates.
    """
    n_rois, rows = study.y.shape[1], study.tested
    beside = max(1, _MOST_TARGETS // n_rois) if has_independent_targets(model) else 1
    key = runner.store.key
    shared = key(clone(model), study.X, study.subjects, study.folds, study.blocks)
    calls = []
    for some in gen_batches(draws.n_surrogates, beside):
        bold = np.concatenate([draws.bold(k) for k in range(some.start, some.stop)], axis=1)
        calls.append((key(shared, bold), delayed(_procedure_r)(model, study, bold)))
    null_r = np.concatenate([found for found, _ in runner.run(calls, "Null")]).reshape(-1, n_rois)
    n_failed = np.count_nonzero(~np.isfinite(null_r).all(axis=1))
    if n_failed:
        raise ValueError(
            f"the model predicts NaN or infinite values for {n_failed} of {len(null_r)} "
            f"surrogates, so p is not known; use a model that predicts numbers for any BOLD."
        )
    return block_correlation(study.y[rows], y_pred[rows], study.blocks[rows]), null_r


def _procedure_r(model, study, bold):
    rows, y_pred = study.tested, np.full(bold.shape, np.nan)
    for k, (_, test) in enumerate(study.folds):
        y_pred[test] = fit_predict(model, study, bold, k)[0]
    return block_correlation(bold[rows], y_pred[rows], study.blocks[rows]), {}


# -- the result -----------------------------------------------------------------------------------
_REPEATED = (
    "Surrogates replace BOLD in training and test, and selection and fit are repeated.",
    "Surrogates replace BOLD in scoring only; the predictions stay as they are. In "
    "cross-validation BOLD is also learned from, so the null distribution is widened by the "
    "square root of 2 in Fisher's z: the maximum for models linear in BOLD, and enough for the "
    "others that were measured.",
)
_TREND = "The slow trend of each recording stays in place, so the null need not be centered on 0."
_CORRECTED = (
    "p_max is corrected over regions by the maximum statistic.",
    "p_max is corrected over regions and models by the maximum statistic.",
)


def _summarize(study, r, null_r, draws, n, refit, confidence_level, n_models):
    edges = (1 - confidence_level) / 2, (1 + confidence_level) / 2
    ends = by_columns(lambda some: np.quantile(null_r[:, some], edges, axis=0), len(r), 1000)
    low, high = joined(ends)
    table = pd.DataFrame(
        {
            "r": r,
            "p": draws.p_value(r, null_r),
            "p_max": draws.p_value(r, null_r.max(axis=1, keepdims=True)),
            "null_mean": null_r.mean(axis=0),
            "null_low": low,
            "null_high": high,
            "n": n,
        },
        index=pd.Index(study.region_names, name="region"),
    )
    # Of 2 M shifts, p counts among M + 1 in a row.
    of = "n / 2" if draws.null == "shift" else "n"
    sentences = [
        f"p = (k + 1) / ({of} + 1), where k of the n = {draws.n_surrogates} surrogates have an r "
        f"at least as high as the measured one.",
        NULLS[draws.null].question,
        _TREND if draws.keep_trend else "",
        _REPEATED[0] if refit else _REPEATED[1],
        _CORRECTED[n_models > 1],
    ]
    question = " ".join(filter(None, sentences))
    return NullTest(table, null_r, draws.null, refit, draws.n_distinct, question)
