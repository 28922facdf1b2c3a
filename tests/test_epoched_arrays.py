"""EEGWindows.from_array: epoched arrays, tables and mne.Epochs take the place of recordings."""

import copy
import pickle

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
from scipy.signal import firwin, oaconvolve
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, BlockedKFold, Compact, EEGFilter, EEGWindows, Windower
from sklearn_beira.features import BandPower

RNG = np.random.default_rng(0)
EEG = 1e-5 * RNG.standard_normal((30, 4, 400))
Y = RNG.standard_normal((30, 2))
TIMES = 20.0 + 2.0 * np.arange(30)
RUNS = np.repeat(["a", "b"], 15)


@pytest.fixture
def X():
    return EEGWindows.from_array(EEG, sfreq=100.0, times=TIMES, groups=RUNS)


@pytest.fixture
def epochs(make_raw):
    raw = make_raw(duration=120.0, first_samp=500)
    raw.set_channel_types({"E2": "eog"})
    raw.info["bads"] = ["E3"]
    events = np.column_stack([500 + 200 * np.arange(3, 58), np.zeros(55), np.ones(55)]).astype(int)
    return mne.Epochs(raw, events, tmin=-4.0, tmax=0.99, baseline=None, verbose="error")


def test_what_was_given_is_what_it_holds(X):
    assert (X.shape, len(X), X.ndim, X.dtype) == ((30, 4, 400), 30, 3, np.float64)
    np.testing.assert_array_equal(X, EEG)
    np.testing.assert_array_equal(X[3], EEG[3])
    np.testing.assert_array_equal(X[:, 1, ::2], EEG[:, 1, ::2])
    np.testing.assert_array_equal(X.times, TIMES)
    np.testing.assert_array_equal(X.groups, RUNS)
    assert (X.sfreq, X.tmin, X.tmax, X.reach, X.has_times) == (100.0, -4.0, 0.0, 4.0, True)
    assert (X.info, X.ch_names, X.subjects, X.alignment, X.volumes) == (None,) * 5
    np.testing.assert_array_equal(X.source, np.arange(30))
    np.testing.assert_array_equal(X.starts, np.zeros(30))
    assert X.stretches() == [(i, 0, 400) for i in range(30)]
    assert not X.overlaps_bad().any()
    assert X[:0].stretches() == []
    assert "4 channels" in repr(X)
    assert "100 Hz" in X._repr_html_()


def test_nothing_is_copied_and_nothing_can_be_written(X):
    assert np.shares_memory(X.recordings, EEG)
    assert np.shares_memory(np.asarray(X[5:9]), EEG)
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(X)[0] = 0.0
    assert np.array(X).flags.writeable


@pytest.mark.parametrize(
    "rows", [slice(4, 20), slice(None, None, -2), [9, 0, 9], np.arange(30) % 3 == 0, []], ids=str
)
def test_rows_are_those_of_the_array(X, rows):
    view = X[rows]
    np.testing.assert_array_equal(view, EEG[rows if len(RUNS[rows]) else slice(0)])
    np.testing.assert_array_equal(view.times, TIMES[rows if len(RUNS[rows]) else slice(0)])
    np.testing.assert_array_equal(view.groups, RUNS[rows if len(RUNS[rows]) else slice(0)])
    assert len(view.source) == len(view)


def test_unknown_times_are_counted_within_each_recording():
    X = EEGWindows.from_array(EEG, groups=np.tile([1, 0, 1], 10))
    np.testing.assert_array_equal(X.times[:6], [0, 0, 1, 2, 1, 3])
    assert (X.has_times, X.reach) == (False, 0.0)
    np.testing.assert_array_equal(X[[0, 2, 5]].times, [0, 1, 2])


def test_an_unknown_rate_is_refused_with_the_fix():
    X = EEGWindows.from_array(EEG)
    assert not X.has_sfreq
    for read in (lambda: X.sfreq, lambda: X.tmin, lambda: X.window(-2.0, 0.0)):
        with pytest.raises(ValueError, match=r"unknown; pass EEGWindows.from_array\(X, sfreq="):
            read()
    assert "30 volumes" in repr(X)
    assert "400 time points" in X._repr_html_()
    for step in (EEGFilter(1, 20), Windower(2.0), BandPower(), BEIRARegressor(verbose=False)):
        for data in (X, EEG):
            with pytest.raises(ValueError, match=r"EEGWindows.from_array\(X, sfreq="):
                step.fit(data, Y)


