"""Match the branches of several fits, whose order and signs are arbitrary."""

from itertools import combinations
from numbers import Integral

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch

from .._utils.regions import region_row
from .patterns import similarity

# Averaging and assignment alternate; usually the assignment is stable after a few rounds.
_MAX_ROUNDS = 20


def match_branches(runs: list[Bunch], region: str | int, *, n_branches: int = 3) -> Bunch:
    r"""Match the branches of a region across fits, and average them.

    The similarity of branches i and j of two fits is that of their scalp maps and spectra,

    .. math:: s_{ij} = |\cos(a_i, a_j)| \sum_f \min(\tilde g_i(f), \tilde g_j(f))

    with the spatial patterns a and the frequency patterns :math:`\tilde g`, scaled to a sum of 1.
    It is 1 for the same branch, whatever its sign. The first template consists of the most
    important branches of the fit that is most similar to the others. The branches of every fit are
    assigned to the template, one to one, with the largest sum of similarities [1]_. The averages of
    matched branches are the next template, until the assignment no longer changes.

    Parameters
    ----------
    runs : list of Bunch
        Results of :func:`read_branches` for each fold or subject, with the same channels and
        frequencies.
    region : str or int
        Name or number of the region. Names are looked up in each fit.
    n_branches : int
        Number of branches to match, the most important ones of the first template.

    Returns
    -------
    matched : Bunch
        In order of mean importance:

        - ``patterns`` (n_branches, n_channels) and ``frequency_patterns`` (n_branches,
          n_frequencies), averages scaled to a maximum of 1, and ``frequencies``;
        - ``importance`` (n_branches,), the mean;
        - ``stability`` (n_branches,), the mean similarity over all pairs of fits;
        - ``delay_kernels`` (n_branches, n_lags), the averages, their ``lags``, and
          ``kernel_stability`` (n_branches,), the mean cosine of the kernels of two fits, from 1 for
          the same response to -1 for the opposite one; all None if the fits have different lags;
        - for each fit, ``indices`` (n_runs, n_branches), the number of each branch in the fit,
          ``signs`` (n_runs, n_branches), and ``aligned_patterns`` (n_runs, n_branches, n_channels);
        - ``ch_names`` and ``info``.

    Raises
    ------
    ValueError
        If there are fewer than two fits, or their channels, frequencies or regions differ.
    TypeError
        If a fit is not a result of :func:`read_branches`.

    Notes
    -----
    Stable branches agree between fits, but need not be right. The folds of a cross-validation
    share most of their data, and if the EEG has few strong sources, even maps that are unrelated to
    BOLD agree. Compare with regions that cannot be predicted.

    References
    ----------
    .. [1] Kuhn (1955), The Hungarian method for the assignment problem, Naval Research Logistics
       Quarterly 2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import match_branches, read_branches
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> other = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, -y)
    >>> found = match_branches([read_branches(m, X) for m in (model, other)], 0, n_branches=2)
    >>> found.stability.round(3), found.kernel_stability.round(3)
    (array([1., 1.]), array([-1., -1.]))
    """
    runs = list(runs)
    rows = _check_runs(runs, region, n_branches)
    patterns, spectra, numbers = [], [], []
    for run, row in zip(runs, rows, strict=True):
        own = branches_of(run, row)
        own = own[np.argsort(-run.importance[row, own], kind="stable")]
        numbers.append(own)
        # Scaled, so that each fit has the same weight in averages.
        patterns.append(normalize(run.patterns[own]))
        spectra.append(normalize(run.frequency_patterns[own], norm="l1"))

    def assign(template, spectrum):
        orders = []
        for maps, shapes in zip(patterns, spectra, strict=True):
            similar = similarity(template, spectrum, maps, shapes)
            orders.append(linear_sum_assignment(similar, maximize=True)[1])
        return orders

    first = _medoid(patterns, spectra, n_branches)
    orders = assign(patterns[first][:n_branches], spectra[first][:n_branches])
    for rounds_left in range(_MAX_ROUNDS)[::-1]:
        maps = np.array([maps[order] for maps, order in zip(patterns, orders, strict=True)])
        shapes = np.array([shape[order] for shape, order in zip(spectra, orders, strict=True)])
        template, signs = average_maps(maps)
        new = assign(template, shapes.mean(axis=0))
        if not rounds_left or np.array_equal(new, orders):
            break
        orders = new

    indices = np.array([number[order] for number, order in zip(numbers, orders, strict=True)])
    taken = list(zip(runs, rows, indices, strict=True))
    importance = np.mean([run.importance[row, i] for run, row, i in taken], axis=0)
    rank = np.argsort(-importance, kind="stable")
    return Bunch(
        patterns=normalize(template, norm="max")[rank],
        frequency_patterns=normalize(shapes.mean(axis=0), norm="max")[rank],
        importance=importance[rank],
        stability=_stability(maps, shapes)[rank],
        indices=indices[:, rank],
        signs=signs[:, rank],
        aligned_patterns=(signs[:, :, None] * maps)[:, rank],
        frequencies=runs[0].frequencies,
        ch_names=runs[0].ch_names,
        info=runs[0].info,
        **_kernels([(run, row, i[rank]) for run, row, i in taken]),
    )


