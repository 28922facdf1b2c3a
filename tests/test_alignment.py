"""align finds the volumes to the sample, or refuses to guess."""

import logging
import re
from datetime import UTC, datetime

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from sklearn_beira import (
    BEIRARegressor,
    Compact,
    EEGFilter,
    EEGWindows,
    Windower,
    align,
    compare,
    null_test,
    split_at_seams,
)
from sklearn_beira.alignment.markers import is_candidate
from sklearn_beira.alignment.seams import annotation_onsets
from sklearn_beira.baselines.lagged_power import BandedRidgeCV
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.baselines.spoc import SPoCRidgeCV
from sklearn_beira.eeg.channels import MONTAGE, pick_eeg
from sklearn_beira.features.band_power import BandPower
from sklearn_beira.features.covariance import BandCovariance, BandTangentSpace
from sklearn_beira.features.hrf import HRFBandPower
from sklearn_beira.features.time import TimePolynomial

SFREQ = 100.0
MEAS_DATE = datetime(2020, 1, 1, tzinfo=UTC)
N_VOLUMES, T_R, FIRST = 20, 1.95, 3.0


# -- volumes are found to the sample ------------------------------------------------------------
def plant(raw, times):
    """An impulse at every volume, as high in mV as the volume's number plus one."""
    eeg = raw.get_data()
    for i, t in enumerate(times):
        eeg[0, round(t * raw.info["sfreq"])] = (i + 1) * 1e-3
    raw._data[:] = eeg


def recorded(make_raw, *, meas_date=None, first_samp=0, stim=False, n_volumes=N_VOLUMES):
    """A recording with an impulse and a marker at each volume; the BOLD is the volume's number."""
    params = {"n_channels": 3, "ch_names": ["Fz", "Cz", "STI"], "ch_types": ["eeg", "eeg", "stim"]}
    raw = make_raw(**params, duration=50.0, first_samp=first_samp)
    raw.set_meas_date(meas_date)
    times = FIRST + np.arange(n_volumes) * T_R
    plant(raw, times)
    raw._data[2] = 0
    if stim:
        raw._data[2, np.round(times * SFREQ).astype(int)] = 7
        raw._data[2, np.round(times * SFREQ).astype(int) + 1] = 7
    else:
        raw.set_annotations(mne.Annotations(times, 0.0, "mri"))
    return raw, np.arange(1.0, n_volumes + 1)


def assert_volumes_match(X, y):
    """The window shows the impulse at the onset, and it is the one of that row of BOLD."""
    eeg = np.asarray(X)[:, 0]
    onset = round(-X.tmin * X.sfreq)
    assert len(y) > 3
    assert np.abs(eeg.argmax(axis=1) - onset).max() <= 1  # volumes lie between the samples
    np.testing.assert_allclose(eeg.max(axis=1), np.asarray(y).ravel() * 1e-3, rtol=1e-6)


@pytest.mark.parametrize("stim", [False, True], ids=["annotation", "stim"])
@pytest.mark.parametrize("meas_date", [None, MEAS_DATE], ids=["undated", "dated"])
@pytest.mark.parametrize("first_samp", [0, 12_345])
@pytest.mark.parametrize("crop", [None, 10.0, 10.004])
@pytest.mark.parametrize("save", [False, True], ids=["here", "saved"])
def test_markers_are_found_to_the_sample(
    make_raw, tmp_path, stim, meas_date, first_samp, crop, save
):
    raw, y = recorded(make_raw, meas_date=meas_date, first_samp=first_samp, stim=stim)
    if crop:
        raw.crop(crop, 40.0)
    if save:
        raw.save(tmp_path / "a_raw.fif", verbose="error")
        raw = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    trigger = "STI" if stim else "mri"
    missing = None
    if crop:  # the first four volumes and the last one were cut off: a gap at both ends
        y, missing = y[4:-1], None
        assert (np.diff(y) == 1).all()
    X, y = align(raw, y, trigger=trigger, missing=missing, tmin=-0.5, tmax=0.5, verbose="error")
    assert len(X) == (15 if crop else 20)
    assert_volumes_match(X, y)


