"""Cleaning: artifacts of the scanner that are simulated on EEG, and what is left of it."""

import importlib.util
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from scipy.stats import spearmanr

from sklearn_beira import (
    CarbonWireRegression,
    plot_residual_artifacts,
    remove_gradient,
    remove_pulse,
    remove_scanner_artifacts,
    residual_artifacts,
)
from sklearn_beira.alignment.beats import find_beats

PATH = Path(__file__).parents[1] / "benchmarks" / "cleaning.py"
SPEC = importlib.util.spec_from_file_location("cleaning_benchmark", PATH)
sys.modules["cleaning_benchmark"] = bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)

SFREQ = 1000.0
MOTION = 0.02 * np.cumsum(np.random.default_rng(3).standard_normal((80, 6)), axis=0) / 5


@pytest.fixture(autouse=True)
def quiet():
    with mne.utils.use_log_level("error"):
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def truth(make_study):
    """A minute and a half of EEG at 1 kHz, with the noise of an amplifier."""
    with mne.utils.use_log_level("error"):
        study = make_study(duration=90.0, n_channels=6, n_rois=1, sfreq=250.0)
        raw = study.raws[0].resample(SFREQ).set_annotations(None)
    rng = np.random.default_rng(0)
    return raw.apply_function(lambda x: x + 1e-6 * rng.standard_normal(x.shape))


def error(clean, truth):
    """Power of the difference relative to that of the EEG, from 1 to 45 Hz, without the ends."""
    bands = [
        one.copy().pick(truth.ch_names).filter(1, 45).get_data()[:, 2000:-3000]
        for one in (clean, truth)
    ]
    return ((bands[0] - bands[1]) ** 2).mean() / (bands[1] ** 2).mean()


def scanned(truth, drift=0.0, motion=0.1 * MOTION, **kind):
    """EEG with a gradient artifact, and markers."""
    rng, t_r = np.random.default_rng(1), bench.T_R * (1 + drift)
    artifact = bench.make_gradient(truth, motion, rng, t_r, kind.get("wander", 0.0))
    dirty = bench.add(truth, artifact)
    return dirty, bench.make_markers(truth.times[-1], t_r, rng, SFREQ, **kind)


@pytest.mark.parametrize(
    "world",
    [
        {},
        {"jitter": 1, "lost": 2},
        {"drift": 4e-5},
        {"drift": 4e-5, "wander": 1e-4},
        {"drift": 4e-5, "slices": True, "jitter": 1, "lost": 2},
        {"motion": MOTION, "jitter": 1},
    ],
    ids=["even", "jitter and lost", "other clock", "clock that wanders", "slices", "movement"],
)
def test_gradient_artifacts_are_removed(truth, world):
    dirty, markers = scanned(truth, **world)
    clean = remove_gradient(dirty, volume_times=markers, t_r=bench.T_R)
    average = bench.moving_average(dirty, markers, 20) if "slices" not in world else dirty
    assert error(dirty, truth) > 1000
    assert error(clean, truth) < 0.15
    assert error(clean, truth) < error(average, truth)
    np.testing.assert_array_equal(dirty.get_data(), scanned(truth, **world)[0].get_data())


def test_markers_are_read_from_the_recording(truth):
    dirty, markers = scanned(truth)
    dirty = bench.add(dirty, 0.0, stim=np.zeros(truth.n_times)).crop(0.0, 80.0)
    given = remove_gradient(dirty, volume_times=markers[markers < 80.0])
    dirty.set_annotations(mne.Annotations(markers, 0.0, "mri"))
    named = remove_gradient(dirty, trigger="mri")
    np.testing.assert_allclose(named.get_data("eeg"), given.get_data("eeg"))
    assert not named.get_data("stim").any()
    # A marker before the scan is left out.
    late = dirty.copy().crop(markers[1] - 1.0).set_annotations(None)
    at = markers[1:] - markers[1] + 1.0
    given = remove_gradient(late, volume_times=at)
    with_stray = remove_gradient(late, volume_times=[0.3, *at])
    np.testing.assert_allclose(with_stray.get_data("eeg"), given.get_data("eeg"))
    # The last volume is cut by the end of the recording, and corrected as well.
    last = slice(int(markers[41] * SFREQ) + 50, 80_000)
    left = named.get_data("eeg")[:, last] - truth.get_data()[:, last]
    assert left.std() < 0.02 * (dirty.get_data("eeg") - truth.get_data()[:, :80_001]).std()


