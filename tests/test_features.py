"""BandPower against a loop over windows, and its names against planted bursts."""

import importlib
import pickle

import mne
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_beira import EEGWindows, Windower, align
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.eeg import cache as _cache
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.features.band_power import BandPower, band_power
from sklearn_beira.features.bands import BANDS, filter_bands

Y = np.arange(30.0)
# The function of the same name hides the module.
features = importlib.import_module("sklearn_beira.features.band_power")

ALPHA = {"alpha": (8.0, 12.0)}


def windows(raws, tmin=-8.0, tmax=0.0, **params):
    raws = raws if isinstance(raws, list) else [raws]
    X, _ = align(raws, [Y] * len(raws), t_r=2.0, tmin=tmin, tmax=tmax, verbose="error", **params)
    return X.window(tmin, tmax)  # EEG after the volume is wanted here


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    """Let no test live on the rows that another one has computed."""
    fresh = _cache.Cache(10**9)
    monkeypatch.setattr(_cache, "results", fresh)
    return fresh


@pytest.fixture
def count(monkeypatch):
    """Count how often the power of a recording is computed, and for how many windows."""
    calls, compute = [], band_power

    def counting(eeg, sfreq, bands, segments):
        calls.append((eeg.shape, len(segments)))
        return compute(eeg, sfreq, bands, segments)

    monkeypatch.setattr(features, "band_power", counting)
    return calls


# -- numbers ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("duration", "step", "end"),
    [(2.0, 2.0, 0.0), (1.0, 0.5, 1.0), (3.0, 0.7, -1.0), (None, 2.0, 0)],
)
def test_features_are_those_of_a_loop_over_windows(make_raw, duration, step, end):
    raws = [make_raw(random_state=i) for i in range(2)]
    X = windows(raws, tmin=-8.0, tmax=end)
    bands = {"theta": (4.0, 8.0), "beta": (15.0, 30.0)}
    found = BandPower(bands, duration=duration, step=step).fit_transform(X)
    filtered = [
        [raw.copy().filter(*band, verbose="error").get_data() for band in bands.values()]
        for raw in raws
    ]
    length = 8.0 + end if duration is None else duration
    n_lags = 1 if duration is None else int((8.0 + end - length) / step + 1e-9) + 1
    expected = [
        [
            np.log(np.square(eeg[c, stop - round(length * 100) : stop]).mean())
            for stop in (round((t + end) * 100) - round(lag * step * 100) for lag in range(n_lags))
            for eeg in filtered[k]
            for c in range(4)
        ]
        for k, t in zip(X.groups, X.times, strict=True)
    ]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_sinusoid_of_amplitude_a_has_the_power_of_half_its_square(make_raw):
    raw = make_raw(n_channels=2, sfreq=128.0)
    amplitude = 30e-6
    raw._data[:] = amplitude * np.sin(2 * np.pi * np.array([[10.0], [22.0]]) * raw.times)
    power = BandPower({"alpha": (8, 12), "high beta": (18, 30)}).fit(windows(raw))
    found = power.transform(windows(raw)).reshape(-1, 4, 2, 2)  # samples, lags, bands, channels
    inside = found[:, :, [0, 1], [0, 1]]
    np.testing.assert_allclose(inside, np.log(amplitude**2 / 2), atol=0.01)
    assert (found[:, :, [0, 1], [1, 0]] < inside - np.log(1000)).all()


def test_silence_gives_a_finite_number(make_raw):
    raw = make_raw(n_channels=2)
    raw._data[1, 1000:5000] = 0.0
    found = BandPower(None).fit_transform(windows(raw))
    assert np.isfinite(found).all()
    assert found.min() == np.log(1e-30)


def test_power_without_bands_is_that_of_the_eeg_as_it_is(make_raw):
    X = windows(make_raw())
    found = BandPower(None, duration=None).fit_transform(X)
    np.testing.assert_allclose(found, np.log((np.asarray(X, float) ** 2).mean(axis=2)), rtol=1e-6)


