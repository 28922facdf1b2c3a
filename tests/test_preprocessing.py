"""EEGFilter does to recordings what MNE does, once; Windower cuts in seconds and copies nothing."""

import pickle
import runpy
import threading

import mne
import numpy as np
import pytest
from scipy.signal import periodogram
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_beira import EEGFilter, EEGWindows, Windower, align
from sklearn_beira.eeg import cache, filtering as preprocessing, set_cache_size
from sklearn_beira.exceptions import GapWarning
from sklearn_beira.features.band_power import BandPower

Y = np.arange(30.0)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch):
    """Let no test live on what another one has filtered."""
    monkeypatch.setattr(cache, "results", cache.Cache(10**9))


@pytest.fixture
def count(monkeypatch):
    """Count how often a recording is filtered."""
    calls, filter_raw = [], preprocessing._filter_raw

    def counting(raw, **steps):
        calls.append(steps)
        filter_raw(raw, **steps)

    monkeypatch.setattr(preprocessing, "_filter_raw", counting)
    return calls


def windows(raws, tmin=-8.0, tmax=2.0, **params):
    raws = raws if isinstance(raws, list) else [raws]
    X, _ = align(raws, [Y] * len(raws), t_r=2.0, tmin=tmin, tmax=tmax, verbose="error", **params)
    return X


def spectrum(X, sfreq):
    """Power of a recording at whole Hz, mean over channels."""
    freqs, power = periodogram(X, sfreq, axis=-1)
    return freqs, power.mean(axis=0)


# -- EEGFilter: what it computes ----------------------------------------------------------------
@pytest.mark.parametrize(
    "steps",
    [
        {"l_freq": 1.0, "h_freq": 40.0, "sfreq": None, "reference": None},
        {"l_freq": None, "h_freq": 30.0, "sfreq": None, "reference": None},
        {"l_freq": 2.0, "h_freq": None, "sfreq": 128.0},
        {"l_freq": 1.0, "h_freq": 45.0, "sfreq": 100.0},
        {"l_freq": 1.0, "h_freq": 45.0, "sfreq": 100.0, "notch": 50.0, "reference": ["E2", "E4"]},
        {"l_freq": None, "h_freq": None, "sfreq": None, "notch": 16.7},
        {"l_freq": None, "h_freq": None, "sfreq": 90.0, "reference": None},
    ],
    ids=str,
)
def test_recordings_are_filtered_as_mne_filters_them(make_raw, steps):
    raws = [make_raw(sfreq=250.0, random_state=i, duration=55.0 + i) for i in range(2)]
    X = windows(raws)
    found = EEGFilter(**steps).fit_transform(X)
    for k, raw in enumerate(raws):
        reference = steps.get("reference", "average")
        if reference:
            raw.set_eeg_reference(reference, verbose="error")
        if "notch" in steps:
            harmonics = np.arange(steps["notch"], 124.0, steps["notch"])
            raw.notch_filter(harmonics, verbose="error")
        if steps["l_freq"] or steps["h_freq"]:
            raw.filter(steps["l_freq"], steps["h_freq"], verbose="error")
        if steps["sfreq"]:
            raw.resample(steps["sfreq"], verbose="error")
        assert found.recordings[k].dtype == np.float32
        np.testing.assert_allclose(found.recordings[k], raw.get_data(), rtol=1e-6, atol=1e-11)
    for name in ("sfreq", "lowpass", "highpass", "custom_ref_applied", "ch_names"):
        assert found.info[name] == raw.info[name]
    assert found.sfreq == raw.info["sfreq"]
    np.testing.assert_array_equal(found.times, X.times)
    np.testing.assert_array_equal(found.groups, X.groups)
    assert found.shape == (len(X), 4, round(10 * raw.info["sfreq"]))


def test_a_window_has_no_filter_edge_of_its_own(make_raw):
    raw = make_raw(sfreq=250.0)
    X = windows(raw, tmin=-2.0, tmax=0.0)
    found = np.asarray(EEGFilter(1, 45, sfreq=None, reference=None).fit_transform(X))
    filtered = raw.copy().filter(1, 45, verbose="error").get_data()
    for window, t in zip(found, X.times, strict=True):
        stop = round(t * 250)
        np.testing.assert_allclose(window, filtered[:, stop - 500 : stop], rtol=1e-6, atol=1e-11)
    # a fold sees the same: what lies before its first volume is true past, not an edge
    fold = EEGFilter(1, 45, sfreq=None, reference=None).fit(X[:5]).transform(X[10:12])
    np.testing.assert_array_equal(fold, found[10:12])


