"""Assumptions of the nulls about BOLD, and warnings where they do not hold."""

import itertools

import numpy as np
from scipy.signal import detrend
from scipy.stats import kurtosis
from sklearn.utils import check_random_state

from .._utils.numbers import standardize, to_numbers, varying
from .._utils.warn import warn_user
from ..exceptions import StationarityWarning
from .cross_validation import may_select
from .metrics import ALPHA
from .smoothness import fit_smoothness, scatter_of_r
from .surrogates import NULLS

# Stretches of other BOLD that a null can be drawn from without a warning.
_ENOUGH_OTHERS = 5
# Tails of BOLD are warned of above this excess kurtosis, if so few of the surrogates have it.
_MOST_KURTOSIS, _RARE, _FEW_DRAWS = 10.0, 0.02, 60
# Highest variance of r of unrelated BOLD over that of surrogates from other recordings: of the
# median over regions, and of one region. The estimate is seldom higher for recordings that are
# alike (benchmarks/false_findings.py, others).
_MOST_SCATTER, _MOST_SCATTER_OF_ONE = 1.35, 2.0
# With so many folds, p of fixed predictions is too low for models that select features
# (benchmarks/false_findings.py, fixed).
_MANY_FOLDS = 10
# 5 % and 1 % points of the statistic of stationarity around a linear trend (True) and around a
# constant level (Kwiatkowski et al. 1992, table 1).
_KPSS_CRITICAL = {True: (0.146, 0.216), False: (0.463, 0.739)}


def kpss(series, *, trend: bool = True) -> float | np.ndarray:
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
        Large if the series is not stationary: above .146 (5 %) or .216 (1 %) around a trend, above
        .463 or .739 around a level. The long-run variance is Newey and West's with
        12 (n / 100)^(1/4) lags.

    References
    ----------
    Kwiatkowski, Phillips, Schmidt, Shin (1992), Testing the null hypothesis of stationarity against
    the alternative of a unit root, Journal of Econometrics 54.
    """
    series = to_numbers(series, "series")
    x = detrend(series, 0, "linear" if trend else "constant")
    n = len(x)
    n_lags = min(n - 1, int(np.ceil(12 * (n / 100) ** 0.25)))
    variance = (x**2).sum(axis=0)
    for lag in range(1, n_lags + 1):
        variance = variance + 2 * (1 - lag / (n_lags + 1)) * (x[lag:] * x[:-lag]).sum(axis=0)
    sums = (np.cumsum(x, axis=0) ** 2).sum(axis=0)
    varies = (x**2).sum(axis=0) > 1e-20 * (1 + np.square(series).sum(axis=0))
    return np.where(varies, sums / n / np.where(varies, variance, 1.0), 0.0)[()]


def check_other_bold(other_bold, study):
    """Check the BOLD of other recordings, one of which has to be as long as the longest in X.

    Parameters
    ----------
    other_bold : list of array-like of shape (n, n_rois)
        As given.
    study : Study
        Samples.

    Returns
    -------
    others : list of ndarray of shape (n, n_rois)
        The same numbers.
    """
    others = [np.atleast_1d(to_numbers(o, f"other_bold[{k}]")) for k, o in enumerate(other_bold)]
    others = [other.reshape(len(other), -1) for other in others]
    n_rois = study.y.shape[1]
    for k, other in enumerate(others):
        if other.shape[1] != n_rois or not np.isfinite(other).all():
            raise ValueError(
                f"other_bold[{k}] must hold finite BOLD of the {n_rois} region(s) of y, got shape "
                f"{other.shape}."
            )
        if any(np.array_equal(other, study.y[run]) for run in study.runs):
            raise ValueError(
                f"other_bold[{k}] is the BOLD of y itself; give that of other recordings."
            )
    standard = [standardize(other) for other in others]
    for i, j in itertools.combinations(range(len(others)), 2):
        one, other = standard[i], standard[j]
        if one.shape == other.shape and len(one) > 2 and np.allclose(one, other, atol=1e-6):
            raise ValueError(
                f"other_bold[{i}] and other_bold[{j}] are the same BOLD; give that of each "
                f"recording once."
            )
    longest = max(map(len, study.runs))
    n_stretches = sum(len(other) // longest for other in others)
    if not n_stretches:
        raise ValueError(
            f"none of other_bold has the {longest} volumes of the longest recording; give longer "
            f"ones."
        )
    if n_stretches < _ENOUGH_OTHERS:
        warn_user(
            f"p is rough: other_bold holds only {n_stretches} stretch(es) of {longest} volumes "
            f"that do not overlap; give the BOLD of at least {_ENOUGH_OTHERS} other recordings."
        )
    return others


def scatter_beside_draws(y, runs, others):
    """Compare how much r of unrelated BOLD scatters with r of surrogates of other recordings.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD that is exchanged.
    runs : list of ndarray of int
        Rows of each recording, in order of time.
    others : list of ndarray of shape (n, n_rois) or None
        Recordings it is exchanged for; None stands for the other recordings in y.

    Returns
    -------
    ratio : ndarray of shape (n_rois,)
        Ratio of the variances, for predictions as smooth as BOLD; 1 if recordings are alike.
    usual : float
        The highest ratio of one of the others, if it is exchanged for the rest; 1 without others.
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
    """Return the scatter of r with BOLD like one's own, and with that of those (without itself)."""
    exchanged = []
    for k, one in enumerate(these):
        partners = those if itself else np.delete(those, k, axis=0)
        exchanged.append(scatter_of_r(one, partners).mean(axis=0))
    return scatter_of_r(these, these), np.array(exchanged)


