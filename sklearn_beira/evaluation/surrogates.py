"""BOLD that has nothing to do with the EEG beside it, made of BOLD that was measured."""

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np

from .._utils.numbers import standardize

# A draw that equals what was observed must not lose to it by rounding.
_ROUNDING = 1e-9
# In s: what is slower is drift, by the custom of fMRI analysis.
_DRIFT_PERIOD = 128.0


@dataclass
class Surrogates:
    """Draws of a null: which rows they cover, and the BOLD of each draw.

    Parameters
    ----------
    rows : ndarray of int, shape (n_rows,)
        Rows of X and y that take part, the same in every draw.
    n_surrogates : int
        Number of draws.
    bold : callable
        Takes the number of a draw, returns BOLD of shape (n_rows, n_rois).
    n_distinct : int or None
        How many different draws there can be, where that is few; None for practically all.
    p_value : callable
        Takes the observed statistic (n,) and those of the draws (n_surrogates, n), returns p (n,).
    """

    rows: np.ndarray
    n_surrogates: int
    bold: object
    n_distinct: int | None = None
    p_value: object = field(default=None)

    def __post_init__(self):
        self.p_value = self.p_value or permutation_p

    def on(self, trend):
        """Put the draws on a trend (n_volumes, n_rois) that stays in place."""
        return replace(self, bold=lambda k: trend[self.rows] + self.bold(k))


def permutation_p(observed, draws):
    """Share of draws at least as high as what was observed, which counts as one of them.

    Phipson, Smyth (2010), Permutation p-values should never be zero, SAGMB 9.
    """
    return (1 + (draws >= observed - _ROUNDING).sum(axis=0)) / (1 + len(draws))


def linear_shift_p(observed, draws):
    """Bound for a series of shifts -M to M, which are not exchangeable.

    Harris (2020), Nonsense correlations in neuroscience, bioRxiv 2020.11.29.402719: if the
    statistic at shift 0 is among the m highest of the 2 M + 1, then p is at most m / (M + 1).
    """
    n_each_side = len(draws) // 2
    n_higher = (draws >= observed - _ROUNDING).sum(axis=0)
    return np.minimum(1.0, (1 + n_higher) / (1 + n_each_side))


# -- what stays, and what is drawn ---------------------------------------------------------------
def slow_trend(y, runs, t_r):
    """Fit the slow trend of each recording, which draws leave in its place.

    Scanner and sleepiness drift, EEG drifts, and any two trends correlate. A null that moved the
    trend away would call that a finding. The trend is a line and the cosines with periods above
    128 s, the usual border between drift and signal in fMRI analysis.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.
    runs : list of ndarray of int
        Rows of each recording, in order of time.
    t_r : float
        Time between volumes in s.

    Returns
    -------
    trend : ndarray, shape (n_volumes, n_rois)
        The trend, mean included.
    """
    trend = np.empty_like(y)
    for run in runs:
        n = len(run)
        order = np.arange(1, min(int(2 * n * t_r / _DRIFT_PERIOD), n - 2) + 1)
        basis = np.column_stack(
            [
                np.ones(n),
                np.linspace(-1, 1, n),
                np.cos(np.pi * np.outer(np.arange(n) + 0.5, order) / n),
            ]
        )
        trend[run] = basis @ np.linalg.lstsq(basis, y[run], rcond=None)[0]
    return trend


def _at_scale(series, place):
    """Series with the mean and SD of the place they come to."""
    return place.mean(axis=0) + place.std(axis=0) * standardize(series)