@pytest.mark.parametrize("sfreq", [100.0, 90.0, 400.0])
def test_resampling_keeps_the_time_of_an_impulse(make_raw, sfreq):
    raw = make_raw(sfreq=250.0, n_channels=2)
    times = 10.0 + np.arange(20) * 1.95
    for t in times:
        raw._data[0, round(t * 250)] += 1.0
    X, _ = align(raw, Y[:20], volume_times=times, tmin=-1.0, tmax=0.9, verbose="error")
    found = EEGFilter(1, 40, sfreq=sfreq, reference=None).fit_transform(X)
    peaks = np.asarray(found)[:, 0].argmax(axis=1)
    assert np.abs(peaks - sfreq).max() <= 1
    assert abs((peaks - sfreq).mean()) <= 0.6  # and no shift in common


def test_windows_up_to_the_last_sample_survive_resampling(make_raw):
    for n_times in range(7503, 7510):
        raw = make_raw(sfreq=250.0, duration=n_times / 250)
        times = np.array([10.0, n_times / 250 - 2.0])
        X, y = align(raw, Y[:2], volume_times=times, tmin=-10.0, tmax=2.0, verbose="error")
        assert len(y) == 2
        for sfreq in (100.0, 64.0, 250.0, 499.0):
            found = EEGFilter(1, 30, sfreq=sfreq, reference=None).fit_transform(X)
            assert np.asarray(found).shape == (2, 4, round(12 * sfreq))


def test_notch_removes_mains_and_its_harmonics_alone(make_raw):
    raw = make_raw(sfreq=250.0)
    t = raw.times
    raw._data += 1e-4 * sum(np.sin(2 * np.pi * f * t) for f in (30, 50, 100))
    plain = windows(raw)
    found = EEGFilter(None, None, sfreq=None, notch=50, reference=None).fit_transform(plain)
    freqs, before = spectrum(plain.recordings[0], 250)
    _, after = spectrum(found.recordings[0], 250)
    middle = np.abs(freqs - 30) < 0.1
    for f in (50, 100):
        line = np.abs(freqs - f) < 0.1
        assert after[line].max() < before[line].max() / 1e4
    np.testing.assert_allclose(after[middle].max(), before[middle].max(), rtol=0.01)
    away = (np.abs((freqs + 25) % 50 - 25) > 3) & (freqs > 2) & (freqs < 120)
    np.testing.assert_allclose(after[away].sum(), before[away].sum(), rtol=0.01)


def test_references(make_raw):
    X = windows(make_raw())
    off = {"l_freq": None, "h_freq": None, "sfreq": None}
    average = EEGFilter(**off, reference="average").fit_transform(X)
    eeg = X.recordings[0].astype(np.float64)
    np.testing.assert_allclose(average.recordings[0], eeg - eeg.mean(axis=0), atol=1e-11)
    twice = EEGFilter(**off, reference="average").fit_transform(average)
    np.testing.assert_allclose(twice.recordings[0], average.recordings[0], atol=1e-11)
    names = EEGFilter(**off, reference=("E1", "E3")).fit_transform(X)
    np.testing.assert_allclose(names.recordings[0], eeg - eeg[[0, 2]].mean(axis=0), atol=1e-11)
    same = EEGFilter(**off, reference=None).fit_transform(X)
    np.testing.assert_array_equal(same, X)


def test_an_average_is_that_of_the_good_eeg_channels(make_raw):
    raw = make_raw(5, ch_types=["eeg", "eeg", "ecg", "eeg", "eeg"])
    raw.info["bads"] = ["E5"]
    X = windows(raw, picks=raw.ch_names)
    found = EEGFilter(None, None, sfreq=None).fit_transform(X).recordings[0]
    eeg = X.recordings[0].astype(np.float64)
    mean = eeg[[0, 1, 3]].mean(axis=0)
    np.testing.assert_allclose(found[[0, 1, 3]], eeg[[0, 1, 3]] - mean, atol=1e-11)
    np.testing.assert_array_equal(found[2], X.recordings[0][2])
    lonely = windows(raw, picks=["E1", "E3"])
    with pytest.raises(ValueError, match=r"at least 2 good EEG channels, .* 1 of them good EEG"):
        EEGFilter().fit(lonely)