def test_a_table_needs_no_rate():
    table = RNG.standard_normal((30, 5))
    X = EEGWindows.from_array(pd.DataFrame(table), times=TIMES)
    assert (X.shape, X.tmin, X.reach) == ((30, 5, 1), 0.0, 0.0)
    np.testing.assert_array_equal(np.asarray(X)[..., 0], table)
    model = BEIRARegressor(verbose=False)
    expected = model.fit(table, Y).predict(table)
    np.testing.assert_array_equal(model.fit(X, Y).predict(X), expected)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (dict(X=EEG[0, 0]), ValueError, "Expected 2D array"),
        (dict(X=EEG[None]), ValueError, "got 4 dimensions"),
        (dict(X=EEG[:, :, :0]), ValueError, "without a time point"),
        (dict(X=np.where(EEG > 4e-5, np.nan, EEG)), ValueError, "NaN"),
        (dict(X=EEG * 1e60), ValueError, "which no unit explains"),
        (dict(X=np.ma.masked_greater(EEG, 0)), TypeError, "masked array"),
        (dict(X=EEG, sfreq=-1.0), ValueError, "sampling rate above 0 Hz"),
        (dict(X=EEG, sfreq="100"), ValueError, "sampling rate above 0 Hz"),
        (dict(X=EEG, times=TIMES[1:]), ValueError, "inconsistent numbers of samples"),
        (dict(X=EEG, times=TIMES * np.nan), ValueError, "times must hold one finite number"),
        (dict(X=EEG, groups=RUNS[1:]), ValueError, "inconsistent numbers of samples"),
        (dict(X=EEG, groups=[None] * 30), ValueError, "groups must name the recording"),
        (dict(X=EEG, ch_names=["Fz"]), ValueError, "4 channels but ch_names holds 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused(args, error, message):
    with pytest.raises(error, match=message):
        EEGWindows.from_array(**args)


# -- copies, workers, files ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "change", [copy.copy, copy.deepcopy, lambda X: pickle.loads(pickle.dumps(X))]
)
def test_a_copy_is_equal_and_has_the_same_hash(X, change):
    for view in (X, X[2:5], X[::-2], X.window(-2.0, -1.0)):
        twin = change(view)
        np.testing.assert_array_equal(twin, view)
        np.testing.assert_array_equal(twin.groups, view.groups)
        assert repr(twin) == repr(view)
        assert joblib.hash(twin) == joblib.hash(view)
        assert joblib.hash(twin.content) == joblib.hash(view.content)


def test_hashes_and_content_tell_others_apart(X):
    others = [
        X,
        X[1:],
        X.window(-3.0, 0.0),
        EEGWindows.from_array(EEG * 1.001, sfreq=100.0, times=TIMES, groups=RUNS),
        EEGWindows.from_array(EEG, sfreq=125.0, times=TIMES, groups=RUNS),
        EEGWindows.from_array(EEG, sfreq=100.0, groups=RUNS),
        EEGWindows.from_array(EEG, sfreq=100.0, times=TIMES),
    ]
    assert len({joblib.hash(one) for one in others}) == len(others)
    assert len({joblib.hash(one.content) for one in others}) == len(others)
    assert joblib.hash(X[3:9].content) == joblib.hash(X[[3, 4, 5, 6, 7, 8]].content)


def test_its_size_is_that_of_the_array(X):
    assert EEG.nbytes < X.__sizeof__() < EEG.nbytes + 10_000


def test_epochs_in_a_folder_are_sent_as_a_path(X, tmp_path):
    on_disk = X.to_folder(tmp_path)
    np.testing.assert_array_equal(on_disk, X)
    assert len(pickle.dumps(on_disk)) < 5_000
    twin = pickle.loads(pickle.dumps(on_disk))
    np.testing.assert_array_equal(twin, X)
    assert joblib.hash(twin.content) == joblib.hash(X.content)
    assert on_disk.__sizeof__() < 5_000