def test_a_strong_artifact_elsewhere_leaves_the_power_exact(make_raw):
    raw = make_raw(n_channels=2, duration=600.0)
    raw._data[:, 100:2000] *= 1e4  # 0.1 V
    X, _ = align(raw, np.arange(60.0), t_r=10.0, tmin=-8.0, tmax=0.0, verbose="error")
    found = BandPower(None, duration=2.0).fit_transform(X[20:])
    expected = np.log((np.asarray(X[20:], float)[:, :, -200:] ** 2).mean(axis=2))
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-5)


def test_the_array_path_agrees_away_from_the_edges_of_its_windows(make_raw):
    X = windows(make_raw(sfreq=128.0), tmin=-14.0, tmax=4.0)
    power = BandPower(ALPHA)
    lags = np.arange(-4.0, 13.0, 2.0)
    recordings = power.fit_transform(X).reshape(len(X), len(lags), 4)
    np.testing.assert_allclose(power.lags_, lags)
    arrays = power.fit_transform(EEGWindows.from_array(X, 128)).reshape(len(X), len(lags), 4)
    np.testing.assert_allclose(power.lags_, lags + 4.0)  # an array is taken to end at the onset
    inner = slice(1, -1)
    np.testing.assert_allclose(arrays[:, inner], recordings[:, inner], atol=1e-3)
    assert np.abs(arrays - recordings)[:, [0, -1]].max() > 0.1
    np.testing.assert_array_equal(
        power.transform(EEGWindows.from_array(X, 128)[3:5]), arrays[3:5].reshape(2, -1)
    )


def test_overlapping_segments_of_one_recording(make_raw):
    eeg = make_raw().get_data()
    segments = np.array([[[0, 100], [50, 400]], [[0, 6000], [5999, 6000]]])
    found = band_power(eeg, 100.0, {"all": None}, segments)
    assert found.shape == (2, 2, 1, 4)
    for i, j in np.ndindex(2, 2):
        start, stop = segments[i, j]
        np.testing.assert_allclose(
            found[i, j, 0], (eeg[:, start:stop] ** 2).mean(axis=1), rtol=1e-6
        )


# -- names --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("channel", "band", "freq", "lag", "delay"),
    [
        ("Oz", "alpha", 10.0, 4.0, 0.0),
        ("Fz", "theta", 6.0, 0.0, 0.0),
        ("Cz", "high beta", 24.0, 14.0, 0.0),
        ("Oz", "alpha", 10.0, 9.0, 3.0),
        ("Fz", "gamma", 37.0, 1.5, 1.5),
        ("Cz", "low beta", 15.0, 1.0, -1.0),
    ],
)
def test_the_largest_feature_names_the_planted_burst(make_raw, channel, band, freq, lag, delay):
    names = ["Fz", "Cz", "Oz"]
    raw = make_raw(n_channels=3, ch_names=names, sfreq=128.0, duration=100.0)
    raw._data *= 0.1
    onsets = np.array([25.0, 57.3, 91.1])
    for t in onsets:  # 1.2 s in the middle of the 2 s that end `lag` before the volume
        burst = np.abs(raw.times - (t - lag - 1.0)) < 0.6
        raw._data[names.index(channel), burst] += 1e-4 * np.sin(2 * np.pi * freq * raw.times[burst])
    X, _ = align(raw, Y[:3], volume_times=onsets, tmin=-20.0, tmax=2.0, verbose="error")
    model = make_pipeline(Windower(16.0, delay), BandPower())
    found = model.fit_transform(X)
    labels = model.get_feature_names_out()
    assert found.shape == (3, len(labels)) == (3, 8 * 6 * 3)
    assert {labels[i] for i in found.argmax(axis=1)} == {f"{channel} {band} {lag} s"}
    assert labels[0] == f"Fz delta {delay} s"


def test_names_are_unique_however_fine_the_grid(make_raw):
    X = windows(make_raw(sfreq=128.0), tmin=-4.0)
    for step in (0.1, 0.05, 0.25, 0.3):
        power = BandPower(ALPHA, duration=1.0, step=step).fit(X)
        assert len(power.lags_) == int(3.0 / step + 1e-9) + 1
        names = power.get_feature_names_out()
        assert len(set(names)) == len(names)
        assert names[4] == f"E1 alpha {step} s"
    power = BandPower(ALPHA, duration=1.0, step=1.1).fit(windows(make_raw(), tmin=-12.0))
    np.testing.assert_allclose(power.lags_, np.arange(11) * 1.1)  # 1.1 * 100 exceeds 110


