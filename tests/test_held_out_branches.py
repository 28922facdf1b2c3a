"""Branches are tested on volumes that did not train them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    Compact,
    EEGFilter,
    Windower,
    align,
    band_importance,
    channel_importance,
    compare,
    pearson_r,
    plot_band_importance,
    plot_branches,
    plot_channel_importance,
    plot_stability,
    read_branches,
)
from sklearn_beira.exceptions import GapWarning
from sklearn_beira.inspection.held_out import _copies, _score
from sklearn_beira.inspection.patterns import abs_cosines

CV = BlockedKFold(4)


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def study(make_study):
    """Two sources of two bands drive the first region, one against BOLD; none the second."""
    study = make_study(
        duration=500.0, n_channels=16, lead_in=17.0, n_sources=5,
        bands=[(8.0, 12.0), (4.0, 7.0), (16.0, 22.0)], weights=[[1, -0.8, 0, 0, 0], [0] * 5],
        random_state=1,
    )  # fmt: skip
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error")
    return X, y, study.truth


@pytest.fixture(scope="module")
def model(study):
    beira = BEIRARegressor(Compact(n_branches=6), verbose=False)
    return make_pipeline(EEGFilter(1, 45, sfreq=100), Windower(16.0), beira).fit(*study[:2])


@pytest.fixture(scope="module")
def branches(model, study):
    return read_branches(model, *study[:2], cv=CV)


def test_planted_sources_are_supported_and_nothing_else(branches, study):
    truth = study[2]
    cosines = abs_cosines(branches.patterns, truth.patterns)
    peaks = branches.frequencies[branches.frequency_patterns.argmax(axis=1)]
    found = set()
    for branch in np.flatnonzero(branches.supported[0]):
        source = cosines[branch].argmax()
        low, high = truth.bands[source]
        assert cosines[branch, source] > 0.9
        assert low - 1 <= peaks[branch] <= high + 1
        sign = np.sign(branches.delay_kernels[0, branch].sum())
        assert sign == np.sign(truth.weights[0, source])
        found.add(source)
    assert found == {0, 1}
    assert not branches.supported[1].any()


def test_parts_of_r_are_those_of_a_cross_validation(model, branches, study):
    X, y = study[:2]
    predicted = np.full(y.shape, np.nan)
    fold = np.full(len(y), -1)
    for k, (train, test) in enumerate(CV.split(X)):
        fold[test] = k
        predicted[test] = clone(model).fit(X[train], y.iloc[train]).predict(X[test])
    r = pearson_r(y, predicted, blocks=fold, multioutput="raw_values")
    # Branches of a fold that are like none of the model are left out.
    np.testing.assert_allclose(branches.held_out.sum(axis=1), r, atol=0.05)
    assert branches.p_region[0] < 1e-3
    assert branches.p_region[1] > 0.05


def test_the_same_branches_are_read_as_one(model, study):
    X, y = study[:2]
    split = clone(model).fit(X, y)
    before = read_branches(split, X)
    network = split[-1].network_
    first = before.importance[0].argmax()
    alone = [i for i in range(6) if np.sum(before.merged_into == before.merged_into[i]) == 1]
    double = alone[before.importance[0, alone].argmin()]
    for weights in (network.branches.spatial, network.branches.bandpass):
        weights.data[double] = weights.data[first]
    network.branches.mean_power[double] = network.branches.mean_power[first]
    network.kernel.data[0, first] /= 2
    network.kernel.data[0, double] = network.kernel.data[0, first]
    after = read_branches(split, X)
    kept = after.merged_into[first]
    assert after.merged_into[double] == kept
    np.testing.assert_allclose(
        after.delay_kernels[0, kept], before.delay_kernels[0, first], rtol=1e-4
    )
    other = double if kept == first else first
    assert after.importance[0, other] == 0
    assert not after.delay_kernels[0, other].any()


def test_branches_that_cancel_each_other_predict_nothing():
    rng = np.random.default_rng(0)
    y, pair, blocks = rng.standard_normal((400, 1)), rng.standard_normal(400), np.arange(400) // 100
    real = 0.5 * y[:, 0] + rng.standard_normal(400)
    parts = np.stack([0.4 * real, pair, 0.1 * rng.standard_normal(400) - pair], axis=1)[:, None]
    scores = _score(y, parts.sum(axis=2), parts, blocks, np.eye(3, dtype=bool))
    assert scores["p_held_out"][0, 0] < 1e-6
    assert (scores["p_held_out"][0, 1:] > 0.01).all()


def test_the_largest_copy_stands_for_its_source():
    frequencies = np.arange(0.0, 30.0, 0.5)
    bands = [(8, 12), (9, 11), (8, 12), (14, 16)]
    spectra = np.array([(frequencies >= low) & (frequencies <= high) for low, high in bands])
    maps = np.array([[1.0, 0.5], [-1.0, -0.5], [-0.5, 1.0], [1.0, 0.5]])
    copies = _copies(maps, spectra.astype(float))
    np.testing.assert_array_equal(np.argwhere(np.triu(copies, 1)), [[0, 1]])
    rng = np.random.default_rng(0)
    y, blocks = rng.standard_normal((400, 1)), np.arange(400) // 100
    source, noise = y[:, 0] + rng.standard_normal(400), rng.standard_normal((3, 400))
    parts = np.stack([source, 0.5 * source + 0.05 * noise[0], *noise[1:]], axis=1)[:, None]
    p = _score(y, parts.sum(axis=2), parts, blocks, copies)["p_held_out"][0]
    assert p[0] < 1e-6
    assert (p[1:] > 0.05).all()
    hidden = _score(y, parts.sum(axis=2), parts, blocks, np.eye(4, dtype=bool))["p_held_out"][0]
    assert (hidden > 0.01).all()


def test_fits_of_a_comparison_are_not_repeated(branches, model, study, tmp_path, monkeypatch):
    X, y = study[:2]
    options = {"cv": CV, "null": None, "cache": tmp_path, "verbose": False}
    comparison = compare({"BEIRA": model}, X, y, **options, return_estimator=True)
    monkeypatch.setattr(BEIRARegressor, "fit", lambda *args: 1 / 0)
    estimators = comparison.estimators["BEIRA"]
    again = read_branches(model, X, y, cv=CV, estimators=estimators)
    np.testing.assert_allclose(again.held_out, branches.held_out, rtol=1e-6)
    with pytest.raises(ValueError, match="4 estimators for 3 folds"):
        read_branches(model, X, y, cv=3, estimators=estimators)
    # The cache holds predictions, and no models.
    again = compare({"BEIRA": model}, X, y, **options, return_estimator=True)
    assert again.estimators["BEIRA"] == [None] * 4
    assert compare({"BEIRA": model}, X, y, **options).estimators == {}


def test_branches_are_not_tested_in_folds_that_leak(model, study):
    with pytest.warns(GapWarning):
        read_branches(model, *study[:2], cv=BlockedKFold(4, gap=0.0))


def test_models_of_one_region_and_other_folds_are_tested(study):
    X, y = study[:2]
    model = make_pipeline(
        EEGFilter(1, 45, sfreq=100),
        Windower(16.0),
        BEIRARegressor(Compact(n_branches=3), verbose=False),
    )
    only = y.iloc[:, 0]
    found = read_branches(model.fit(X, only), X, only, cv=2)
    assert found.held_out.shape == (1, 3)
    with pytest.raises(ValueError, match=r"group"):
        read_branches(model, X, only, cv=LeaveOneGroupOut())


def test_figures_show_supported_branches_in_color(branches, model, study):
    figure = plot_branches(branches, 0, n_branches=3)
    texts = [ax.texts[0].get_text() for ax in figure.axes[::4] if ax.texts]
    maps = [ax.images[0].cmap.name for ax in figure.axes if ax.images]
    assert maps[:2] == ["RdBu_r", "RdBu_r"]
    assert "stability" in texts[0]
    fewer = plot_branches(branches, 0, n_branches=1)  # all branches in color are drawn
    assert len(fewer.axes) == len(figure.axes) - 4 * (3 - branches.supported[0].sum())
    gray = plot_branches(branches, 1, n_branches=1)
    assert "region not" in gray.axes[0].texts[0].get_text()
    untested = plot_branches(read_branches(model, study[0]), 0, n_branches=1)
    assert "not tested" in untested.axes[0].texts[0].get_text()
    ax = plot_stability(branches)
    colored = {line.get_label(): len(line.get_xdata()) for line in ax.lines[3:]}
    assert colored == {branches.region_names[0]: branches.supported.sum()}
    with pytest.raises(ValueError, match="were not tested"):
        plot_stability(read_branches(model, study[0]))


def test_figures_of_bands_and_channels_show_the_losses(model, study):
    X, y = study[:2]
    bands = band_importance(model, X, y, n_repeats=2, random_state=0)
    figure = plot_band_importance(bands)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, bands.importances_mean[0])
    channels = channel_importance(model, X, y, n_repeats=2, random_state=0)
    figure = plot_channel_importance(channels)
    assert [ax.get_title() for ax in figure.axes[:2]] == list(y.columns)
    channels.info = None
    figure = plot_channel_importance(channels)
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    np.testing.assert_allclose(heights, channels.importances_mean[1])


def test_few_volumes_test_nothing():
    rng = np.random.default_rng(0)
    y, blocks = rng.standard_normal((24, 1)), np.arange(24) // 8
    parts = np.concatenate([y[:, :, None], rng.standard_normal((24, 1, 15))], axis=2)
    bold, alone = parts.sum(axis=2), np.eye(16, dtype=bool)
    assert (_score(y, bold, parts, blocks, alone)["p_held_out"] == 1).all()
    assert _score(y, bold, parts[..., :4], blocks, alone[:4, :4])["p_held_out"][0, 0] < 1e-6


def test_the_bold_is_that_of_the_model(model, study):
    X, y = study[:2]
    for other in (y.iloc[:, ::-1], y.iloc[:, :1]):
        with pytest.raises(ValueError, match="y has the regions"):
            read_branches(model, X, other, cv=CV)