def check_alike(y, runs, others, region_names):
    """Warn if the BOLD of recordings that are exchanged is not equally smooth.

    Parameters
    ----------
    y, runs, others : object
        As in :func:`scatter_beside_draws`.
    region_names : list of str
        Regions.

    Returns
    -------
    ratio : ndarray of shape (n_rois,)
        As in :func:`scatter_beside_draws`.

    Warns
    -----
    StationarityWarning
        If r of unrelated BOLD scatters more than that of surrogates, in most regions, or in one of
        them by more than for a single recording of the others.
    """
    ratio, usual = scatter_beside_draws(y, runs, others)
    middle, worst = np.median(ratio), ratio.argmax()
    if middle > _MOST_SCATTER or ratio[worst] > max(_MOST_SCATTER_OF_ONE, usual):
        warn_user(
            f"p of null='swap' is too low: recordings are not equally smooth, and r of unrelated "
            f"BOLD scatters more than that of surrogates (variance ratio, median {middle:.1f}, "
            f"highest {ratio[worst]:.1f} in {region_names[worst]}); use recordings that were "
            f"measured and preprocessed alike, or null='phase'.",
            StationarityWarning,
        )
    return ratio


def check_stationary(study, null, keep_trend):
    """Warn of BOLD that is not stationary, around its slow trend if that stays in place."""
    statistics = np.concatenate([kpss(study.y[run], trend=keep_trend) for run in study.runs])
    # Family-wise 5 % over all series. The tail between the two tabled points is taken to continue
    # exponentially.
    low, high = _KPSS_CRITICAL[bool(keep_trend)]
    level = min(ALPHA / len(statistics), 0.01)
    critical = high + (high - low) * np.log(0.01 / level) / np.log(0.05 / 0.01)
    n_drifting = np.count_nonzero(statistics > critical)
    if n_drifting:
        run, region = divmod(int(np.argmax(statistics)), len(study.region_names))
        recording = study.recordings[study.runs[run][0]]
        warn_user(
            f"null={null!r} assumes stationary BOLD, but the KPSS test rejects it for {n_drifting} "
            f"of {len(statistics)} series (most for {study.region_names[region]} of recording "
            f"{recording}: {statistics.max():.2f} > {critical:.2f}); use keep_trend=True and "
            f"detrended BOLD, or null='swap' with other recordings.",
            StationarityWarning,
        )


def check_gaussian(study, trend):
    """Warn of BOLD with far heavier tails than surrogates of random phases."""
    varies, found = varying(study.y), np.zeros(study.y.shape[1])
    found[varies] = kurtosis(study.y[:, varies], axis=0)
    if found.max() < _MOST_KURTOSIS:
        return
    rng, tails = check_random_state(0), np.argsort(-found)[:100]
    trend = trend[:, tails]
    draws = NULLS["phase"](study.y[:, tails] - trend, study.runs, _FEW_DRAWS, rng).on(trend)
    highest = [kurtosis(draws.bold(k), axis=0).max() for k in range(draws.n_surrogates)]
    if (1 + np.sum(highest >= found.max())) / (1 + len(highest)) <= _RARE:
        warn_user(
            f"null='phase' assumes Gaussian BOLD, but that of {study.region_names[tails[0]]} has "
            f"an excess kurtosis of {found.max():.1f} (surrogates: at most {max(highest):.1f}); "
            f"annotate its bursts, such as motion, as BAD before align, or use null='swap' with "
            f"other recordings.",
            StationarityWarning,
        )


def check_fixed(models, study):
    """Warn of models that select features, whose fixed predictions follow chance in many folds.

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
            f"p of fixed predictions may be too low with {len(study.folds)} folds for models that "
            f"may select features using BOLD ({', '.join(names)}); use refit=True, or fewer than "
            f"{_MANY_FOLDS} folds."
        )
