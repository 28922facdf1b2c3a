"""Branches that several people have in common."""

from numbers import Real
from pathlib import Path

import numpy as np
from scipy.stats import binom
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch, gen_batches

from .._utils.files import atomic_write, reading
from .._utils.store import load_arrays
from .matching import average_maps
from .patterns import similarity

# Share of people in whom a region would have a supported branch by chance, and the p of a group.
_BY_CHANCE, _MOST_P = 0.05, 0.01
# Draws that tell how many people have branches that are alike by chance.
_N_DRAWS = 199
# With more branches in all, memory would not hold which are alike.
_MOST_MEMBERS = 20_000
# What belongs to one branch, and what to a region and a branch.
_OF_BRANCH = ("patterns", "frequency_patterns", "frequency_responses", "lowpass_responses")
_OF_REGION = ("delay_kernels", "importance", "held_out", "stability")
_OF_ALL = ("frequencies", "lags", "region_names", "ch_names")


def group_branches(people: dict[str, Bunch], *, min_similarity: float = 0.6) -> Bunch:
    """Find the branches that several people have in common, and average them.

    Only supported branches take part. Two are alike if their maps and spectra have at least the
    similarity of :func:`match_branches` that is asked for, and if their delay kernels point the
    same way. The branch that is like those of the most people collects, of each person, the one of
    which similarity times ``held_out`` is largest, and so on with the branches that are left.
    Groups of branches are kept of more people than would have a supported branch if EEG predicted
    nothing: with a probability of .05 in one person, so many would have one with p of at most .01.

    Maps are broad and rhythms few, so branches are alike by chance, too. How many people would be
    is counted in draws in which the regions of every person that have a supported branch change
    places at random.

    Parameters
    ----------
    people : dict of str to Bunch
        Results of :func:`read_branches` with BOLD, by person, with the same channels and
        frequencies. People without a supported branch count as well.
    min_similarity : float
        Least similarity, from 0 to 1. People have different heads, so it is lower than the
        stability over folds of one person.

    Returns
    -------
    branches : Bunch
        As from :func:`read_branches`, for :func:`~sklearn_beira.plot_branches`: means over the
        people who have the branch. ``stability`` is the mean similarity over pairs of people.
        ``people`` (list of dict) maps the people who have the branch to its number there,
        ``p_people`` (n_branches,) is the p of so many people with a supported branch, and
        ``n_people`` counts all. ``n_by_chance`` (n_branches,) is the mean number of people in the
        largest group of a draw in the region, and ``p_alike`` (n_branches,) the share of draws in
        which the largest group of any region has as many people. Both are NaN with one region, or
        more than 20,000 supported branches.

    Raises
    ------
    ValueError
        If there are fewer than two people, if branches were not tested, if channels, frequencies
        or lags differ, or if ``min_similarity`` is not from 0 to 1.

    See Also
    --------
    match_branches : Match branches of fits that all have them, such as those of folds.

    Notes
    -----
    A branch that people share may still be that of an artifact that they share. One that all
    regions share, such as alpha that follows vigilance, is no more alike than chance by this count.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, BlockedKFold, Compact, EEGWindows
    >>> from sklearn_beira.inspection import group_branches, read_branches
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> branches = read_branches(model, X, y, cv=BlockedKFold(2, gap=0))
    >>> group_branches({"01": branches, "02": branches}).people  # noise has no supported branch
    []
    """
    _check(people, min_similarity)
    first = next(iter(people.values()))
    names = list(first.region_names)
    members = [
        (person, number, row)
        for person, branches in people.items()
        for row, number in np.argwhere(branches.supported)
    ]
    of_row = np.array([row for _, _, row in members], dtype=int)
    found = []
    for row in range(len(names)):
        own = [members[k] for k in np.flatnonzero(of_row == row)]
        found += [(row, group) for group in _groups(people, own, min_similarity)]
    by_chance = _largest_by_chance(people, members, len(names), min_similarity)
    n, rows = len(found), np.array([row for row, _ in found], dtype=int)
    means = {name: np.zeros((n, *first[name].shape[1:])) for name in _OF_BRANCH}
    means |= {name: np.zeros((len(names), n, *first[name].shape[2:])) for name in _OF_REGION}
    for k, (row, group) in enumerate(found):
        of = {
            name: np.array([people[person][name][number] for person, number, _ in group])
            for name in _OF_BRANCH
        }
        alike = similarity(Bunch(**of), Bunch(**of))
        of["patterns"] = average_maps(normalize(of["patterns"])[:, None])[0]
        for name, values in of.items():
            means[name][k] = values.mean(axis=0)
        for name in _OF_REGION:
            values = [people[person][name][row, number] for person, number, _ in group]
            means[name][row, k] = np.mean(values, axis=0)
        means["stability"][row, k] = alike[np.triu_indices(len(group), 1)].mean()
    return Bunch(
        **means, regions=rows, merged_into=np.arange(n), supported=means["held_out"] > 0,
        people=[_numbers(people, group) for _, group in found], n_people=len(people),
        p_people=np.array([_p_of(len(group), len(people)) for _, group in found]),
        n_by_chance=by_chance.mean(axis=0)[rows],
        p_alike=np.array([_p_alike(len(group), by_chance) for _, group in found]),
        frequencies=first.frequencies, lags=first.lags, region_names=names,
        ch_names=first.ch_names, info=first.get("info"),
    )  # fmt: skip


