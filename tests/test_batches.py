"""Continuous pieces of EEG and the windows in them: against windows cut one by one."""

import mne
import numpy as np
import pytest
import torch

from sklearn_beira import EEGWindows
from sklearn_beira.regressor.batches import Tiles, cut_pieces, eeg_scale, tile, volumes_in_windows

SFREQ, N_TIMES = 50.0, 100


def make_windows(order=None):
    """Three recordings, with gaps between volumes; the second has no volume, the third has one."""
    rng = np.random.default_rng(0)
    recordings = [1e-5 * rng.standard_normal((3, n)) for n in (3000, 400, 100)]
    onsets = np.r_[np.arange(2.0, 20.0, 1.3), np.arange(30.01, 55.0, 0.77), 2.0]
    recording = np.r_[np.zeros(len(onsets) - 1, int), 2]
    info = mne.create_info(3, SFREQ, "eeg")
    X = EEGWindows(recordings, recording, onsets, info, tmin=-2.0, tmax=0.0)
    return X if order is None else X[order(len(X))]


ORDERS = {
    "sorted": np.arange,
    "reversed": lambda n: np.arange(n)[::-1],
    "shuffled": lambda n: np.random.default_rng(1).permutation(n),
    "some, some twice": lambda n: np.random.default_rng(2).integers(0, n, 30),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("max_times", [1, N_TIMES, 250, 2**15])
def test_every_window_lies_in_one_piece_bit_for_bit(order, max_times):
    X = make_windows(order)
    pieces = cut_pieces(X, max_times)
    rows = np.concatenate([piece.rows for piece in pieces])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(X)))
    for piece in pieces:
        assert len(piece.stops) == len(piece.rows) > 0
        for stop, row in zip(piece.stops, piece.rows, strict=True):
            np.testing.assert_array_equal(piece.eeg[:, stop - N_TIMES : stop], X[int(row)])


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_rows_come_by_recording_and_time(order):
    X = make_windows(order)
    rows = np.concatenate([piece.rows for piece in cut_pieces(X, 300)])
    expected = np.lexsort((X.times, X.groups))
    np.testing.assert_array_equal(X.groups[rows], X.groups[expected])
    np.testing.assert_array_equal(X.times[rows], X.times[expected])


@pytest.mark.parametrize("max_times", [1, 99, 100, 165, 250, 1000])
def test_no_piece_is_longer_than_asked_for_unless_a_window_is(max_times):
    lengths = [piece.eeg.shape[1] for piece in cut_pieces(make_windows(), max_times)]
    assert max(lengths) <= max(max_times, N_TIMES)


def test_a_gap_in_the_recording_is_never_read_across():
    X = make_windows()
    # 20 s of recording 0 between the volumes are in no window; the long limit cuts nowhere else.
    pieces = cut_pieces(X)
    assert [len(piece.rows) for piece in pieces] == [14, 33, 1]
    covered = [(k, stop - start) for k, start, stop in X.stretches()]
    assert covered == [(X.groups[piece.rows[0]], piece.eeg.shape[1]) for piece in pieces]


def test_pieces_are_views():
    X = make_windows()
    for piece in cut_pieces(X):
        assert np.shares_memory(piece.eeg, X.recordings[X.groups[piece.rows[0]]])


def test_overlapping_windows_are_not_read_one_by_one():
    X = make_windows()
    info, eeg = X.info, X.recordings[0]
    dense = EEGWindows([eeg], [0] * 500, 2.0 + 0.1 * np.arange(500), info, tmin=-2.0, tmax=0.0)
    read = sum(piece.eeg.shape[1] for piece in cut_pieces(dense, 1000))
    assert read < 1.2 * dense.stretches()[0][2] < 0.1 * len(dense) * N_TIMES


def test_each_window_of_an_epoched_array_is_a_piece():
    X = np.random.default_rng(0).standard_normal((5, 2, 30))
    pieces = cut_pieces(EEGWindows.from_array(X), max_times=10)
    assert len(pieces) == 5
    for i, piece in enumerate(pieces):
        np.testing.assert_array_equal(piece.eeg, X[i])
        assert piece.stops.tolist() == [30]
        assert piece.rows.tolist() == [i]


def test_the_scale_of_the_eeg_counts_samples_in_many_windows_once():
    rng = np.random.default_rng(0)
    eeg = 1e-5 * rng.standard_normal((2, 1000)) * np.r_[np.ones(500), np.full(500, 5.0)]
    info = mne.create_info(2, SFREQ, "eeg")
    onsets = np.r_[2.0, 4.0, 6.0, 8.0, 10.0, 10.0, 10.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    X = EEGWindows([eeg], np.zeros(13, int), onsets, info, tmin=-2.0, tmax=0.0)
    assert eeg_scale(X) == pytest.approx(np.sqrt(np.mean(eeg**2)))
    assert eeg_scale(EEGWindows.from_array(np.zeros((3, 2, 10)))) == 1.0


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_tiles_hold_every_volume_and_do_not_overlap(order):
    X = make_windows(order)
    tiles = tile(X)
    rows, _ = volumes_in_windows(X, "many_to_many")
    assert set(rows[tiles].ravel()) - {-1} == set(range(len(X)))
    assert no_two_overlap(X, tiles)
    # Windows of the last volumes come first: the fewest that there can be.
    assert len(tiles) < len(X) / 1.3


def test_tiles_of_an_epoch_lie_at_random_and_hold_all_but_the_last_volumes():
    X = make_windows()
    torch.manual_seed(0)
    rows, _ = volumes_in_windows(X, "many_to_many")
    epochs = [list(Tiles(X, 16)) for _ in range(50)]
    assert len({tuple(sorted(epoch)) for epoch in epochs}) > 1
    for epoch in epochs:
        assert no_two_overlap(X, epoch)
        held = set(rows[epoch].ravel()) - {-1}
        for k in np.unique(X.groups[epoch]):
            mine = np.flatnonzero(X.groups == k)
            ends = X.times[mine] <= max(X.times[i] for i in epoch if X.groups[i] == k)
            assert held.issuperset(mine[ends])
    assert set(np.concatenate([rows[epoch].ravel() for epoch in epochs])) > set(range(len(X)))


def test_an_epoch_of_tiles_does_not_end_with_a_single_window():
    X = make_windows()
    n_windows = len(tile(X))  # whatever the place of the last one
    assert len(list(Tiles(X, n_windows))) == n_windows
    assert len(list(Tiles(X, n_windows - 1))) == n_windows - 1
    assert len(list(Tiles(X, 1))) == n_windows


def no_two_overlap(X, windows):
    return all(
        np.diff(np.sort(X.starts[[i for i in windows if X.groups[i] == k]])).min(initial=N_TIMES)
        >= N_TIMES - 1  # onsets are rounded to samples
        for k in np.unique(X.groups)
    )