def test_names_of_channels_without_names(make_raw):
    X = EEGWindows.from_array(windows(make_raw()), sfreq=100)
    power = BandPower(ALPHA, duration=None).fit(X)
    np.testing.assert_array_equal(
        power.get_feature_names_out(), [f"x{i} alpha 0.0 s" for i in range(4)]
    )
    named = power.get_feature_names_out(["a", "b", "c", "d"])
    np.testing.assert_array_equal(named, [f"{c} alpha 0.0 s" for c in "abcd"])
    with pytest.raises(
        ValueError, match="input_features should have length equal to number of features"
    ):
        power.get_feature_names_out(["a", "b", "c"])


def test_a_table_has_the_names_as_columns(make_raw):
    X = windows(make_raw())
    power = BandPower(ALPHA).set_output(transform="pandas")
    table = power.fit_transform(X)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(power.get_feature_names_out())
    np.testing.assert_array_equal(table, BandPower(ALPHA).fit_transform(X))


# -- work ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_row_is_computed_once_and_is_the_same_from_the_cache(make_raw, count, rows, n_jobs):
    raws = [make_raw(random_state=i) for i in range(3)]
    X = windows(raws)
    level = mne.utils.logger.level
    found = BandPower(n_jobs=n_jobs).fit_transform(X)
    assert sorted(count) == [((4, 6000), 26)] * 3
    assert mne.utils.logger.level == level
    count.clear()
    np.testing.assert_array_equal(found, BandPower().fit_transform(X))
    chosen = [40, 3, 41, 3]  # of two recordings, in an order of their own, one twice
    np.testing.assert_array_equal(BandPower().fit_transform(X[chosen]), found[chosen])
    copy = pickle.loads(pickle.dumps(X))
    np.testing.assert_array_equal(BandPower().fit_transform(copy[::-1]), found[::-1])
    assert not count
    for chosen in ([40, 3, 41, 3], range(10, 60), slice(None, None, -1)):
        rows.clear()
        np.testing.assert_array_equal(BandPower().fit_transform(X[chosen]), found[chosen])
    rows.clear()
    BandPower().fit_transform(X[:5])
    count.clear()
    np.testing.assert_array_equal(BandPower().fit_transform(X), found)
    assert sorted(count) == [((4, 6000), 21), ((4, 6000), 26), ((4, 6000), 26)]


def test_a_cross_validation_filters_a_recording_only_for_rows_not_seen_before(make_raw, count):
    X = windows(make_raw())
    model = make_pipeline(Windower(6.0), BandPower(ALPHA), Ridge())
    cross_val_predict(model, X, Y[: len(X)], cv=BlockedKFold(5, gap=8.0))
    # Training rows of the first fold, its test rows, and the rows in its gap.
    assert len(count) == 3
    assert sum(n for _, n in count) == len(X)
    count.clear()
    for delay in (0.0, 1.0):
        make_pipeline(Windower(6.0, delay), BandPower(ALPHA)).fit_transform(X[5:])
    assert len(count) == 1  # the window moved by a second, and the first rows were known


@pytest.mark.parametrize(
    "other",
    [
        {"bands": {"alpha": (8.0, 13.0)}},
        {"bands": None},
        {"duration": 1.0},
        {"step": 1.0},
        {"bands": {"alpha": (8.0, 12.0), "beta": (15.0, 30.0)}},
    ],
    ids=str,
)
def test_other_settings_are_not_answered_from_the_cache(make_raw, rows, other):
    X = windows(make_raw())
    BandPower(ALPHA).fit_transform(X)
    found = BandPower(**{"bands": ALPHA, **other}).fit_transform(X)
    rows.clear()
    np.testing.assert_array_equal(found, BandPower(**{"bands": ALPHA, **other}).fit_transform(X))