@pytest.mark.parametrize("apply", [False, True], ids=["not applied", "applied"])
def test_projections_do_not_get_in_the_way(make_raw, apply):
    raw = make_raw(sfreq=250.0)
    expected = EEGFilter().fit_transform(windows(raw))
    raw.set_eeg_reference("average", projection=True, verbose="error")
    blink = {
        "nrow": 1,
        "ncol": 4,
        "row_names": None,
        "col_names": raw.ch_names,
        "data": np.eye(1, 4),
    }
    if apply:
        raw.apply_proj(verbose="error")
    raw.add_proj(mne.Projection(active=False, data=blink, desc="blink", kind=1))
    found = EEGFilter().fit_transform(windows(raw))
    np.testing.assert_allclose(found, expected, atol=1e-11)


# -- EEGFilter: filtered once, and nothing else touched -----------------------------------------
def as_table(X):
    return np.asarray(X)[:, :, ::50].reshape(len(X), -1) * 1e5


def make_model(**params):
    steps = [("filter", EEGFilter(1, 20, sfreq=50)), ("window", Windower(4.0))]
    return Pipeline([*steps, ("table", FunctionTransformer(as_table)), ("ridge", Ridge())])


def test_a_search_filters_each_recording_once_per_setting(make_raw, count):
    raws = [make_raw(random_state=i) for i in range(2)]
    X, y = align(raws, [Y] * 2, t_r=2.0, tmin=-8.0, verbose="error")
    grid = {"filter__h_freq": [20.0, 22.0], "window__delay": [0, 2], "ridge__alpha": [1.0, 10.0]}
    search = GridSearchCV(make_model(), grid, cv=KFold(5), error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert len(count) == 4  # two recordings, two settings; five folds, eight candidates
    search.predict(X[3:5])
    search.predict(pickle.loads(pickle.dumps(X)))
    again, _ = align(raws, [Y] * 2, t_r=2.0, tmin=-6.0, verbose="error")
    search.predict(again[10:])
    assert len(count) == 4  # the content counts, not the object


def test_only_the_recordings_that_samples_lie_in_are_filtered(make_raw, count):
    X = windows([make_raw(random_state=i) for i in range(3)])
    whole = EEGFilter(1, 20, sfreq=50).fit_transform(X)
    assert len(count) == 3
    count.clear()
    cache.results.clear()
    rows = X.groups == 1
    part = EEGFilter(1, 20, sfreq=50).fit_transform(X[rows])
    assert len(count) == 1
    np.testing.assert_array_equal(part, whole[rows])
    np.testing.assert_array_equal(part.window(-2, 0), whole.window(-2, 0)[rows])
    twice = EEGFilter(2, 20, sfreq=None).fit_transform(part)
    np.testing.assert_array_equal(twice, EEGFilter(2, 20, sfreq=None).fit_transform(whole)[rows])


def test_another_info_is_not_answered_from_the_cache(make_raw, count):
    raw = make_raw(ch_names=["E1", "E2", "E3", "E4"])  # names without a usual place
    first = EEGFilter(1, 20, sfreq=50).fit_transform(windows(raw))
    places = 0.09 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    places = dict(zip(raw.ch_names, places, strict=True))
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    second = EEGFilter(1, 20, sfreq=50).fit_transform(windows(raw))
    assert len(count) == 2
    assert first.info.get_montage() is None
    assert second.info.get_montage() is not None
    assert first.tokens != second.tokens


def test_the_cache_is_bounded_in_bytes(make_raw, count):
    X = windows(make_raw())  # 60 s of 4 channels: 48 kB at 50 Hz
    set_cache_size(100_000)

    def held():
        return sum(data.nbytes for data, *_ in cache.results._results.values())

    for h_freq in (10.0, 11.0, 12.0, 12.0, 11.0):
        EEGFilter(1, h_freq, sfreq=50).fit_transform(X)
        assert held() <= 100_000
    assert len(count) == 3
    EEGFilter(1, 10.0, sfreq=50).fit_transform(X)  # the one used longest ago went first
    EEGFilter(1, 11.0, sfreq=50).fit_transform(X)
    assert len(count) == 4
    set_cache_size(10)
    EEGFilter(1, 10.0, sfreq=50).fit_transform(X)
    assert held() == 0


def test_filtered_recordings_and_features_share_one_bound(make_raw, count):
    X = windows(make_raw()).window(-8.0, 0.0)
    model = make_pipeline(EEGFilter(1, 20, sfreq=50), BandPower({"alpha": (8, 12)}))
    model.fit_transform(X)
    assert len(cache.results._results) == 2
    set_cache_size(0)
    assert not cache.results._results
    model.fit_transform(X)
    assert not cache.results._results
    for size in (-1, 1e9, "1 GB"):
        with pytest.raises(ValueError, match="n_bytes must be a whole number of at least 0"):
            set_cache_size(size)


def test_workers_read_the_bound_from_the_environment(monkeypatch):
    monkeypatch.setenv("SKLEARN_BEIRA_CACHE_SIZE", "12345")
    assert runpy.run_path(cache.__file__)["results"].size == 12345


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_give_the_same_numbers(make_raw, count, n_jobs):
    X = windows([make_raw(random_state=i) for i in range(3)])
    one = EEGFilter(1, 20, sfreq=50).fit_transform(X)
    cache.results.clear()
    several = EEGFilter(1, 20, sfreq=50, n_jobs=n_jobs).fit_transform(X)
    assert len(count) == 6
    np.testing.assert_array_equal(one, several)
    assert one.tokens == several.tokens


def test_workers_give_the_same_numbers(make_raw):
    X, y = align(make_raw(), Y, t_r=2.0, tmin=-8.0, verbose="error")
    grid = {"filter__h_freq": [20.0, 22.0]}
    one, two = (GridSearchCV(make_model(), grid, cv=3, n_jobs=n).fit(X, y) for n in (1, 2))
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_the_log_level_of_mne_is_left_alone(make_raw, capsys, level):
    before = mne.set_log_level(level, return_old_level=True)
    try:
        X = windows([make_raw(random_state=i) for i in range(4)])
        expected = mne.utils.logger.level
        capsys.readouterr()
        EEGFilter(1, 20, sfreq=50, notch=20).fit_transform(X)
        EEGFilter(1, 20, sfreq=50, n_jobs=4).fit_transform(X)
        filters = [EEGFilter(1, 10 + i, sfreq=50).fit(X) for i in range(4)]
        threads = [threading.Thread(target=f.transform, args=(X,)) for f in filters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mne.utils.logger.level == expected
        assert capsys.readouterr() == ("", "")
        with pytest.raises(ValueError, match="shorter than the filter"):
            EEGFilter(0.01, 30).fit(X)
        assert mne.utils.logger.level == expected
    finally:
        mne.set_log_level(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_input_stays_as_it_is(make_raw, dtype):
    raw = make_raw(sfreq=250.0)
    eeg = raw.get_data().astype(dtype)
    X = EEGWindows([eeg], [0, 0], [20.0, 30.0], raw.info, tmin=-10.0, tmax=0.0)
    before, text, info = eeg.copy(), repr(X), raw.info.copy()
    array = np.array(X)
    filtered = EEGFilter(1, 45, notch=50).fit_transform(X)
    assert not np.shares_memory(filtered.recordings[0], eeg)
    np.testing.assert_array_equal(eeg, before)
    assert repr(X) == text
    assert mne.utils.object_diff(dict(X.info), dict(info)) == ""
    for transformer in (EEGFilter(1, 45), EEGFilter(None, None, sfreq=None)):
        copy = array.copy()
        transformer.fit_transform(EEGWindows.from_array(copy, sfreq=250))
        np.testing.assert_array_equal(copy, array)


# -- EEGFilter: ready-cut windows ---------------------------------------------------------------
def test_ready_cut_windows_agree_away_from_their_edges(make_raw):
    raw = make_raw(sfreq=250.0)
    X = windows(raw, tmin=-8.0, tmax=2.0)
    params = {"l_freq": 8.0, "h_freq": 30.0, "sfreq": 125.0, "notch": 50.0}
    recordings = np.asarray(EEGFilter(**params).fit_transform(X))
    found = EEGFilter(**params).fit_transform(EEGWindows.from_array(X, sfreq=250.0))
    assert found.shape == recordings.shape
    assert found.dtype == np.float32
    half = 1 / 8 * 3.3 / 2 + 3.3 / 0.5 / 2 + 0.2  # s: half the band pass and half the notch
    inner = slice(round(half * 125), -round(half * 125))
    error = np.abs(found - recordings)
    assert error[:, :, inner].max() < 0.02 * recordings.std()
    assert error.max() > 0.1 * recordings.std()  # the edges are estimates, as the docstring says
    double = EEGWindows.from_array(np.asarray(X, dtype=np.float64), sfreq=250.0)
    double = EEGFilter(**params).fit_transform(double)
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, found, atol=1e-10)


def test_ready_cut_windows_are_filtered_one_by_one(make_raw):
    X = EEGWindows.from_array(windows(make_raw()), sfreq=100)
    transformer = EEGFilter(4, 30, sfreq=80).fit(X)
    np.testing.assert_array_equal(transformer.transform(X)[3:5], transformer.transform(X[3:5]))


# -- EEGFilter: what is refused -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"h_freq": 60.0},
            "h_freq=60 Hz is not below 50 Hz, the Nyquist frequency of EEG recorded at",
        ),
        ({"h_freq": 50.0}, "h_freq=50 Hz is not below 50 Hz"),
        ({"l_freq": 50.0, "h_freq": None}, "l_freq=50 Hz is not below 50 Hz"),
        (
            {"h_freq": 45.0, "sfreq": 80.0},
            "h_freq=45 Hz is not below 40 Hz, the Nyquist frequency of EEG resampled to 80 Hz",
        ),
        ({"l_freq": 20.0, "h_freq": 10.0}, "l_freq=20 Hz must lie below h_freq=10 Hz"),
        ({"l_freq": 10.0, "h_freq": 10.0}, "l_freq=10 Hz must lie below h_freq=10 Hz"),
        ({"l_freq": 0.0}, "The 'l_freq' parameter of EEGFilter must be .* Got 0.0"),
        ({"h_freq": -3}, "The 'h_freq' parameter of EEGFilter must be .* Got -3"),
        ({"l_freq": "1"}, "The 'l_freq' parameter of EEGFilter must be .* Got '1'"),
        ({"l_freq": np.nan}, "The 'l_freq' parameter of EEGFilter must be"),
        ({"sfreq": 0}, "The 'sfreq' parameter of EEGFilter must be .* Got 0"),
        ({"notch": 0}, "The 'notch' parameter of EEGFilter must be .* Got 0"),
        ({"notch": 50}, "notch=50 Hz is less than 1 Hz below 50 Hz"),
        ({"n_jobs": 1.5}, "The 'n_jobs' parameter of EEGFilter must be"),
        (
            {"reference": "mean"},
            "The 'reference' parameter of EEGFilter must be a str among {'aver",
        ),
        (
            {"reference": ["E2", "Cz"]},
            r"reference channels \['Cz'\] are not among the channels \['E1'",
        ),
        ({"reference": []}, r"reference channels \[\] are not among the channels"),
        (
            {"l_freq": 0.05},
            "recording 0 lasts 60.00 s, shorter than the filter of 66.01 s that l_freq=0.05 and",
        ),
        ({"l_freq": 1, "h_freq": 49.99, "sfreq": None}, "recording 0 lasts 60.00 s, shorter than"),
    ],
    ids=str,
)
def test_parameters_that_cannot_work_are_refused_in_fit(make_raw, count, params, message):
    X = windows(make_raw())
    with pytest.raises(ValueError, match=message):
        EEGFilter(**params).fit(X)
    with pytest.raises(ValueError, match=message):
        EEGFilter().set_params(**params).fit_transform(X)
    assert not count  # before anything is computed