# -- the nulls ----------------------------------------------------------------------------------
def swap(y, runs, n_surrogates, rng, others=None, *, scale=True):
    """Give each recording the BOLD of another one.

    Every permutation of the recordings may be drawn, those that leave one in place as well: with
    all of them the test is exact for exchangeable recordings. Recordings are cut to the length of
    the shortest.

    Parameters
    ----------
    y : ndarray, shape (n_volumes, n_rois)
        BOLD.
    runs : list of ndarray of int
        Rows of each recording, in order of time.
    n_surrogates : int
        Number of draws asked for; fewer come if there are fewer permutations.
    rng : RandomState
        Source of chance.
    others : list of ndarray of shape (n, n_rois) or None
        BOLD of other recordings, to draw stretches from instead.
    scale : bool
        Give what is drawn the mean and SD of the place it comes to.

    Returns
    -------
    surrogates : Surrogates
        The draws.
    """
    if others is not None:
        return _from_others(y, runs, n_surrogates, rng, others, scale)
    length = min(map(len, runs))
    runs = np.array([run[:length] for run in runs])
    n_distinct = math.factorial(len(runs)) - 1
    if n_distinct <= n_surrogates:
        orders = list(itertools.permutations(range(len(runs))))[1:]
    else:
        orders = {}
        while len(orders) < n_surrogates:
            order = tuple(rng.permutation(len(runs)))
            if order != tuple(range(len(runs))):
                orders[order] = None
    orders = list(orders)

    def bold(k):
        drawn = [y[runs[source]] for source in orders[k]]
        if scale:
            drawn = [_at_scale(d, y[run]) for d, run in zip(drawn, runs, strict=True)]
        return np.concatenate(drawn)

    return Surrogates(runs.ravel(), len(orders), bold, n_distinct)


def shift(y, runs, n_surrogates, rng, others=None):
    """Shift BOLD against the EEG by a number of volumes, one shift for all recordings.

    The middle of the EEG keeps its place and sees BOLD from -M to M volumes later, in true order:
    nothing wraps around. M is a quarter of the shortest recording, or half of ``n_surrogates``.

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
        The draws, one for each shift but 0.
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


def circular(y, runs, n_surrogates, rng, others=None):
    """Roll the BOLD of each recording around, by a random number of volumes.

    Parameters
    ----------
    y, runs, n_surrogates, rng, others : object
        As in :func:`swap`; ``others`` is not used.

    Returns
    -------
    surrogates : Surrogates
        The draws. Rolls by less than a tenth of the recording are left out, as they
        leave some of the true coupling in place.
    """
    rows = np.concatenate(runs)
    least = [max(1, len(run) // 10) for run in runs]
    choices = [np.arange(m, len(run) - m + 1) for m, run in zip(least, runs, strict=True)]
    rolls, n_distinct = _distinct(choices, n_surrogates, rng)

    def bold(k):
        return y[np.concatenate([np.roll(run, by) for run, by in zip(runs, rolls[k], strict=True)])]

    return Surrogates(rows, len(rolls), bold, n_distinct)


def phase(y, runs, n_surrogates, rng, others=None):
    """Randomize the phases of BOLD, keeping its spectrum and how regions vary together.

    Prichard, Theiler (1994), Generating surrogate data for time series with several simultaneously
    measured variables, PRL 73.

    Parameters
    ----------
    y, runs, n_surrogates, rng, others : object
        As in :func:`swap`; ``others`` is not used.

    Returns
    -------
    surrogates : Surrogates
        The draws.
    """
    rows = np.concatenate(runs)
    seeds = rng.randint(np.iinfo(np.int32).max, size=n_surrogates)

    def bold(k):
        local = np.random.RandomState(seeds[k])
        return np.concatenate([_random_phases(y[run], local) for run in runs])

    return Surrogates(rows, n_surrogates, bold)


#: The nulls by name.
NULLS = {"swap": swap, "shift": shift, "circular": circular, "phase": phase}


def _random_phases(series, rng):
    n = len(series)
    mean = series.mean(axis=0)
    spectrum = np.fft.rfft(series - mean, axis=0)
    angles = rng.uniform(0, 2 * np.pi, size=len(spectrum))
    angles[0] = 0.0
    if n % 2 == 0:
        angles[-1] = rng.choice([0.0, np.pi])  # the Nyquist frequency stays real
    return mean + np.fft.irfft(spectrum * np.exp(1j * angles)[:, None], n, axis=0)


def _from_others(y, runs, n_surrogates, rng, others, scale):
    choices = [
        [
            (which, start)
            for which, other in enumerate(others)
            for start in range(len(other) - len(run) + 1)
        ]
        for run in runs
    ]
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
    """Draw one of the choices for every recording, no draw twice: all of them where few exist.

    A draw that comes twice would make p look finer than it is.
    """
    n_distinct = math.prod(map(len, choices))
    if n_distinct <= n_surrogates:
        return list(itertools.product(*choices)), n_distinct
    draws = {}
    while len(draws) < n_surrogates:
        places = tuple(rng.randint(len(of_run)) for of_run in choices)
        draws[places] = tuple(of_run[i] for of_run, i in zip(choices, places, strict=True))
    return list(draws.values()), n_distinct