def test_times_given_by_hand_count_from_the_start_of_the_data(make_raw):
    raw, y = recorded(make_raw, meas_date=MEAS_DATE, first_samp=777)
    window = {"tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    times = FIRST + np.arange(N_VOLUMES) * T_R
    assert_volumes_match(*align(raw, y, volume_times=times, **window))
    raw.crop(FIRST)
    X, kept = align(raw, y, t_r=T_R, **window)
    assert X.alignment.loc[0, "no_history"] == 1
    assert_volumes_match(X, kept)
    assert_volumes_match(*align(raw, y, volume_times=times - FIRST, t_r=T_R, **window))


@pytest.mark.parametrize("lost", [0, 1], ids=["whole", "half of it"])
@pytest.mark.parametrize("rest", [0, 4])
def test_a_recording_may_begin_with_a_trigger(make_raw, rest, lost):
    raw, y = recorded(make_raw, stim=True)
    raw._data[2] += rest * (raw._data[2] == 0)
    first = round(FIRST * SFREQ) + lost
    assert raw._data[2, first] == 7
    raw.crop(tmin=raw.times[first])
    X, kept = align(raw, y, trigger="STI", tmin=-0.5, tmax=0.5, verbose="error")
    assert X.alignment.loc[0, ["n_onsets", "n_volumes", "no_history"]].tolist() == [20, 20, 1]
    assert_volumes_match(X, kept)


def test_what_a_stim_channel_rests_at_is_no_trigger(make_raw):
    raw, y = recorded(make_raw, stim=True)
    raw._data[2] += 16
    X, kept = align(raw, y, trigger="STI", tmin=-0.5, tmax=0.5, verbose="error")
    assert X.alignment.loc[0, "n_onsets"] == 20
    assert_volumes_match(X, kept)


def test_a_stim_channel_with_several_codes_needs_a_number(make_raw):
    raw, y = recorded(make_raw, stim=True)
    raw._data[2, 10] = 3
    window = {"tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    with pytest.raises(ValueError, match=r"carries the events \[3, 7\].*trigger=\('STI', number\)"):
        align(raw, y, trigger="STI", **window)
    assert_volumes_match(*align(raw, y, trigger=("STI", 7), **window))
    with pytest.raises(ValueError, match=r"holds no event 5; it carries the events \[3, 7\]"):
        align(raw, y, trigger=("STI", 5), **window)
    raw._data[2] = 0
    with pytest.raises(ValueError, match="holds no event"):
        align(raw, y, trigger="STI", **window)


def test_runs_are_listed(make_raw):
    runs = [recorded(make_raw, n_volumes=n, first_samp=n) for n in (20, 12)]
    raws, bolds = zip(*runs, strict=True)
    window = {"tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    X, y = align(raws, bolds, trigger="mri", **window)
    assert_volumes_match(X, y)
    np.testing.assert_array_equal(np.bincount(X.groups), [20, 12])
    times = [FIRST + np.arange(n) * T_R for n in (20, 12)]
    assert_volumes_match(*align(list(raws), list(bolds), volume_times=times, **window))
    alone, _ = align(raws[0], bolds[0], trigger="mri", **window)
    np.testing.assert_array_equal(X[:20], alone)


def test_eeg_is_that_of_the_recording(make_study):
    study = make_study(n_runs=2)
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-12.0, tmax=2.0, verbose="error")
    assert X.dtype == np.float32
    for k, raw in enumerate(study.raws):
        np.testing.assert_array_equal(X.recordings[k], raw.get_data().astype(np.float32))
        onsets = raw.annotations.onset
        inside = (onsets >= 12) & (onsets + 2 <= 120)
        np.testing.assert_allclose(X.times[X.groups == k], onsets[inside])
        np.testing.assert_array_equal(y.loc[k], study.bolds[k][inside])


def test_files_are_read_in_pieces_that_fit_together(make_raw, tmp_path):
    raw = make_raw(n_channels=2, duration=1500.0)  # longer than two pieces
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    raw = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    X, _ = align(raw, np.zeros(100), t_r=10.0, verbose="error")
    np.testing.assert_array_equal(X.recordings[0], raw.get_data().astype(np.float32))


# -- it refuses to guess ------------------------------------------------------------------------
def lose(raw, rows):
    raw.annotations.delete(rows)


@pytest.mark.parametrize(
    ("missing", "rows", "kept"),
    [("start", [0, 1, 2], slice(3, None)), ("end", [17, 18, 19], slice(17))],
)
def test_fewer_markers_than_volumes(make_raw, missing, rows, kept):
    raw, y = recorded(make_raw)
    lose(raw, rows)
    window = {"trigger": "mri", "tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    with pytest.raises(
        ValueError, match="17 'mri' triggers but the BOLD has 20 volumes; say which"
    ):
        align(raw, y, **window)
    X, found = align(raw, y, missing=missing, **window)
    np.testing.assert_array_equal(found, y[kept])
    assert_volumes_match(X, found)
    assert X.alignment.loc[0, ["n_onsets", "no_marker", "kept"]].tolist() == [17, 3, 17]


@pytest.mark.parametrize(("missing", "kept"), [("start", slice(3, None)), ("end", slice(17))])
def test_more_markers_than_volumes(make_raw, missing, kept):
    raw, y = recorded(make_raw)
    window = {"trigger": "mri", "tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    with pytest.raises(
        ValueError, match="20 'mri' triggers but the BOLD has 17 volumes; say which"
    ):
        align(raw, y[kept], **window)
    X, found = align(raw, y[kept], missing=missing, **window)
    assert len(found) == 17
    assert_volumes_match(X, found)


def test_the_143_triggers_of_cwl_are_not_laid_on_its_146_volumes_in_silence(make_raw):
    raw = make_raw(n_channels=2, duration=300.0)
    onsets = 10 + np.arange(143) * T_R
    raw.set_annotations(mne.Annotations(onsets, 0.0, "mri"))
    y = np.arange(146.0)
    with pytest.raises(ValueError, match="143 'mri' triggers but the BOLD has 146 volumes"):
        align(raw, y, trigger="mri", t_r=T_R)
    first = {}
    for missing in ("start", "end"):
        X, kept = align(raw, y, trigger="mri", missing=missing, verbose="error")
        first[missing] = kept[0]
        np.testing.assert_allclose(X.times, onsets[np.isin(np.arange(143), kept - kept[0] + 11)])
    assert first == {"start": 14.0, "end": 11.0}


def test_volume_times_must_be_one_per_volume(make_raw):
    raw, y = recorded(make_raw)
    for missing in (None, "end"):
        message = "has 19 volume_times but the BOLD has 20 volumes; give one onset per volume"
        if missing:
            message = "needs a trigger"
        with pytest.raises(ValueError, match=message):
            align(raw, y, volume_times=np.arange(19) * 2.0, missing=missing)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda onsets: np.delete(onsets, 8),
            r"numbers 7 and 8 are 3.900 s apart; a trigger is miss",
        ),
        (lambda onsets: np.insert(onsets, 5, onsets[5] - 0.3), "numbers 5 and 6 are 0.300 s apart"),
        (
            lambda onsets: np.sort(np.append(onsets, onsets + 0.1)),
            r"there are 2 markers per volume.* - raw.first_time\)\[::2\]",
        ),
        (lambda onsets: np.sort(np.append(onsets, onsets)), "without duplicates"),
    ],
    ids=["missing", "extra", "doubled", "duplicate"],
)
@pytest.mark.parametrize("missing", [None, "start", "end"])
def test_a_broken_train_of_triggers_is_refused(make_raw, change, message, missing):
    raw, y = recorded(make_raw)
    raw.set_annotations(mne.Annotations(change(raw.annotations.onset), 0.0, "mri"))
    with pytest.raises(ValueError, match=message):
        align(raw, y, trigger="mri", missing=missing)


def test_t_r_is_checked_against_the_triggers(make_raw):
    raw, y = recorded(make_raw)
    align(raw, y, trigger="mri", t_r=1.95, tmin=-1.0, verbose="error")
    for when in ({"trigger": "mri"}, {"volume_times": FIRST + np.arange(20) * T_R}):
        with pytest.raises(ValueError, match=r"are 1.9500 s apart, but t_r is 2 s"):
            align(raw, y, **when, t_r=2.0)