def test_the_shortest_recording_that_is_used_decides(make_raw):
    short = make_raw(duration=5.0)
    bold = [Y, Y[:3]]
    X, _ = align([make_raw(), short], bold, t_r=2.0, tmin=-1.0, tmax=0.0, verbose="error")
    message = "recording 1 lasts 5.00 s, shorter than the filter of 6.61 s that l_freq=0.5 and"
    with pytest.raises(ValueError, match=message):
        EEGFilter(0.5, 30).fit(X)
    with pytest.raises(ValueError, match=r"recording 1 .* of 6.61 s that notch=20 needs"):
        EEGFilter(1, 30, notch=20).fit(X)
    model = EEGFilter(0.5, 30).fit(X[X.groups == 0])
    with pytest.raises(ValueError, match=message):
        model.transform(X)


def test_arrays_need_a_rate_and_have_no_names(make_raw):
    X = np.asarray(windows(make_raw()))
    with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
        EEGFilter().fit(X)
    with pytest.raises(
        ValueError, match=r"each epoch lasts 10.00 s, shorter than the filter of 33.01"
    ):
        EEGFilter(0.1, 30).fit(EEGWindows.from_array(X, sfreq=100))
    with pytest.raises(
        ValueError, match="names of the channels are unknown, so that reference must be"
    ):
        EEGFilter(reference=["E1"]).fit(EEGWindows.from_array(X, sfreq=100))
    X[3, 1, 7] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        EEGFilter().fit(X)


