"""Scores of predicted BOLD per region: correlation, effective volumes, intervals and p values."""

from numbers import Real

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import make_scorer, mean_squared_error, r2_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from .._utils.numbers import check_bold, check_names, to_numbers
from .effective_n import independent_volumes, influence_ratio

# Default level of significance.
ALPHA = 0.05
# Influence of single volumes that is more than that of Gaussian BOLD.
_MUCH_INFLUENCE = 1.5


def pearson_r(y_true, y_pred, *, blocks=None, multioutput="uniform_average") -> float | np.ndarray:
    """Pearson correlation over volumes, per region.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n_volumes,) or (n_volumes, n_rois)
        Measured and predicted BOLD.
    blocks : array-like of shape (n_volumes,) or None
        Label of each volume's test block (fold and recording). Both series are centered within
        each block, which removes the offsets between the models of different folds and the slow
        drift of BOLD from block to block. None takes all volumes as one block.
    multioutput : {"uniform_average", "raw_values"} or array-like of shape (n_rois,)
        The mean over regions, one value per region, or a weighted mean.

    Returns
    -------
    r : float or ndarray of shape (n_rois,)
        Correlation; 0 if one of the two series is constant in every block.

    Examples
    --------
    >>> from sklearn_beira.evaluation import pearson_r
    >>> round(float(pearson_r([1.0, 2.0, 3.0], [2.0, 4.0, 6.5])), 3)
    0.998
    >>> pearson_r([1.0, 2.0, 8.0, 9.0], [5.0, 6.0, 1.0, 2.0], blocks=[0, 0, 1, 1])
    1.0
    """
    true, pred, _ = unit_pair(*_check_pair(y_true, y_pred), _block_codes(blocks, len(y_true)))
    r = correlate(true, pred)
    if isinstance(multioutput, str):
        if multioutput not in ("raw_values", "uniform_average"):
            known = "'uniform_average', 'raw_values' or weights"
            raise ValueError(f"multioutput must be {known}, got {multioutput!r}.")
        return r if multioutput == "raw_values" else float(r.mean())
    weights = to_numbers(multioutput, "multioutput")
    if weights.shape != r.shape or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(
            f"multioutput must hold one weight of at least 0 for each of the {len(r)} regions, and "
            f"not zeros alone, got {multioutput!r}."
        )
    return float(np.average(r, weights=weights))


