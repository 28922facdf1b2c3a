"""What nulls assume of BOLD, and what is said where it does not hold."""

import itertools

import numpy as np
import pandas as pd
from scipy.signal import detrend
from scipy.stats import kurtosis
from sklearn.utils import check_random_state

from .._utils.numbers import standardize, to_numbers, varying
from .._utils.warn import warn_user
from ..exceptions import StationarityWarning
from .cross_validation import may_select
from .metrics import ALPHA, influence_of_volumes, region_scores
from .smoothness import fit_smoothness, scatter_of_r
from .surrogates import NULLS

# Stretches of others' BOLD from which a null can be drawn without a warning.
_ENOUGH_OTHERS = 5
# Tails of BOLD are warned of from this excess kurtosis on, if so few of the draws have it.
_MOST_KURTOSIS, _RARE, _FEW_DRAWS = 10.0, 0.02, 60
# How many times as much r of unrelated BOLD may scatter (variance) as draws of other recordings. Of
# recordings that are alike the estimate is seldom above (benchmarks/false_findings.py, others): the
# median over regions, and that of the one region where it is highest.
_MOST_SCATTER, _MOST_SCATTER_OF_ONE = 1.35, 2.0
# From so many folds on, p of kept predictions is too low for models that select features
# (benchmarks/false_findings.py, kept).
_MANY_FOLDS = 10
# A finding that n_eff does not confirm is doubted where r scatters so many times as much as that of
# volumes that count alike (benchmarks/false_findings.py, bursts).
_MOST_INFLUENCE = 1.5
# 5 % and 1 % points of the statistic of stationarity around a linear trend (True) and around a
# constant level (Kwiatkowski et al. 1992, table 1).
_KPSS_CRITICAL = {True: (0.146, 0.216), False: (0.463, 0.739)}


def kpss(series, *, trend=True):
    """Kwiatkowski-Phillips-Schmidt-Shin statistic of stationarity.

    Parameters
    ----------
    series : array-like, shape (n_volumes,) or (n_volumes, n_series)
        Series, equally spaced in time.
    trend : bool
        Test for stationarity around a linear trend, or around a constant level.

    Returns
    -------
    statistic : float or ndarray of shape (n_series,)
        Large where the series wanders. Around a trend, stationarity is rejected above .146 (5 %) or
        .216 (1 %), around a level above .463 or .739. The long-run variance is Newey and West's
        with 12 (n / 100)^(1/4) lags.

    References
    ----------
    Kwiatkowski, Phillips, Schmidt, Shin (1992), Testing the null hypothesis of stationarity against
    the alternative of a unit root, Journal of Econometrics 54.
    """
    series = to_numbers(series, "series")
    if series.ndim not in (1, 2) or not series.size or not np.isfinite(series).all():
        raise ValueError(
            f"series must hold finite numbers, (n_volumes,) or (n_volumes, n_series), got shape "
            f"{series.shape}."
        )
    x = detrend(series, 0, "linear" if trend else "constant")
    n = len(x)
    n_lags = min(n - 1, int(np.ceil(12 * (n / 100) ** 0.25)))
    variance = (x**2).sum(axis=0)
    for lag in range(1, n_lags + 1):
        variance = variance + 2 * (1 - lag / (n_lags + 1)) * (x[lag:] * x[:-lag]).sum(axis=0)
    sums = (np.cumsum(x, axis=0) ** 2).sum(axis=0)
    varies = (x**2).sum(axis=0) > 1e-20 * (1 + np.square(series).sum(axis=0))
    return np.where(varies, sums / n / np.where(varies, variance, 1.0), 0.0)[()]


