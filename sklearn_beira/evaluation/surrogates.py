"""Nulls: BOLD that is unrelated to the EEG, made from measured BOLD.

A new null is one function here, with one line above it: ``@null("...")`` registers the function
under its name, with the sentences that say what a surrogate is and what the null assumes. Its
random numbers may not depend on the regions: surrogates of many are made for some at a time.
"""

import itertools
import math
import sys
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from scipy.fft import irfft, rfft

from .._utils.numbers import standardize

# A surrogate that equals the measured r must not lose to it by rounding, that of float32 included.
_ROUNDING = 1e-6
# Slower periods, in s, are drift, as is usual in fMRI analysis.
_DRIFT_PERIOD = 128.0


def permutation_p(observed, draws):
    """Compute the share of surrogates at least as high as the measured statistic, itself included.

    Phipson, Smyth (2010), Permutation p-values should never be zero, SAGMB 9.
    """
    return (1 + (draws >= observed - _ROUNDING).sum(axis=0)) / (1 + len(draws))


def linear_shift_p(observed, draws):
    """Bound p for a series of shifts -M to M, which are not exchangeable.

    Harris (2020), Nonsense correlations in neuroscience, bioRxiv 2020.11.29.402719: if the
    statistic at shift 0 is among the m highest of the 2 M + 1, then p is at most m / (M + 1).
    """
    n_each_side = len(draws) // 2
    n_higher = (draws >= observed - _ROUNDING).sum(axis=0)
    return np.minimum(1.0, (1 + n_higher) / (1 + n_each_side))


@dataclass
class Surrogates:
    """Surrogate BOLD of a null.

    Parameters
    ----------
    rows : ndarray of int, shape (n_rows,)
        Rows of X and y that take part, the same in every surrogate.
    n_surrogates : int
        Number of surrogates.
    bold : callable
        Takes the number of a surrogate, returns BOLD of shape (n_rows, n_rois).
    n_distinct : int or None
        How many different surrogates exist, if they are few.
    p_value : callable
        Takes the measured statistic (n,) and those of the surrogates (n_surrogates, n), returns
        p (n,).
    null : str
        Name of the null.
    keep_trend : bool
        Whether the slow trend stays in place.
    pull : float
        Share of the distance to the measured r by which r of the surrogates is too low on average.
    scatter : ndarray of shape (n_rois,) or float
        Variance of r of unrelated BOLD over that of surrogates from other recordings; NaN for
        other nulls.
    trend : ndarray of shape (n_volumes, n_rois) or None
        What stays in place.
    some_columns : callable or None
        Takes a slice of regions, returns the surrogates of these regions, without the trend and in
        float32.
    """

    rows: np.ndarray
    n_surrogates: int
    bold: object
    n_distinct: int | None = None
    p_value: object = permutation_p
    null: str = ""
    keep_trend: bool = True
    pull: float = 0.0
    scatter: object = np.nan
    trend: np.ndarray | None = None
    some_columns: object = None

    @property
    def lowest_p(self):
        """Lowest p that so many surrogates can give."""
        return float(self.p_value(np.ones(1), np.zeros((self.n_surrogates, 1)))[0])

    def complete(self, observed, draws):
        """Add to the surrogates' r what they lack on average of all orders, the measured included.

        Parameters
        ----------
        observed : ndarray, shape (n_rois,)
            Measured r.
        draws : ndarray, shape (n_surrogates, n_rois)
            r of the surrogates.

        Returns
        -------
        draws : ndarray, shape (n_surrogates, n_rois)
            Closer to the measured r by the share ``pull``, and as much wider.
        """
        if not self.pull:
            return draws
        mean = draws.mean(axis=0)
        return mean + self.pull * (observed - mean) + (draws - mean) / np.sqrt(1 - self.pull)

    def on(self, trend):
        """Add a trend (n_volumes, n_rois) that stays in place to every surrogate."""
        return replace(self, bold=lambda k: trend[self.rows] + self.bold(k), trend=trend)


# -- the trend, which stays in place ---------------------------------------------------------------
def slow_trend(y, t_r):
    """Fit the slow trend of a recording, which surrogates keep.

    Scanner and vigilance drift, EEG drifts, and any two trends correlate. A null that moved the
    trend would call that a finding. The trend is a line and the cosines with periods above 128 s,
    the usual cutoff of high-pass filters in fMRI analysis.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD, in order of time.
    t_r : float
        Time between volumes in s.

    Returns
    -------
    trend : ndarray, shape (n_volumes, n_rois)
        The trend, mean included.
    """
    n = len(y)
    order = np.arange(1, min(int(2 * n * t_r / _DRIFT_PERIOD), n - 2) + 1)
    cosines = np.cos(np.pi * np.outer(np.arange(n) + 0.5, order) / n)
    basis = np.column_stack([np.ones(n), np.linspace(-1, 1, n), cosines])
    return basis @ np.linalg.lstsq(basis, y, rcond=None)[0]