def test_eeg_without_gradient_artifact_stays_as_it_is(truth):
    markers = np.arange(0, 88, bench.T_R)
    clean = remove_gradient(truth, volume_times=markers)
    assert error(clean, truth) < 0.03
    alpha = [residual_artifacts(raw)["alpha"].median() for raw in (clean, truth)]
    assert alpha[0] == pytest.approx(alpha[1], rel=0.05)


def test_odd_markers_are_refused(truth):
    even = np.arange(0, 40, 2.0)
    with pytest.raises(ValueError, match="give trigger or volume_times, one of them"):
        remove_gradient(truth)
    with pytest.raises(ValueError, match=r"0\.05 s apart, as those of slices; give t_r"):
        remove_gradient(truth, volume_times=np.arange(0, 40, 0.05))
    with pytest.raises(ValueError, match=r"after 38\.00 s .* crop the recording to one scan"):
        remove_gradient(truth, volume_times=[*even, *(even + 45.7)])
    with pytest.raises(ValueError, match="there are 5 markers; at least 10 are needed"):
        remove_gradient(truth, volume_times=even[:5])
    with pytest.raises(ValueError, match=r"of 20 markers, 2 are 1\.7 s apart; at least 10"):
        remove_gradient(truth, volume_times=even, t_r=1.7)
    with pytest.raises(ValueError, match=r"0 volumes lie within the recording; .* times are in s"):
        remove_gradient(truth, volume_times=1000 * even)


def test_unknown_onsets_are_lost_markers(truth):
    dirty, markers = scanned(truth)
    unknown = np.where(np.arange(len(markers)) == 7, np.nan, markers)
    clean = [remove_gradient(dirty, volume_times=one) for one in (unknown, np.delete(markers, 7))]
    np.testing.assert_array_equal(clean[0].get_data(), clean[1].get_data())


@pytest.mark.parametrize(
    "clean",
    [
        lambda raw: remove_gradient(raw, volume_times=np.arange(0, 40, 2.0)),
        remove_pulse,
        residual_artifacts,
    ],
)
def test_recordings_without_good_eeg_are_refused(beating, clean):
    raw = beating[1].copy()
    raw.info["bads"] = [raw.ch_names[k] for k in mne.pick_types(raw.info, eeg=True)]
    with pytest.raises(ValueError, match="no good EEG channel"):
        clean(raw)


@pytest.fixture(scope="module")
def beating(truth):
    """EEG at 250 Hz with and without a pulse artifact, and the beats."""
    with mne.utils.use_log_level("error"):
        slow, rng = truth.copy().resample(250.0), np.random.default_rng(2)
        beats, breath = bench.make_beats(slow.times[-1], rng)
        pulse, ecg = bench.make_pulse(slow, beats, breath, rng)
        return slow, bench.add(slow, pulse, ecg=ecg), bench.add(slow, 0 * pulse, ecg=ecg), beats


def test_pulse_artifacts_are_removed(beating):
    truth, dirty, same, beats = beating
    assert 54 <= 60 / np.diff(beats).max() < 58 < 68 < 60 / np.diff(beats).min() <= 76
    clean = remove_pulse(dirty)
    assert error(dirty, truth) > 3
    assert error(clean, truth) < 0.2 * error(dirty, truth)
    assert error(clean, truth) < error(bench.optimal_basis(dirty, beats, 3), truth)
    np.testing.assert_array_equal(clean.get_data("ecg"), dirty.get_data("ecg"))
    alpha = [residual_artifacts(raw)["alpha"].sum() for raw in (remove_pulse(same), truth)]
    assert alpha[0] == pytest.approx(alpha[1], rel=0.05)


def test_missed_beats_are_put_in_and_doubled_ones_left_out(beating, monkeypatch):
    beats, dirty = beating[3], beating[1]
    np.testing.assert_allclose(find_beats(dirty, "ECG0"), beats, atol=0.01)
    events = np.zeros((len(beats) + 1, 3), int)
    odd = np.sort(np.append(np.delete(beats, 20), beats[30] + 0.3))
    events = np.column_stack([np.rint(odd * 250), odd * 0, odd * 0]).astype(int)
    monkeypatch.setattr(mne.preprocessing, "find_ecg_events", lambda *_, **__: (events, 0, 60.0))
    np.testing.assert_allclose(find_beats(dirty, "ECG0"), beats, atol=0.1)


