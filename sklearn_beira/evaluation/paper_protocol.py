"""Evaluation as in the BEIRA paper, beside an honest one."""

from textwrap import fill

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from .._utils.estimators import is_search, last_step
from .._utils.numbers import standardize
from ..eeg.windows import EEGWindows
from .cross_validation import Runner, check_models, predict_all
from .leakage import check_folds
from .metrics import block_correlation, r_interval, r_p_value, score_regions
from .study import make_study


def paper_protocol(
    model,
    X,
    y,
    *,
    cv=None,
    test_duration=60.0,
    sfreq=100.0,
    t_r=None,
    groups=None,
    n_jobs=None,
    verbose=True,
) -> pd.DataFrame:
    """Evaluate a model as in the BEIRA paper, and beside it without leaks.

    Published [1]_: the last ``test_duration`` seconds of every recording are the test. BOLD is
    scaled to mean 0 and SD 1 over the whole recording, test included, and interpolated by a cubic
    spline to ``sfreq``; no gap separates training and test. Open choices are made on the test: the
    epoch of a trained :class:`~sklearn_beira.BEIRARegressor`, and the candidate of a scikit-learn
    search, by its own ``scoring``. r is computed on the interpolated series, and p as if their
    samples were independent.

    Honest: the same model under ``cv``, fitted in every fold, with one sample per acquired volume,
    r within test blocks, and a confidence interval from the effective number of volumes.

    Parameters
    ----------
    model : estimator
        Not fitted; it is cloned. A search may be the model itself or the end of a pipeline.
    X : EEGWindows or array-like, shape (n_volumes, ...)
        EEG or its features, one row per volume.
    y : array-like or DataFrame, shape (n_volumes, n_rois) or (n_volumes,)
        Acquired BOLD.
    cv : cross-validator or None
        Splits of the honest evaluation; None uses :class:`~sklearn_beira.BlockedKFold` with five
        folds and the gap of the windows of X. Plain arrays need one.
    test_duration : float
        Length of the published test, in s.
    sfreq : float
        Rate in Hz to which the published evaluation interpolates BOLD.
    t_r : float or None
        Repetition time in s of the rows of a plain array.
    groups : array-like of shape (n_volumes,) or None
        Recording of each row of a plain array; None stands for a single one. EEGWindows know
        theirs; for them, groups are those of ``cv``.
    n_jobs : int or None
        Processes for the folds of the honest evaluation, as in joblib.
    verbose : bool
        Print both results and why they differ.

    Returns
    -------
    table : DataFrame, a row per region and a last row "mean"
        ``paper_r``, ``paper_n`` (interpolated samples), ``paper_p`` (naive, two-sided) and
        ``paper_n_eff`` (effective number of volumes in the published test); of the honest
        evaluation ``r``, ``ci_low``, ``ci_high``, ``n`` (volumes), ``n_eff`` and ``p`` as in
        :func:`~sklearn_beira.evaluation.region_scores`; ``inflation`` is ``paper_r - r``. The mean
        row holds the means of ``paper_r``, ``r`` and ``inflation``. ``table.attrs["words"]`` is the
        text that is printed.

    Raises
    ------
    ValueError
        If the times of the rows are unknown, if a recording is too short for the test, or if
        ``cv`` leaks: volumes are tested twice, or training and test volumes are mixed in time.

    Warns
    -----
    GapWarning
        If ``cv`` leaves training and test volumes close to each other.

    Notes
    -----
    Models learn from and predict acquired volumes here, and predictions are interpolated as BOLD
    is. The authors trained on interpolated BOLD. The published r is not always higher: on a test of
    a minute, chance may hide any bias.

    References
    ----------
    .. [1] Kovalev, Mikheev, Ossadtchi (2022), fMRI from EEG is only Deep Learning away: the use of
       interpretable DL to unravel EEG-fMRI relationships, arXiv 2211.02024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import paper_protocol
    >>> from sklearn_beira.evaluation import BlockedKFold
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((150, 5)), rng.standard_normal((150, 2))
    >>> cv = BlockedKFold(5, gap=10.0, t_r=2.0)
    >>> table = paper_protocol(Ridge(), X, y, cv=cv, t_r=2.0, verbose=False)
    >>> table[["paper_n", "n"]].loc["ROI 0"].tolist()
    [5801.0, 150.0]
    """
    models = {type(model).__name__: model}
    check_models(models)
    if not (test_duration > 0 and sfreq > 0):
        raise ValueError(
            f"test_duration and sfreq must be above 0, got {test_duration!r} s and {sfreq!r} Hz."
        )
    if t_r is not None and not t_r > 0:
        raise ValueError(f"t_r must be a positive time in s, got {t_r!r}.")
    study = make_study(X, y, cv, groups)
    times = _times_in_s(study, t_r)
    check_folds(models, study, needs_apart=True)

    tests = [_last_seconds(study, run, times[run], test_duration) for run in study.runs]
    test = np.concatenate(tests)
    scaled = np.empty_like(study.y)
    for run in study.runs:
        scaled[run] = standardize(study.y[run])
    fitted, choices = _fit_with_test_in_sight(model, study, scaled.reshape(np.shape(y)), tests)
    y_pred = np.full(scaled.shape, np.nan)
    y_pred[test] = np.reshape(fitted.predict(_safe_indexing(study.X, test)), (len(test), -1))
    truth, guess = _interpolate(scaled, y_pred, study.runs, tests, times, sfreq)
    paper_r = block_correlation(truth, guess, None)
    short = score_regions(
        scaled[test], y_pred[test], study.recordings[test], False, study.region_names, 0.95
    )

    predictions, _ = predict_all(models, study, Runner(n_jobs=n_jobs))
    honest = study.scores(*predictions.values(), study.tested_in_time)

    table = pd.DataFrame(
        {
            "paper_r": paper_r,
            "paper_n": len(truth),
            "paper_p": r_p_value(paper_r, len(truth), alternative="two-sided"),
            "paper_n_eff": short["n_eff"],
            **honest[["r", "ci_low", "ci_high", "n", "n_eff", "p"]],
            "inflation": paper_r - honest["r"],
        },
        index=honest.index,
    )
    table.loc["mean"] = table[["paper_r", "r", "inflation"]].mean()
    words = _in_words(table, short["n"].iloc[0], test_duration, sfreq, choices, len(study.folds))
    table.attrs["words"] = words
    if verbose:
        print(table.to_string(float_format="%.2f", formatters=_FORMATS))
        print("\n" + words)
    return table


