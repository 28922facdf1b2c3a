"""EEGWindows is an array without copies."""

import copy
import pickle
from typing import ClassVar

import joblib
import mne
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_beira import EEGWindows, align

SFREQ = 100.0
ONSETS = [np.arange(4.0, 16.0, 2.0), np.arange(5.0, 15.0, 2.5)]


@pytest.fixture
def recordings():
    rng = np.random.default_rng(0)
    return [1e-5 * rng.standard_normal((3, n)) for n in (2000, 1700)]


@pytest.fixture
def info():
    return mne.create_info(["Fz", "Cz", "Oz"], SFREQ, "eeg")


@pytest.fixture
def X(recordings, info):
    """Ten windows of 3.5 s in two recordings."""
    recording = np.repeat([0, 1], [len(o) for o in ONSETS])
    return EEGWindows(recordings, recording, np.concatenate(ONSETS), info, tmin=-3.0, tmax=0.5)


def cut(recordings):
    """The ten windows, cut by hand."""
    return np.array(
        [
            eeg[:, round((t - 3.0) * SFREQ) : round((t + 0.5) * SFREQ)]
            for eeg, onsets in zip(recordings, ONSETS, strict=True)
            for t in onsets
        ]
    )


def flatten():
    return FunctionTransformer(as_table)


def as_table(X):
    """Ten time points of each channel, as a linear model wants them."""
    return np.asarray(X)[:, :, ::35].reshape(len(X), -1) * 1e5


# -- EEGWindows looks like an array -------------------------------------------------------------
def test_windows_equal_those_cut_by_hand(X, recordings):
    assert X.shape == (10, 3, 350)
    assert (X.ndim, len(X), X.dtype) == (3, 10, np.float64)
    np.testing.assert_array_equal(X, cut(recordings))
    np.testing.assert_array_equal(list(X), cut(recordings))
    assert np.asarray(X, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        np.array(X, copy=False)


def test_the_type_is_one_that_holds_all_recordings(recordings, info):
    many = [recordings[1].astype(np.float32)] * 99 + [recordings[0]]
    X = EEGWindows(many, [0, 99], [5.0, 5.0], info, tmin=-3.0, tmax=0.5)
    assert X.dtype == np.asarray(X).dtype == np.float64
    np.testing.assert_array_equal(X[1], recordings[0][:, 200:550])


MASK = np.arange(10) % 3 == 0
ROWS = [
    2,
    -1,
    np.int64(3),
    slice(None),
    slice(2, 7),
    slice(None, None, -2),
    slice(0, 0),
    np.array([5, 1, 1, -2]),
    [4, 0],
    [],
    MASK,
    MASK.tolist(),
    np.zeros(10, dtype=bool),
    np.array([], dtype=int),
]


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_rows_are_those_numpy_takes_and_nothing_is_copied(X, recordings, rows):
    expected = cut(recordings)
    for key in (rows, (rows, Ellipsis), (rows,), (rows, slice(None))):
        found = X[key]
        np.testing.assert_array_equal(np.asarray(found), expected[key])
        if isinstance(rows, int | np.integer):
            assert any(np.shares_memory(found, eeg) for eeg in recordings)
        else:
            assert isinstance(found, EEGWindows)
            assert found.shape == expected[key].shape
            assert all(map(np.shares_memory, found.recordings, recordings))


@pytest.mark.parametrize(
    "key",
    [
        (),
        (3, 1),
        (3, Ellipsis, slice(0, 5)),
        (slice(2, 5), 0),
        ([1, 2], slice(None), slice(None, None, 7)),
        ([1, 2], [0, 2]),
        (MASK, [0, 1, 2, 0], slice(3)),
        (slice(1, 3), slice(None), [0, 5]),
    ],
    ids=repr,
)
def test_channels_and_times_are_indexed_as_in_numpy(X, recordings, key):
    np.testing.assert_array_equal(np.asarray(X[key]), cut(recordings)[key])


@pytest.mark.parametrize(
    "key", [10, -11, [10], np.zeros(9, dtype=bool), (Ellipsis, 0), [[0, 1]], None, "0", [0.5]]
)
def test_other_rows_are_refused(X, key):
    with pytest.raises(IndexError):
        X[key]


def test_windows_are_read_only_and_the_recordings_stay_as_they_are(X, recordings):
    before = copy.deepcopy(recordings)
    for window in (X[0], X[3:][0], X.recordings[0]):
        with pytest.raises(ValueError, match="read-only"):
            window[0, 0] = 1.0
    array = np.asarray(X)
    array[:] = 0
    for eeg, old in zip(recordings, before, strict=True):
        np.testing.assert_array_equal(eeg, old)
        assert eeg.flags.writeable
        eeg[0, 0] = 0.0  # the owner may still write, the view may not


def test_groups_times_and_channels_travel_along(X, info):
    rows = [9, 0, 4]
    view = X[rows]
    np.testing.assert_array_equal(view.groups, [1, 0, 0])
    np.testing.assert_array_equal(view.times, [12.5, 4.0, 12.0])
    for one in (X, view):
        assert one.sfreq == SFREQ
        assert one.ch_names == ["Fz", "Cz", "Oz"]
        assert one.info is info
        assert (one.tmin, one.tmax) == (-3.0, 0.5)


@pytest.mark.parametrize(
    "change", [copy.copy, copy.deepcopy, lambda X: pickle.loads(pickle.dumps(X))]
)
def test_a_copy_is_equal_and_has_the_same_hash(X, change):
    for view in (X, X[2:5], X[::-2], X[MASK], X.window(-1.0, 0.0)):
        twin = change(view)
        np.testing.assert_array_equal(twin, view)
        np.testing.assert_array_equal(twin.groups, view.groups)
        np.testing.assert_array_equal(twin.times, view.times)
        assert twin.tokens == view.tokens
        assert repr(twin) == repr(view)
        assert joblib.hash(twin) == joblib.hash(view)
        assert not twin.recordings[0].flags.writeable


def test_hashes_tell_other_windows_apart(X, recordings, info):
    other = [eeg.copy() for eeg in recordings]
    other[1][2, 7] += 1e-9
    others = [
        X[1:],
        X[::-1],
        X.window(-2.0, 0.5),
        EEGWindows(other, X.groups, X.times, info, tmin=-3.0, tmax=0.5),
    ]
    assert len({joblib.hash(one) for one in (X, *others)}) == 5
    assert others[-1].tokens[0] == X.tokens[0]
    assert others[-1].tokens[1] != X.tokens[1]


def test_recordings_with_strides_hash_like_their_pickled_copy(info):
    eeg = 1e-5 * np.random.default_rng(0).standard_normal((2000, 6))
    X = EEGWindows([eeg.T[::2]], [0], [10.0], info, tmin=-3.0, tmax=0.5)
    assert np.shares_memory(X.recordings[0], eeg)
    assert joblib.hash(X) == joblib.hash(pickle.loads(pickle.dumps(X)))


def test_tokens_know_the_info(X, recordings, info):
    marked = info.copy()
    marked["bads"] = ["Oz"]
    other = EEGWindows(recordings, X.groups, X.times, marked, tmin=-3.0, tmax=0.5)
    assert not set(other.tokens) & set(X.tokens)


def describe(X):
    """What a worker sees: the kind of memory behind the recordings, and numbers."""
    base = X.recordings[0]
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap), np.asarray(X).sum(), joblib.hash(X), X.tokens


