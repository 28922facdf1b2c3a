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
    names, pool = list(first.region_names), _pool(people)
    found = []
    for row in range(len(names)):
        found += _groups(pool, np.flatnonzero(pool.row == row), len(people), min_similarity)
    by_chance = _largest_by_chance(pool, len(names), min_similarity)
    n, rows = len(found), np.array([pool.row[group[0]] for group in found], dtype=int)
    means = {name: np.zeros((n, *first[name].shape[1:])) for name in _OF_BRANCH}
    means |= {name: np.zeros((len(names), n, *first[name].shape[2:])) for name in _OF_REGION}
    for k, (row, group) in enumerate(zip(rows, found, strict=True)):
        for name in _OF_BRANCH:
            means[name][k] = pool[name][group].mean(axis=0)
        for name in _OF_REGION:
            means[name][row, k] = pool[name][group].mean(axis=0)
        means["patterns"][k] = average_maps(normalize(pool.patterns[group])[:, None])[0][0]
        alike = _similarity(pool, group, group)
        means["stability"][row, k] = alike[np.triu_indices(len(group), 1)].mean()
    who, sizes = list(people), np.array([len(group) for group in found], dtype=int)
    return Bunch(
        **means, regions=rows, merged_into=np.arange(n), supported=means["held_out"] > 0,
        people=[{who[pool.person[k]]: int(pool.number[k]) for k in group} for group in found],
        n_people=len(people), p_people=_p_of(sizes, len(people)),
        n_by_chance=by_chance.mean(axis=0)[rows],
        p_alike=np.array([_p_alike(size, by_chance) for size in sizes]),
        frequencies=first.frequencies, lags=first.lags, region_names=names,
        ch_names=first.ch_names, info=first.get("info"),
    )  # fmt: skip


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


def _pool(people):
    """Collect the supported branches of all people, one after the other (n, ...).

    ``person`` and ``row`` number the person and the region; ``number`` is that in the model.
    """
    parts = []
    for person, branches in enumerate(people.values()):
        rows, numbers = np.nonzero(branches.supported)
        part = {name: branches[name][numbers] for name in _OF_BRANCH}
        part |= {name: branches[name][rows, numbers] for name in _OF_REGION}
        in_model = branches.get("numbers", np.arange(branches.supported.shape[1]))[numbers]
        parts.append(part | {"person": np.full_like(rows, person), "row": rows, "number": in_model})
    return Bunch(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _similarity(pool, these, those):
    maps, spectra = pool.patterns, pool.frequency_patterns
    return similarity(maps[these], spectra[these], maps[those], spectra[those])


def _point_alike(pool, these, those):
    return pool.delay_kernels[these] @ pool.delay_kernels[those].T > 0


def _largest_by_chance(pool, n_regions, least):
    """Most people with alike branches in each draw and region (n_draws, n_regions)."""
    n = len(pool.row)
    if n_regions < 2 or not 0 < n <= _MOST_MEMBERS:
        return np.full((1, n_regions), np.nan)
    close = np.zeros((n, n), dtype=bool)
    for some in gen_batches(n, 1000):
        close[some] = _similarity(pool, some, slice(None)) >= least
        close[some] &= _point_alike(pool, some, slice(None))
    of_person = [np.flatnonzero(pool.person == person) for person in np.unique(pool.person)]
    rng, most = np.random.default_rng(0), np.zeros((_N_DRAWS, n_regions))
    place, drawn = np.zeros(n_regions, dtype=int), np.empty(n, dtype=int)
    for draw in most:
        for own in of_person:
            used = np.unique(pool.row[own])
            place[rng.permutation(used)] = used
            drawn[own] = place[pool.row[own]]
        for row in np.unique(drawn):
            here = np.flatnonzero(drawn == row)
            starts = np.flatnonzero(np.diff(pool.person[here], prepend=-1))
            alike = np.logical_or.reduceat(close[np.ix_(here, here)], starts, axis=1)
            draw[row] = alike.sum(axis=1).max()
    return most


def _p_alike(n, by_chance):
    if np.isnan(by_chance).any():
        return np.nan
    return (1 + np.count_nonzero(by_chance.max(axis=1) >= n)) / (1 + len(by_chance))


def _groups(pool, members, n_people, least):
    """Group the supported branches of a region, at most one of each person, the largest first."""
    if len(members) < 2:
        return
    alike = _similarity(pool, members, members)
    alike = np.where(_point_alike(pool, members, members) & (alike >= least), alike, 0.0)
    # A strong branch is to join a group before a weak one that is a little more alike.
    worth = alike * pool.held_out[members]
    owners = pool.person[members]
    of_person = [np.flatnonzero(owners == person) for person in np.unique(owners)]
    while worth.any():
        # The best of each person for every branch that may collect.
        best = np.array([worth[:, own].max(axis=1) for own in of_person]).T
        seed = np.lexsort([best.sum(axis=1), (best > 0).sum(axis=1)])[-1]
        group = [
            seed if seed in own else own[worth[seed, own].argmax()]
            for own in of_person
            if worth[seed, own].any()
        ]
        if _p_of(len(group), n_people) > _MOST_P:
            return
        yield members[group]
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