def test_a_missing_ecg_is_told_in_one_sentence(truth, beating):
    with pytest.raises(ValueError, match=r"^the recording has 0 channels of type ECG; name one"):
        remove_pulse(truth)
    with pytest.raises(ValueError, match=r"^which channel is the ECG: 'heart' is none of "):
        remove_pulse(beating[1], ecg="heart")


def test_wires_take_movement_out_and_leave_eeg(beating):
    truth = beating[0]
    movement, wires = bench.make_movement(truth, np.random.default_rng(4))
    names = [f"MISC{k}" for k in range(bench.N_WIRES)]
    for artifact in (movement, 0 * movement):
        dirty = bench.add(truth, artifact, misc=wires)
        clean = CarbonWireRegression(names).apply(dirty)
        assert error(clean, truth) < 0.05
        np.testing.assert_array_equal(clean.get_data("misc"), dirty.get_data("misc"))
    without_lags = CarbonWireRegression(names, lag=0.0).apply(
        bench.add(truth, movement, misc=wires)
    )
    assert error(without_lags, truth) > 2 * error(clean, truth)


def test_wires_that_cannot_be_used_are_refused(beating):
    dirty = bench.add(beating[0], 0.0, misc=np.zeros(beating[0].n_times))
    with pytest.raises(ValueError, match=r"wires \['CWL'\] are none of"):
        CarbonWireRegression(["CWL"]).apply(dirty)
    with pytest.raises(ValueError, match="MISC0 is flat"):
        CarbonWireRegression("MISC0").apply(dirty)
    with pytest.raises(ValueError, match="change window or lag"):
        CarbonWireRegression(dirty.ch_names[0], window=0.05).apply(dirty)
    for options in ({"lag": -1}, {"lag": np.nan}, {"window": np.inf}, {"window": None}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be from 0 to the"):
            CarbonWireRegression(dirty.ch_names[0], **options).apply(dirty)


def test_residual_artifacts_rank_cleanings_as_the_truth_does(truth, beating):
    dirty, markers = scanned(truth, motion=MOTION)
    gradient = dirty.get_data() - truth.get_data()
    ways = [bench.add(truth, size * gradient) for size in (1.0, 0.02, 0.005)]
    ways += [bench.moving_average(dirty, markers, n) for n in (4, 10, 20)]
    ways += [remove_gradient(dirty, volume_times=markers), truth]
    left = [residual_artifacts(raw, t_r=bench.T_R, n_slices=30).median() for raw in ways]
    errors = [error(raw, truth) for raw in ways]
    assert spearmanr([one["slices"] for one in left], errors).statistic > 0.9
    assert abs(left[-1]["volumes"]) < 0.5

    truth, dirty, _, beats = beating
    pulse = dirty.get_data()[: len(truth.ch_names)] - truth.get_data()
    ways = [bench.add(truth, size * pulse) for size in (1.0, 0.6, 0.3, 0.1, 0.0)]
    ways += [remove_pulse(dirty).pick("eeg")]
    left = [residual_artifacts(raw, ecg=beats)["heart"].median() for raw in ways]
    assert spearmanr(left, [error(raw, truth) for raw in ways]).statistic > 0.9
    found = residual_artifacts(dirty)["heart"].median()  # beats from the ECG
    assert found == pytest.approx(left[0], abs=0.3)


def test_an_irregular_heart_does_not_blur_its_index(truth):
    slow = truth.copy().resample(250.0)
    behind = np.arange(0, 0.8, 0.004)
    wave = np.exp(-(((behind - 0.35) / 0.16) ** 2)) * np.sin(12 * np.pi * behind)
    found = []
    for spread, seed in ((0.0, 0), *((0.4, seed) for seed in range(5))):
        rng = np.random.default_rng(seed)
        beats = np.cumsum(np.maximum(np.exp(spread * rng.standard_normal(60)), 0.55))
        waves = np.zeros(slow.n_times)
        waves[np.rint(250 * beats).astype(int)] = 10 * slow.get_data().std()
        pulse = np.convolve(waves, wave)[: slow.n_times]
        found.append(residual_artifacts(bench.add(slow, pulse), ecg=beats)["heart"].median())
    assert found[0] > 8
    assert np.mean(found[1:]) == pytest.approx(found[0], abs=0.4)


def test_beats_may_be_unsorted_but_not_in_other_units(beating):
    _, dirty, _, beats = beating
    sorted_, mixed = (
        residual_artifacts(dirty, ecg=one)["heart"] for one in (beats, [np.nan, *beats[::-1]])
    )
    np.testing.assert_array_equal(mixed, sorted_)
    with pytest.raises(ValueError, match=r"heart beats lie in the recording.* times are in s"):
        residual_artifacts(dirty, ecg=1000 * beats)
    dirty = dirty.copy()
    dirty.info["bads"] = [dirty.ch_names[k] for k in mne.pick_types(dirty.info, ecg=True)]
    assert residual_artifacts(dirty)["heart"].isna().all()


def test_the_figure_of_residual_artifacts_shows_each_stage(truth):
    dirty, markers = scanned(truth)
    stages = {"raw": dirty, "clean": remove_gradient(dirty, volume_times=markers)}
    fig = plot_residual_artifacts(stages, t_r=bench.T_R, n_slices=30)
    spectra, rates = fig.axes
    assert spectra.get_legend_handles_labels()[1] == ["raw", "clean"]
    drawn = [line.get_ydata()[:2] for line in rates.lines if len(line.get_ydata()) == 3]
    for values, raw in zip(drawn, stages.values(), strict=True):
        table = residual_artifacts(raw, t_r=bench.T_R, n_slices=30)
        np.testing.assert_allclose(values, table[["volumes", "slices"]].median())


def test_planted_coupling_comes_back_on_real_eeg(shared_data):
    picks = [*bench.CHANNELS["r"], *bench.CHANNELS["r beta"], "Fz", "Cz", "Pz"]
    raw, rng = bench.load_eeg(shared_data, SFREQ, picks), np.random.default_rng(0)
    measure = bench.Measure(shared_data, raw)
    beats, breath = bench.make_beats(raw.times[-1], rng)
    pulse, ecg = bench.make_pulse(raw, beats, breath, rng, size=30e-6)
    movement, wires = bench.make_movement(raw, rng, size=20e-6)
    whole = bench.add(raw, pulse + movement, ecg=ecg, misc=wires)
    t_r = bench.T_R * (1 + 4e-5)
    motion = bench.read_motion(shared_data, 0.005)
    dirty = bench.add(whole, bench.make_gradient(whole, motion, rng, t_r))
    markers = bench.make_markers(raw.times[-1], t_r, rng, SFREQ, jitter=1, lost=2)
    wires = dirty.ch_names[-bench.N_WIRES :]
    steps = remove_gradient(dirty, volume_times=markers).filter(0.5, 70).resample(250)
    steps = remove_pulse(CarbonWireRegression(wires).apply(steps))
    clean = remove_scanner_artifacts(dirty, volume_times=markers, wires=wires)
    before, one_by_one, after, best = map(measure, (dirty, steps, clean, raw))
    assert before["r"] < 0.5 * best["r"]
    assert after["r"] > 0.9 * best["r"]
    assert after["r beta"] > 0.75 * best["r beta"]
    assert after["error"] < 0.75 * one_by_one["error"]


def test_movement_and_pulse_are_removed_together(beating):
    truth, dirty = beating[:2]
    movement, wires = bench.make_movement(truth, np.random.default_rng(4))
    names = [f"MISC{k}" for k in range(bench.N_WIRES)]
    both = bench.add(dirty, np.vstack([movement, np.zeros(dirty.n_times)]), misc=wires)
    steps = remove_pulse(CarbonWireRegression(names).apply(both))
    for kind in ("misc", "eeg"):  # wires that are taken for EEG are not corrected
        both.set_channel_types(dict.fromkeys(names, kind), on_unit_change="ignore")
        given = both.get_data()
        clean = remove_scanner_artifacts(both, wires=names)
        assert error(clean, truth) < 0.7 * error(steps, truth)
        np.testing.assert_array_equal(both.get_data(), given)
        wired = clean.get_data(names) - both.copy().filter(0.5, 70, names).get_data(names)
        assert np.abs(wired).max() < 1e-9
    alone = remove_scanner_artifacts(dirty, ecg="ECG0")
    assert error(alone, truth) < 1.1 * error(remove_pulse(dirty), truth)


def test_there_must_be_an_artifact_to_remove(truth):
    with pytest.raises(ValueError, match="nothing to remove; give trigger, volume_times, wires or"):
        remove_scanner_artifacts(truth)