_FORMATS = {
    **dict.fromkeys(("paper_p", "p"), "{:.1e}".format),
    **dict.fromkeys(("paper_n", "paper_n_eff", "n", "n_eff"), "{:.0f}".format),
}


# -- the published evaluation -------------------------------------------------------------------
def _times_in_s(study, t_r):
    if study.reach is not None:
        return study.times
    if t_r is None:
        raise ValueError(
            "the published test is the end of every recording in seconds, but rows of a plain "
            "array have no time; give t_r, or pass the EEGWindows that align returns."
        )
    return study.times * t_r


def _last_seconds(study, run, times, duration):
    """Return the rows of a recording within its last seconds."""
    last = times > times[-1] - duration + 1e-6
    # A cubic spline goes through four points.
    if not 4 <= last.sum() <= len(run) - 4:
        raise ValueError(
            f"recording {study.recordings[run[0]]} has {len(run)} volumes, {last.sum()} of them in "
            f"its last {duration:g} s; the published protocol needs at least 4 in the test and 4 "
            f"before it: use longer recordings or another test_duration."
        )
    return run[last]


def _interpolate(y, y_pred, runs, tests, times, sfreq):
    """Return BOLD and predictions of the test at ``sfreq``; BOLD by a spline over the whole run."""
    truth, guess = [], []
    for run, test in zip(runs, tests, strict=True):
        start, stop = times[test[[0, -1]]]
        grid = start + np.arange(int(np.floor((stop - start) * sfreq + 1e-6)) + 1) / sfreq
        truth.append(CubicSpline(times[run], y[run])(grid))
        guess.append(CubicSpline(times[test], y_pred[test])(grid))
    return np.concatenate(truth), np.concatenate(guess)