def test_unknown_triggers_are_named_and_the_known_ones_listed(make_raw):
    raw, y = recorded(make_raw)
    message = (
        r"neither an annotation nor a stim channel named 'MRI'; its annotations are: 'mri' \(20\)"
    )
    with pytest.raises(ValueError, match=message):
        align(raw, y, trigger="MRI")
    with pytest.raises(ValueError, match=r"Did you mean 'mri'\?"):
        align(raw, y, trigger="mri1")
    with pytest.raises(ValueError, match="channel 'Cz' of recording 0 has the type eeg"):
        align(raw, y, trigger="Cz")  # EEG is no trigger, whatever edges it has
    with pytest.raises(
        ValueError, match="'mri' is an annotation of recording 0, which has no number"
    ):
        align(raw, y, trigger=("mri", 1))
    raw.annotations.rename({"mri": "Response/R128"})
    with pytest.raises(ValueError, match=r"Did you mean 'Response/R128'\?"):
        align(raw, y, trigger="r128")
    raw.set_annotations(None)
    with pytest.raises(ValueError, match="its annotations are: none"):
        align(raw, y, trigger="mri")


def test_a_recording_with_a_seam_is_refused(make_raw):
    parts = [make_raw(random_state=i) for i in range(2)]
    raw = mne.concatenate_raws([p.copy() for p in parts], verbose="error")
    with pytest.raises(
        ValueError, match=r"recording 0 is not continuous .* at 60.00 s.* list of rec"
    ):
        align(raw, np.arange(50.0), t_r=2.0)
    align(parts, [np.arange(25.0)] * 2, t_r=2.0, verbose="error")


# -- what is dropped ----------------------------------------------------------------------------
def test_volumes_without_history_or_future_are_dropped_from_both_sides(make_raw):
    raw, y = recorded(make_raw)  # volumes at 3.00, 4.95, … 40.05 s of 50 s
    X, kept = align(raw, y, trigger="mri", tmin=-4.95, tmax=12.0, verbose="error")
    np.testing.assert_array_equal(kept, y[1:18])
    assert_volumes_match(X.window(-0.5, 0.5), kept)
    expected = {"n_volumes": 20, "n_onsets": 20, "no_marker": 0, "no_history": 1, "no_future": 2}
    assert X.alignment.loc[0].to_dict() == {**expected, "bad": 0, "kept": 17, "file": ""}


@pytest.mark.parametrize("crop", [None, 2.0])
@pytest.mark.parametrize("meas_date", [None, MEAS_DATE])
def test_volumes_in_bad_stretches_are_dropped_or_marked(make_raw, crop, meas_date):
    raw, y = recorded(make_raw, meas_date=meas_date, first_samp=50)
    bad = mne.Annotations([20.0, 30.0], [1.0, 0.0], ["BAD motion", "bad"], orig_time=None)
    raw.set_annotations(mne.Annotations(FIRST + np.arange(20) * T_R, 0.0, "mri") + bad)
    if crop:
        raw.crop(crop)
    window = {"trigger": "mri", "tmin": -1.0, "tmax": 0.5, "verbose": "error"}
    times = FIRST + np.arange(20) * T_R
    touched = ((times + 0.5 > 20.0) & (times - 1.0 < 21.0)) | (
        (times + 0.5 > 30) & (times - 1 <= 30)
    )
    assert touched.sum() == 2
    history = times - (crop or 0) >= 1
    X, kept = align(raw, y, **window)
    np.testing.assert_array_equal(kept, y[history & ~touched])
    assert_volumes_match(X, kept)
    assert X.alignment.loc[0, "bad"] == 2
    assert not X.overlaps_bad().any()
    X, kept = align(raw, y, reject_by_annotation=False, **window)
    np.testing.assert_array_equal(kept, y[history])
    np.testing.assert_array_equal(X.overlaps_bad(), touched[history])
    assert X.alignment.loc[0, "bad"] == 0


def test_nothing_left_is_an_error_that_says_why(make_raw):
    raw, y = recorded(make_raw)
    with pytest.raises(ValueError, match=r"no volume is left of 20.*20 without their history.*-45"):
        align(raw, y, trigger="mri", tmin=-45.0)
    raw.set_annotations(raw.annotations + mne.Annotations(0.0, 50.0, "BAD"))
    with pytest.raises(ValueError, match=r"no volume is left of 20.*20 in bad stretches"):
        align(raw, y, trigger="mri", tmin=-1.0)


def test_what_was_dropped_is_logged_once_and_can_be_silenced(make_raw):
    raw, y = recorded(make_raw)
    lose(raw, [19])
    logger = mne.utils.logger
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger.addHandler(handler)
    level = logger.level
    try:
        for verbose in ("info", None, "error", False):
            messages.append(verbose)
            align(raw, y, trigger="mri", missing="end", tmin=-4.0, tmax=0.0, verbose=verbose)
            assert logger.level == level
        with mne.use_log_level("warning"):
            align(raw, y, trigger="mri", missing="end", tmin=-4.0, tmax=0.0)
    finally:
        logger.removeHandler(handler)
    line = (
        "Recording 0: 20 volumes, 19 onsets; kept 18, dropped: 1 without a marker, "
        "1 without their history."
    )
    shown = [line] if level <= logging.INFO else []
    assert messages == ["info", line, None, *shown, "error", False]


# -- tables, channels, types --------------------------------------------------------------------
def test_a_table_keeps_its_regions_and_gets_recording_and_volume(make_raw):
    raw, y = recorded(make_raw)
    y = np.random.default_rng(0).permutation(y)
    table = pd.DataFrame({"Left": y, "Right": -y}, index=np.arange(20) + 100)
    X, found = align([raw, raw], [table, table], trigger="mri", tmin=-4.0, tmax=0, verbose="error")
    assert list(found.columns) == ["Left", "Right"]
    assert found.index.names == ["recording", "volume"]
    np.testing.assert_array_equal(found.loc[1].index, np.arange(1, 20))
    np.testing.assert_array_equal(found.loc[(1, 5)], table.iloc[5])
    np.testing.assert_array_equal(found.index.get_level_values("recording"), X.groups)
    assert list(table.index) == list(np.arange(20) + 100)  # the caller's table is as it was
    _, array = align(raw, table.to_numpy(), trigger="mri", tmin=-4.0, tmax=0.0, verbose="error")
    np.testing.assert_array_equal(array, table.to_numpy()[1:])
    _, flat = align(raw, y.tolist(), trigger="mri", tmin=-4.0, tmax=0.0, verbose="error")
    np.testing.assert_array_equal(flat, y[1:])
    LinearRegression().fit(np.asarray(X).reshape(len(X), -1), found)