def _numbers(people, group):
    """Number of the branch in the model of each person."""
    return {person: int(people[person].get("numbers", range(k + 1))[k]) for person, k, _ in group}


def save_branches(branches: Bunch, path: Path) -> None:
    """Write the supported branches of a person, which is what a group needs.

    Parameters
    ----------
    branches : Bunch
        Result of :func:`read_branches` with BOLD.
    path : Path
        NPZ file.
    """
    kept = branches.supported.any(axis=0)
    arrays = {name: branches[name][kept] for name in _OF_BRANCH}
    arrays |= {name: branches[name][:, kept] for name in (*_OF_REGION, "supported")}
    arrays |= {name: np.array(branches[name]) for name in _OF_ALL}
    arrays["numbers"] = np.asarray(branches.get("numbers", np.arange(len(kept))))[kept]
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def load_branches(path: Path) -> Bunch:
    """Read what :func:`save_branches` wrote.

    Parameters
    ----------
    path : Path
        NPZ file.

    Returns
    -------
    branches : Bunch
        The supported branches, for :func:`group_branches`; ``numbers`` are those in the model.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    with reading(path):
        arrays = load_arrays(path)
        names = {name: arrays[name].tolist() for name in ("region_names", "ch_names")}
        return Bunch(**arrays | names)


def _pool(people, members):
    """Maps and spectra of branches, and the delay kernels of their regions."""
    return Bunch(
        patterns=np.array([people[person].patterns[k] for person, k, _ in members]),
        frequency_patterns=np.array(
            [people[person].frequency_patterns[k] for person, k, _ in members]
        ),
    ), np.array([people[person].delay_kernels[row, k] for person, k, row in members])


def _largest_by_chance(people, members, n_regions, least):
    """Most people with alike branches in each draw and region (n_draws, n_regions)."""
    if n_regions < 2 or not 0 < len(members) <= _MOST_MEMBERS:
        return np.full((1, n_regions), np.nan)
    pool, kernels = _pool(people, members)
    close = np.zeros((len(members),) * 2, dtype=bool)
    for some in gen_batches(len(members), 1000):
        here = Bunch(**{name: values[some] for name, values in pool.items()})
        close[some] = (similarity(here, pool) >= least) & (kernels[some] @ kernels.T > 0)
    places = [[[] for _ in range(n_regions)] for _ in people]
    numbers = {person: i for i, person in enumerate(people)}
    for k, (person, _, row) in enumerate(members):
        places[numbers[person]][row].append(k)
    rng, most = np.random.default_rng(0), np.zeros((_N_DRAWS, n_regions))
    for draw in most:
        drawn_at = [[] for _ in range(n_regions)]
        for own in places:
            used = [row for row, those in enumerate(own) if those]
            for row, other in zip(used, rng.permutation(used), strict=True):
                drawn_at[row].append(own[other])
        for row, drawn in enumerate(drawn_at):
            if drawn:
                every = np.concatenate(drawn)
                starts = np.cumsum([0, *map(len, drawn[:-1])])
                alike = np.logical_or.reduceat(close[np.ix_(every, every)], starts, axis=1)
                draw[row] = alike.sum(axis=1).max()
    return most


def _p_alike(n, by_chance):
    if np.isnan(by_chance).any():
        return np.nan
    return (1 + np.count_nonzero(by_chance.max(axis=1) >= n)) / (1 + len(by_chance))


def _groups(people, members, least):
    """Group the supported branches of a region, at most one of each person, the largest first."""
    if len(members) < 2:
        return
    pool, kernels = _pool(people, members)
    alike = np.where(kernels @ kernels.T > 0, similarity(pool, pool), 0.0)
    alike[alike < least] = 0.0
    # A strong branch is to join a group before a weak one that is a little more alike.
    worth = alike * [people[person].held_out[row, k] for person, k, row in members]
    owners = np.array([person for person, _, _ in members])
    of_person = [np.flatnonzero(owners == person) for person in dict.fromkeys(owners)]
    while worth.any():
        # The best of each person for every branch that may collect.
        best = np.array([worth[:, own].max(axis=1) for own in of_person]).T
        seed = np.lexsort([best.sum(axis=1), (best > 0).sum(axis=1)])[-1]
        group = [
            seed if seed in own else own[worth[seed, own].argmax()]
            for own in of_person
            if worth[seed, own].any()
        ]
        if _p_of(len(group), len(people)) > _MOST_P:
            return
        yield [members[k] for k in group]
        worth[group] = worth[:, group] = 0.0


def _p_of(n, n_people):
    return binom.sf(n - 1, n_people, _BY_CHANCE)


def _check(people, min_similarity):
    if not (isinstance(min_similarity, Real) and 0 <= min_similarity <= 1):
        raise ValueError(f"min_similarity must be from 0 to 1, got {min_similarity!r}.")
    if len(people) < 2:
        raise ValueError(f"a group needs at least two people, got {len(people)}.")
    first = next(iter(people.values()))
    for person, branches in people.items():
        if "supported" not in branches:
            raise ValueError(
                f"the branches of {person} were not tested; give the BOLD, as in "
                f"read_branches(model, X, y)."
            )
        for name in _OF_ALL:
            if not np.array_equal(branches[name], first[name]):
                raise ValueError(f"{person} has other {name} than {next(iter(people))}.")
