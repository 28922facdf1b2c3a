"""Folders that no published data set has: other settings per session, spaces, formats, damage."""

import json
import warnings

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from test_bids import LABELS, N_VOLUMES, ONSETS, START, make_raw, write_eeg, write_image

from sklearn_beira import EEGFilter, ROIExtractor, load_bids
from sklearn_beira.alignment import markers
from sklearn_beira.alignment.markers import find_marker, pick_trigger


def bold_of(root, subject, session=None, **options):
    folder = root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "func"
    stem = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    write_image(folder / f"{stem}_task-rest_bold.nii.gz", **options)


def test_sessions_may_differ_in_montage_repetition_time_and_sampling_rate(tmp_path):
    for session, t_r, names in (("1", 2.0, {}), ("2", 1.5, {"Oz": "O1", "Fz": "F3"})):
        onsets = START + t_r * np.arange(N_VOLUMES)
        raw = make_raw(onsets, seed=int(session)).rename_channels(names)
        if session == "2":
            raw.resample(100.0, verbose="error")
        write_eeg(tmp_path, raw, subject="01", session=session, task="rest")
        bold_of(tmp_path, "01", session, t_r=t_r)
    study = load_bids(tmp_path, bold="raw")
    assert study.table["t_r"].tolist() == [2.0, 1.5]
    assert study.table["verdict"].tolist() == ["ok", "ok"]
    study.extract_regions(ROIExtractor(LABELS), verbose=False)
    with pytest.warns(UserWarning, match="some runs lack the channels F3, Fz, O1, Oz"):
        X, y = study.align(tmin=-8.0, eeg_filter=EEGFilter(1, 20, sfreq=50.0), verbose=False)
    assert X.ch_names == ["Cz", "Pz"]
    assert [np.diff(X.times[X.groups == k]).mean().round(3) for k in (0, 1)] == [2.0, 1.5]
    assert len(y) == X.alignment["kept"].sum()
    with pytest.raises(ValueError, match="sampled at 50, 100 Hz; give"):
        study.align(tmin=-8.0, picks=["Cz"], verbose=False)


def test_sessions_without_a_common_channel_are_told(tmp_path):
    names = [{}, {name: f"{name}'" for name in ("Fz", "Cz", "Pz", "Oz")}]
    for session, other in zip("12", names, strict=True):
        raw = make_raw(ONSETS).rename_channels(other)
        write_eeg(tmp_path, raw, subject="01", session=session, task="rest")
        bold_of(tmp_path, "01", session)
    study = load_bids(tmp_path, bold="raw").extract_regions(ROIExtractor(LABELS), verbose=False)
    with pytest.raises(ValueError, match="no EEG channel in common; select runs of one montage"):
        study.align(tmin=-8.0, verbose=False)


def test_derivatives_of_several_spaces_resolutions_and_without_compression(tmp_path):
    name = "sub-{}_task-rest_space-{}_desc-preproc_bold.nii.gz"
    standard, native = "MNI152NLin2009cAsym", "T1w"
    for subject in ("01", "02", "03"):
        write_eeg(tmp_path, make_raw(ONSETS), subject=subject, task="rest")
        func = tmp_path / f"derivatives/fmriprep/sub-{subject}/func"
        write_image(func / name.format(subject, native))
        spaces = {"01": [standard], "02": [f"{standard}_res-1", f"{standard}_res-2"], "03": []}
        for space in spaces[subject]:
            write_image(func / name.format(subject, space))
    plain = tmp_path / "derivatives/fmriprep/sub-01/func" / name.format("01", standard)
    nib.save(nib.load(plain), plain.with_suffix(""))
    plain.unlink()
    table = load_bids(tmp_path).table.set_index("subject")
    assert table["verdict"].to_dict() == {"01": "ok", "02": "refused", "03": "no BOLD"}
    assert table.loc["01", "bold"].endswith("_bold.nii")
    assert "2 files fit" in table.loc["02", "reason"]
    assert "res-1" in table.loc["02", "reason"]
    fits = load_bids(tmp_path, space=f"{standard}_res-2").table.set_index("subject")
    assert fits["verdict"].to_dict() == {"01": "no BOLD", "02": "ok", "03": "no BOLD"}
    assert set(load_bids(tmp_path, space=native).table["verdict"]) == {"ok"}