def _at_scale(series, place):
    """Scale series to the mean and SD of the BOLD they replace."""
    return place.mean(axis=0) + place.std(axis=0) * standardize(series)


# -- the nulls ----------------------------------------------------------------------------------
#: The nulls by name: functions of (y, runs, n_surrogates, rng, others) that return Surrogates.
NULLS = {}


def null(question):
    """Register a null under the name of its function.

    Parameters
    ----------
    question : str
        What a surrogate is and what the null assumes, as whole sentences for the user.

    Returns
    -------
    decorator : callable
        Registers the function and returns it.
    """

    def register(function):
        function.question = question
        NULLS[function.__name__] = function
        return function

    return register


@null(
    "In a surrogate, a recording has the BOLD of another recording. This assumes that recordings "
    "are exchangeable if none follows its EEG."
)
def swap(y, runs, n_surrogates, rng, others=None, *, scale=True):
    """Give each recording the BOLD of another one.

    Permutations of the recordings that leave none in place are drawn: a recording that kept its
    BOLD would keep its coupling, and raise r under the null. Such surrogates lack the pairs of the
    measured order, so where these are high by chance, r of the surrogates is low on average. Of a
    statistic that is a sum over n recordings, the mean over all orders lies 1 / n of the way from
    the mean over such orders to the measured one, so r of the surrogates is moved and widened by
    as much (:meth:`Surrogates.complete`). Recordings are cut to the length of the shortest.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.
    runs : list of ndarray of int
        Rows of each recording, in order of time.
    n_surrogates : int
        Number of surrogates; fewer are returned if fewer permutations exist.
    rng : RandomState
        Random numbers.
    others : list of ndarray of shape (n, n_rois) or None
        BOLD of other recordings, to draw stretches from instead.
    scale : bool
        Scale surrogates to the mean and SD of the BOLD they replace.

    Returns
    -------
    surrogates : Surrogates
        The surrogates.
    """
    if others is not None:
        return _from_others(y, runs, n_surrogates, rng, others, scale)
    length = min(map(len, runs))
    runs = np.array([run[:length] for run in runs])
    places = np.arange(len(runs))
    # Derangements, in whole numbers: those of 171 recordings are more than a float holds.
    n_distinct = reduce(lambda d, n: n * d + (-1) ** n, range(1, len(runs) + 1), 1)
    n_distinct = min(n_distinct, sys.maxsize)
    if n_distinct <= n_surrogates:
        drawn = itertools.permutations(range(len(runs)))
    else:
        drawn = (tuple(rng.permutation(len(runs))) for _ in itertools.count())
    orders = {}
    while len(orders) < min(n_distinct, n_surrogates):
        order = next(drawn)
        if (order != places).all():
            orders[order] = None
    orders = list(orders)
    pieces = y[runs]
    drawn = np.array([standardize(piece) for piece in pieces]) if scale else pieces
    mean, sd = pieces.mean(axis=1, keepdims=True), pieces.std(axis=1, keepdims=True)

    def bold(k):
        found = drawn[list(orders[k])]
        if scale:
            found *= sd
            found += mean
        return found.reshape(-1, y.shape[1])

    return Surrogates(runs.ravel(), len(orders), bold, n_distinct, pull=1 / len(runs))