def test_the_rows_kept_are_bounded_in_bytes(make_raw, count, monkeypatch):
    X = windows([make_raw(random_state=i) for i in range(3)])
    n_bytes = 26 * 4 * 4 * 8  # one recording: rows, lags and channels
    rows = _cache.Cache(2 * n_bytes)
    monkeypatch.setattr(_cache, "results", rows)
    found = BandPower(ALPHA).fit_transform(X)
    assert sum(kept.nbytes for kept, _ in rows._results.values()) == 2 * n_bytes
    count.clear()
    BandPower(ALPHA).fit_transform(X[X.groups > 0])
    assert not count  # the recording used longest ago went first
    np.testing.assert_array_equal(BandPower(ALPHA).fit_transform(X), found)
    monkeypatch.setattr(_cache, "results", _cache.Cache(10))
    np.testing.assert_array_equal(BandPower(ALPHA).fit_transform(X), found)


def test_a_result_that_is_too_large_to_keep_drops_no_other():
    rows = _cache.Cache(100)
    rows.put("small", (np.zeros(10),))
    rows.put("large", (np.zeros(20),))
    assert rows.get("large") is None
    assert rows.get("small") is not None


def test_threads_that_ask_for_one_recording_at_once_compute_it_once(make_raw, count):
    X = windows(make_raw(duration=120.0))
    parts = Parallel(n_jobs=8, prefer="threads")(
        delayed(BandPower(ALPHA).fit_transform)(X) for _ in range(8)
    )
    assert len(count) == 1
    for part in parts[1:]:
        np.testing.assert_array_equal(part, parts[0])


def test_what_a_caller_writes_into_its_rows_stays_there(make_raw):
    X = windows(make_raw())
    found = BandPower(ALPHA).fit_transform(X)
    kept = found.copy()
    found[:] = 0.0
    np.testing.assert_array_equal(BandPower(ALPHA).fit_transform(X), kept)


def test_the_filters_are_those_of_mne(make_raw):
    raw = make_raw(duration=20.0, sfreq=128.0)
    signals = filter_bands(raw.get_data(), 128.0, {**BANDS, "all": None})
    for signal, edges in zip(signals, [*BANDS.values(), None], strict=True):
        expected = raw.get_data()
        if edges is not None:
            expected = mne.filter.filter_data(expected, 128.0, *edges, verbose="error")
        np.testing.assert_allclose(signal, expected, rtol=0, atol=1e-18)


def test_the_input_stays_as_it_is(make_raw):
    eeg = make_raw().get_data()
    X = EEGWindows([eeg], [0, 0], [20.0, 30.0], make_raw().info, tmin=-10.0, tmax=0.0)
    before, array = eeg.copy(), np.array(X)
    copy = array.copy()
    BandPower(None).fit_transform(X)
    BandPower().fit_transform(X)
    BandPower().fit_transform(EEGWindows.from_array(array, sfreq=100))
    np.testing.assert_array_equal(eeg, before)
    np.testing.assert_array_equal(array, copy)


def test_features_in_cross_validation(make_study):
    study = make_study(n_runs=2)
    X, y = align(study.raws, study.bolds, trigger="mri", verbose="error")
    model = make_pipeline(Windower(8.0), BandPower(ALPHA), Ridge())
    predicted = cross_val_predict(model, X, y, cv=KFold(3))
    features = make_pipeline(Windower(8.0), BandPower(ALPHA)).fit_transform(X)
    np.testing.assert_allclose(predicted, cross_val_predict(Ridge(), features, y, cv=KFold(3)))


# -- messages -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"bands": "alpha"}, TypeError, "bands must be 'default', None or a dict"),
        ({"bands": {}}, TypeError, "bands must be 'default', None or a dict"),
        ({"bands": [(8, 12)]}, TypeError, "bands must be 'default', None or a dict"),
        (
            {"bands": {"a": (12, 8)}},
            ValueError,
            r"band 'a' must be \(low, high\) in Hz with 0 < low",
        ),
        ({"bands": {"a": (0, 8)}}, ValueError, r"band 'a' must be .*, got \(0, 8\)"),
        ({"bands": {"a": 8}}, ValueError, r"band 'a' must be .*, got 8"),
        ({"bands": {"a": None}}, ValueError, "band 'a' must be"),
        (
            {"bands": {"a": (30, 50)}},
            ValueError,
            "band 'a' ends at 50 Hz, not below 50 Hz, the Nyq",
        ),
        (
            {"bands": {"slow": (0.05, 1)}},
            ValueError,
            r"EEG lasts 60.00 s, shorter than the filter of 66.01 s for band 'slow' \(0.05–1 Hz\)",
        ),
        ({"duration": 9.0}, ValueError, "duration=9 s is longer than the window of 8 s"),
        ({"duration": 0.001}, ValueError, "must be at least one sample long, 1/100 s"),
        ({"step": 0.001}, ValueError, "must be at least one sample long, 1/100 s"),
        ({"duration": -1.0}, ValueError, "The 'duration' parameter of BandPower must be"),
        ({"step": 0}, ValueError, "The 'step' parameter of BandPower must be"),
        ({"n_jobs": "two"}, ValueError, "The 'n_jobs' parameter of BandPower must be"),
    ],
    ids=str,
)
def test_parameters_that_cannot_work_are_refused_in_fit(make_raw, count, params, error, message):
    X = windows(make_raw())
    with pytest.raises(error, match=message):
        BandPower(**params).fit(X)
    assert not count