def effective_n(y_true, y_pred, *, blocks=None, method: str = "xdf") -> np.ndarray:
    r"""Number of independent volumes that would give r the variance it has.

    Both series are autocorrelated, so that neighboring volumes are nearly redundant. If the two are
    not coupled, r has the variance

    .. math:: V = tr(C \Sigma_x C \Sigma_y) / (tr(C \Sigma_x) \, tr(C \Sigma_y)),
        \qquad n_{eff} = 1 + 1 / V,

    where :math:`C` centers within blocks and the covariances :math:`\Sigma` of volumes depend on
    their lag alone. In one long block this is Bartlett's [1]_
    :math:`n / (1 + 2 \sum_k (1 - k / n) \rho_x(k) \rho_y(k))`.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n_volumes,) or (n_volumes, n_rois)
        Measured and predicted BOLD. The rows of one block must be in order of time, equally spaced.
    blocks : array-like of shape (n_volumes,) or None
        Label of each volume's test block, as in :func:`pearson_r`. No lag spans two blocks.
    method : {"xdf", "bartlett"}
        "bartlett" uses the two autocorrelations. "xdf" also uses the cross-correlations, which
        change the variance if the series are coupled [2]_, and the influence of single volumes on r
        [4]_: a few volumes drive r if both series have high amplitude at the same time, as in
        motion. "xdf" is never above "bartlett".

    Returns
    -------
    n_eff : ndarray of shape (n_rois,)
        Effective number of volumes, between 3 and that of white noise,
        ``n_volumes - n_blocks + 1``; 3 if a series is constant.

    Notes
    -----
    Covariances are taken up to lag :math:`2 \sqrt n`, at most half a block; the upper half of the
    lags is tapered to 0. Centring makes those of short blocks too small; this bias is linear in the
    true ones and solved for, as [3]_ does for residuals. The variance of [2]_ enters as its ratio
    to Bartlett's, that of [4]_ as its ratio to the one of Gaussian series, less the SD that the
    ratio has in those. Ratios below 1 count as 1: in short series they are mostly noise.

    Both series are taken as given. A prediction by cross-validation is not: see
    :func:`region_scores`.

    ``benchmarks/interval_coverage.py`` measures the coverage of the 95 % intervals that follow.
    They are too wide if one series is white and the two are coupled, as n_eff never exceeds the
    number of volumes, and somewhat too wide for a single block of few, very smooth volumes.

    References
    ----------
    .. [1] Bartlett (1935), Some aspects of the time-correlation problem in regard to tests of
       significance, Journal of the Royal Statistical Society 98; (1946), On the theoretical
       specification and sampling properties of autocorrelated time-series, Supplement to the
       Journal of the Royal Statistical Society 8, doi 10.2307/2983611.
    .. [2] Afyouni, Smith, Nichols (2019), Effective degrees of freedom of the Pearson's correlation
       coefficient under autocorrelation, NeuroImage 199, doi 10.1016/j.neuroimage.2019.05.011.
    .. [3] Worsley et al. (2002), A general statistical analysis for fMRI data, NeuroImage 15,
       doi 10.1006/nimg.2001.0933.
    .. [4] Devlin, Gnanadesikan, Kettenring (1975), Robust estimation and outlier detection with
       correlation coefficients, Biometrika 62, doi 10.1093/biomet/62.3.531.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> from sklearn_beira.evaluation import effective_n
    >>> smooth = lfilter([1], [1, -0.75], np.random.default_rng(0).standard_normal((2, 400)))
    >>> n_eff = effective_n(*smooth)
    >>> bool(80 < n_eff[0] < 160)
    True
    """
    if method not in ("xdf", "bartlett"):
        raise ValueError(f"method must be 'xdf' or 'bartlett', got {method!r}.")
    x, y, codes = unit_pair(*_check_pair(y_true, y_pred), _block_codes(blocks, len(y_true)))
    return independent_volumes(x, y, codes, correlate(x, y) if method == "xdf" else None)