@pytest.mark.parametrize("transformer", [EEGFilter(1, 20, sfreq=50), Windower(2.0)], ids=repr)
def test_other_channels_at_transform_are_refused(make_raw, transformer):
    raw = make_raw()
    model = clone(transformer).fit(windows(raw))
    assert model.n_features_in_ == 4
    assert model.ch_names_in_ == list(model.get_feature_names_out()) == raw.ch_names
    name = type(model).__name__
    for other, message in (
        (windows(raw, picks=["E1", "E2", "E3"]), r"\(missing: \['E4'\], extra: \[\]\)"),
        (windows(make_raw(5)), r"\(missing: \[\], extra: \['E5'\]\)"),
        (windows(raw, picks=["E2", "E1", "E3", "E4"]), "the same in another order"),
    ):
        with pytest.raises(
            ValueError, match=f"other channels than {name} was fitted with.*{message}"
        ):
            model.transform(other)
    with pytest.raises(ValueError, match=f"X has 3 features, but {name} is expecting 4"):
        model.transform(np.ones((2, 3, 1000)))
    model.fit(
        EEGWindows.from_array(np.random.default_rng(0).standard_normal((2, 3, 1000)), sfreq=100)
    )
    assert model.ch_names_in_ is None
    with pytest.raises(ValueError, match=f"X has 4 channels, but {name} was fitted with 3"):
        model.transform(windows(raw))