def test_the_shortest_recording_that_is_used_decides(make_raw):
    raws = [make_raw(), make_raw(duration=4.0)]
    X, _ = align(raws, [Y, Y[:4]], t_r=1.0, tmin=-2.0, tmax=0.0, verbose="error")
    power = BandPower({"delta": (0.5, 4)}).fit(X[X.groups == 0])
    with pytest.raises(
        ValueError, match=r"the EEG lasts 4.00 s, shorter than the filter of 6.61 s"
    ):
        power.transform(X)


def test_windows_with_other_lags_are_refused(make_raw):
    raw = make_raw()
    power = BandPower(ALPHA).fit(windows(raw))
    power.transform(windows(raw, tmin=-9.0))  # the same four lags
    message = r"X has windows with 3 lags from 0 to 4 s, but fit had 4 lags from 0 to 6 s"
    with pytest.raises(ValueError, match=message):
        power.transform(windows(raw, tmin=-6.0))
    with pytest.raises(ValueError, match=r"4 lags from -1 to 5 s, but fit had 4 lags from 0 to 6"):
        power.transform(windows(raw, tmin=-7.0, tmax=1.0))


def test_other_channels_are_refused_and_a_refit_forgets(make_raw):
    raw = make_raw()
    power = BandPower(ALPHA).fit(windows(raw))
    with pytest.raises(ValueError, match=r"other channels .*missing: \['E4'\]"):
        power.transform(windows(raw, picks=["E1", "E2", "E3"]))
    with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
        clone(power).fit(np.asarray(windows(raw)))
    table = pd.DataFrame(np.ones((5, 3)), columns=["a", "b", "c"])
    model = BandPower(None, duration=None).fit(table)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert list(model.get_feature_names_out()) == [f"{c} power 0.0 s" for c in "abc"]
    model.fit(windows(raw))
    assert not hasattr(model, "feature_names_in_")
    assert model.ch_names_in_ == raw.ch_names


def test_default_bands_can_be_changed_without_changing_the_default(make_raw):
    power = BandPower().fit(windows(make_raw()))
    power.bands_["new"] = (1, 2)
    assert "new" not in BANDS


# -- real EEG -----------------------------------------------------------------------------------
def test_a_ridge_finds_the_coupling_planted_in_real_eeg_and_no_other(shared_data):
    path = shared_data / "real" / "eeglab_sample"
    raw = mne.io.read_raw_eeglab(next(path.glob("*.set")), verbose="error")
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    bold = pd.read_csv(shared_data / "semireal" / "bold.csv", index_col="time_s")
    planted = pd.read_json(shared_data / "semireal" / "truth.json", typ="series")["planted"]
    X, y = align(raw, bold, t_r=1.89, tmin=-16.0, tmax=0.0, verbose="error")
    model = make_band_power_ridge(16.0, bands={"theta": (4, 8), "alpha": (8, 12), "beta": (15, 25)})
    predicted = cross_val_predict(model, X, y, cv=BlockedKFold(4, gap=16.0))
    r = np.array([np.corrcoef(y[name], p)[0, 1] for name, p in zip(y, predicted.T, strict=True)])
    coupled = np.isin(y.columns, list(planted))
    assert coupled.sum() == 4
    assert r[coupled].min() > 0.3
    assert r[~coupled].max() < 0.3