def test_workers_get_memory_maps_and_see_the_same(info):
    eeg = 1e-5 * np.random.default_rng(0).standard_normal((3, 120_000)).astype(np.float32)
    X = EEGWindows([eeg], np.zeros(50, int), np.arange(50) * 10.0 + 5, info, tmin=-3.0, tmax=0.5)
    views = [X, X[::3], X[:7]]
    found = joblib.Parallel(n_jobs=2, max_nbytes="1M")(joblib.delayed(describe)(v) for v in views)
    for here, (mapped, *there) in zip(map(describe, views), found, strict=True):
        assert mapped
        assert there == list(here[1:])


class Counting(TransformerMixin, BaseEstimator):
    """Counts how often it is fitted, in a list that a clone shares."""

    calls: ClassVar[list] = []

    def fit(self, X, y=None):
        self.calls.append(len(X))
        return self

    def transform(self, X):
        return X


def test_a_pipeline_with_memory_finds_the_same_windows_again(X, tmp_path):
    Counting.calls.clear()
    y = np.arange(10.0)
    model = Pipeline(
        [("count", Counting()), ("flat", flatten()), ("ridge", Ridge())],
        memory=joblib.Memory(tmp_path, verbose=0),
    )
    first = model.fit(X[2:8], y[2:8]).predict(X)
    assert Counting.calls == [6]
    again = model.fit(pickle.loads(pickle.dumps(X))[2:8], y[2:8]).predict(X)
    assert Counting.calls == [6]
    np.testing.assert_array_equal(again, first)
    model.fit(X[1:7], y[1:7])
    assert Counting.calls == [6, 6]