# -- before anything is fitted ------------------------------------------------------------------
def check_others(others, study, longest):
    """Check the BOLD of other recordings, one of which has to be as long as the longest in X."""
    if not isinstance(others, list | tuple):
        raise TypeError(
            f"other_bold must be a list of BOLD tables, one per recording, got "
            f"{type(others).__name__}; put a single one in a list."
        )
    others = [np.atleast_1d(to_numbers(o, f"other_bold[{k}]")) for k, o in enumerate(others)]
    others = [other.reshape(len(other), -1) for other in others]
    n_rois = study.y.shape[1]
    for k, other in enumerate(others):
        if other.shape[1] != n_rois or not np.isfinite(other).all():
            raise ValueError(
                f"other_bold[{k}] must hold finite BOLD of the {n_rois} region(s) of y, got shape "
                f"{other.shape}."
            )
    for k, run in itertools.product(range(len(others)), study.runs()):
        if len(others[k]) == len(run) and np.array_equal(others[k], study.y[run]):
            raise ValueError(
                f"other_bold[{k}] is the BOLD of y itself; give that of other recordings."
            )
    standard = [standardize(other) for other in others]
    for i, j in itertools.combinations(range(len(others)), 2):
        one, other = standard[i], standard[j]
        if one.shape != other.shape or len(one) < 3:
            continue
        # The first volume tells most of them apart.
        if all(np.allclose(a, b, atol=1e-6) for a, b in ((one[0], other[0]), (one, other))):
            raise ValueError(
                f"other_bold[{i}] and other_bold[{j}] are the same BOLD; give that of each "
                f"recording once."
            )
    n_stretches = sum(len(other) // longest for other in others)
    if not n_stretches:
        raise ValueError(
            f"none of other_bold has the {longest} volumes of the longest recording; give longer "
            f"ones."
        )
    if n_stretches < _ENOUGH_OTHERS:
        warn_user(
            f"other_bold holds only {n_stretches} stretch(es) of {longest} volumes that do not "
            f"overlap: draws from them resemble each other, and p is rough. Give the BOLD of at "
            f"least {_ENOUGH_OTHERS} other recordings."
        )
    return others


def scatter_beside_draws(y, runs, others):
    """Compare how much r of unrelated BOLD scatters with what draws of recordings will tell.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD that is exchanged.
    runs : list of ndarray of int
        Rows of each recording, in order of time.
    others : list of ndarray of shape (n, n_rois) or None
        What it is exchanged for; None stands for the other recordings in y.

    Returns
    -------
    ratio : ndarray of shape (n_rois,)
        Of the variances, for predictions that are as smooth as BOLD; 1 where recordings are alike.
    usual : float
        The highest that there is of one of the others, if it is exchanged for the rest; 1 without.
    """
    lengths = np.array([len(run) for run in runs])
    own = _smoothness_of([y[run] for run in runs])
    if others is None:
        measured, exchanged = _scatter(own, own, itself=False)
        usual = 1.0
    else:
        drawn = _smoothness_of([other for other in others if len(other) >= lengths.min()])
        measured, exchanged = _scatter(own, drawn)
        usual = np.divide(*_scatter(drawn, drawn, itself=False)).max() if len(drawn) > 1 else 1.0
    return (lengths @ measured) / (lengths @ exchanged), float(usual)


def _smoothness_of(recordings):
    return np.array([fit_smoothness(y, [np.arange(len(y))])[1] for y in recordings])


def _scatter(these, those, *, itself=True):
    """Scatter of r of each with BOLD like its own, and with that of those, but for ``itself``."""
    exchanged = []
    for k, one in enumerate(these):
        partners = those if itself else np.delete(those, k, axis=0)
        exchanged.append(scatter_of_r(one, partners).mean(axis=0))
    return scatter_of_r(these, these), np.array(exchanged)


def check_alike(y, runs, others, region_names):
    """Notice recordings that change places but whose BOLD is not equally smooth.

    Parameters
    ----------
    y, runs, others
        As in :func:`scatter_beside_draws`.
    region_names : list of str
        Regions.

    Warns
    -----
    StationarityWarning
        If r of unrelated BOLD scatters more than draws will, in most regions, or in one of them by
        more than a single recording of the others would.
    """
    ratio, usual = scatter_beside_draws(y, runs, others)
    middle, worst = np.median(ratio), ratio.argmax()
    if middle <= _MOST_SCATTER and ratio[worst] <= max(_MOST_SCATTER_OF_ONE, usual):
        return
    most = middle > _MOST_SCATTER
    where = "median over regions" if most else f"of {region_names[worst]}"
    warn_user(
        f"null='swap' assumes that BOLD of recordings is exchangeable, but the "
        f"recordings {'' if others is None else 'in other_bold '}are not equally smooth: r of "
        f"unrelated BOLD scatters {middle if most else ratio[worst]:.1f} times as much as in the "
        f"draws (variance, {where}), and p is too low. Give recordings that were measured and "
        f"preprocessed alike, or use null='phase'.",
        StationarityWarning,
    )


def check_stationary(study, runs, null, keep_trend):
    """Notice BOLD that wanders, be it around its slow trend where that stays in place."""
    statistics = np.concatenate([kpss(study.y[run], trend=keep_trend) for run in runs])
    names = [f"{name} of recording {k}" for k in range(len(runs)) for name in study.region_names]
    # Family-wise 5 % over all series. The tail between the two points that are tabled is taken to
    # go on exponentially.
    low, high = _KPSS_CRITICAL[bool(keep_trend)]
    level = min(ALPHA / len(names), 0.01)
    critical = high + (high - low) * np.log(0.01 / level) / np.log(0.05 / 0.01)
    drifting = np.flatnonzero(statistics > critical)
    if len(drifting):
        worst = int(np.argmax(statistics))
        around = "trend" if keep_trend else "level where keep_trend=False"
        warn_user(
            f"null={null!r} assumes BOLD that is stationary around its {around}, but the KPSS test "
            f"(Kwiatkowski et al. 1992) rejects it for {len(drifting)} of {len(names)} series "
            f"(most for {names[worst]}: {statistics[worst]:.2f} > {critical:.2f}); "
            f"{'detrend the BOLD' if keep_trend else 'keep the trend'}, or use null='swap' with "
            f"other recordings.",
            StationarityWarning,
        )


def check_gaussian(study, runs, trend):
    """Notice BOLD with far heavier tails than draws of random phases, which are near Gaussian."""
    varies, found = varying(study.y), np.zeros(study.y.shape[1])
    found[varies] = kurtosis(study.y[:, varies], axis=0)
    if found.max() < _MOST_KURTOSIS:
        return
    draws = NULLS["phase"](study.y - trend, runs, _FEW_DRAWS, check_random_state(0)).on(trend)
    tails = np.argsort(-found)[:100]
    highest = [kurtosis(draws.bold(k)[:, tails], axis=0).max() for k in range(draws.n_surrogates)]
    if (1 + np.sum(highest >= found.max())) / (1 + len(highest)) <= _RARE:
        worst = study.region_names[tails[0]]
        warn_user(
            f"null='phase' assumes Gaussian BOLD, but that of {worst} has an excess kurtosis of "
            f"{found.max():.1f} (its draws: at most {max(highest):.1f}): a few volumes, such as "
            f"those of a motion, may decide r, and p may be too low. Leave these volumes out "
            f"(annotate them as BAD before align), or use null='swap' with other recordings.",
            StationarityWarning,
        )


def check_kept(models, study):
    """Notice models whose kept predictions may follow chance more than draws can tell.

    Parameters
    ----------
    models : dict of str to estimator
        Models.
    study : Study
        Samples and folds.
    """
    if len(study.folds) < _MANY_FOLDS or not study.is_cross_validated(study.tested):
        return
    names = [repr(name) for name, model in models.items() if may_select(model)]
    if names:
        warn_user(
            f"{', '.join(names)} may choose by BOLD what to read. With {len(study.folds)} folds, "
            f"whose training data are nearly the same, the p of kept predictions may then be too "
            f"low. Use a test that refits, or fewer folds."
        )


# -- of what was found ---------------------------------------------------------------------------
def check_findings(tests, study, predictions):
    """Notice findings that few volumes decide, in which EEG and BOLD are loud at the same time.

    Parameters
    ----------
    tests : dict of str to NullTest
        Of each model.
    study : Study
        Samples and folds.
    predictions : dict of str to ndarray of shape (n_volumes, n_rois)
        Out-of-fold predictions, NaN where there is none.

    Warns
    -----
    StationarityWarning
        If there is such a finding; the words are those of the worst.
    """
    findings, rows = [], study.tested
    for name, test in tests.items():
        found = np.flatnonzero(test.table["p"] <= ALPHA)
        if not len(found):
            continue
        given = study.y[rows][:, found], predictions[name][rows][:, found]
        scores = region_scores(
            *given,
            blocks=study.blocks[rows],
            cross_validated=study.is_cross_validated(rows),
            region_names=test.table.index[found],
        )
        scores = scores.assign(
            influence=influence_of_volumes(*given, study.blocks[rows]),
            p_of_null=test.table["p"].to_numpy()[found],
            model=name,
        )
        findings.append(scores[(scores["p"] > ALPHA) & (scores["influence"] > _MOST_INFLUENCE)])
    findings = pd.concat(findings) if findings else ()
    if len(findings):
        worst = findings.iloc[findings["influence"].argmax()]
        warn_user(
            f"few volumes decide the r of {worst['model']!r} in {worst.name}: it scatters "
            f"{worst['influence']:.1f} times as much (variance) as if all counted alike. p is "
            f"{worst['p_of_null']:.2g} by the null, but {worst['p']:.2g} by n_eff, which allows "
            f"for that. Prediction and BOLD are loud at the same time, as in motion, and draws "
            f"are not. Annotate these volumes as BAD before align, which leaves them out.",
            StationarityWarning,
        )
