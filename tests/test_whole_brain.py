"""WholeBrainRegressor: many targets as one by one, new EEG as training EEG, and what it says."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    EEGFilter,
    EEGWindows,
    WholeBrainRegressor,
    Windower,
    align,
    load_model,
    make_eeg_fmri,
    save_model,
)
from sklearn_beira.regressor import reml


@pytest.fixture(scope="module")
def two_runs():
    """Two runs of filtered EEG, with 60 mixtures of the regions that EEG drives, and noise."""
    study = make_eeg_fmri(2, duration=240.0, t_r=2.0, n_channels=8, random_state=3)
    X, _ = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
    X = make_pipeline(EEGFilter(), Windower(20.0)).fit_transform(X)
    rng = np.random.default_rng(0)
    starts = np.r_[0, len(study.bolds[0])]
    coupled = np.concatenate(study.truth.coupled)[starts[X.groups] + X.volumes]
    weights = rng.standard_normal((8, 60)) * (rng.random((8, 60)) < 0.3)
    y = coupled / coupled.std(axis=0) @ weights
    y += 0.8 * rng.standard_normal(y.shape)
    return X, y, weights.any(axis=0)


def pearson(y, p):
    y, p = y - y.mean(axis=0), p - p.mean(axis=0)
    return (y * p).sum(axis=0) / np.sqrt((y**2).sum(axis=0) * (p**2).sum(axis=0))


def test_many_targets_are_predicted_as_well_as_one_by_one(two_runs, monkeypatch):
    X, y, coupled = two_runs
    train, test = X.groups == 0, X.groups == 1
    together = WholeBrainRegressor().fit(X[train], y[train])
    searched = [len(np.unique(r["variances"], axis=1).T) for r in together.readings_]
    assert max(searched) <= reml._SEARCHED
    r = pearson(y[test], together.predict(X[test]))
    monkeypatch.setattr(reml, "_SEARCHED", 1000)
    alone = WholeBrainRegressor().fit(X[train], y[train])
    expected = pearson(y[test], alone.predict(X[test]))
    assert expected[coupled].mean() > 0.4
    assert abs(expected[~coupled].mean()) < 0.15
    assert r[coupled].mean() > expected[coupled].mean() - 0.01


def test_few_targets_do_not_depend_on_each_other(two_runs):
    X, y, _ = two_runs
    X, y = X[:100], y[:100, :4]
    together = WholeBrainRegressor().fit(X, y)
    for target in (1, 2):
        alone = WholeBrainRegressor().fit(X, y[:, target])
        p = alone.predict(X)
        assert p.shape == (100,)
        np.testing.assert_allclose(together.predict(X)[:, target], p, rtol=1e-3, atol=1e-3)


def test_it_predicts_about_as_beira_does(two_runs):
    X, y, coupled = two_runs
    train, test, y = X.groups == 0, X.groups == 1, y[:, coupled][:, :6]
    models = WholeBrainRegressor(), BEIRARegressor(verbose=False)
    r = [pearson(y[test], m.fit(X[train], y[train]).predict(X[test])).mean() for m in models]
    assert r[0] == pytest.approx(r[1], abs=0.08)


def test_a_volume_is_predicted_the_same_alone_and_among_others(two_runs):
    X, y, _ = two_runs
    model = WholeBrainRegressor().fit(X[:100], y[:100])
    whole = model.predict(X)
    assert whole.shape == y.shape
    some = np.array([170, 3, 130])
    np.testing.assert_allclose(model.predict(X[some]), whole[some], rtol=1e-3, atol=1e-3)


def test_predictions_are_features_times_weights(two_runs):
    X, y, _ = two_runs
    X, y = X[:100], y[:100, :30]
    model = WholeBrainRegressor().fit(X, y)
    expected = np.zeros_like(y)
    for reading in model.readings_:
        for block, variances in zip(reading["features"], reading["variances"], strict=True):
            expected += block @ (block.T @ (reading["weights"] * variances))
    expected = expected * y.std(axis=0) + y.mean(axis=0)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:the EEG of recording 0 has an SD")
def test_eeg_in_another_unit_than_in_the_training_is_noticed(two_runs):
    X, y, _ = two_runs
    model = WholeBrainRegressor().fit(X[:60], y[:60, :2])
    louder = EEGWindows(
        [1e3 * recording for recording in X.recordings[:1]], X.groups[:20], X.times[:20], X.info,
        tmin=X.tmin, tmax=X.tmax,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="the training EEG had"):
        model.predict(louder)


def test_a_long_study_reads_powers(two_runs, monkeypatch):
    X, y, coupled = two_runs
    train, test = X.groups == 0, X.groups == 1
    monkeypatch.setattr(reml, "ROWS", 100)
    model = WholeBrainRegressor().fit(X[train], y[train])
    assert {reading["kind"] for reading in model.readings_} <= {"power", "log power"}
    assert pearson(y[test], model.predict(X[test]))[coupled].mean() > 0.4
    assert np.isin(model.best_band_, model.bands_).all()


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_the_band_and_the_delay_of_a_target_are_those_that_were_planted(delay):
    late = 2.0
    study = make_eeg_fmri(
        duration=400.0,
        t_r=2.0,
        n_channels=8,
        n_rois=2,
        bands=[(8.5, 11.5), (17.0, 23.0)],
        weights=[[1, 0], [0, 1]],
        n_sources=2,
        delay=late,
        noise_ceiling=0.9,
        random_state=0,
    )
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
    X = make_pipeline(EEGFilter(), Windower(16.0, delay=delay)).fit_transform(X)
    model = WholeBrainRegressor().fit(X, y)
    assert list(model.best_band_) == ["alpha", "beta"]
    assert model.band_shares_.shape == (2, len(model.bands_))
    # Glover's response peaks after about 5 s.
    np.testing.assert_allclose(model.best_delay_, 5.0 + late, atol=1.3)


def test_a_constant_target_is_predicted_as_its_mean(two_runs):
    X, y, _ = two_runs
    X, y = X[:100], y[:100, :30].copy()
    constants = {4: 7.5, 5: 0.1}  # the mean of 0.1 is rounded
    y[:, [*constants]] = [*constants.values()]
    model = WholeBrainRegressor().fit(X, y)
    for target, value in constants.items():
        np.testing.assert_allclose(model.predict(X)[:, target], value, rtol=1e-12)
        assert model.best_band_[target] == ""
        assert np.isnan(model.best_delay_[target])
    assert np.isfinite(np.delete(model.best_delay_, [*constants])).all()
    assert np.isin(np.delete(model.best_band_, [*constants]), model.bands_).all()


def test_a_saved_model_predicts_the_same(two_runs, tmp_path):
    X, y, _ = two_runs
    model = WholeBrainRegressor().fit(X[:100], y[:100])
    save_model(model, tmp_path / "model.beira")
    again = load_model(tmp_path / "model.beira")
    np.testing.assert_array_equal(again.predict(X[100:]), model.predict(X[100:]))
    np.testing.assert_array_equal(again.best_band_, model.best_band_)


def test_windows_of_another_length_are_refused(two_runs):
    X, y, _ = two_runs
    model = WholeBrainRegressor().fit(X[:50], y[:50, :2])
    with pytest.raises(ValueError, match="windows"):
        model.predict(X.window(-10.0, 0.0))


def test_filters_that_fit_no_window_are_refused():
    X = EEGWindows.from_array(np.random.default_rng(0).standard_normal((9, 2, 60)), sfreq=100.0)
    with pytest.raises(ValueError, match="shorter than an FIR filter"):
        WholeBrainRegressor().fit(X, np.arange(9.0))
    with pytest.raises(ValueError, match="odd"):
        WholeBrainRegressor(n_taps=10).fit(X, np.arange(9.0))


@pytest.mark.parametrize("read", ["bands of one's own", "a table"])
def test_no_model_that_is_averaged_stands_twice(two_runs, read):
    X, y, _ = two_runs
    X, y, options = X[:80], y[:80, :3], {"bands": {"alpha": (8.0, 12.0), "beta": (15.0, 25.0)}}
    if read == "a table":
        X, options = np.asarray(X[:, :, -1:]), {"n_taps": 1, "segment": 1}
    features = [
        np.hstack(reading["features"])
        for reading in WholeBrainRegressor(**options).fit(X, y).readings_
    ]
    assert len(features) > 2
    for k, one in enumerate(features):
        for other in features[:k]:
            assert one.shape != other.shape or not np.allclose(one, other)