@pytest.mark.parametrize("transformer", [EEGFilter(), Windower()], ids=repr)
def test_wrong_input_is_refused(make_raw, transformer):
    X = windows(make_raw(), tmin=-25.0)
    with pytest.raises(NotFittedError):
        transformer.transform(X)
    with pytest.raises(ValueError, match=r"X has 0 volume\(s\), but .* needs at least 1"):
        clone(transformer).fit(X[:0])
    with pytest.raises(ValueError, match=r"n_channels, n_times\), got 4 dimensions"):
        clone(transformer).fit(np.zeros((2, 3, 4, 5)))


def test_eeg_in_float64_is_filtered_after_it_was_pickled(make_raw):
    raw = make_raw()
    for copy in (pickle.loads(pickle.dumps(raw.get_data())), raw.get_data()):
        X = EEGWindows([copy], [0], [30.0], raw.info, tmin=-10, tmax=0)
        before = copy.copy()
        expected = EEGFilter(1, 30).fit_transform(X)
        found = EEGFilter(1, 30.0).fit_transform(pickle.loads(pickle.dumps(X)))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(copy, before)


def test_output_stays_eeg_under_a_global_setting_for_tables(make_raw):
    X = windows(make_raw(), tmin=-25.0)
    with config_context(transform_output="pandas"):
        assert isinstance(EEGFilter(1, 20, sfreq=50).fit_transform(X), EEGWindows)
        assert isinstance(Windower(2.0).fit_transform(X), EEGWindows)
        epoched = EEGWindows.from_array(X, sfreq=100)
        assert isinstance(Windower(2.0).fit_transform(epoched), EEGWindows)


