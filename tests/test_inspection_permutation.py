"""Importance of channels and bands: planted truth is found, and time is respected."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, EEGWindows, Windower, align
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.inspection import band_importance, channel_importance

PLANTED = 2


@pytest.fixture(scope="module")
def study(make_raw, make_study):
    """Ten minutes of white noise, with an alpha source in one channel that drives one region.

    The other region is driven by nothing.
    """
    n_times = 60_000
    source = make_study(
        duration=600.0, n_channels=4, sfreq=100.0, lead_in=17.0, n_sources=1,
        weights=[[1.0], [0.0]], noise_ceiling=0.95,
    )  # fmt: skip
    raw = make_raw(duration=n_times / 100, n_channels=5)
    raw._data[PLANTED] += 3e-5 * source.truth.sources[0][0]
    X, y = align(
        raw, source.bolds[0], volume_times=source.volume_times[0], tmin=-16.0, tmax=0.0,
        verbose="error",
    )  # fmt: skip
    return X, y


@pytest.fixture(scope="module", params=["beira", "ridge"])
def fitted(request, study):
    X, y = study
    steps = {
        "beira": [("window", Windower(16.0)), ("beira", BEIRARegressor(verbose=False))],
        "ridge": make_band_power_ridge(16.0).steps,
    }[request.param]
    model = Pipeline([("filter", EEGFilter(1, 45, sfreq=None, reference=None)), *steps])
    half = len(X) // 2
    return model.fit(X[:half], y[:half]), X[half + 10 :], y[half + 10 :]


def test_the_planted_channel_is_found_and_no_other(fitted):
    model, X, y = fitted
    found = channel_importance(model, X, y, n_repeats=4, random_state=0)
    assert found.importances.shape == (2, 5, 4)
    assert found.region_names == list(y.columns)
    assert found.ch_names == X.ch_names
    planted = found.importances_mean[0, PLANTED]
    assert planted > 0.7 * found.score[0] > 0.3
    others = np.delete(found.importances_mean[0], PLANTED)
    assert np.abs(others).max() < 0.1 * planted
    np.testing.assert_allclose(found.importances_mean, found.importances.mean(axis=2))
    np.testing.assert_allclose(found.importances_std, found.importances.std(axis=2))


def test_the_planted_band_is_found_and_no_other(fitted):
    model, X, y = fitted
    found = band_importance(model, X, y, n_repeats=4, random_state=0)
    assert found.importances.shape == (2, 6, 4)
    importance = dict(zip(found.bands, found.importances_mean[0], strict=True))
    planted = importance.pop("alpha")
    assert planted > 0.7 * found.score[0]
    # Filters overlap: a part of the source passes that of the next band.
    assert importance.pop("low beta") < 0.5 * planted
    assert max(map(abs, importance.values())) < 0.15 * planted


def test_the_score_is_that_of_the_predictions_within_blocks(fitted):
    model, X, y = fitted
    blocks = np.arange(len(X)) // 40
    found = channel_importance(model, X, y, blocks=blocks, n_repeats=1)
    expected = pearson_r(y, model.predict(X), blocks=blocks, multioutput="raw_values")
    np.testing.assert_allclose(found.score, expected)


def test_a_region_that_nothing_drives_has_no_importance(fitted):
    model, X, y = fitted
    found = channel_importance(model, X, y, n_repeats=4, random_state=0)
    assert np.abs(found.importances_mean[1]).max() < 0.2
    driven = found.importances_mean[0].max()
    assert driven > 3 * np.abs(found.importances_mean[1]).max()


class Witness(BaseEstimator):
    """Remembers the EEG that it predicts from; predicts the power in its windows."""

    def fit(self, X, y):
        self.seen_ = []
        return self

    def predict(self, X):
        self.seen_.append(X)
        return np.asarray(X).var(axis=2)


@pytest.fixture
def two_recordings(make_raw):
    raws = [make_raw(random_state=seed, duration=70.0) for seed in (0, 1)]
    eeg = [raw.get_data() for raw in raws]
    onsets = np.tile(np.arange(10.0, 62.0, 2.0), 2)
    return EEGWindows(eeg, np.repeat([0, 1], 26), onsets, raws[0].info, tmin=-5.0, tmax=0.0)


def test_blocks_of_one_channel_change_places_within_their_recording(two_recordings):
    X = two_recordings
    witness = Witness().fit(X, None)
    y = np.asarray(X).var(axis=2)
    channel_importance(witness, X, y, n_repeats=2, block=10.0, random_state=0)
    assert len(witness.seen_) == 1 + 4 * 2
    for i, seen in enumerate(witness.seen_[1:]):
        channel = i // 2
        np.testing.assert_array_equal(seen.times, X.times)
        for before, after in zip(X.recordings, seen.recordings, strict=True):
            others = np.arange(4) != channel
            np.testing.assert_array_equal(after[others], before[others])
            # Windows cover 5 to 60 s: five blocks of 11 s; what they do not cover stays.
            np.testing.assert_array_equal(after[channel, :500], before[channel, :500])
            np.testing.assert_array_equal(after[channel, 6000:], before[channel, 6000:])
            old = before[channel, 500:6000].reshape(5, 1100)
            new = after[channel, 500:6000].reshape(5, 1100)
            distance = np.abs(old[:, None] - new[None]).max(axis=2)
            assert (np.isclose(distance, 0, atol=1e-18).sum(axis=0) == 1).all()
            assert (np.diag(distance) > 1e-6).all()  # no block keeps its place
    names = [token for seen in witness.seen_ for token in seen.tokens]
    assert len(set(names)) == len(names)  # features remembered for one are not those of another


def test_a_band_moves_and_the_rest_stays(two_recordings):
    X = two_recordings
    witness = Witness().fit(X, None)
    bands = {"alpha": (8.0, 12.0)}
    band_importance(
        witness, X, np.asarray(X).var(axis=2), bands=bands, n_repeats=1, block=10.0, random_state=0
    )
    moved = np.array(witness.seen_[1].recordings[0])
    change = moved - X.recordings[0]
    assert (np.abs(change[:, 500:6000]).max(axis=1) > 1e-6).all()
    assert (change[:, :500] == 0).all()
    frequencies = np.fft.rfftfreq(5500, 1 / 100)
    power = np.abs(np.fft.rfft(change[:, 500:6000])) ** 2
    inside = (frequencies > 6) & (frequencies < 14)
    assert power[:, ~inside].sum() < 0.02 * power.sum()
    # Channels move together: their covariance in the pass band is what it was.
    inside = (frequencies > 8.5) & (frequencies < 11.5)
    spectra = [np.fft.rfft(eeg[:, 500:6000])[:, inside] for eeg in (moved, X.recordings[0])]
    new, old = (np.real(s @ s.conj().T) for s in spectra)
    np.testing.assert_allclose(new, old, atol=0.05 * np.trace(old) / 4)


def test_windows_of_an_array_change_places(make_raw):
    X = make_raw(duration=200.0).get_data().reshape(4, 40, 500).transpose(1, 0, 2)
    witness = Witness().fit(X, None)
    y = X[:, 1].var(axis=1)
    found = channel_importance(witness, X, np.column_stack([y] * 4), n_repeats=3, random_state=0)
    assert found.score[1] == pytest.approx(1)
    # Region 1 is told by channel 1 alone, and the witness has only channel 1 for it.
    assert found.importances_mean[1, 1] > 0.7
    assert (found.importances[1, [0, 2, 3]] == 0).all()
    for moved in witness.seen_[1:]:
        assert not (np.isclose(moved, X).all(axis=2)).all()
        assert np.isclose(np.sort(moved.ravel()), np.sort(X.ravel())).all()


def test_the_same_seed_draws_the_same_blocks(two_recordings):
    X = two_recordings
    y = np.asarray(X).var(axis=2)
    first, second, third = (
        channel_importance(Witness().fit(X, y), X, y, n_repeats=2, block=10.0, random_state=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.importances, second.importances)
    assert not np.array_equal(first.importances, third.importances)


def test_bad_input_is_refused(two_recordings):
    X = two_recordings
    y = np.asarray(X).var(axis=2)
    model = Witness().fit(X, y)
    with pytest.raises(
        ValueError, match=r"cover 55.0 s of recording 0, less than two blocks of 30"
    ):
        channel_importance(model, X, y)
    with pytest.raises(ValueError, match="n_repeats must be an integer of at least 1, got 0"):
        channel_importance(model, X, y, n_repeats=0)
    with pytest.raises(ValueError, match="block must be a positive length in s, got -3"):
        channel_importance(model, X, y, block=-3)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[52, 40\]"):
        channel_importance(model, X, y[:40])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        channel_importance(model, X, np.full_like(y, np.nan))
    with pytest.raises(ValueError, match="X has one epoch, but permutation needs at least two"):
        channel_importance(model, np.asarray(X[:1]), y[:1])
    with pytest.raises(NotFittedError):
        channel_importance(Witness(), X, y)
    with pytest.raises(AttributeError, match="'EEGFilter' object has no attribute 'predict'"):
        channel_importance(EEGFilter().fit(X), X, y, block=10.0)
    with pytest.raises(ValueError, match="band 'high' ends at 60 Hz, not below 50 Hz"):
        band_importance(model, X, y, bands={"high": (40, 60)}, block=10.0)
    with pytest.raises(ValueError, match="sampling rate is unknown"):
        band_importance(model, np.asarray(X), y)