def branches_of(branches: Bunch, roi: int) -> np.ndarray:
    """Number the branches of a region that stand for themselves."""
    own = (branches.regions == roi) | (branches.regions == -1)
    return np.flatnonzero(own & (branches.merged_into == np.arange(len(own))))


def _kernels(taken):
    lags = taken[0][0].lags
    if any(not np.array_equal(run.lags, lags) for run, _, _ in taken):
        return {"delay_kernels": None, "lags": None, "kernel_stability": None}
    kernels = np.array([run.delay_kernels[row, i] for run, row, i in taken])
    pairs = combinations(map(normalize, kernels), 2)
    stability = np.mean([(one * other).sum(axis=1) for one, other in pairs], axis=0)
    return {"delay_kernels": kernels.mean(axis=0), "lags": lags, "kernel_stability": stability}


def _medoid(patterns, spectra, n_branches):
    """Find the fit whose most important branches are most similar to those of the others."""
    totals = []
    for maps, shapes in zip(patterns, spectra, strict=True):
        similar = (
            similarity(maps[:n_branches], shapes[:n_branches], *others)
            for others in zip(patterns, spectra, strict=True)
        )
        totals.append(sum(s[linear_sum_assignment(s, maximize=True)].sum() for s in similar))
    return int(np.argmax(totals))


def average_maps(maps):
    """Average maps (n_runs, n_branches, n_channels) of unit length, and find their signs."""
    # The first singular vector does not depend on the signs of the maps.
    template = np.array([np.linalg.svd(branch)[2][0] for branch in maps.transpose(1, 0, 2)])
    largest = np.abs(template).argmax(axis=1)[:, None]
    template *= np.sign(np.take_along_axis(template, largest, axis=1))
    signs = np.where(np.einsum("rkc,kc->rk", maps, template) < 0, -1.0, 1.0)
    return (signs[:, :, None] * maps).mean(axis=0), signs


def _stability(maps, shapes):
    pairs = combinations(range(len(maps)), 2)
    return np.mean(
        [similarity(maps[i], shapes[i], maps[j], shapes[j]).diagonal() for i, j in pairs], axis=0
    )


def _check_runs(runs, region, n_branches):
    """Check the fits, and find the row of the region in each."""
    if len(runs) < 2:
        raise ValueError(f"branches can be matched between two or more fits, got {len(runs)}.")
    if not isinstance(n_branches, Integral) or n_branches < 1:
        raise ValueError(f"n_branches must be an integer of at least 1, got {n_branches!r}.")
    rows = []
    for i, run in enumerate(runs):
        if run.patterns.shape[1] != runs[0].patterns.shape[1] or run.ch_names != runs[0].ch_names:
            raise ValueError(
                f"fit {i} has other channels than fit 0 ({run.ch_names} against "
                f"{runs[0].ch_names}); before fitting, pick the channels that all recordings share."
            )
        if not np.array_equal(run.frequencies, runs[0].frequencies):
            raise ValueError(
                f"fit {i} has other frequencies than fit 0; read branches of EEG with the same "
                f"sampling rate and windows of the same length."
            )
        rows.append(region_row(run, region))
        n_own = len(branches_of(run, rows[-1]))
        if n_branches > n_own:
            raise ValueError(
                f"n_branches={n_branches}, but the region has {n_own} in fit {i}; ask for fewer."
            )
    return rows