def test_channels_in_another_order_are_put_in_order(make_raw):
    first, second = make_raw(4), make_raw(4, random_state=1)
    shuffled = second.copy().reorder_channels(["E3", "E1", "E4", "E2"])
    y = np.arange(30.0)
    X, _ = align([first, shuffled], [y, y], t_r=2.0, verbose="error")
    assert X.ch_names == ["E1", "E2", "E3", "E4"]
    np.testing.assert_array_equal(X.recordings[1], second.get_data().astype(np.float32))
    X, _ = align([first, shuffled], [y, y], t_r=2.0, picks=["E4", "E1"], verbose="error")
    assert X.ch_names == X.info["ch_names"] == ["E4", "E1"]
    np.testing.assert_array_equal(X.recordings[1], second.get_data(["E4", "E1"]).astype(np.float32))


def test_eeg_means_the_good_eeg_channels(make_raw):
    raw = make_raw(4, ch_types=["eeg", "eeg", "ecg", "eeg"])
    raw._data[3] = 0.0  # flat, but marked
    raw.info["bads"] = ["E4"]
    y = np.arange(30.0)
    assert align(raw, y, t_r=2.0, verbose="error")[0].ch_names == ["E1", "E2"]
    named = ["E3", "E1"]
    assert align(raw, y, t_r=2.0, picks=named, verbose="error")[0].ch_names == named
    assert align(raw, y, t_r=2.0, picks="E1", verbose="error")[0].ch_names == ["E1"]
    with pytest.raises(ValueError, match="channel 'E4' of recording 0 is flat"):
        align(raw, y, t_r=2.0, picks=["E1", "E4"], verbose="error")
    with pytest.raises(
        ValueError, match=r"recording 0 has no channel\(s\) \['Cz'\]; it has \['E1'"
    ):
        align(raw, y, t_r=2.0, picks=["E1", "Cz"])
    with pytest.raises(ValueError, match="names a channel twice"):
        align(raw, y, t_r=2.0, picks=["E1", "E1"])
    raw.set_channel_types(dict.fromkeys(raw.ch_names, "misc"), on_unit_change="ignore")
    with pytest.raises(ValueError, match=r"no good EEG channel; its channel types are \['misc'\]"):
        align(raw, y, t_r=2.0)


def test_runs_that_do_not_belong_together_are_refused(make_raw):
    y = np.arange(30.0)
    for other, message in (
        (make_raw(3), r"recording 1 has other channels .*missing: \['E4'\], extra: \[\]"),
        (make_raw(5), r"recording 1 has other channels .*missing: \[\], extra: \['E5'\]"),
        (make_raw(4, sfreq=128.0), "recording 1 is sampled at 128 Hz, recording 0 at 100 Hz"),
    ):
        with pytest.raises(ValueError, match=message):
            align([make_raw(4), other], [y, y], t_r=2.0)
    marked = make_raw(4)
    marked.info["bads"] = ["E2"]
    with pytest.raises(ValueError, match=r"missing: \['E2'\].*interpolate bad channels"):
        align([make_raw(4), marked], [y, y], t_r=2.0)
    y = np.random.default_rng(0).permutation(y)
    tables = [pd.DataFrame({"a": y}), pd.DataFrame({"b": y})]
    for bolds in (tables, [y, y[:, None]], [tables[0], y[:, None]], [np.c_[y, y], y[:, None]]):
        with pytest.raises(
            ValueError, match="recording 1 has other regions than that of recording 0"
        ):
            align([make_raw(4)] * 2, bolds, t_r=2.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"raw": "run.set"}, TypeError, "raw must be mne.io.Raw or a list of them, got str"),
        ({"raw": []}, ValueError, "list of as many bold, got ndarray|at least one recording"),
        ({"raw": [], "bold": []}, ValueError, "at least one recording"),
        (
            {"bold": np.zeros((2, 3, 4, 30))},
            ValueError,
            r"got shape \(2, 3, 4, 30\); extract regions",
        ),
        ({"bold": np.zeros((0, 2))}, ValueError, r"got shape \(0, 2\)"),
        ({"bold": "bold.nii"}, TypeError, "got str; read tables with load_table, and extract"),
        (
            {"bold": nib.Nifti1Image(np.zeros((2, 2, 2, 30)), np.eye(4))},
            TypeError,
            "and extract regions from images with ROIExtractor",
        ),
        ({"t_r": None}, ValueError, "give trigger, volume_times or t_r"),
        ({"t_r": 0.0}, ValueError, "t_r must be a positive time in s, got 0.0"),
        ({"trigger": ("mri", "1")}, TypeError, r"trigger must be a name or a tuple .*, got \("),
        ({"t_r": "2"}, ValueError, "t_r must be a positive time in s, got '2'"),
        ({"trigger": "mri", "volume_times": np.arange(30)}, ValueError, "not both"),
        ({"trigger": 5}, TypeError, r"trigger must be a name or a tuple \(name, number\), got 5"),
        ({"missing": "middle"}, ValueError, "missing must be None, 'start' or 'end', got 'middle'"),
        (
            {"volume_times": np.zeros((30, 1)), "t_r": None},
            ValueError,
            "must be 1-D, finite, sorted",
        ),
        ({"volume_times": np.full(30, np.nan), "t_r": None}, ValueError, "must be 1-D, finite"),
        ({"volume_times": np.arange(30)[::-1], "t_r": None}, ValueError, "sorted and without dupl"),
        ({"tmin": 3.0}, ValueError, r"tmin=3.0 s must be less than tmax=0.0 s"),
    ],
)
def test_wrong_arguments_are_refused(make_raw, change, error, message):
    arguments = {"raw": make_raw(), "bold": np.arange(30.0), "t_r": 2.0, **change}
    with pytest.raises(error, match=message):
        align(**arguments)


