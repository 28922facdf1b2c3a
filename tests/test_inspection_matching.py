"""Branches matched across fits, and maps of random weights."""

import copy
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from sklearn_beira import BEIRARegressor, Compact, EEGFilter, Windower, align, plot_branches
from sklearn_beira.inspection import (
    group_branches,
    maps_of_random_weights,
    match_branches,
    randomize_branches,
    read_branches,
)
from sklearn_beira.inspection.group import _groups, load_branches, save_branches

OWN = [slice(0, 6), slice(6, 12)]  # branches of the two regions


def cosine(a, b):
    return np.abs(a @ b) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def study(make_study):
    """Each of two regions follows a source of its own."""
    study = make_study(
        duration=420.0, n_channels=16, lead_in=17.0, n_sources=4, weights=np.eye(2, 4)
    )
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error")
    return X, y, study.truth


def fit(X, y):
    beira = BEIRARegressor(Compact(n_branches=6), verbose=False)
    steps = [("filter", EEGFilter(1, 45, sfreq=100)), ("window", Windower(16.0)), ("beira", beira)]
    return Pipeline(steps).fit(X, y)


@pytest.fixture(scope="module")
def model(study):
    return fit(*study[:2])


@pytest.fixture(scope="module")
def branches(model, study):
    return read_branches(model, study[0])


def shuffle(branches, rng, noise=0.0):
    """The same branches in another order, with other signs, and noise on their maps."""
    order = np.concatenate([own.start + rng.permutation(6) for own in OWN])
    signs = rng.choice([-1.0, 1.0], 12)
    patterns = branches.patterns + noise * rng.standard_normal(branches.patterns.shape)
    return order, Bunch(
        **{
            **branches,
            "patterns": (signs[:, None] * patterns)[order],
            "frequency_patterns": branches.frequency_patterns[order],
            "importance": branches.importance[:, order],
            "delay_kernels": branches.delay_kernels[:, order],
            "merged_into": np.argsort(order)[branches.merged_into[order]],
        }
    )


def test_matching_undoes_order_and_signs(branches):
    rng = np.random.default_rng(0)
    shuffled = [shuffle(branches, rng) for _ in range(4)]
    for roi, name in enumerate(branches.region_names):
        found = match_branches([run for _, run in shuffled], name, n_branches=4)
        np.testing.assert_allclose(found.stability, 1)
        np.testing.assert_allclose(found.kernel_stability, 1)
        # The same branches everywhere, the most important ones, in their order.
        original = [order[i] for (order, _), i in zip(shuffled, found.indices, strict=True)]
        expected = np.argsort(-branches.importance[roi])[:4]
        np.testing.assert_array_equal(original, np.tile(expected, (4, 1)))
        np.testing.assert_allclose(found.importance, branches.importance[roi, expected])
        np.testing.assert_allclose(found.delay_kernels, branches.delay_kernels[roi, expected])
        np.testing.assert_allclose(
            found.aligned_patterns, found.aligned_patterns[[0]].repeat(4, axis=0), atol=1e-12
        )
        for pattern, k in zip(found.patterns, expected, strict=True):
            assert cosine(pattern, branches.patterns[k]) == pytest.approx(1)


def test_averages_of_noisy_maps_are_closer_to_the_truth(branches):
    rng = np.random.default_rng(0)
    runs = [shuffle(branches, rng, noise=0.3)[1] for _ in range(8)]
    found = match_branches(runs, 0, n_branches=2)
    truth = branches.patterns[np.argmax(branches.importance[0])]
    single = [cosine(maps, truth) for maps in found.aligned_patterns[:, 0]]
    assert cosine(found.patterns[0], truth) > max(single)
    similar = []
    for i, j in combinations(range(8), 2):
        spectra = [runs[k].frequency_patterns[found.indices[k, 0]] for k in (i, j)]
        overlap = np.minimum(*(spectrum / spectrum.sum() for spectrum in spectra)).sum()
        maps = found.aligned_patterns[:, 0]
        similar.append(cosine(maps[i], maps[j]) * overlap)
    assert found.stability[0] == pytest.approx(np.mean(similar))