def test_reprs_say_what_it_is(info):
    eeg = 1e-5 * np.random.default_rng(0).standard_normal((3, 2000))
    mne.rename_channels(info, {"Cz": "<Cz>"})
    X = EEGWindows([eeg], [0, 0], [4.0, 6.0], info, tmin=-3.0, tmax=-0.0)
    text, html = repr(X), X._repr_html_()
    for part in ("2 volumes", "3 channels", "300 time points", "[-3, 0) s", "100 Hz"):
        assert part in text
    assert "1 recording" in text
    for part in ("2 BOLD volumes", "Fz, &lt;Cz&gt;, Oz", "[-3, 0) s", "20.0 s in all"):
        assert part in html


def test_stretches_are_the_union_of_the_windows(recordings, info):
    rng = np.random.default_rng(1)
    for n, tmin, tmax in ((0, -3.0, 0.5), (1, -3.0, 0.5), (12, -1.0, 0.1), (40, -0.3, 0.0)):
        groups, times = rng.integers(2, size=n), rng.uniform(3.0, 16.0, n)
        X = EEGWindows(recordings, groups, times, info, tmin=tmin, tmax=tmax)
        expected = [np.zeros(eeg.shape[1], int) for eeg in recordings]
        for k, t in zip(groups, times, strict=True):
            start = round((t + tmin) * SFREQ)
            expected[k][start : start + X.shape[2]] = 1
        covered = [np.zeros(eeg.shape[1], int) for eeg in recordings]
        for k, start, stop in X.stretches():
            covered[k][start:stop] += 1
        for a, b in zip(covered, expected, strict=True):
            np.testing.assert_array_equal(a, b)
        assert X.stretches() == sorted(X.stretches())
    X = EEGWindows(recordings, [0, 0, 1], [6.0, 5.0, 5.0], info, tmin=-1.0, tmax=0.0)
    assert X.stretches() == [(0, 400, 600), (1, 400, 500)]  # neighbors that touch are one


def test_another_window_reads_the_same_recordings(X, recordings):
    longer = X.window(-4.0, 1.0)
    assert longer.shape == (10, 3, 500)
    assert all(map(np.shares_memory, longer.recordings, recordings))
    np.testing.assert_array_equal(np.asarray(longer)[:, :, 100:450], X)
    np.testing.assert_array_equal(longer.window(-3.0, 0.5), X)
    assert X.shape == (10, 3, 350)  # as before


@pytest.mark.parametrize(
    ("tmin", "tmax", "n", "what"),
    [
        (-4.02, 0.0, 1, "the volume at 4.00 s of recording 0, which lasts 20.00 s"),
        (-3.0, 4.5, 1, "the volume at 12.50 s of recording 1, which lasts 17.00 s"),
        (-30.0, 0.0, 10, "the volume at 4.00 s of recording 0, which lasts 20.00 s"),
    ],
)
def test_windows_that_leave_the_recording_are_refused(X, recordings, info, tmin, tmax, n, what):
    if tmax == 4.5:
        X = X[:-1].window(-3.0, 4.5) and X  # 12.5 + 4.5 = 17.0 s still fits
        X.window(-3.0, 4.5)
        tmax = 4.52
    message = rf"extends beyond the recording for {n} of 10 volumes \(first: {what}\).*drop these"
    with pytest.raises(ValueError, match=message):
        X.window(tmin, tmax)
    with pytest.raises(ValueError, match=message):
        EEGWindows(recordings, X.groups, X.times, info, tmin=tmin, tmax=tmax)


def test_a_window_between_samples_that_just_fits_is_cut_inside(recordings, info):
    # 19.995 s lies between two samples; the window ends with the recording and is 5.5 samples long
    X = EEGWindows(recordings, [0, 0], [19.995, 0.005], info, tmin=-0.005, tmax=0.005)
    assert X.shape[2] == 1
    assert np.asarray(X).shape == (2, 3, 1)
    # samples 1995.6 to 2000.5 of 2000: start and length are both rounded up
    X = EEGWindows(recordings, [0], [19.985], info, tmin=-0.029, tmax=0.02)
    assert X.shape[2] == 5
    np.testing.assert_array_equal(X[0], recordings[0][:, -X.shape[2] :])