def test_formats_beside_each_other_echoes_and_people_without_folders(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    (tmp_path / "sub-01/eeg/sub-01_task-rest_eeg.edf").write_bytes(b"0       ")
    bold_of(tmp_path, "01")
    write_eeg(tmp_path, make_raw(ONSETS), subject="02", task="rest")
    for echo in (1, 2, 3):
        write_image(tmp_path / f"sub-02/func/sub-02_task-rest_echo-{echo}_bold.nii.gz")
    people = pd.read_csv(tmp_path / "participants.tsv", sep="\t")
    people.loc[len(people), "participant_id"] = "sub-99"
    people.to_csv(tmp_path / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    table = load_bids(tmp_path, bold="raw").table.set_index("subject")
    assert table["verdict"].to_dict() == {"01": "ok", "02": "refused"}
    assert "eeg.vhdr is read, and not sub-01_task-rest_eeg.edf" in table.loc["01", "reason"]
    assert "3 files fit" in table.loc["02", "reason"]
    pattern = "sub-*/func/*_echo-2_bold.nii.gz"
    table = load_bids(tmp_path, bold=pattern).table.set_index("subject")
    assert table["verdict"].to_dict() == {"01": "no BOLD", "02": "ok"}


@pytest.mark.parametrize("sidecar", ["{", "[]", '{"Columns": null}'])
def test_damaged_files_of_heart_beat_do_not_end_the_study(tmp_path, sidecar):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    bold_of(tmp_path, "01")
    path = tmp_path / "sub-01/func/sub-01_task-rest_physio.json"
    path.write_text(sidecar)
    path.with_suffix(".tsv.gz").write_bytes(b"1")
    for one in (path, path.with_suffix(".tsv.gz")):  # macOS leaves such files
        one.with_name(f"._{one.name}").write_bytes(b"\xff")
    study = load_bids(tmp_path, bold="raw")
    assert study.table["verdict"].tolist() == ["ok"]
    assert study.usable[0].physio == []
    assert ("physio.json cannot be read" in study.table["reason"][0]) == (len(sidecar) < 3)


def test_two_bad_runs_in_ten_leave_eight_and_two_reasons(tmp_path):
    for k in range(10):
        write_eeg(tmp_path, make_raw(ONSETS, seed=k), subject=f"{k:02}", task="rest")
        bold_of(tmp_path, f"{k:02}")
    image = tmp_path / "sub-03/func/sub-03_task-rest_bold.nii.gz"
    img = nib.load(image)
    voxels = img.get_fdata().copy()
    voxels[..., 5] = np.nan
    nib.save(nib.Nifti1Image(voxels, img.affine, img.header), image)
    eeg = tmp_path / "sub-07/eeg/sub-07_task-rest_eeg.eeg"
    eeg.write_bytes(eeg.read_bytes()[: eeg.stat().st_size // 2])
    study = load_bids(tmp_path, bold="raw")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = study.extract_regions(ROIExtractor(LABELS), verbose=False).align_runs(
            tmin=-8.0, verbose=False
        )
    assert len(parts) == 8
    assert set(study.refused) == {"sub-03_task-rest", "sub-07_task-rest"}
    assert "NaN or infinite values in volume 5" in study.refused["sub-03_task-rest"]
    assert "31 'Stimulus/S 1' triggers but the BOLD has 60" in study.refused["sub-07_task-rest"]


def write_fif(root, raw, task="rest"):
    path = root / f"sub-01/eeg/sub-01_task-{task}_eeg.fif"
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, verbose="error")


def write_channels(root, **columns):
    path = next((root / "sub-01/eeg").glob("*_channels.tsv"))
    names = ["Fz", "Cz", "Pz", "Oz", "ECG"]
    table = pd.DataFrame({"name": names, "type": "EEG", "status": "good"} | columns)
    table.to_csv(path, sep="\t", index=False)


def write_table(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"trans_x": np.zeros(N_VOLUMES)}).to_csv(path, sep="\t", index=False)


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("n/a", "good", ""),
        ("EEG ", " n/a", ""),
        ("MISC", "good", "no good EEG channel: it has the types ecg, misc, and 0 of 5 channels"),
        ("EEG", "bad ", "no good EEG channel: it has the types ecg, eeg, and 5 of 5 channels"),
    ],
)
def test_a_run_without_good_eeg_channels_is_refused(tmp_path, kind, status, reason):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    bold_of(tmp_path, "01")
    write_channels(tmp_path, type=kind, status=status)
    study = load_bids(tmp_path, bold="raw")
    assert study.table["verdict"].tolist() == ["refused" if reason else "ok"]
    assert reason in study.table["reason"][0]
    assert all(run.ch_names == ["Fz", "Cz", "Pz", "Oz"] for run in study.usable)