def test_stability_falls_for_unrelated_maps(branches):
    rng = np.random.default_rng(0)
    unrelated = []
    for _ in range(4):
        run = Bunch(**branches)
        run.patterns = rng.standard_normal(run.patterns.shape)
        run.frequency_patterns = rng.permutation(run.frequency_patterns)
        unrelated.append(run)
    assert (match_branches(unrelated, 0).stability < 0.5).all()
    one_off = [branches, branches, unrelated[0]]
    assert (match_branches(one_off, 0).stability < 0.8).all()


def test_halves_of_a_recording_agree_on_the_source(study):
    X, y, truth = study
    half = len(X) // 2
    runs = [
        read_branches(fit(X[rows], y[rows]), X[rows]) for rows in (slice(half), slice(half, None))
    ]
    for roi in range(2):
        found = match_branches(runs, roi, n_branches=2)
        assert found.stability[0] > 0.85
        assert found.kernel_stability[0] > 0.7
        assert cosine(found.patterns[0], truth.patterns[roi]) > 0.95


def test_kernels_over_different_lags_are_not_averaged(branches):
    other = Bunch(**branches)
    other.lags = branches.lags + 2.0
    found = match_branches([branches, other], 0)
    assert found.delay_kernels is found.lags is found.kernel_stability is None


def test_fits_that_cannot_be_matched_are_refused(branches):
    def changed(**entries):
        return Bunch(**{**branches, **entries})

    with pytest.raises(ValueError, match="two or more fits, got 1"):
        match_branches([branches], 0)
    with pytest.raises(ValueError, match=r"fit 1 has other channels than fit 0 \(\['a'"):
        match_branches([branches, changed(ch_names=[*"abcdefghijklmnop"])], 0)
    with pytest.raises(ValueError, match="fit 1 has other frequencies than fit 0; read"):
        match_branches([branches, changed(frequencies=branches.frequencies * 2)], 0)
    with pytest.raises(ValueError, match=r"no region 'Thalamus'; .* Left Caudate, Right"):
        match_branches([branches, branches], "Thalamus")
    with pytest.raises(ValueError, match=r"no region 2; .* or a number from 0 to 1"):
        match_branches([branches, branches], 2)
    with pytest.raises(ValueError, match=r"n_branches=7, but the region has \d in fit 0"):
        match_branches([branches, branches], 0, n_branches=7)
    with pytest.raises(ValueError, match="n_branches must be an integer of at least 1, got 0"):
        match_branches([branches, branches], 0, n_branches=0)


def test_randomized_weights_keep_their_values_and_lose_their_places(model):
    before = copy.deepcopy(model)
    drawn = randomize_branches(model, random_state=0)
    own, kept, moved = (m[-1].network_.state_dict() for m in (before, model, drawn))
    for name in ("branches.spatial", "branches.bandpass", "kernel"):
        assert (own[name] == kept[name]).all()  # the model itself stays
        assert (own[name] != moved[name]).float().mean() > 0.5
        assert (own[name].flatten().sort()[0] == moved[name].flatten().sort()[0]).all()
    again = randomize_branches(model, random_state=0)[-1].network_
    assert (again.kernel == moved["kernel"]).all()


def test_random_weights_lose_the_maps(model, branches, study):
    X, _, truth = study
    found = maps_of_random_weights(model, X, n_surrogates=20, random_state=0)
    assert found.spatial.shape == found.spectral.shape == (20, 2)
    assert found.region_names == branches.region_names
    np.testing.assert_array_equal(found.branches, branches.importance.argmax(axis=1))
    for roi, best in enumerate(found.branches):
        learned = cosine(branches.patterns[best], truth.patterns[roi])
        drawn = cosine(found.patterns[:, roi], truth.patterns[roi])
        assert learned > 0.95
        assert np.median(drawn) < 0.75
        expected = cosine(found.patterns[:, roi], branches.patterns[best])
        np.testing.assert_allclose(found.spatial[:, roi], expected)
    assert (np.median(found.spatial, axis=0) < 0.75).all()
    assert (np.median(found.spectral, axis=0) < 0.75).all()


