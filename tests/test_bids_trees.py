"""Folders that no published data set has: other settings per session, spaces, formats, damage."""

import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from test_bids import LABELS, N_VOLUMES, ONSETS, START, make_raw, write_eeg, write_image

from sklearn_beira import EEGFilter, ROIExtractor, load_bids

pytest.importorskip("mne_bids", reason="mne-bids is not installed")


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