@null(
    "In a surrogate, a recording has its own BOLD, shifted in time without wrapping around. This "
    "assumes that BOLD is stationary; p is an upper bound, up to twice too large (Harris 2020)."
)
def shift(y, runs, n_surrogates, rng, others=None):
    """Shift BOLD against the EEG by a number of volumes, one shift for all recordings.

    The middle of the EEG keeps its place and is compared with BOLD from -M to M volumes later. M
    is a quarter of the shortest recording, or half of ``n_surrogates``.

    Neighboring shifts are not exchangeable, but for stationary BOLD the statistic is stationary
    over shifts. Of any M + 1 in a row at most m are among the m highest of them, hence each is so
    with a probability of at most m / (M + 1); and the shift 0 is within every such stretch of the
    2 M + 1.

    Parameters
    ----------
    y, runs, n_surrogates, rng, others : object
        As in :func:`swap`; ``rng`` and ``others`` are not used.

    Returns
    -------
    surrogates : Surrogates
        One surrogate for each shift except 0.
    """
    margin = min(n_surrogates // 2, min(map(len, runs)) // 4)
    if not margin:
        raise ValueError(
            f"null='shift' needs n_surrogates of at least 2 and recordings of at least 4 volumes, "
            f"got n_surrogates={n_surrogates} and one of {min(map(len, runs))} volumes."
        )
    rows = np.concatenate([run[margin : len(run) - margin] for run in runs])
    shifts = [s for s in range(-margin, margin + 1) if s]

    def bold(k):
        s = shifts[k]
        return y[np.concatenate([run[margin + s : len(run) - margin + s] for run in runs])]

    return Surrogates(rows, len(shifts), bold, len(shifts), linear_shift_p)


@null(
    "In a surrogate, a recording has its own BOLD, rolled in time. This assumes that BOLD is "
    "stationary and that its end fits its beginning."
)
def circular(y, runs, n_surrogates, rng, others=None):
    """Roll the BOLD of each recording by a random number of volumes.

    Recordings of about one length are rolled alike, so that they keep what they share, as in a task
    or a film.

    Parameters
    ----------
    y, runs, n_surrogates, rng, others : object
        As in :func:`swap`; ``others`` is not used.

    Returns
    -------
    surrogates : Surrogates
        The surrogates. Rolls by less than a tenth of the recording are left out, as they keep
        some of the true coupling.
    """
    rows = np.concatenate(runs)
    shortest, kinds = _kinds_of_length(runs)
    choices = [np.arange(least := max(1, n // 10), n - least + 1) for n in shortest]
    rolls, n_distinct = _distinct(choices, n_surrogates, rng)

    def bold(k):
        by = [rolls[k][kind] for kind in kinds]
        return y[np.concatenate([np.roll(run, n) for run, n in zip(runs, by, strict=True)])]

    return Surrogates(rows, len(rolls), bold, n_distinct)


@null(
    "In a surrogate, a recording has its own BOLD with randomized phases. This assumes that BOLD "
    "is stationary and Gaussian."
)
def phase(y, runs, n_surrogates, rng, others=None):
    """Randomize the phases of BOLD; its spectrum and cross-spectra stay.

    Recordings of about one length are turned alike, so that they keep what they share, as in a task
    or a film. Prichard, Theiler (1994), Generating surrogate data for time series with several
    simultaneously measured variables, PRL 73.

    Parameters
    ----------
    y, runs, n_surrogates, rng, others : object
        As in :func:`swap`; ``others`` is not used.

    Returns
    -------
    surrogates : Surrogates
        The surrogates.
    """
    rows = np.concatenate(runs)
    seeds = rng.randint(np.iinfo(np.int32).max, size=n_surrogates)
    spectra = [rfft(y[run], axis=0) for run in runs]
    shortest, kinds = _kinds_of_length(runs)

    def bold(k):
        local = np.random.RandomState(seeds[k])
        angles = [local.uniform(0, 2 * np.pi, size=max(map(len, spectra))) for _ in shortest]
        drawn = [
            _turned(spectrum, angles[kind], len(run))
            for spectrum, kind, run in zip(spectra, kinds, runs, strict=True)
        ]
        return drawn[0] if len(drawn) == 1 else np.concatenate(drawn)

    return Surrogates(rows, n_surrogates, bold)


def _turned(spectrum, angles, n):
    angles = angles[: len(spectrum)].copy()
    angles[0] = 0.0  # the mean stays
    if n % 2 == 0:
        angles[-1] = np.pi * (angles[-1] > np.pi)  # the Nyquist frequency stays real
    turned = spectrum * np.exp(1j * angles).astype(spectrum.dtype)[:, None]
    return irfft(turned, n, axis=0, overwrite_x=True)


def _kinds_of_length(runs):
    """Return the shortest length of each kind, and the kind of each recording.

    Lengths of a kind differ by at most a tenth.
    """
    lengths, shortest, first = [len(run) for run in runs], {}, 0
    for n in sorted(lengths):
        first = n if n > 1.1 * first else first
        shortest[n] = first
    return np.unique([shortest[n] for n in lengths], return_inverse=True)


def _from_others(y, runs, n_surrogates, rng, others, scale):
    def stretches(length):
        # As far apart as the least roll: almost the same stretch is not another one.
        step = max(1, length // 10)
        starts = (range(0, len(other) - length + 1, step) for other in others)
        return [(which, start) for which, some in enumerate(starts) for start in some]

    choices = [stretches(len(run)) for run in runs]
    picks, n_distinct = _distinct(choices, n_surrogates, rng)

    def bold(k):
        drawn = [
            others[which][start : start + len(run)]
            for run, (which, start) in zip(runs, picks[k], strict=True)
        ]
        if scale:
            drawn = [_at_scale(d, y[run]) for d, run in zip(drawn, runs, strict=True)]
        return np.concatenate(drawn)

    return Surrogates(np.concatenate(runs), len(picks), bold, n_distinct)


def _distinct(choices, n_surrogates, rng):
    """Draw one of the choices for every recording without repeats: all of them if few exist.

    A repeated draw would make p look finer than it is.
    """
    n_distinct = math.prod(map(len, choices))
    if n_distinct <= n_surrogates:
        return list(itertools.product(*choices)), n_distinct
    draws = {}
    while len(draws) < n_surrogates:
        places = tuple(rng.randint(len(of_run)) for of_run in choices)
        draws[places] = tuple(of_run[i] for of_run, i in zip(choices, places, strict=True))
    return list(draws.values()), n_distinct