def test_channels_of_other_names_are_told_and_breathing_keeps_its_type(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    bold_of(tmp_path, "01")
    write_channels(tmp_path, type=["EEG", "EEG", "EEG", "RESP", "ECG"], name=list("abcde"))
    study = load_bids(tmp_path, bold="raw")
    assert "channels.tsv is not used (it names no channel of the EEG)" in study.table["reason"][0]
    assert study.usable[0].ch_names == ["Fz", "Cz", "Pz", "Oz"]
    write_channels(tmp_path, type=["EEG", "EEG", "EEG", "RESP", "ECG"])
    study = load_bids(tmp_path, bold="raw")
    assert study.table["reason"][0] == ""
    assert study.raws[0].get_channel_types(["Pz", "Oz", "ECG"]) == ["eeg", "resp", "ecg"]


def test_confounds_are_those_of_the_image_and_not_of_another(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    func = tmp_path / "derivatives/fmriprep/sub-01/func"
    standard = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    native = standard.replace("_space-MNI152NLin2009cAsym", "")
    patterns = ["fmriprep", f"derivatives/fmriprep/sub-*/func/{native}"]
    write_image(func / standard)
    write_image(func / native)
    for other in ("acq-x", "run-2"):
        write_table(func / f"sub-01_task-rest_{other}_desc-confounds_timeseries.tsv")
    for bold in patterns:
        study = load_bids(tmp_path, bold=bold)
        assert study.table["confounds"].isna().all()
        assert study.usable[0].nuisance is None
        assert "no table of confounds fits" in study.table["reason"][0]
    own = func / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    write_table(own)
    for bold in patterns:
        study = load_bids(tmp_path, bold=bold)
        assert study.table["confounds"].tolist() == ["motion, wm_csf, high_pass"]
        assert study.usable[0].nuisance == own
    write_table(func / "sub-01_task-rest_desc-confounds_regressors.tsv")
    row = load_bids(tmp_path).table.iloc[0]
    assert row["verdict"] == "refused"
    assert "2 files fit (sub-01_task-rest_desc-confounds_regressors.tsv, " in row["reason"]


def test_images_whose_confounds_nilearn_does_not_find_are_refused(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    func = tmp_path / "derivatives/fmriprep/sub-01/func"
    write_table(func / "sub-01_task-rest_desc-confounds_timeseries.tsv")
    stem = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc"
    write_image(func / f"{stem}-smoothed_bold.nii.gz")
    nib.save(nib.load(func / f"{stem}-smoothed_bold.nii.gz"), func / f"{stem}-preproc_bold.nii")
    for bold in ("fmriprep", "derivatives/fmriprep/sub-*/func/*_desc-smoothed_bold.nii.gz"):
        row = load_bids(tmp_path, bold=bold).table.iloc[0]
        assert row["verdict"] == "refused"
        assert "only for images named *desc-preproc_bold.nii.gz" in row["reason"]
        assert load_bids(tmp_path, bold=bold, confounds=None).table["verdict"].tolist() == ["ok"]


def test_different_recordings_are_no_formats_of_one(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    eeg = tmp_path / "sub-01/eeg/sub-01_task-rest_acq-b_eeg.edf"
    eeg.write_bytes(b"0       ")
    bold_of(tmp_path, "01")
    row = load_bids(tmp_path, bold="raw").table.iloc[0]
    assert row["verdict"] == "refused"
    assert f"2 files fit ({eeg.name}, sub-01_task-rest_eeg.vhdr); give a pattern" in row["reason"]
    eeg.unlink()
    image = tmp_path / "sub-01/func/sub-01_task-rest_bold.nii.gz"
    nib.save(nib.load(image), image.with_name("sub-01_task-rest_acq-b_bold.nii"))
    assert load_bids(tmp_path, bold="raw").table["verdict"].tolist() == ["refused"]


@pytest.mark.parametrize(
    ("first", "missing", "duration", "onset", "reason"),
    [
        (0, None, 128.0, START + 2.0, "discarded (1), so it starts 2 s after the marker; give"),
        (0, None, 123.0, START + 2.0, "volumes follow every 2 s; volumes before"),
        (0, 0, 128.0, START, ""),
        (30, None, 128.0, None, "be lost; give missing='end' if the EEG ends before the scan, or"),
        (0, "end", 100.0, START + 2.0, "discarded (1), so it starts 2 s after the marker; give"),
        (30, 30, 128.0, START + 60.0, ""),
    ],
)
def test_a_single_marker_is_the_start_of_the_scan_if_it_can_be(
    tmp_path, first, missing, duration, onset, reason
):
    raw = make_raw(ONSETS[[first]], duration=duration)
    write_eeg(tmp_path, raw, subject="01", task="rest")
    bold_of(tmp_path, "01")
    sidecar = tmp_path / "task-rest_bold.json"
    sidecar.write_text('{"NumberOfVolumesDiscardedByScanner": 1}')
    study = load_bids(tmp_path, bold="raw", trigger="Stimulus/S 1", missing=missing)
    assert study.table["verdict"].tolist() == ["refused" if onset is None else "ok"]
    assert reason in study.table["reason"][0]
    if onset is None:
        assert "is taken for the start" not in study.table["reason"][0]
        assert "were discarded" not in study.table["reason"][0]
    else:
        known = study.usable[0].onsets
        known = known[np.isfinite(known)]
        np.testing.assert_allclose(known, onset + 2.0 * np.arange(len(known)))


def test_a_single_marker_of_those_of_volumes_in_other_runs_is_refused(tmp_path):
    for subject, onsets in (("01", ONSETS), ("02", ONSETS[5:6])):
        raw = make_raw(onsets, duration=200.0)
        write_eeg(tmp_path, raw, subject=subject, task="rest")
        bold_of(tmp_path, subject)
    settings = {"bold": "raw", "trigger": "Stimulus/S 1"}
    table = load_bids(tmp_path, **settings).table
    assert table["verdict"].tolist() == ["ok", "refused"]
    assert "occurs once, but with every volume in other runs" in table["reason"][1]
    assert "is taken for the start" not in table["reason"][1]
    assert load_bids(tmp_path, subject="02", **settings).table["verdict"].tolist() == ["ok"]


def test_markers_of_start_and_end_are_not_those_of_volumes(tmp_path):
    for subject, onsets in (("01", [START, START + 121.3]), ("02", [START])):
        raw = make_raw(onsets, duration=200.0)
        write_eeg(tmp_path, raw, subject=subject, task="rest")
        bold_of(tmp_path, subject)
    table = load_bids(tmp_path, bold="raw", trigger="Stimulus/S 1", missing="end").table
    assert table[["n_triggers", "verdict"]].to_numpy().tolist() == [[2, "ok"], [1, "ok"]]


def test_notes_of_a_run_have_no_full_stops_within(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS[:1]), subject="01", task="rest")
    bold_of(tmp_path, "01")
    write_channels(tmp_path, name=list("abcde"))
    reason = load_bids(tmp_path, bold="raw", trigger="Stimulus/S 1").table["reason"][0]
    assert "names no channel of the EEG); recording sub-01" in reason
    assert ".;" not in reason


def test_a_table_of_confounds_that_nobody_asked_for_is_no_problem(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    func = tmp_path / "derivatives/fmriprep/sub-01/func"
    write_image(func / "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
    table = func / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    table.symlink_to("../../.git/annex/objects/aa/bb")
    for said in ("was not downloaded", "2 files fit"):
        run = load_bids(tmp_path, confounds=None).usable[0]
        assert f"no table of confounds is used: {said}" in run.note.replace(f"{table.name} ", "")
        assert run.nuisance is None
        row = load_bids(tmp_path).table.iloc[0]
        assert row["verdict"] == "refused"
        assert said in row["reason"]
        table.unlink()
        write_table(table)
        write_table(func / "sub-01_task-rest_desc-confounds_regressors.tsv")


def test_slice_timing_that_is_corrected_without_a_start_time_is_to_the_middle(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    func = tmp_path / "derivatives/fmriprep/sub-01/func"
    stem = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold"
    write_image(func / f"{stem}.nii.gz")
    (func / f"{stem}.json").write_text('{"RepetitionTime": 2.0, "SliceTimingCorrected": true}')
    run = load_bids(tmp_path, confounds=None).usable[0]
    assert run.offset == 0
    assert "an unknown moment, so onsets are not moved" in run.note
    raw = tmp_path / "sub-01/func/sub-01_task-rest_bold.json"
    raw.parent.mkdir()
    raw.write_text('{"RepetitionTime": 2.0, "SliceTiming": [0.0, 1.0, 0.5, 1.5]}')
    run = load_bids(tmp_path, confounds=None).usable[0]
    assert run.offset == 0.75
    assert "middle of SliceTiming (0.75 s)" in run.note


def test_a_stim_channel_is_read_once_and_a_pulse_off_the_pace_left_out(tmp_path, monkeypatch):
    raw = make_raw([], [])
    pulses = np.zeros((1, len(raw.times)))
    pulses[0, np.rint(np.r_[ONSETS[0] - 0.12, ONSETS] * raw.info["sfreq"]).astype(int)] = 1
    stim = mne.io.RawArray(pulses, mne.create_info(["STI"], raw.info["sfreq"], "stim"), verbose=0)
    write_fif(tmp_path, raw.add_channels([stim], force_update_info=True))
    bold_of(tmp_path, "01")
    read, find_events = [], markers._find_events
    monkeypatch.setattr(
        markers, "_find_events", lambda raw, name: read.append(name) or find_events(raw, name)
    )
    study = load_bids(tmp_path, bold="raw", missing="start")
    assert study.table[["verdict", "n_triggers", "gaps"]].to_numpy().tolist() == [["ok", 61, 1]]
    assert study.table["trigger"][0] == ("STI", 1)
    np.testing.assert_allclose(study.usable[0].onsets, ONSETS)
    assert read == ["STI"]


def test_a_recording_with_a_pause_is_refused(tmp_path):
    raw = make_raw(np.r_[ONSETS, 60.0], ["R128"] * N_VOLUMES + ["EDGE boundary"])
    write_fif(tmp_path, raw)
    bold_of(tmp_path, "01")
    row = load_bids(tmp_path, bold="raw").table.iloc[0]
    assert row["verdict"] == "refused"
    assert "not continuous ('EDGE boundary' at 60.00 s); split it" in row["reason"]


def test_labels_may_have_a_dash(tmp_path):
    for task in ("rest-open", "rest-closed"):
        write_fif(tmp_path, make_raw(ONSETS), task)
        write_image(tmp_path / f"sub-01/func/sub-01_task-{task}_bold.nii.gz")
    table = load_bids(tmp_path, bold="raw").table
    assert table["task"].tolist() == ["rest-closed", "rest-open"]
    assert table["verdict"].tolist() == ["ok", "ok"]


def test_names_of_markers_may_have_apostrophes_and_blanks():
    known = {"bad 's'": ONSETS, "V  's'": ONSETS, "S  1": ONSETS, "S   1": ONSETS - 1}
    assert pick_trigger({name: known[name] for name in list(known)[:2]}, 2.0) == "V  's'"
    assert find_marker(known, "V 's'") == "V  's'"
    assert find_marker(known, "S  1") == "S  1"
    with pytest.raises(ValueError, match="there are several markers 'S 1'; the EEG has"):
        find_marker(known, "S 1")
    with pytest.raises(ValueError, match="there is no marker 'S 2'; the EEG has"):
        find_marker(known, "S 2")
    assert find_marker({"R:08": ONSETS, "R:80": ONSETS}, ("R", 8)) == "R:08"
    channel = {("STI", 8): ONSETS, ("STI", 9): ONSETS}
    with pytest.raises(ValueError, match="there are several markers 'STI'"):
        find_marker(channel, "STI")
    del channel["STI", 9]
    assert find_marker(channel, "STI") == ("STI", 8)


def test_images_of_fmriprep_of_other_people_are_told(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="02", task="rest")
    stem = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    write_image(tmp_path / "derivatives/fmriprep/sub-01/func" / stem)
    with pytest.raises(ValueError, match=r"has 1 image of fMRIPrep in the space .* none of that"):
        load_bids(tmp_path, subject="02")


def test_events_and_physiology_of_raw_eeg_are_not_those_of_cleaned_eeg(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    write_eeg(tmp_path / "derivatives/clean", make_raw(ONSETS - 2), subject="01", task="rest")
    bold_of(tmp_path, "01")
    physio = tmp_path / "sub-01/eeg/sub-01_task-rest_physio.json"
    physio.write_text('{"SamplingFrequency": 50, "Columns": ["cardiac"]}')
    physio.with_suffix(".tsv.gz").write_bytes(b"1")
    clean = {"bold": "raw", "eeg": "derivatives/clean"}
    by_events = {"trigger": {"trial_type": "R128"}}
    run = load_bids(tmp_path, **clean, **by_events).usable[0]
    np.testing.assert_allclose(run.onsets, ONSETS - 2)  # of its own events
    assert run.physio == []
    assert "heart beat and breathing of raw EEG are not used" in run.note
    run.events.unlink()
    row = load_bids(tmp_path, **clean, **by_events).table.iloc[0]
    assert row["verdict"] == "refused"
    assert "that of raw EEG from its own start" in row["reason"]
    study = load_bids(tmp_path, **clean)
    assert study.events == [None]
    assert "events of raw EEG are not used" in study.table["reason"][0]
    run = load_bids(tmp_path, bold="raw", **by_events).usable[0]
    np.testing.assert_allclose(run.onsets, ONSETS)
    assert len(run.physio) == 1


@pytest.mark.parametrize("files", [["cardiac respiratory"], ["cardiac", "respiratory"]])
def test_sidecars_of_heart_beat_are_inherited_and_a_flat_signal_is_left_out(tmp_path, files):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    bold_of(tmp_path, "01")
    breath = np.sin(2 * np.pi * 0.25 * np.arange(0, 130, 0.1))
    signals = pd.DataFrame({"cardiac": 0.0 * breath, "respiratory": breath})
    for k, names in enumerate(map(str.split, files)):
        facts = {"SamplingFrequency": 10, "StartTime": 0, "Columns": names}
        (tmp_path / f"task-rest_recording-{k}_physio.json").write_text(json.dumps(facts))
        path = tmp_path / f"sub-01/func/sub-01_task-rest_recording-{k}_physio.tsv.gz"
        signals[names].to_csv(path, sep="\t", header=False, index=False)
    study = load_bids(tmp_path, bold="raw").extract_regions(ROIExtractor(LABELS), verbose=False)
    with pytest.warns(UserWarning, match="is flat in cardiac"):
        X, _ = study.align(tmin=-2.0, nuisance="confounds", verbose=False)
    assert list(X.nuisance[0]) == ["respiration"]
    assert "is flat in cardiac" in study.table["reason"][0]


@pytest.mark.parametrize("run", ["01", "1"])
def test_sidecars_of_raw_images_are_found_by_runs_with_or_without_zeros(tmp_path, run):
    raw = make_raw(START, "scan start", duration=200.0)
    write_eeg(tmp_path, raw, subject="01", task="rest", run="01")
    func = tmp_path / "derivatives/fmriprep/sub-01/func"
    stem = f"sub-01_task-rest_run-{run}_space-MNI152NLin2009cAsym_desc-preproc_bold"
    write_image(func / f"{stem}.nii.gz")
    (func / f"{stem}.json").write_text('{"RepetitionTime": 2.0, "SliceTimingCorrected": true}')
    sidecar = tmp_path / "sub-01/func/sub-01_task-rest_run-01_bold.json"
    sidecar.parent.mkdir()
    facts = {"SliceTiming": [0.0, 1.0], "NumberOfVolumesDiscardedByScanner": 5}
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0, **facts}))
    settings = {"trigger": "Stimulus/S 1", "confounds": None}
    one = load_bids(tmp_path, **settings).usable[0]
    assert (one.offset, one.n_discarded) == (0.5, 5)
    np.testing.assert_allclose(one.onsets[0], START + 5 * 2.0)