def r_interval(r, n_eff, *, confidence_level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of a correlation, through Fisher's z.

    Parameters
    ----------
    r : array-like
        Correlations.
    n_eff : array-like
        Effective number of volumes behind each, see :func:`effective_n`; broadcast with ``r``.
    confidence_level : float
        Probability that the interval covers.

    Returns
    -------
    low, high : ndarray
        Limits, of the broadcast shape of ``r`` and ``n_eff``. With 3 effective volumes or fewer
        the interval is (-1, 1); NaN stays NaN.

    Examples
    --------
    >>> from sklearn_beira.evaluation import r_interval
    >>> low, high = r_interval(0.5, 50)
    >>> round(float(low), 2), round(float(high), 2)
    (0.26, 0.68)
    """
    r, n_eff = _check_r(r, n_eff)
    check_confidence_level(confidence_level)
    spread = stats.norm.ppf((1 + confidence_level) / 2) / np.sqrt(np.maximum(n_eff - 3, 1e-300))
    with np.errstate(divide="ignore"):
        z = np.arctanh(r)
    low, high = np.tanh(z - spread), np.tanh(z + spread)
    known = ~(n_eff <= 3)
    return np.where(known, low, -1.0), np.where(known, high, 1.0)


def r_p_value(r, n_eff, *, alternative: str = "greater") -> np.ndarray:
    """Probability of such a correlation if there is none, from the t distribution.

    Parameters
    ----------
    r : array-like
        Correlations.
    n_eff : array-like
        Effective number of volumes behind each, see :func:`effective_n`; broadcast with ``r``.
    alternative : {"greater", "less", "two-sided"}
        Alternative hypothesis.

    Returns
    -------
    p : ndarray
        The probabilities; 1 with 2 effective volumes or fewer. NaN stays NaN.

    Examples
    --------
    >>> from sklearn_beira.evaluation import r_p_value
    >>> round(float(r_p_value(0.3, 50)), 3)
    0.017
    """
    r, n_eff = _check_r(r, n_eff)
    tails = {"greater": r, "less": -r, "two-sided": np.abs(r)}
    if not isinstance(alternative, str) or alternative not in tails:
        raise ValueError(f"alternative must be one of {sorted(tails)}, got {alternative!r}.")
    df = np.maximum(n_eff - 2, 1e-300)
    with np.errstate(divide="ignore"):
        t = tails[alternative] * np.sqrt(df / (1 - r**2))
    p = stats.t.sf(t, df) * (2 if alternative == "two-sided" else 1)
    return np.where(n_eff <= 2, 1.0, p)


def region_scores(
    y_true, y_pred, *, blocks=None, cross_validated="auto", region_names=None, confidence_level=0.95
) -> pd.DataFrame:
    r"""Table of scores, a row per region.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n_volumes,) or (n_volumes, n_rois)
        Measured and predicted BOLD.
    blocks : array-like of shape (n_volumes,) or None
        Label of each volume's test block, as in :func:`pearson_r`.
    cross_validated : bool or "auto"
        Whether models of some of these volumes were trained on others of them, so that the BOLD of
        each block is learned from as well as tested against. "auto" is True if there are several
        blocks; use False if one model predicted them all.
    region_names : list of str or None
        Names of the regions; None takes those of ``y_true`` if it is a DataFrame, else numbers.
    confidence_level : float
        Level of the confidence interval.

    Returns
    -------
    scores : DataFrame, a row per region
        Columns ``r`` (:func:`pearson_r`), ``r2`` and ``mse`` (scikit-learn's, on the volumes as
        they are, blocks or not), ``n`` (volumes), ``n_eff`` (:func:`effective_n`, and what
        cross-validation leaves of it), ``ci_low`` and ``ci_high`` (:func:`r_interval`), ``p``
        (:func:`r_p_value`, one-sided) and ``influence``: the variance of r from the influence of
        single volumes, relative to Gaussian volumes [1]_. It is about 1 if all volumes count
        alike, and larger if a few high-amplitude volumes (for example motion) drive r.

    Notes
    -----
    In cross-validation, chance counts twice: if two blocks agree by chance on the relation of EEG
    and BOLD, each predicts the other. A prediction linear in the training BOLD is
    :math:`\hat y = H y`, where :math:`H` is 0 within blocks, and for white BOLD without coupling

    .. math:: \operatorname{var}(y^\top H y) \propto \|H\|^2 + \operatorname{tr}(H^2)
              \le 2 \|H\|^2,

    twice the variance of a prediction that is independent of :math:`y`. If EEG predicts BOLD, this
    holds only for the share of noise in the prediction, at most :math:`1 - r^2`. So

    .. math:: n_{eff} \to 3 + (n_{eff} - 3) / (2 - r^2).

    ``benchmarks/interval_coverage.py`` measures the coverage of the intervals that follow.

    References
    ----------
    .. [1] Devlin, Gnanadesikan, Kettenring (1975), Robust estimation and outlier detection with
       correlation coefficients, Biometrika 62, doi 10.1093/biomet/62.3.531.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.evaluation import region_scores
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal((100, 2))
    >>> region_scores(y, y + rng.standard_normal((100, 2)), region_names=["a", "b"]).index.tolist()
    ['a', 'b']
    """
    check_confidence_level(confidence_level)
    if cross_validated not in (True, False, "auto"):
        raise ValueError(f"cross_validated must be a bool or 'auto', got {cross_validated!r}.")
    names = _region_names(y_true, region_names)
    y_true, y_pred = _check_pair(y_true, y_pred)
    blocks, n_rois = _block_codes(blocks, len(y_true)), y_true.shape[1]
    names = range(n_rois) if names is None else names
    if len(y_true) < 2:
        raise ValueError(f"scores need at least 2 volumes, got {len(y_true)}.")
    if cross_validated == "auto":
        cross_validated = blocks.max() > 0
    return score_regions(y_true, y_pred, blocks, cross_validated, names, confidence_level)


def score_regions(y_true, y_pred, blocks, cross_validated, region_names, confidence_level):
    """Score regions as :func:`region_scores` does, without its checks.

    Parameters
    ----------
    y_true, y_pred : ndarray of float64, shape (n_volumes, n_rois)
        Measured and predicted BOLD.
    blocks : ndarray of int, shape (n_volumes,)
        Test block of each volume.
    cross_validated : bool
        As in :func:`region_scores`.
    region_names : list
        Names of the regions.
    confidence_level : float
        Level of the confidence interval.

    Returns
    -------
    scores : DataFrame, a row per region
        As in :func:`region_scores`.
    """
    x, y, codes = unit_pair(y_true, y_pred, blocks)
    r = correlate(x, y)
    n_eff = independent_volumes(x, y, codes, r)
    if cross_validated:
        n_eff = np.where(n_eff > 3, 3 + (n_eff - 3) / (2 - r**2), n_eff)
    low, high = r_interval(r, n_eff, confidence_level=confidence_level)
    return pd.DataFrame(
        {
            "r": r,
            "r2": r2_score(y_true, y_pred, multioutput="raw_values"),
            "mse": mean_squared_error(y_true, y_pred, multioutput="raw_values"),
            "n": len(y_true),
            "n_eff": n_eff,
            "ci_low": low,
            "ci_high": high,
            "p": r_p_value(r, n_eff),
            "influence": influence_ratio(x, y, r),
        },
        index=pd.Index(region_names, name="region", tupleize_cols=False),
    )


def group_scores(r, *, overlap: float = 0.0, confidence_level: float = 0.95) -> pd.DataFrame:
    r"""Table of group scores, a row per region; the subject is the unit.

    Parameters
    ----------
    r : array-like or DataFrame, shape (n_subjects, n_rois)
        Correlation of every subject in every region.
    overlap : float
        Volumes of a subject relative to those of other subjects that its model was trained on; 0
        if every subject has models of its own. Models that share training data have correlated
        errors: the variance of the mean of z is :math:`(1 / k + overlap) s^2` for k subjects [1]_.
    confidence_level : float
        Level of the confidence interval.

    Returns
    -------
    scores : DataFrame, a row per region
        Columns ``r`` (mean over subjects, through Fisher's z), ``n_subjects``, ``ci_low`` and
        ``ci_high`` (t interval of the mean z, turned back) and ``p`` (one-sided t test of a mean
        above 0). Interval and p are NaN with one subject, or if all subjects have the same r.

    References
    ----------
    .. [1] Nadeau, Bengio (2003), Inference for the generalization error, Machine Learning 52.

    Examples
    --------
    >>> from sklearn_beira.evaluation import group_scores
    >>> scores = group_scores([[0.3, 0.0], [0.2, 0.1], [0.4, -0.1]])
    >>> scores["r"].round(2).tolist()
    [0.3, 0.0]
    """
    names = _region_names(r, None)
    check_names(r, "r")
    r = check_array(to_numbers(r, "r"), input_name="r")
    if not (np.abs(r) < 1).all():
        raise ValueError(
            f"r must lie above -1 and below 1, got values from {r.min():g} to {r.max():g}; "
            f"leave out what was scored against itself."
        )
    if not (isinstance(overlap, Real) and 0 <= overlap < np.inf):
        raise ValueError(f"overlap must be a number of at least 0, got {overlap!r}.")
    z = np.arctanh(r)
    mean, t, half = t_of_mean(z, overlap, confidence_level)
    low, high = np.tanh(mean - half), np.tanh(mean + half)
    p = stats.t.sf(t, len(z) - 1)
    return pd.DataFrame(
        {"r": np.tanh(mean), "n_subjects": len(z), "ci_low": low, "ci_high": high, "p": p},
        index=pd.Index(range(z.shape[1]) if names is None else names, name="region"),
    )


def by_few_volumes(table, alpha=ALPHA):
    """Tell in which regions few volumes may be the whole finding.

    Nulls know little of motion that EEG and BOLD share; the effective number of volumes does.

    Parameters
    ----------
    table : DataFrame, a row per region
        With ``p_max``, ``p_parametric`` and ``influence``.
    alpha : float
        Level of both p.

    Returns
    -------
    few : Series of bool
        Found (``p_max``), with much influence of single volumes, and not by ``p_parametric`` times
        the number of regions.
    """
    alone = table["p_parametric"] * len(table) > alpha
    return (table["p_max"] <= alpha) & alone & (table["influence"] > _MUCH_INFLUENCE)


def t_of_mean(values, overlap, confidence_level):
    """Mean of values that share training data, its t, and half of its interval.

    Parameters
    ----------
    values : ndarray, shape (n_units, n_columns)
        Fisher's z, or differences of it.
    overlap : float
        What the variance of the mean has on top of 1 / n_units; see :func:`group_scores`.
    confidence_level : float
        Level of the interval.

    Returns
    -------
    mean, t, half : ndarray of shape (n_columns,)
        t and half are NaN where nothing varies, or with one unit.
    """
    check_confidence_level(confidence_level)
    k, mean = len(values), values.mean(axis=0)
    if k < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    varies = np.ptp(values, axis=0) > 1e-12
    error = np.sqrt((1 / k + overlap) * values.var(axis=0, ddof=1))
    error = np.where(varies, error, np.nan)
    return mean, mean / error, stats.t.ppf((1 + confidence_level) / 2, k - 1) * error


def region_scorers(region_names: list[str]) -> dict:
    """Scorers for ``scoring=``, one per region.

    Parameters
    ----------
    region_names : list of str
        Names of the regions, in the order of the columns of y.

    Returns
    -------
    scorers : dict of str to callable
        Pearson's r of each region, under its name.

    Examples
    --------
    >>> from sklearn_beira.evaluation import region_scorers
    >>> list(region_scorers(["putamen", "caudate"]))
    ['putamen', 'caudate']
    """
    names = [] if np.ndim(region_names) == 0 else list(map(str, region_names))
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f"region_names must be a list of one or more different names, got {region_names!r}."
        )
    return {
        name: make_scorer(_one_region_r, region=i, n_rois=len(names))
        for i, name in enumerate(names)
    }


#: Scorer for ``scoring=``: the mean over regions of Pearson's r.
pearson_r_scorer = make_scorer(pearson_r)


def _one_region_r(y_true, y_pred, *, region, n_rois):
    r = pearson_r(y_true, y_pred, multioutput="raw_values")
    if len(r) != n_rois:
        raise ValueError(f"the scorers name {n_rois} region(s), but y has {len(r)}.")
    return float(r[region])


def _check_pair(y_true, y_pred):
    """Return measured and predicted BOLD as float64 of shape (n_volumes, n_rois)."""
    names, others = _columns(y_true), _columns(y_pred)
    if names != others and names and others and set(names) == set(others):
        raise ValueError(
            f"y_pred has the regions of y_true in another order; take y_pred[{names}]."
        )
    y_true, y_pred = check_bold(y_true, "y_true"), check_bold(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    y_true, y_pred = (y.reshape(len(y), -1) for y in (y_true, y_pred))
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has {y_true.shape[1]} region(s), but y_pred has {y_pred.shape[1]}."
        )
    return y_true, y_pred


def _block_codes(blocks, n_volumes):
    """Whole numbers from 0, one per block in order of appearance, for labels of any kind."""
    if blocks is None:
        return np.zeros(n_volumes, dtype=int)
    blocks = np.asarray(blocks)
    if blocks.shape != (n_volumes,):
        raise ValueError(
            f"blocks has the shape {blocks.shape}, but must hold one label for each of the "
            f"{n_volumes} volumes."
        )
    codes = pd.factorize(blocks)[0]
    if (codes < 0).any():
        raise ValueError(
            f"blocks has no label (NaN or None) for {(codes < 0).sum()} volume(s); label them or "
            f"leave them out."
        )
    return codes


# -- without checks, for inner loops -------------------------------------------------------------
def block_correlation(y_true, y_pred, blocks):
    """Compute :func:`pearson_r` per region without its checks.

    Parameters
    ----------
    y_true, y_pred : ndarray of float64, shape (n_volumes, n_rois)
        Measured and predicted BOLD.
    blocks : ndarray of int, shape (n_volumes,)
        Test block of each volume.

    Returns
    -------
    r : ndarray of shape (n_rois,)
        Correlations.
    """
    return correlate(*unit_pair(y_true, y_pred, blocks)[:2])


def unit_pair(y_true, y_pred, blocks=None):
    """Sort both series by block, center them in each, and scale them to norm 1.

    Parameters
    ----------
    y_true, y_pred : ndarray of float64, shape (n_volumes, n_rois)
        Series.
    blocks : ndarray of int, shape (n_volumes,), or None
        Block of each row.

    Returns
    -------
    x, y : ndarray, shape (n_volumes, n_rois)
        The scaled series; zeros if a series varies by rounding only.
    codes : ndarray of int, shape (n_volumes,)
        Block of each row, numbered from 0 in order of appearance, ascending.
    """
    codes = np.zeros(len(y_true), dtype=int) if blocks is None else pd.factorize(blocks)[0]
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        codes, y_true, y_pred = codes[order], y_true[order], y_pred[order]
    return unit(y_true, codes), unit(y_pred, codes), codes


def correlate(x, y):
    """Return the correlations of the columns of two series of norm 1."""
    return np.clip(np.einsum("ij,ij->j", x, y), -1, 1)


def block_starts(codes):
    """Return the first row and the length of each block of sorted rows."""
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    return starts, np.diff(starts, append=len(codes))


def center(y, starts, lengths):
    """Center series (n_volumes, n_rois), sorted by block, within each block."""
    means = np.add.reduceat(y, starts, axis=0) / lengths[:, np.newaxis]
    return y - np.repeat(means, lengths, axis=0)


def unit(y, codes):
    """Center series, sorted by block, within each block, and scale them to norm 1."""
    centered = center(y, *block_starts(codes))
    norm = np.linalg.norm(centered, axis=0)
    constant = norm <= 1e-10 * np.sqrt(len(y)) * np.abs(y).max(axis=0)
    return np.where(constant, 0.0, centered / np.where(constant, 1.0, norm))


def _columns(y):
    return list(y.columns) if hasattr(y, "columns") else None


def _region_names(y, region_names):
    if region_names is not None:
        return list(region_names)
    if getattr(y, "ndim", None) == 1 and getattr(y, "name", None) is not None:
        return [y.name]
    return _columns(y)


def _check_r(r, n_eff):
    r, n_eff = np.broadcast_arrays(to_numbers(r, "r"), to_numbers(n_eff, "n_eff"))
    if (np.abs(r) > 1).any():
        raise ValueError(
            f"r must lie between -1 and 1, got values from {np.nanmin(r):g} to {np.nanmax(r):g}."
        )
    return r, n_eff


def check_confidence_level(confidence_level):
    """Refuse what is no probability."""
    if not (isinstance(confidence_level, Real) and 0 < confidence_level < 1):
        raise ValueError(f"confidence_level must lie between 0 and 1, got {confidence_level!r}.")