# -- what estimators do with it -----------------------------------------------------------------
def test_every_epoch_is_filtered_on_its_own_as_scipy_does(X):
    found = EEGFilter(8.0, 30.0, sfreq=None, reference=None).fit_transform(X)
    assert (found.sfreq, found.tmin, found.dtype) == (100.0, -4.0, np.float64)
    np.testing.assert_array_equal(found.times, TIMES)
    taps = mne.filter.create_filter(None, 100.0, 8.0, 30.0, verbose="error")
    half = len(taps) // 2
    padded = np.pad(EEG, ((0, 0), (0, 0), (half, half)), "reflect", reflect_type="odd")
    expected = oaconvolve(padded, taps[None, None], mode="valid", axes=-1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert len(taps) == len(firwin(len(taps), 8.0, fs=100.0))
    some = EEGFilter(8.0, 30.0, sfreq=None, reference=None).fit_transform(X[4:6])
    np.testing.assert_array_equal(some, np.asarray(found)[4:6])


def test_filter_resamples_and_references(X):
    found = EEGFilter(1, 20, sfreq=50).fit_transform(X)
    assert (found.shape, found.sfreq, found.tmin) == ((30, 4, 200), 50.0, -4.0)
    np.testing.assert_allclose(np.asarray(found).mean(axis=1), 0.0, atol=1e-18)
    named = EEGWindows.from_array(EEG, sfreq=100.0, ch_names=list("abcd"))
    found = EEGFilter(None, None, sfreq=None, reference=["b", "d"]).fit_transform(named)
    np.testing.assert_allclose(found, EEG - EEG[:, [1, 3]].mean(axis=1, keepdims=True))
    assert found.ch_names == list("abcd")
    assert EEGFilter(1, 20, sfreq=50).fit_transform(named).info["sfreq"] == 50.0


def test_a_window_counts_from_the_onset(X):
    found = Windower(2.0, 0.5).fit_transform(X)
    np.testing.assert_array_equal(found, EEG[:, :, 150:350])
    assert (found.tmin, found.tmax, found.reach) == (-2.5, -0.5, 2.5)
    assert np.shares_memory(found.recordings, EEG)
    with pytest.raises(ValueError, match="extends beyond the epochs"):
        Windower(5.0).fit(X)
    with pytest.raises(ValueError, match="extends beyond the epochs"):
        X.window(-2.0, 0.5)


def test_band_power_is_that_of_each_epoch(X):
    power = BandPower(None, duration=1.0, step=1.0)
    found = power.fit_transform(X).reshape(30, 4, 4)
    expected = np.log(np.square(EEG).reshape(30, 4, 4, 100).mean(axis=-1))  # oldest segment first
    np.testing.assert_allclose(found, expected[:, :, ::-1].transpose(0, 2, 1))
    np.testing.assert_array_equal(power.lags_, [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(power.transform(X[7:9]).reshape(2, 4, 4), found[7:9])


def test_a_grid_search_over_filters_and_windows_needs_no_further_word(X):
    model = Pipeline(
        [
            ("filter", EEGFilter(1, 40, sfreq=None)),
            ("window", Windower(2.0)),
            ("power", BandPower({"alpha": (8, 12)}, duration=1.0)),
            ("ridge", Ridge()),
        ]
    )
    grid = {"window__delay": [0.0, 1.0], "filter__h_freq": [20.0, 40.0]}
    search = GridSearchCV(model, grid, cv=KFold(3), error_score="raise").fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    parallel = GridSearchCV(model, grid, cv=KFold(3), n_jobs=2).fit(X, Y)
    np.testing.assert_allclose(
        parallel.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )


def test_folds_know_recordings_and_times(X):
    for train, test in BlockedKFold(3).split(X):  # apart by X.reach
        for k in np.unique(RUNS):
            mine, theirs = TIMES[train][RUNS[train] == k], TIMES[test][RUNS[test] == k]
            assert np.abs(mine[:, None] - theirs).min() >= X.reach
    model = BEIRARegressor(Compact(n_taps=21), verbose=False)
    found = cross_val_predict(model, X, Y, cv=GroupKFold(2), groups=X.groups)
    assert found.shape == Y.shape
    with pytest.raises(ValueError, match="give gap"):
        next(BlockedKFold(3).split(EEGWindows.from_array(EEG, sfreq=100.0)))


def test_many_to_many_finds_the_volumes_inside_a_window_where_times_are_known(X):
    from sklearn_beira.regressor.batches import volumes_in_windows

    rows, _ = volumes_in_windows(X, "many_to_many")
    assert rows[5].tolist() == [4, 5]  # 2 s apart, in windows of 4 s
    rows, _ = volumes_in_windows(EEGWindows.from_array(EEG, sfreq=100.0), "many_to_many")
    assert rows.shape == (30, 1)


def test_a_model_of_one_rate_refuses_epochs_of_another(X):
    model = BEIRARegressor(verbose=False).fit(X, Y)
    with pytest.raises(ValueError, match=r"at 50 Hz, but BEIRARegressor was fitted with .*100 Hz"):
        model.predict(EEGWindows.from_array(EEG, sfreq=50.0))
    with pytest.raises(ValueError, match=r"pass EEGWindows.from_array\(X, sfreq="):
        model.predict(EEG)


# -- mne.Epochs ---------------------------------------------------------------------------------
def test_epochs_bring_names_rate_window_and_times(epochs):
    X = EEGWindows.from_array(epochs)
    assert X.ch_names == ["E1", "E4"]  # no EOG, no bad channel
    np.testing.assert_array_equal(X, epochs.get_data(["E1", "E4"]))
    assert (X.sfreq, X.tmin, X.tmax) == (100.0, pytest.approx(-4.0), pytest.approx(1.0))
    np.testing.assert_allclose(np.diff(X.times), 2.0)
    assert X.has_times
    with pytest.raises(ValueError, match="leave both out"):
        EEGWindows.from_array(epochs, sfreq=100.0)
    with pytest.raises(ValueError, match="no good EEG channel"):
        EEGWindows.from_array(epochs.load_data().copy().pick(["E2"]))


def test_epochs_go_where_arrays_go(epochs):
    X, y = EEGWindows.from_array(epochs), np.arange(len(epochs)) % 7.0
    model = Pipeline(
        [("window", Windower(2.0)), ("power", BandPower(None, duration=1.0)), ("ridge", Ridge())]
    )
    np.testing.assert_array_equal(model.fit(epochs, y).predict(epochs), model.predict(X))
    # scikit-learn takes rows of Epochs as a list of Epochs
    expected = cross_val_predict(model, X, y, cv=KFold(3))
    np.testing.assert_allclose(cross_val_predict(model, epochs, y, cv=KFold(3)), expected)
    # Epochs know their times, as the blocks need
    for one, other in zip(BlockedKFold(2).split(epochs), BlockedKFold(2).split(X), strict=True):
        np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


def test_folds_of_timed_arrays_need_no_sampling_rate():
    X = EEGWindows.from_array(
        np.random.default_rng(0).standard_normal((8, 3, 5)), times=np.arange(8) * 2.0
    )
    train, test = next(iter(BlockedKFold(2, gap=4.0).split(X)))
    assert test.tolist() == [0, 1, 2, 3]
    assert train.tolist() == [5, 6, 7]


@pytest.mark.parametrize("way", ["decim", "decimate", "resample"])
def test_times_of_epochs_are_those_of_the_recording_at_any_rate(make_raw, way):
    onsets = 20 + 4 * np.arange(8)
    events = np.column_stack([500 * onsets, 0 * onsets, 1 + 0 * onsets])
    decim = 5 if way == "decim" else 1
    options = {"baseline": None, "decim": decim, "preload": True, "verbose": "error"}
    epochs = mne.Epochs(make_raw(duration=60.0, sfreq=500.0), events, 1, -4.0, 0.0, **options)
    if way != "decim":
        epochs = epochs.decimate(5, verbose="error") if way == "decimate" else epochs.resample(100)
    X = EEGWindows.from_array(epochs)
    assert X.sfreq == 100
    np.testing.assert_allclose(X.times, onsets)