# -- Windower -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("duration", "delay"),
    [(4.0, 0.0), (4.0, 3.5), (2.0, -1.5), (0.01, 0.0), (None, 1.0), (None, 0.0)],
)
def test_a_window_lies_where_duration_and_delay_say(make_raw, duration, delay):
    raw = make_raw()
    X = windows(raw, tmin=-8.0, tmax=2.0)
    found = Windower(duration, delay).fit_transform(X)
    assert all(map(np.shares_memory, found.recordings, X.recordings))
    eeg = raw.get_data().astype(np.float32)
    for window, t in zip(found, X.times, strict=True):
        start = t - 8.0 if duration is None else t - delay - duration
        np.testing.assert_array_equal(window, eeg[:, round(start * 100) : round((t - delay) * 100)])
    # the array of the same EEG ends at the onset; a negative delay would look beyond it
    array = EEGWindows.from_array(X.window(-8.0, 0.0), sfreq=100)
    model = Windower(duration, delay)
    if delay < 0:
        with pytest.raises(ValueError, match="extends beyond the epochs"):
            model.fit(array)
    else:
        cut = model.fit_transform(array)
        np.testing.assert_array_equal(cut, found)
        assert np.shares_memory(cut.recordings, array.recordings)


def test_a_window_beyond_that_of_x_is_warned_of_where_it_reaches_further(make_raw):
    X = windows(make_raw(), tmin=-8.0, tmax=0.0)[5:-5]
    assert Windower(2.0, -1.5).fit_transform(X).tmax == 1.5  # 2 s, which a gap of 8 keeps apart
    for window in (Windower(8.0, 1.0), Windower(None, -1.0)):
        with pytest.warns(GapWarning, match=r"reaches further than that of X, \[-8, 0\) s"):
            window.fit_transform(X)
    longer = Pipeline([("window", Windower(10.0)), ("power", BandPower(None)), ("ridge", Ridge())])
    with pytest.warns(GapWarning, match="reaches further") as caught:
        longer.fit(X, np.arange(len(X)))
    assert caught[0].filename == __file__  # not a line of scikit-learn


def test_both_paths_agree_where_volumes_lie_between_samples(make_raw):
    times = 9.0 + np.arange(20) * 1.9537
    X, _ = align(make_raw(), Y[:20], volume_times=times, tmin=-8.0, tmax=0.0, verbose="error")
    for duration, delay in ((4.0, 2.0), (3.17, 0.68), (0.5, 7.5)):
        found = Windower(duration, delay).fit_transform(X)
        cut = Windower(duration, delay).fit_transform(EEGWindows.from_array(X, sfreq=100))
        np.testing.assert_array_equal(found, cut)


def test_windower_in_a_search_costs_no_copy(make_raw):
    X, y = align(make_raw(), Y, t_r=2.0, tmin=-12.0, tmax=2.0, verbose="error")
    grid = {"window__duration": [2.0, 4.0], "window__delay": [-2.0, 0.0, 2.0, 6.0]}
    search = GridSearchCV(make_model(), grid, cv=KFold(3), error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"duration": 0.0}, "The 'duration' parameter of Windower must be"),
        ({"duration": -2.0}, "The 'duration' parameter of Windower must be"),
        ({"delay": None}, "The 'delay' parameter of Windower must be"),
        ({"delay": np.inf}, "The 'delay' parameter of Windower must be"),
        ({"duration": 30.0}, r"window \[-30, 0\) s extends beyond the recording"),
        ({"duration": 2.0, "delay": -3.0}, r"window \[1, 3\) s extends beyond the recording"),
        ({"duration": 0.001}, r"tmax > tmin by at least one sample \(1/100 s\)"),
        ({"duration": None, "delay": 9.0}, r"tmax > tmin by at least one sample"),
    ],
    ids=str,
)
def test_windows_that_cannot_be_cut_are_refused(make_raw, params, message):
    X = windows(make_raw(), tmin=-8.0, tmax=2.0)
    with pytest.raises(ValueError, match=message):
        Windower(**params).fit_transform(X)


def test_arrays_too_short_for_the_window_are_refused():
    X = np.random.default_rng(0).standard_normal((5, 2, 400))
    for params in (
        {"duration": 5.0},
        {"duration": 2.0, "delay": 3.0},
        {"duration": None, "delay": 4.0},
    ):
        with pytest.raises(ValueError, match="extends beyond the epochs"):
            Windower(**params).fit(EEGWindows.from_array(X, sfreq=100))
    with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
        Windower(2.0).fit(X)