def test_random_copies_of_nothing_are_refused(model, study):
    with pytest.raises(ValueError, match="n_surrogates must be an integer of at least 1, got 0"):
        maps_of_random_weights(model, study[0], n_surrogates=0)
    with pytest.raises(TypeError, match="search over these, got EEGFilter"):
        randomize_branches(EEGFilter())


def make_people(branches, n_people, supported, noise=0.1):
    """Copies of the branches; ``supported`` lists by branch the people in whom it is supported."""
    rng = np.random.default_rng(1)
    people, orders = {}, {}
    for k in range(n_people):
        order, own = shuffle(branches, rng, noise * np.abs(branches.patterns).mean())
        own.update({name: np.zeros((2, 12)) for name in ("held_out", "stability")})
        own.supported = np.zeros((2, 12), dtype=bool)
        for branch, those in supported.items():
            at = np.flatnonzero(order == branch)
            own.supported[branch // 6, at] = k in those
            own.held_out[branch // 6, at] = 0.1 * (k + 1)
        people[f"sub-{k}"], orders[f"sub-{k}"] = own, order
    return people, orders


def test_branches_that_people_share_are_found_with_those_who_have_them(branches):
    supported = {2: range(5), 7: [0, 2, 3, 4], 9: [1]}
    people, orders = make_people(branches, 6, supported)
    found = group_branches(people)
    assert found.regions.tolist() == [0, 1]
    for k, branch in enumerate((2, 7)):
        assert list(found.people[k]) == [f"sub-{one}" for one in supported[branch]]
        assert {orders[person][number] for person, number in found.people[k].items()} == {branch}
        assert cosine(found.patterns[k], branches.patterns[branch]) > 0.99
        assert found.stability[k, k] > 0.9
        assert found.held_out[k, k] == pytest.approx(0.1 + 0.1 * np.mean(list(supported[branch])))
    assert found.supported.tolist() == [[True, False], [False, True]]
    assert found.p_people == pytest.approx(stats.binom.sf([4, 3], 6, 0.05))


def test_people_who_share_nothing_are_alike_by_chance_and_those_who_share_are_not():
    def person(rng, shared):
        """Three supported branches in each of six regions, of broad maps and three rhythms."""
        n = 6 * 3
        maps, spectra = rng.standard_normal((n, 3)) @ basis, np.eye(3)[rng.integers(3, size=n)]
        if shared:  # one of the three branches of the first region
            maps[0], spectra[0] = basis[0] + 0.2 * basis[1], np.eye(3)[0]
        regions = np.repeat(np.arange(6), 3)
        mine = regions == np.arange(6)[:, None]
        kernels = mine[..., None] * np.ones(4)
        return Bunch(
            patterns=maps, frequency_patterns=spectra, frequency_responses=spectra,
            lowpass_responses=spectra, delay_kernels=kernels, importance=1.0 * mine,
            held_out=0.1 * mine, stability=1.0 * mine, supported=mine, frequencies=np.arange(3),
            lags=np.arange(4), region_names=list("abcdef"), ch_names=list("123456789"), info=None,
        )  # fmt: skip

    basis, found = np.linalg.qr(np.random.default_rng(9).standard_normal((9, 3)))[0].T, []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        found.append(group_branches({str(k): person(rng, shared=False) for k in range(12)}))
    assert min(len(one.regions) for one in found) > 0  # some are always alike in many
    assert np.mean([(one.p_alike <= 0.05).any() for one in found]) <= 0.15
    sizes = [len(people) for one in found for people in one.people]
    assert np.mean(np.concatenate([one.n_by_chance for one in found])) > 0.8 * np.mean(sizes)
    # Being predicted in one region only is no sharing.
    for seed in range(5):
        rng = np.random.default_rng(seed)
        one = {str(k): person(rng, shared=False) for k in range(12)}
        for own in one.values():
            own.supported[1:] = False
        assert (group_branches(one).p_alike > 0.05).all()
    rng = np.random.default_rng(99)
    shared = group_branches({str(k): person(rng, shared=True) for k in range(12)})
    first = np.flatnonzero(shared.regions == 0)[0]
    assert len(shared.people[first]) == 12
    assert shared.p_alike[first] <= 0.05
    assert shared.n_by_chance[first] < 10


def test_a_strong_branch_joins_a_group_before_a_weak_one_that_is_more_alike(branches):
    people, orders = make_people(branches, 4, {2: range(4), 3: [3]})
    weak, strong = (np.flatnonzero(orders["sub-3"] == branch)[0] for branch in (2, 3))
    own = people["sub-3"]
    for values in (own.patterns, own.frequency_patterns, own.delay_kernels[0]):
        values[strong] = values[weak]
    noise = np.random.default_rng(0).standard_normal(own.patterns.shape[1])
    own.patterns[strong] += 0.3 * np.abs(own.patterns[weak]).mean() * noise
    own.held_out[0, [weak, strong]] = 0.04, 0.6
    found = group_branches(people)
    assert found.people[0]["sub-3"] == strong


def test_all_branches_of_a_group_are_like_the_one_that_collects_them():
    collects, *axes = np.eye(5)
    alike = [0.75 * collects + np.sqrt(1 - 0.75**2) * axis for axis in axes[:3]]
    strong = 0.65 * collects + np.sqrt(1 - 0.65**2) * axes[3]
    pool = Bunch(
        person=np.array([0, 0, 1, 2, 3]), patterns=np.array([collects, strong, *alike]),
        frequency_patterns=np.ones((5, 3)), delay_kernels=np.ones((5, 4)),
        held_out=np.array([0.04, 0.6, 0.1, 0.1, 0.1]),
    )  # fmt: skip
    assert next(_groups(pool, np.arange(5), 4, 0.6)).tolist() == [0, 2, 3, 4]


def test_saved_branches_make_the_same_group_and_figure(branches, tmp_path):
    people, _ = make_people(branches, 6, {2: range(6)})
    for person, own in people.items():
        save_branches(own, tmp_path / f"{person}.npz")
    loaded = {person: load_branches(tmp_path / f"{person}.npz") for person in people}
    found, again = group_branches(people), group_branches(loaded)
    np.testing.assert_array_equal(again.patterns, found.patterns)
    assert again.people == found.people  # by the numbers of the models
    assert max(found.people[0].values()) > 0
    fig = plot_branches(again, 0)  # without positions
    assert any("6 of 6 people" in text.get_text() for text in fig.findobj(plt.Text))
    plt.close(fig)


def test_branches_of_too_few_people_or_of_opposite_effect_are_not_those_of_the_group(branches):
    few, _ = make_people(branches, 20, {2: [3, 8]})  # as many as chance may give
    assert group_branches(few).people == []
    people, _ = make_people(branches, 6, {2: range(6)})
    for k in range(3):
        people[f"sub-{k}"].delay_kernels *= -1
    assert [list(one) for one in group_branches(people).people] == [  # the stronger ones first
        ["sub-3", "sub-4", "sub-5"],
        ["sub-0", "sub-1", "sub-2"],
    ]
    for least in (2, -0.1, np.nan, "0.5"):
        with pytest.raises(ValueError, match="min_similarity must be from 0 to 1"):
            group_branches(people, min_similarity=least)
    with pytest.raises(ValueError, match="at least two people"):
        group_branches({"sub-0": people["sub-0"]})
    with pytest.raises(ValueError, match="sub-1 has other ch_names than sub-0"):
        group_branches({**people, "sub-1": Bunch(**{**people["sub-1"], "ch_names": ["Cz"]})})
    with pytest.raises(ValueError, match="were not tested"):
        group_branches({"a": branches, "b": branches})