def _fit_with_test_in_sight(model, study, y, tests):
    """Fit a clone, with its open choices made on the test; return it and a clause per choice."""
    X, test = study.X, np.concatenate(tests)
    train = np.setdiff1d(np.arange(len(y)), test)
    model, choices = clone(model), []
    while is_search(search := last_step(model)):
        seen = X
        if isinstance(model, Pipeline) and len(model) > 1:
            seen = clone(model[:-1]).fit(_safe_indexing(X, train), y[train]).transform(X)
        best, choice = _choose_candidate(search, seen, y, train, test)
        choices.append(choice)
        model = best if search is model else model.set_params(**{model.steps[-1][0]: best})
    if not _stop_on_test(model, study, tests):
        return model.fit(_safe_indexing(X, train), y[train]), choices
    # Rows of a plain array have no recording for the network: its tail is the last of all rows.
    order = np.arange(len(y)) if isinstance(X, EEGWindows) else np.concatenate([train, test])
    losses = _fitted_end(model.fit(X[order], y[order])).history_[:, "valid_loss"]
    best = int(np.argmin(losses)) + 1
    choices.append(f"the weights of the epoch that was best on it, number {best} of {len(losses)}")
    return model, choices


def _choose_candidate(search, X, y, train, test):
    search = clone(search).set_params(cv=[(train, test)])
    if isinstance(search.refit, bool):  # with several metrics, refit also says which one decides
        search.set_params(refit=False)
    search.fit(X, y)
    n_candidates = len(search.cv_results_["params"])
    choice = f"the candidate with the best score on it, of {n_candidates}"
    return clone(search.estimator).set_params(**clone(search.best_params_, safe=False)), choice


def _stop_on_test(model, study, tests):
    """Make the test the validation set of the network in a model; False if none is trained."""
    for name, part in {"": model, **model.get_params(deep=True)}.items():
        training = part.get_training() if hasattr(part, "get_training") else None
        if training is not None:
            share = _test_share(study, tests)
            training = clone(training).set_params(validation_fraction=share, validation_gap=0.0)
            model.set_params(**{f"{name}__training".lstrip("_"): training})
            return True
    return False


def _fitted_end(model):
    """Return the last estimator of fitted pipelines and TransformedTargetRegressors."""
    while (inner := getattr(model, "regressor_", last_step(model))) is not model:
        model = inner
    return model


def _test_share(study, tests):
    """Return the ``validation_fraction`` whose tail is the test."""
    n, n_test = (np.array([len(rows) for rows in parts]) for parts in (study.runs, tests))
    if not isinstance(study.X, EEGWindows):
        return n_test.sum() / n.sum()
    low, high = ((n_test - 0.5) / n).max(), ((n_test + 0.5) / n).min()
    if low >= high:
        raise ValueError(
            f"recordings of {n.min()} to {n.max()} volumes differ too much in length: no single "
            f"validation_fraction of BEIRARegressor sets apart their last {n_test.min()} volumes; "
            f"evaluate recordings of one length at a time."
        )
    return float((low + high) / 2)


# -- both, in words -----------------------------------------------------------------------------
def _in_words(table, n_volumes, test_duration, sfreq, choices, n_folds):
    regions, mean = table.drop(index="mean"), table.loc["mean"]
    chance = r_interval(0.0, regions["paper_n_eff"].median())[1]
    chosen = "This model leaves nothing to choose on the test."
    if choices:
        chosen = f"The test was also used in the fit, which chose {' and '.join(choices)}."
    lucky = ""
    if mean["inflation"] < 0:
        lucky = "On a test this short, chance can outweigh every bias."
    elif mean["inflation"] < chance:
        lucky = "On a test this short, chance alone can make such a difference."
    text = f"""
        The published protocol gives a mean r of {mean["paper_r"]:.2f}, the honest one
        {mean["r"]:.2f}: a difference of {mean["inflation"]:+.2f}. The published test, the last
        {test_duration:g} s of every recording, holds {n_volumes} acquired volumes, worth about
        {regions["paper_n_eff"].median():.0f} independent ones; unrelated series correlate beyond
        ±{chance:.2f} one time in twenty. Interpolation to {sfreq:g} Hz makes
        {regions["paper_n"].iloc[0]:,.0f} samples of them without any information; paper_p counts
        each as independent. {chosen} BOLD was scaled and interpolated with the test in it, and no
        gap separates test and training. {lucky} The honest figure predicts
        {regions["n"].iloc[0]:.0f} acquired volumes out of fold ({n_folds} folds), worth about
        {regions["n_eff"].median():.0f} independent ones. Report this one, with its interval.
    """
    return fill(" ".join(text.split()), 88)
