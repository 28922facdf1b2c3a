"""BlockedKFold keeps test volumes away from training volumes, to the second."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from sklearn_beira import EEGWindows, Windower, align, make_band_power_ridge
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.exceptions import GapWarning
from sklearn_beira.features.band_power import BandPower
from sklearn_beira.regressor import tail_split

# The geometry of blocks and gaps is tested at gaps that a model with these windows should not have.
short_gaps = pytest.mark.filterwarnings("ignore::sklearn_beira.exceptions.GapWarning")


@pytest.fixture
def make_windows(make_raw):
    """Windows of 4 s at given times of the recordings."""

    def make(times, **params):
        raw = make_raw(n_channels=2, duration=max(map(max, times)) + 1, sfreq=20.0)
        groups = np.repeat(np.arange(len(times)), [len(t) for t in times])
        eeg = [raw.get_data()] * len(times)
        window = {"tmin": -4.0, "tmax": 0.0, **params}
        return EEGWindows(eeg, groups, np.concatenate(times), raw.info, **window)

    return make


@pytest.fixture
def X(make_windows):
    """Two recordings; the first has lost some volumes in the middle."""
    first = np.delete(5 + np.arange(40) * 1.95, [11, 12, 13, 14])
    return make_windows([first, 6 + np.arange(23) * 1.95])


# -- blocks -------------------------------------------------------------------------------------
@short_gaps
@pytest.mark.parametrize("n_splits", [2, 5, 23])
@pytest.mark.parametrize("gap", [0.0, 7.0])
def test_blocks_cover_every_volume_once_and_are_contiguous(X, n_splits, gap):
    if gap and n_splits == 2:
        gap = 3.9
    folds = list(BlockedKFold(n_splits, gap=gap).split(X))
    assert len(folds) == n_splits == BlockedKFold(n_splits).get_n_splits(X)
    tests = [test for _, test in folds]
    np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(len(X)))
    for train, test in folds:
        assert not set(train) & set(test)
        for k in (0, 1):
            rows = test[X.groups[test] == k]
            np.testing.assert_array_equal(rows, np.arange(rows[0], rows[-1] + 1))
            sizes = [np.sum(X.groups[t] == k) for t in tests]
            assert max(sizes) - min(sizes) <= 1


@short_gaps
@pytest.mark.parametrize("gap", [0.0, 0.5, 1.95, 3.9, 5.0, 7.8, 11.7])
def test_the_gap_is_kept_exactly_on_both_sides_and_nothing_more_is_lost(X, gap):
    for train, test in BlockedKFold(4, gap=gap).split(X):
        same = X.groups[:, None] == X.groups[test]
        distance = np.where(same, np.abs(X.times[:, None] - X.times[test]), np.inf).min(axis=1)
        expected = np.setdiff1d(np.flatnonzero(distance > gap - 1e-9), test)
        np.testing.assert_array_equal(train, expected)


def test_recordings_do_not_purge_each_other(make_windows):
    same_times = 5 + np.arange(20) * 2.0
    X = make_windows([same_times, same_times])
    alone = list(BlockedKFold(4, gap=8.0).split(X[:20]))
    np.testing.assert_array_equal(alone[1][0], [0, 1, 13, 14, 15, 16, 17, 18, 19])
    for (train, test), (one_train, one_test) in zip(
        BlockedKFold(4, gap=8.0).split(X), alone, strict=True
    ):
        np.testing.assert_array_equal(train, np.append(one_train, one_train + 20))
        np.testing.assert_array_equal(test, np.append(one_test, one_test + 20))


def test_rows_in_any_order_make_the_same_folds(X):
    order = np.random.default_rng(0).permutation(len(X))
    for (train, test), (shuffled_train, shuffled_test) in zip(
        BlockedKFold(4, gap=5.0).split(X), BlockedKFold(4, gap=5.0).split(X[order]), strict=True
    ):
        np.testing.assert_array_equal(np.sort(order[shuffled_train]), train)
        np.testing.assert_array_equal(np.sort(order[shuffled_test]), test)


def test_windows_of_test_and_training_share_no_eeg_beyond_a_gap_of_their_length(X):
    for train, test in BlockedKFold(4, gap=4.0).split(X):
        for k in (0, 1):
            covered = [np.zeros(X.recordings[k].shape[1], dtype=int) for _ in range(2)]
            for count, rows in zip(covered, (train, test), strict=True):
                for one, start, stop in X[rows].stretches():
                    if one == k:
                        count[start:stop] = 1
            assert not (covered[0] & covered[1]).any()


@pytest.mark.parametrize(
    ("tmin", "tmax", "reach"), [(-4.0, 0.0, 4.0), (-3.0, 1.0, 4.0), (-4.0, -2.0, 4.0)]
)
def test_without_a_gap_it_takes_what_the_windows_reach(X, tmin, tmax, reach):
    X = X.window(tmin, tmax)
    assert X.reach == reach
    for (train, test), (same_train, same_test) in zip(
        BlockedKFold(4).split(X), BlockedKFold(4, gap=reach).split(X), strict=True
    ):
        np.testing.assert_array_equal(train, same_train)
        np.testing.assert_array_equal(test, same_test)


def test_a_gap_shorter_than_the_history_is_warned_of(X):
    with pytest.warns(GapWarning, match="gap of 3 s is shorter than the 4 s that"):
        next(BlockedKFold(4, gap=3.0).split(X))
    # A window that has moved into the past reaches back by its length and its delay.
    with pytest.warns(GapWarning, match="gap of 3 s is shorter than the 4 s that"):
        next(BlockedKFold(4, gap=3.0).split(X.window(-4.0, -2.0)))
    with pytest.warns(GapWarning, match="gap of 3 s is shorter than the 4 s that"):
        next(BlockedKFold(4, gap=3.0).split(X.window(-3.0, 1.0)))
    next(BlockedKFold(4, gap=3.0).split(X.window(-3.0, 0.0)))


def test_groups_and_row_order_stand_for_time_in_arrays():
    groups = np.repeat(["b", "a"], [10, 6])
    X = np.zeros((16, 3))
    folds = list(BlockedKFold(2, gap=4.0, t_r=2.0).split(X, groups=groups))
    np.testing.assert_array_equal(folds[0][1], [0, 1, 2, 3, 4, 10, 11, 12])
    np.testing.assert_array_equal(folds[0][0], [6, 7, 8, 9, 14, 15])
    one = list(BlockedKFold(2, gap=4.0, t_r=2.0).split(X))
    np.testing.assert_array_equal(one[0][1], np.arange(8))
    np.testing.assert_array_equal(one[0][0], np.arange(9, 16))
    without_time = list(BlockedKFold(4, gap=0).split(X))
    for (train, test), (k_train, k_test) in zip(without_time, KFold(4).split(X), strict=True):
        np.testing.assert_array_equal(train, k_train)
        np.testing.assert_array_equal(test, k_test)


def test_a_table_with_columns_called_times_and_groups_is_a_plain_array():
    table = pd.DataFrame({"times": np.zeros(8), "groups": np.arange(8)})
    folds = list(BlockedKFold(2, gap=2.0, t_r=1.0).split(table))
    np.testing.assert_array_equal(folds[0][1], np.arange(4))
    np.testing.assert_array_equal(folds[0][0], [5, 6, 7])
    head, _ = tail_split(table, 0.5, gap=3.0)
    np.testing.assert_array_equal(head, np.arange(4))


def test_windows_know_their_recordings_whatever_groups_say(X):
    plain = list(BlockedKFold(3, gap=4.0).split(X))
    for groups in (np.arange(len(X)), np.zeros(len(X))):
        for (a, b), (c, d) in zip(
            plain, BlockedKFold(3, gap=4.0).split(X, None, groups), strict=True
        ):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize(
    ("params", "groups", "message"),
    [
        ({"n_splits": 1}, None, "n_splits must be an integer of at least 2, got 1"),
        ({"n_splits": 2.5}, None, "n_splits must be an integer of at least 2, got 2.5"),
        ({"gap": -1.0}, None, "gap must be a time in s of at least 0, got -1.0"),
        ({"gap": np.nan}, None, "gap must be a time in s of at least 0, got nan"),
        ({"n_splits": 11}, None, "recording 0 has 10 volumes, too few for 11 blocks"),
        ({"n_splits": 4}, [0] * 7 + [5] * 3, "recording 5 has 3 volumes, too few for 4 blocks"),
        (
            {"gap": 4.0, "t_r": None},
            None,
            "times of the rows are unknown; give t_r, or pass",
        ),
        (
            {"gap": 18.0},
            None,
            "no training volume is left outside the gap of 18 s around test block 0",
        ),
        ({"gap": None}, None, "do not tell how much EEG they share; give gap in s"),
        ({}, [0, 1], "inconsistent numbers of samples"),
    ],
    ids=str,
)
def test_splits_that_cannot_be_made_are_refused(params, groups, message):
    cv = BlockedKFold(**{"n_splits": 2, "gap": 0.0, "t_r": 2.0, **params})
    with pytest.raises(ValueError, match=message):
        next(cv.split(np.zeros((10, 2)), groups=groups))


def test_it_is_a_splitter_like_scikit_learns(X):
    y = np.random.default_rng(0).standard_normal(len(X))
    cv = BlockedKFold(3, gap=4.0)
    assert repr(cv) == "BlockedKFold(gap=4.0, n_splits=3, t_r=None)"
    model = make_pipeline(BandPower(None), RidgeCV())
    scores = cross_val_score(model, X, y, cv=cv)
    assert scores.shape == (3,)
    search = GridSearchCV(
        make_pipeline(Windower(2.0), BandPower(None), RidgeCV()), {"windower__delay": [0, 2]}, cv=cv
    )
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
    predicted = cross_val_predict(model, X, y, cv=cv)
    assert predicted.shape == y.shape


# -- the leakage trap ---------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:.* left out one by one")
def test_shuffled_folds_find_what_is_not_there_and_blocks_do_not(make_raw):
    """EEG and BOLD are made apart: nothing can be predicted."""
    shuffled, blocked = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        raw = make_raw(n_channels=4, duration=640.0, sfreq=20.0, random_state=seed)
        power = gaussian_filter1d(rng.standard_normal(raw.get_data().shape), 100, axis=1)
        eeg = raw.get_data() * np.exp(power / power.std())
        times = 35 + np.arange(300) * 2.0
        X = EEGWindows([eeg], np.zeros(300, int), times, raw.info, tmin=-16.0, tmax=0.0)
        y = gaussian_filter1d(rng.standard_normal((300, 2)), 4, axis=0)
        model = make_pipeline(BandPower(None, duration=4.0, step=4.0), KNeighborsRegressor(3))
        for found, cv in (
            (shuffled, KFold(5, shuffle=True, random_state=0)),
            (blocked, BlockedKFold(5, gap=30.0)),
        ):
            found.append(pearson_r(y, cross_val_predict(model, X, y, cv=cv)))
    assert np.mean(shuffled) > 0.8
    assert abs(np.mean(blocked)) < 0.25  # blocks tend to a small negative r


# -- the tail -----------------------------------------------------------------------------------
@pytest.mark.parametrize("gap", [0.0, 3.9, 6.0])
def test_the_tail_of_every_recording_is_set_apart_with_a_gap(X, gap):
    head, tail = tail_split(X, 0.25, gap)
    for k, n in ((0, 36), (1, 23)):
        rows = np.flatnonzero(X.groups == k)
        n_tail = round(0.25 * n)
        np.testing.assert_array_equal(tail[X.groups[tail] == k], rows[n - n_tail :])
        far = X.times[rows] <= X.times[rows[n - n_tail]] - gap + 1e-9
        expected = np.setdiff1d(rows[far], tail)
        np.testing.assert_array_equal(head[X.groups[head] == k], expected)


def test_the_tail_of_arrays():
    X = np.zeros((10, 2, 3))
    head, tail = tail_split(X, 0.2, gap=100.0)  # rows have no time, hence no gap
    np.testing.assert_array_equal(head, np.arange(8))
    np.testing.assert_array_equal(tail, [8, 9])
    head, tail = tail_split(X, 0.5, 0.0, groups=[1, 1, 0, 0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(tail, [4, 5, 7, 8, 9])


def test_the_tail_is_last_in_time_not_in_rows(X):
    order = np.random.default_rng(0).permutation(len(X))
    head, tail = tail_split(X, 0.3, 5.0)
    shuffled_head, shuffled_tail = tail_split(X[order], 0.3, 5.0)
    np.testing.assert_array_equal(np.sort(order[shuffled_head]), head)
    np.testing.assert_array_equal(np.sort(order[shuffled_tail]), tail)


@pytest.mark.parametrize(
    ("n", "fraction", "gap", "message"),
    [
        (
            2,
            0.2,
            0.0,
            "2 volumes are too few to set the last 20% of each recording apart.*2 would stay",
        ),
        (
            8,
            0.5,
            60.0,
            "8 volumes are too few .* with a gap of 60 s: 0 would stay for training and 4",
        ),
        (8, 0.0, 0.0, "fraction must lie between 0 and 1"),
        (8, 1.2, 0.0, "fraction must lie between 0 and 1"),
        (8, 0.5, -1.0, "gap be at least 0 s, got fraction=0.5 and gap=-1.0"),
    ],
)
def test_tails_that_cannot_be_set_apart_are_refused(make_windows, n, fraction, gap, message):
    with pytest.raises(ValueError, match=message):
        tail_split(make_windows([5 + np.arange(n) * 2.0]), fraction, gap)


def test_models_fitted_between_test_volumes_say_so(make_study):
    study = make_study(duration=200.0)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16.0, verbose="error")
    model = make_band_power_ridge(16.0)
    with pytest.warns(GapWarning, match="volumes between training volumes were left out one by"):
        cross_val_predict(model, X, y, cv=KFold(5, shuffle=True, random_state=0))
    search = GridSearchCV(
        model, {"power__step": [1.0, 2.0]}, cv=KFold(5, shuffle=True, random_state=0)
    )
    with pytest.warns(GapWarning, match="use BlockedKFold or LeaveOneGroupOut"):
        search.fit(X, y)
    cross_val_predict(model, X, y, cv=BlockedKFold(4))
    model.fit(X[:50], y[:50])