@pytest.mark.parametrize(("tmin", "tmax"), [(0.0, 0.0), (1.0, -1.0), (0.0, 0.004), (0.0, np.nan)])
def test_windows_without_a_sample_are_refused(X, tmin, tmax):
    with pytest.raises(ValueError, match=r"tmax > tmin by at least one sample \(1/100 s\)"):
        X.window(tmin, tmax)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "channel 'Cz' of recording 1 holds NaN or infinite values; interpolate"),
        (np.inf, "channel 'Cz' of recording 1 holds NaN or infinite values; interpolate"),
        (-np.inf, "channel 'Cz' of recording 1 holds NaN or infinite values; interpolate"),
        (0.0, "channel 'Cz' of recording 1 is flat; mark it as bad"),
    ],
)
def test_broken_channels_are_refused_by_name(recordings, info, value, message):
    where = slice(None) if value == 0 else 1234
    recordings[1][1, where] = value
    with pytest.raises(ValueError, match=message):
        EEGWindows(recordings, [0], [5.0], info, tmin=-3.0, tmax=0.5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"recordings": []}, ValueError, "at least one recording"),
        ({"recordings": [np.zeros((2, 2000))]}, ValueError, r"\(3 channels, n_times\), got \(2, 2"),
        ({"recordings": [np.zeros((3, 0))]}, ValueError, r"\(3 channels, n_times\), got \(3, 0"),
        ({"recordings": [np.zeros((3, 2000), int)]}, TypeError, "floating point numbers, got int"),
        ({"info": {"sfreq": 100.0}}, TypeError, "info must be mne.Info, got dict"),
        ({"recording": [0, 2]}, ValueError, "indices of the 2 recordings, got values from 0 to 2"),
        ({"recording": [-1, 1]}, ValueError, "got values from -1 to 1"),
        ({"recording": [0]}, ValueError, r"same length, got shapes \(1,\) and \(2,\)"),
        ({"onsets": [5.0, np.nan]}, ValueError, "onsets hold NaN"),
        (
            {"bads": [np.empty((0, 2))]},
            ValueError,
            "bads must be a list with one entry for each of",
        ),
    ],
)
def test_inconsistent_parts_are_refused(recordings, info, change, error, message):
    parts = {"recordings": recordings, "recording": [0, 1], "onsets": [5.0, 6.0], "info": info}
    with pytest.raises(error, match=message):
        EEGWindows(**{**parts, **change}, tmin=-3.0, tmax=0.5)


def test_bad_stretches_are_found(recordings, info):
    bads = [[[6.0, 6.0], [9.5, 9.6]], np.empty((0, 2))]
    times = [3.0, 5.4, 6.0, 8.9, 9.0, 9.1, 12.4, 12.7, 6.0]
    groups = [0] * 8 + [1]
    X = EEGWindows(recordings, groups, times, info, tmin=-3.0, tmax=0.5, bads=bads)
    #           [0, 3.5) … 5.9 6.5 9.4 9.5 9.6 12.9 13.2; the moment at 6.0 s ends with [6.0, 9.5)
    expected = [False, False, True, True, True, True, True, False, False]
    np.testing.assert_array_equal(X.overlaps_bad(), expected)
    np.testing.assert_array_equal(X[::2].overlaps_bad(), expected[::2])
    assert not X.window(-0.1, 0.1)[[0, 1, 3, 4]].overlaps_bad().any()


# -- in scikit-learn ----------------------------------------------------------------------------
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validation_gives_what_the_array_gives(make_study, n_jobs):
    study = make_study(n_runs=3, sfreq=50.0, duration=90.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-7.0, tmax=0.0, verbose="error")
    model = make_pipeline(flatten(), Ridge())
    for cv, groups in ((KFold(4), None), (GroupKFold(3), X.groups)):
        found = cross_val_predict(model, X, y, cv=cv, groups=groups, n_jobs=n_jobs)
        expected = cross_val_predict(model, np.asarray(X), y, cv=cv, groups=groups)
        np.testing.assert_allclose(found, expected)
    grid = {"ridge__alpha": [0.1, 10.0]}
    found = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(X, y)
    expected = GridSearchCV(model, grid, cv=3).fit(np.asarray(X), y)
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )


def test_train_test_split_gives_views(X, recordings):
    y = np.arange(10)
    X_train, X_test, y_train, _ = train_test_split(X, y, shuffle=False, test_size=0.3)
    assert isinstance(X_train, EEGWindows)
    np.testing.assert_array_equal(X_train, cut(recordings)[:7])
    np.testing.assert_array_equal(X_test, cut(recordings)[7:])
    np.testing.assert_array_equal(y_train, y[:7])
    assert np.shares_memory(X_test.recordings[0], recordings[0])


def test_the_name_of_the_content_does_not_depend_on_the_order_of_points_of_the_head(make_raw):
    raw = make_raw(3, ch_names=["Fz", "Cz", "Oz"]).set_montage("easycap-M1")
    other = raw.copy()
    with other.info._unlock():
        other.info["dig"] = other.info["dig"][::-1]
    timing = {"t_r": 2.0, "tmin": -4.0, "verbose": "error"}
    tokens = [align(one, **timing).tokens for one in (raw, other)]
    assert tokens[0] == tokens[1]
    raw.rename_channels({"Fz": "F3"})
    assert align(raw, **timing).tokens != tokens[0]