def test_lists_go_with_lists(make_raw):
    raws, y = [make_raw(), make_raw(random_state=1)], np.arange(30.0)
    with pytest.raises(ValueError, match=r"2 recording\(s\) need a list of as many bold, got 1"):
        align(raws, [y], t_r=2.0)
    with pytest.raises(ValueError, match=r"need a list of as many bold, got DataFrame"):
        align(raws, pd.DataFrame({"a": y, "b": y}), t_r=2.0)
    with pytest.raises(ValueError, match=r"need a list of as many volume_times, got ndarray"):
        align(raws, [y, y], volume_times=np.arange(30) * 2.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bold_must_be_finite(make_raw, value):
    bold = np.zeros((30, 2))
    bold[[4, 9], 1] = value
    message = (
        r"the BOLD of recording 0 holds NaN or infinite values in 2 volumes \(first: volume 4\)"
    )
    for table in (bold, pd.DataFrame(bold)):
        with pytest.raises(ValueError, match=message):
            align(make_raw(), table, t_r=2.0)


def test_real_recording_and_its_bold(shared_data):
    path = shared_data / "real" / "eeglab_sample"
    raw = mne.io.read_raw_eeglab(next(path.glob("*.set")), verbose="error")
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    bold = pd.read_csv(shared_data / "semireal" / "bold.csv", index_col="time_s")
    X, y = align(raw, bold, t_r=1.89, verbose="error")
    assert X.dtype == np.float32
    assert X.sfreq == 128
    i = 50
    k = round(X.times[i] * 128)
    start = k - 30 * 128
    eeg = raw.get_data(X.ch_names, start, start + 30 * 128)
    np.testing.assert_allclose(X[i], eeg, atol=1e-12)
    np.testing.assert_array_equal(y.iloc[i], bold.iloc[y.index[i][1]])


# -- rows of X and of y -------------------------------------------------------------------------
def study_with_lost_volumes(make_raw):
    raw, y = recorded(make_raw)
    y = np.random.default_rng(0).permutation(y)
    table = pd.DataFrame({"Left": y, "Right": -y})
    other = raw.copy()
    other._data[:2] = raw._data[1::-1]
    X, kept = align([raw, other], [table, table**2], trigger="mri", tmin=-5.0, tmax=0.0)
    return X, kept, table


def test_volumes_of_x_are_those_of_the_index_of_y(make_raw):
    X, y, _ = study_with_lost_volumes(make_raw)
    np.testing.assert_array_equal(X.groups, y.index.get_level_values("recording"))
    np.testing.assert_array_equal(X.volumes, y.index.get_level_values("volume"))
    for rows in (slice(3, None, 2), np.array([7, 0, 7]), X.times > 10):
        np.testing.assert_array_equal(X[rows].volumes, y.index.get_level_values("volume")[rows])
    assert EEGWindows(X.recordings, X.groups, X.times, X.info, tmin=-5.0, tmax=0.0).volumes is None


@pytest.mark.parametrize("use", ["compare", "null_test", "fit", "pipeline", "filter"])
def test_rows_that_do_not_belong_together_are_refused(make_raw, use):
    X, y, table = study_with_lost_volumes(make_raw)
    ridge = Pipeline([("filter", EEGFilter(1, 40)), *make_band_power_ridge(4.0).steps])

    def evaluate(X, y):
        if use == "compare":
            compare(ridge, X, y, cv=2, null=None, verbose=False)
        elif use == "null_test":
            null_test(ridge, X, y, cv=2, n_surrogates=1, verbose=False)
        elif use == "fit":
            BEIRARegressor(Compact(n_branches=1), verbose=False).fit(X, y)
        elif use == "pipeline":
            ridge.fit(X, y)
        else:
            EEGFilter(1, 40).fit_transform(X, y)

    message = "rows of y are of other volumes than those of X"
    for a, b in [
        (X, y.iloc[::-1]),
        (X[1:], y.iloc[:-1]),
        (X, y.sample(frac=1.0, random_state=0)),
        (X[::-1], y["Left"]),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate(a, b)
    with pytest.warns(UserWarning, match="the index of y does not say which volumes its rows are"):
        evaluate(X, pd.concat([table, table**2]).iloc[: len(X)])


@pytest.mark.parametrize(
    "estimator",
    [
        BandPower(),
        HRFBandPower(),
        BandCovariance(),
        BandTangentSpace(),
        TimePolynomial(),
        SPoCRidgeCV(),
        BandedRidgeCV(),
        EEGFilter(1, 40),
        Windower(4.0),
        BEIRARegressor(Compact(n_branches=1), verbose=False),
        make_band_power_ridge(4.0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_every_estimator_looks_at_the_rows_of_y(make_raw, estimator):
    X, y, _ = study_with_lost_volumes(make_raw)
    estimator = clone(estimator)
    with pytest.raises(ValueError, match="rows of y are of other volumes than those of X"):
        estimator.fit(X, y.iloc[::-1])
    with pytest.raises(TypeError, match="y holds EEG; EEG comes first"):
        estimator.fit(y, X)
    estimator.fit(X, y)


def test_times_are_held_against_markers(make_raw):
    raw, y = recorded(make_raw)
    true = FIRST + np.arange(N_VOLUMES) * T_R
    for times in (true - FIRST, true + T_R, true - T_R):
        with pytest.warns(
            UserWarning, match="20 markers 'mri' .* the first 3.00 s after its start"
        ):
            align(raw, y, volume_times=times, tmin=-1.0, tmax=0.0, verbose="error")
    # Fine: the middle of volumes, markers of dummies, and times mended where markers lack.
    align(raw, y, volume_times=true + T_R / 3, tmin=-1.0, tmax=0.0, verbose="error")
    align(raw, y[4:], volume_times=true[4:], tmin=-1.0, tmax=0.0, verbose="error")
    raw.set_annotations(raw.annotations[:-3])
    align(raw, y, volume_times=true, tmin=-1.0, tmax=0.0, verbose="error")


def test_a_problem_of_several_recordings_is_said_once(make_raw):
    names = ["E1", "EOG1", "E3", "E4"]
    raws = [make_raw(ch_names=names, random_state=k) for k in range(3)]
    for raw in raws:
        raw._data *= 1e3
        raw.set_annotations(mne.Annotations(3.0 + 2.0 * np.arange(28), 0.0, ["mri"] * 28))
    bolds = [pd.DataFrame({"time_s": np.arange(40) * 2.0, "a": 1.0}) for _ in range(3)]
    with pytest.warns(UserWarning, match=r"2 other recording\(s\)") as caught:
        align(raws, bolds, t_r=2.0, tmin=-4.0, verbose="error")
    said = [str(w.message) for w in caught]
    for fact in ("EOG1", "time_s", "does not vary in a", "28 markers", "after the end", "of an SD"):
        found = [message for message in said if fact.replace("of an SD", "an SD of") in message]
        assert len(found) == 1, fact
        assert "2 other recording(s)" in found[0]
    assert {w.filename for w in caught} == {__file__}


def test_no_eeg_after_the_volume_is_kept_unless_asked_for(make_raw):
    X, _ = align(make_raw(), np.arange(30.0), t_r=2.0, tmin=-8.0, verbose="error")
    assert X.tmax == 0.0


# -- kinds of recordings that people have ---------------------------------------------------------
def marked(make_raw, onsets, name="R128", duration=100.0, **others):
    raw = make_raw(n_channels=2, duration=duration)
    for text, at in {name: onsets, **others}.items():
        raw.annotations.append(at, np.zeros(len(at)), [text] * len(at))
    return raw


@pytest.mark.parametrize(
    ("onsets", "options", "said"),
    [
        (10 + 0.1 * np.arange(800), {}, r"20 markers per volume.*raw.first_time\)\[::20\]\."),
        (10 + 0.1 * np.arange(840), {"t_r": 2.0}, r"of these 42 those of the BOLD: .*\[::20\]"),
        (
            10 + np.add.outer(2 * np.arange(40), 0.05 * np.arange(20)).ravel(),
            {},
            "20 markers per volume",
        ),
        (
            10 + 4.0 * np.arange(20),
            {},
            r"one volume of 2.*volume_times=10.000 \+ 2 \* np.arange\(40",
        ),
        ([10.0], {}, r"start of the scan, give t_r as well: trigger='R128', t_r="),
        (
            np.r_[5 + 2.0 * np.arange(5), 30 + 2.0 * np.arange(30)],
            {},
            r"several scans, with 5 from 5.0 to 13.0 s, 30 from 30.0 to 88.0 s; crop the EEG",
        ),
        (np.delete(10 + 2.0 * np.arange(40), [7, 8]), {}, r"missing or doubled.*\(2 were lost"),
    ],
    ids=["slices", "dummies", "bursts", "every other", "single", "scans", "lost"],
)
@pytest.mark.parametrize("missing", [None, "end", "start"])
def test_a_difference_in_number_is_explained(make_raw, onsets, options, said, missing):
    raw = marked(make_raw, onsets)
    with pytest.raises(ValueError, match=said) as error:
        align(raw, np.arange(40.0), trigger="R128", missing=missing, **options)
    assert "missing=" not in str(error.value)


def test_the_crop_that_is_named_leaves_the_scan(make_raw):
    onsets = np.r_[2.0 * np.arange(5), 20 + 2.0 * np.arange(20), 70 + 2.0 * np.arange(9)]
    raw = marked(make_raw, onsets)
    with pytest.raises(ValueError, match=r"raw\.crop\(.*\)") as error:
        align(raw, np.arange(20.0), trigger="R128")
    start, stop = map(float, re.search(r"crop\((.*), (.*)\)", str(error.value)).groups())
    X, _ = align(raw.crop(start, stop), np.arange(20.0), trigger="R128", tmin=-2.0, verbose="error")
    np.testing.assert_allclose(X.times, 20 - start + 2.0 * np.arange(20))


def test_another_marker_of_that_number_is_named_but_never_one_of_a_clock(make_raw):
    onsets = 10 + 2.0 * np.arange(40)
    other, window = {"Sync On": onsets, "S  1": onsets}, {"tmin": -3.0, "verbose": "error"}
    raw = marked(make_raw, onsets[:30], **other)
    with pytest.raises(ValueError, match="'S  1' occurs as often as volumes; give trigger='S  1'"):
        align(raw, np.arange(40.0), trigger="R128", **window)
    X, _ = align(raw, np.arange(40.0), trigger="R128", missing="end", **window)
    np.testing.assert_allclose(X.times, onsets[:30])
    raw = marked(make_raw, [], **{"Sync On": onsets})
    align(raw, np.arange(40.0), t_r=2.0, **window)  # without a warning
    with pytest.warns(UserWarning, match="'Sync On' of recording 0 is the name of markers of a cl"):
        align(raw, np.arange(40.0), trigger="Sync On", **window)


def test_a_single_marker_starts_the_scan(make_raw):
    raw, window = marked(make_raw, [10.0], "Scan Start"), {"tmin": -3.0, "verbose": "error"}
    with pytest.warns(UserWarning, match="single marker 'Scan Start' for 40 volumes"):
        X, _ = align(raw, np.arange(40.0), trigger="Scan Start", t_r=2.0, **window)
    np.testing.assert_allclose(X.times, 10 + 2.0 * np.arange(40))
    with pytest.warns(UserWarning, match="one marker 'Scan Start' at 10.00 s.*give trigger='Scan"):
        align(raw, np.arange(40.0), t_r=2.0, **window)


def test_what_is_missing_may_differ_between_recordings(make_raw):
    onsets, y, window = 10 + 2.0 * np.arange(40), np.arange(40.0), {"tmin": -3.0}
    raws = [marked(make_raw, onsets[3:]), marked(make_raw, onsets[:-3]), marked(make_raw, onsets)]
    ends = ["start", "end", None]
    X, kept = align(raws, [y] * 3, trigger="R128", missing=ends, verbose="error", **window)
    for k, rows in enumerate((slice(3, None), slice(37), slice(None))):
        np.testing.assert_array_equal(kept[X.groups == k], y[rows])
        np.testing.assert_allclose(X.times[X.groups == k], onsets[rows])


def test_slice_timing_moves_the_onsets(make_raw):
    raw, window = marked(make_raw, 10 + 2.0 * np.arange(40)), {"tmin": -3.0, "verbose": "error"}
    X, _ = align(raw, np.arange(40.0), trigger="R128", slice_time_ref=0.5, **window)
    np.testing.assert_allclose(X.times, 11 + 2.0 * np.arange(40))
    with pytest.raises(ValueError, match="slice_time_ref must be a share of t_r between 0 and 1"):
        align(raw, np.arange(40.0), t_r=2.0, slice_time_ref=2.0)


def test_eeg_without_bold_gives_x_alone(make_raw):
    raw, window = marked(make_raw, 10 + 2.0 * np.arange(40)), {"tmin": -3.0, "verbose": "error"}
    X, y = align(raw, np.random.default_rng(0).standard_normal(40), trigger="R128", **window)
    alone = align(raw, trigger="R128", **window)
    np.testing.assert_array_equal(alone.times, X.times)
    model = make_band_power_ridge(2.0).fit(X, y)
    np.testing.assert_array_equal(model.predict(alone), model.predict(X))
    assert len(align([make_raw(duration=100.0)] * 2, t_r=2.0, **window)) == 96
    raw = marked(make_raw, np.r_[10:20:2, 40:60:2])  # a pause of the scanner is no error here
    assert len(align(raw, trigger="R128", **window)) == 15


SEAMS = ["EDGE boundary", "BAD boundary", "boundary", "-99", "New Segment/"]


@pytest.mark.parametrize("name", SEAMS)
def test_seams_are_refused_and_split(make_raw, name):
    raw, y = recorded(make_raw)  # volumes at 3.00, 4.95, … 40.05 s of 50 s
    raw.annotations.append([0.0, 20.0], [0.0, 0.0], [name, name])
    with pytest.raises(ValueError, match=rf"not continuous \('{name}' at 20.00 s\); split it with"):
        align(raw, y, trigger="mri", tmin=-1.0)
    parts = split_at_seams(raw)
    assert [part.n_times for part in parts] == [2000, 3000]
    window = {"trigger": "mri", "tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    assert_volumes_match(*align(parts, [y[:9], y[9:]], **window))


def test_skipped_data_belong_to_no_part(make_raw):
    raw, y = recorded(make_raw)
    raw.annotations.append(20.0, 5.0, "BAD_ACQ_SKIP")
    parts = split_at_seams(raw.crop(1.0))
    assert [part.n_times for part in parts] == [1900, 2500]
    window = {"trigger": "mri", "tmin": -0.5, "tmax": 0.5, "verbose": "error"}
    here = [part.annotations.description.tolist().count("mri") for part in parts]
    assert_volumes_match(*align(parts, [y[: here[0]], y[-here[1] :]], **window))


def write_edf(path, eeg, starts, notes, kind):
    """Write EDF+ or BDF+ of one channel at 100 Hz, with records of 1 s at ``starts``."""
    width, most = (3, 2**23) if kind[0] == "B" else (2, 2**15)
    tals = [
        f"+{s:g}\x14\x14\0" + "".join(f"+{o:g}\x14R128\x14\0" for o in notes if s <= o < s + 1)
        for s in starts
    ]
    n_tal = -(-max(map(len, tals)) // width)

    def fields(*values, size=8):
        return b"".join(str(v).encode()[:size].ljust(size) for v in values)

    first = b"\xffBIOSEMI" if kind[0] == "B" else fields(0)
    head = first + b" " * 160 + b"01.01.2010.00.00" + fields(768) + fields(kind, size=44)
    head += fields(len(starts), 1) + fields(2, size=4)
    head += fields("Fz", f"{kind[0]}DF Annotations", size=16) + b" " * 160 + fields("uV", "")
    head += fields(-most // 10, -1, most // 10, 1) + fields(-most, -most, most - 1, most - 1)
    head += b" " * 160 + fields(100, n_tal) + b" " * 64
    digits = np.round(eeg * 10).astype("<i4").reshape(len(starts), 100)
    records = [
        b"".join(int(v).to_bytes(width, "little", signed=True) for v in row)
        + tal.encode().ljust(n_tal * width, b"\0")
        for row, tal in zip(digits, tals, strict=True)
    ]
    path.write_bytes(head + b"".join(records))


@pytest.mark.parametrize("kind", ["EDF+D", "BDF+D"])
def test_pauses_of_edf_files_are_seams_with_their_own_clock(tmp_path, kind):
    path = tmp_path / f"paused.{kind[:3].lower()}"
    starts = np.r_[0:20, 60:120]  # paused for 40 s; markers are at times of the clock
    eeg, onsets = np.random.default_rng(0).standard_normal(8000) * 10, 70 + 2.0 * np.arange(25)
    write_edf(path, eeg, starts, onsets, kind)
    with pytest.warns(RuntimeWarning, match="Omitted|Limited"):  # those beyond the data, by MNE
        raw = mne.io.read_raw(path, preload=True, verbose="warning")
    with pytest.raises(ValueError, match=r"pause of the file, which goes on at 60.00 s at 20.00 s"):
        align(raw, np.arange(25.0), trigger="R128")
    parts = split_at_seams(raw)
    assert [part.n_times for part in parts] == [2000, 6000]
    X, _ = align(parts[1], np.arange(25.0), trigger="R128", tmin=-3.0, verbose="error")
    np.testing.assert_allclose(X.times, onsets - 60)
    np.testing.assert_allclose(X.recordings[0][0], eeg[2000:] * 1e-6, atol=6e-7)
    write_edf(path, eeg, np.arange(80), onsets[:2], kind)  # announced, but without a gap
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    assert len(split_at_seams(raw)) == 1


# -- channels -------------------------------------------------------------------------------------
NO_EEG = ["CW1", "CWL1", "HEO", "VEO", "Trigger", "Status", "Resp", "GSR1", "Plet", "EXG1", "ECG"]
NO_EEG += ["EEG EKG-Ref", "POL EKG1", "EOGL", "POL DC01", "EMG Chin", "STI 014", "Photic", "LOC"]


@pytest.mark.parametrize("name", NO_EEG)
def test_channels_that_are_no_eeg_by_name_are_left_out(make_raw, name):
    raw = make_raw(ch_names=["Fz", "Cz", "Oz", name])
    with pytest.warns(UserWarning, match=f"are left out: {name}; set their type"):
        X, _ = align([raw, raw], [np.arange(25.0)] * 2, t_r=2.0, verbose="error")
    assert X.ch_names == ["Fz", "Cz", "Oz"]
    X, _ = align(raw, np.arange(25.0), t_r=2.0, picks=["Cz", name], verbose="error")
    assert X.ch_names == ["Cz", name]


def test_electrodes_of_the_10_05_system_are_no_other_channels():
    names = mne.channels.make_standard_montage(MONTAGE).ch_names
    picks, left_out = pick_eeg(mne.create_info(names, 100.0, "eeg"))
    assert len(picks) == len(names) > 300
    assert not left_out


def test_electrodes_get_the_positions_of_their_names(make_raw):
    raw = make_raw(ch_names=["EEG FP1-Ref", "Cz", "oz", "T3"])
    X, _ = align(raw, np.arange(25.0), t_r=2.0, verbose="error")
    known = mne.create_info(["Fp1", "Cz", "Oz", "T3"], 100.0, "eeg").set_montage(MONTAGE)
    for one, other in zip(X.info["chs"], known["chs"], strict=True):
        np.testing.assert_allclose(one["loc"][:3], other["loc"][:3], atol=1e-6)
    assert raw.info.get_montage() is None  # the recording is as it was
    raw = make_raw(ch_names=["Fp1", "Cz", "Oz", "X1"])
    assert align(raw, np.arange(25.0), t_r=2.0, verbose="error")[0].info.get_montage() is None


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e-3])
def test_one_channel_in_another_unit_is_named(make_raw, factor):
    raw = make_raw(n_channels=5)
    raw._data[2] *= factor
    with pytest.warns(
        UserWarning, match="times the SD of the others, like another unit: E3; bring"
    ):
        align(raw, np.arange(25.0), t_r=2.0, verbose="error")


def test_rows_of_one_region_are_placed_by_their_index(make_raw):
    raw, y = recorded(make_raw)
    scrubbed = pd.DataFrame({"Left": y}).drop([4, 5, 11])
    X, found = align(raw, scrubbed["Left"], trigger="mri", tmin=-1.0, tmax=0.5, verbose="error")
    assert_volumes_match(X, found)
    assert X.volumes.tolist() == scrubbed.index.tolist()
    assert found.ndim == 1


def test_the_repetition_time_of_every_other_volume_is_that_of_all(make_raw):
    raw, y = recorded(make_raw)
    half = pd.DataFrame({"Left": y}, index=pd.Index(range(N_VOLUMES), name="volume"))[::2]
    window = {"slice_time_ref": 0.5, "tmin": -2.0, "verbose": "error"}
    X, _ = align(raw, half, trigger="mri", missing="end", **window)
    np.testing.assert_allclose(X.times, FIRST + T_R * (X.volumes + 0.5), atol=0.5 / SFREQ)


def test_a_table_whose_last_row_may_not_be_the_last_volume_is_not_counted_from_the_end(make_raw):
    raw, y = recorded(make_raw)
    lose(raw, [0, 1])
    scrubbed = pd.DataFrame({"Left": y}).drop([10, 19])
    with pytest.raises(ValueError, match="the last row of the BOLD of recording 0 need not be"):
        align(raw, scrubbed, trigger="mri", missing="start", tmin=-2.0, verbose="error")
    times = FIRST + T_R * np.arange(N_VOLUMES)
    raw.set_annotations(None)
    X, found = align(raw, scrubbed, volume_times=times, tmin=-1.0, tmax=0.5, verbose="error")
    assert_volumes_match(X, found)


def test_volumes_follow_a_single_marker_to_the_end_of_the_eeg(make_raw):
    raw = make_raw(duration=60.0)
    raw.set_annotations(mne.Annotations([5.0, 30.0], 0.0, ["scan start", "eyes closed"]))
    with pytest.warns(UserWarning, match="single marker 'scan start' for 27 .* 2 s.$"):
        X = align(raw, trigger="scan start", t_r=2.0, tmin=-4.0, verbose="error")
    np.testing.assert_allclose(X.times, 5.0 + 2.0 * np.arange(27))


def test_other_markers_as_many_as_volumes_are_told_beside_a_single_one(make_raw):
    raw, y = recorded(make_raw)
    raw.set_annotations(raw.annotations + mne.Annotations(1.0, 0.0, "scan start"))
    with pytest.warns(UserWarning, match="'mri' occurs as often as volumes; give trigger='mri'"):
        align(raw, y, trigger="scan start", t_r=T_R, tmin=-1.0, verbose="error")


def test_a_bad_stretch_across_a_seam_is_bad_on_both_sides(make_raw):
    raw = mne.concatenate_raws([make_raw(duration=60.0), make_raw(duration=60.0)], verbose="error")
    raw.annotations.append([55.0, 59.0, 70.0], [20.0, 2.0, 2.0], ["BAD_motion", "mri", "mri"])
    first, second = split_at_seams(raw)
    for part, onset, duration in ((first, 55.0, 5.0), (second, 0.0, 15.0)):
        bad = part.annotations.description == "BAD_motion"
        np.testing.assert_allclose(annotation_onsets(part)[bad], [onset], atol=1e-9)
        np.testing.assert_allclose(part.annotations.duration[bad], [duration], atol=1.5 / SFREQ)
    at = second.annotations.description == "mri"
    np.testing.assert_allclose(annotation_onsets(second)[at], [10.0])


@pytest.mark.parametrize("first", [1.5, 10.0])
def test_inverted_pulses_have_no_marker_at_rest(make_raw, first):
    raw, onsets = make_raw(2, ch_types=["eeg", "stim"]), first + 2.0 * np.arange(20)
    raw._data[1] = 255
    for onset in onsets:
        raw._data[1, round(onset * SFREQ) : round((onset + 0.04) * SFREQ)] = 254
    # The rise that marks a volume is that at the end of its pulse.
    X = align(raw, trigger=("E2", 255), tmin=-1.0, verbose="error")
    np.testing.assert_allclose(X.times, onsets + 0.04, atol=0.5 / SFREQ)


def test_the_code_for_slices_on_a_stim_channel_runs(make_raw):
    raw, y = make_raw(2, ch_types=["eeg", "stim"]), np.arange(20.0)
    raw._data[1] = 0
    slices = np.round((5.0 + 0.2 * np.arange(200)) * SFREQ).astype(int)
    raw._data[1, slices] = 7
    for trigger in ("E2", ("E2", 7)):
        with pytest.raises(
            ValueError, match="take the first of each volume: volume_times="
        ) as said:
            align(raw, y, trigger=trigger, tmin=-1.0)
        code = str(said.value).partition("volume_times=")[2].rstrip(".")
        times = eval(code, {"raw": raw, "mne": mne})
        np.testing.assert_allclose(times, slices[::10] / SFREQ)


def test_an_edge_trigger_is_no_seam_and_may_mark_volumes():
    assert is_candidate("Edge trigger")
    for name in ("EDGE boundary", "boundary", "-99", "bad stretch", "New Segment/", "Sync On"):
        assert not is_candidate(name)
