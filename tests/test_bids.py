"""Studies in BIDS folders: what is paired, what is refused, and what becomes X and y."""

import json
import warnings
from functools import partial
from textwrap import dedent

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.signal import clean
from test_user_guide import BLOCK, PAGES, run_page

from sklearn_beira import EEGFilter, ROIExtractor, load_bids, load_cwl, load_noddi, load_vu

mne_bids = pytest.importorskip("mne_bids", reason="mne-bids is not installed")
T_R, N_VOLUMES, SFREQ, START = 2.0, 60, 50.0, 4.0
LABELS = nib.Nifti1Image(np.repeat([1, 2], 4).reshape(2, 2, 2).astype("int16"), np.eye(4))


def write_image(path, bold=None, t_r=T_R, n_volumes=N_VOLUMES):
    """Write an image of two regions, and its sidecar."""
    if bold is None:
        bold = np.random.default_rng(0).standard_normal((n_volumes, 2))
    voxels = 100 + np.repeat(bold.T, 4, axis=0).reshape(2, 2, 2, -1)
    img = nib.Nifti1Image(voxels.astype("float32"), np.eye(4))
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((1.0, 1.0, 1.0, t_r))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(img, path)
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    sidecar.write_text(json.dumps({"RepetitionTime": t_r, "TaskName": "rest"}))


def make_raw(onsets, names="R128", seed=0, duration=START + N_VOLUMES * T_R + 4):
    """Make a recording with four EEG channels, ECG, and markers."""
    eeg = 1e-5 * np.random.default_rng(seed).standard_normal((5, round(duration * SFREQ)))
    info = mne.create_info(["Fz", "Cz", "Pz", "Oz", "ECG"], SFREQ, "eeg")
    raw = mne.io.RawArray(eeg, info, verbose="error")
    return raw.set_annotations(mne.Annotations(onsets, 0.0, names))


def write_eeg(root, raw, **entities):
    path = mne_bids.BIDSPath(**entities, root=root, datatype="eeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", overwrite=True, verbose="error"
        )


ONSETS = START + T_R * np.arange(N_VOLUMES)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two good people, and one run for each thing that goes wrong."""
    root = tmp_path_factory.mktemp("study")
    for seed, subject in enumerate(["01", "02"]):
        write_eeg(root, make_raw(ONSETS, seed=seed), subject=subject, task="rest", run="01")
        write_image(root / f"sub-{subject}/func/sub-{subject}_task-rest_run-1_bold.nii.gz")
    write_eeg(root, make_raw(ONSETS), subject="03", task="rest")  # without BOLD
    write_image(root / "sub-04/func/sub-04_task-rest_bold.nii.gz")  # without EEG
    write_eeg(root, make_raw(np.r_[ONSETS, ONSETS[-1] + T_R]), subject="05", task="rest")
    write_eeg(root, make_raw(np.delete(ONSETS, [20, 21])), subject="06", task="rest")
    write_eeg(root, make_raw(ONSETS), subject="07", task="rest")
    for subject in ("05", "06", "07"):
        write_image(root / f"sub-{subject}/func/sub-{subject}_task-rest_bold.nii.gz")
    eeg = next((root / "sub-07/eeg").glob("*.eeg"))
    eeg.unlink()
    eeg.symlink_to("../../.git/annex/objects/aa/bb")
    (root / "sub-01/eeg/._sub-01_task-rest_run-01_eeg.vhdr").write_text("macOS")
    write_schedule(root / "sub-02/func/sub-02_task-rest_run-1_events.tsv")
    return root


def write_schedule(path):
    """Write the blocks of a task."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = {"onset": [10, 40, 70, 100], "duration": 15, "trial_type": ["on", "off"] * 2}
    pd.DataFrame(blocks).to_csv(path, sep="\t", index=False)


def rows(study):
    return study.table.set_index("subject")


def test_the_table_tells_what_was_paired_and_why_runs_are_not_used(root):
    table = rows(load_bids(root, bold="raw"))
    assert table["verdict"].to_dict() == {
        "01": "ok", "02": "ok", "03": "no BOLD", "04": "no EEG",
        "05": "refused", "06": "refused", "07": "refused",
    }  # fmt: skip
    assert table.loc["01", "eeg"] == "sub-01_task-rest_run-01_eeg.vhdr"
    assert table.loc["01", "bold"] == "sub-01_task-rest_run-1_bold.nii.gz"
    assert table.loc["01", ["n_triggers", "n_volumes", "difference", "gaps"]].tolist() == [
        60, 60, 0, 0
    ]  # fmt: skip
    assert table.loc["05", "difference"] == 1
    assert "missing" in table.loc["05", "reason"]
    assert table.loc["06", "gaps"] == 1
    assert "a trigger is missing" in table.loc["06", "reason"]
    assert "was not downloaded" in table.loc["07", "reason"]


def test_runs_are_selected_and_parts_with_other_settings_are_joined(root):
    study = load_bids(root, subject=["1", "02"], bold="raw")
    assert study.select(subject="02").subjects == ["02"]
    assert study.select(study.table["subject"] == "01").subjects == ["01"]
    assert study.select(study.table["n_triggers"] > 0).subjects == ["01", "02"]
    for mask in ([True], [1.5, 2], "01", ["01", "02"]):
        with pytest.raises(ValueError, match="True or False for each of 2 runs"):
            study.select(mask)
    with pytest.raises(ValueError, match="no column 'person'"):
        study.select(person="01")
    study += load_bids(root, subject="05", bold="raw", missing="end")
    assert study.subjects == ["01", "02", "05"]


def test_labels_may_have_their_prefix_and_zeros(root, tmp_path):
    labels = {"subject": ["01", "sub-02"], "task": "task-rest", "run": "run-1", "bold": "raw"}
    assert load_bids(root, **labels).table["subject"].tolist() == ["01", "02"]
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", session="2", task="01")
    write_image(tmp_path / "sub-01/ses-2/func/sub-01_ses-2_task-02_bold.nii.gz")
    for pair in ({"task-01": "task-02"}, {"1": "02"}, {"01": "2"}):
        study = load_bids(tmp_path, session="ses-02", task="task-1", bold="raw", pair=pair)
        assert study.table["verdict"].tolist() == ["ok"]


def test_without_images_of_fmriprep_the_error_names_the_alternatives(root):
    with pytest.raises(ValueError, match=r"no images of fMRIPrep .* give bold='raw'"):
        load_bids(root)
    with pytest.raises(ValueError, match="folder of the data set does not exist"):
        load_bids(root / "nowhere")


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300, "no such folder"])
def test_a_path_that_leads_nowhere_is_refused_as_documented(root, name):
    for load in (load_bids, load_noddi, load_vu, partial(load_cwl, subject="trio1")):
        with pytest.raises(ValueError, match="folder of the data set"):
            load(name)
    with pytest.raises(ValueError, match=r"cannot be used|no images of fMRIPrep|neither EEG"):
        load_bids(root, subject="03", eeg=name, bold=name)
    with pytest.raises(ValueError, match="Unknown atlas"):
        ROIExtractor(name).fit(root / "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz")


def test_an_end_that_does_not_exist_is_refused(root):
    with pytest.raises(ValueError, match="missing must be None, 'start', 'end' or a number"):
        load_bids(root, bold="raw", missing="middle")
    table = rows(load_bids(root, subject="01", bold="raw", missing=N_VOLUMES))
    assert table.loc["01", "reason"] == "missing=60 is none of its 60 volumes"


def test_repaired_onsets_are_given_to_their_run(root):
    study = load_bids(root, subject="06", bold="raw")
    with pytest.raises(ValueError, match="has 60 volumes, but onsets have shape"):
        study.place("sub-06_task-rest", ONSETS[:-1])
    with pytest.raises(ValueError, match="no run 'sub-08'"):
        study.place("sub-08", ONSETS)
    study.place("sub-06_task-rest", ONSETS)
    assert study.table[["verdict", "reason"]].to_numpy().tolist() == [["ok", "onsets are given"]]


def test_study_becomes_X_and_y_that_know_subject_and_volume(root, tmp_path):
    study = load_bids(root, run="1", bold="raw")
    extractor = ROIExtractor(LABELS, smoothing_fwhm=None, detrend=False)
    study.extract_regions(extractor, cache=tmp_path, verbose=False)
    X, y = study.align(tmin=-6.0, verbose=False)
    assert X.ch_names == ["Fz", "Cz", "Pz", "Oz"]  # ECG is known by its name
    assert X.info.get_montage() is not None
    assert X.alignment["subject"].tolist() == ["01", "02"]
    assert set(X.subjects) == {"01", "02"}
    np.testing.assert_allclose(X.times, START + T_R * X.volumes)
    measured = extractor.fit_transform(study.images[0])
    assert y.loc[0].to_numpy() == pytest.approx(measured.loc[y.loc[0].index].to_numpy())
    # The EEG is that of the file, to the precision of the format.
    sample = round(X.times[0] * SFREQ)
    eeg = study.raws[0].get_data(X.ch_names)
    assert np.asarray(X[0]) == pytest.approx(eeg[:, sample - 300 : sample], abs=1e-9)


def test_regions_are_read_from_the_cache_and_bad_runs_do_not_end_the_others(root, tmp_path):
    study = load_bids(root, run="1", bold="raw")
    extractor = ROIExtractor(LABELS, smoothing_fwhm=None)
    study.extract_regions(extractor, cache=tmp_path, verbose=False)
    first = study.bolds[0]
    again = load_bids(root, subject="01", bold="raw")
    assert len(list(tmp_path.glob("sub-0*_timeseries.tsv"))) == 2
    again.extract_regions(extractor, cache=tmp_path, verbose=False)
    pd.testing.assert_frame_equal(again.bolds[0], first, check_exact=True)
    assert len(list(tmp_path.iterdir())) == 2
    image = root / "sub-02/func/sub-02_task-rest_run-1_bold.nii.gz"
    whole = image.read_bytes()
    write_image(image, np.full((N_VOLUMES, 2), np.nan))
    study = load_bids(root, run="1", bold="raw")
    try:
        with pytest.warns(UserWarning, match="1 of 2 runs failed"):
            study.extract_regions(extractor, cache=tmp_path, verbose=False)
    finally:
        image.write_bytes(whole)
    assert study.subjects == ["01"]
    assert "NaN or infinite values" in rows(study).loc["02", "reason"]
    X, _ = study.align(tmin=-6.0, eeg_filter=EEGFilter(1, 20, sfreq=50), verbose=False)
    assert set(X.subjects) == {"01"}


def test_other_channels_of_all_runs_become_nuisance_signals(root):
    study = load_bids(root, run="1", bold="raw")
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    X, _ = study.align(tmin=-6.0, nuisance=["Oz"], verbose=False)
    assert list(X.nuisance) == [0, 1]
    first, second = X.nuisance.values()
    assert not first.equals(second)


@pytest.mark.parametrize(
    ("onsets", "missing", "first"),
    [
        (ONSETS[:-1], "end", 0),
        (ONSETS[2:], "start", 2),
        (ONSETS[1:-3], 1, 1),  # EEG that was cut on both sides
        (np.r_[ONSETS, ONSETS[-1] + 2.0], "end", 0),
        (np.r_[ONSETS[0] - 0.12, ONSETS], "start", 0),  # an extra marker off the pace
        (ONSETS[:1], None, 0),  # the start of the scan
    ],
)
def test_volumes_find_their_markers(tmp_path, onsets, missing, first):
    write_eeg(tmp_path, make_raw(onsets), subject="01", task="rest")
    write_image(tmp_path / "sub-01/func/sub-01_task-rest_bold.nii.gz")
    study = load_bids(tmp_path, bold="raw", missing=missing, trigger="Stimulus/S 1")
    extractor = ROIExtractor(LABELS, smoothing_fwhm=None, detrend=False)
    X, y = study.extract_regions(extractor, verbose=False).align(tmin=-2.0, verbose=False)
    assert y.index[0] == (0, first)
    np.testing.assert_allclose(X.times, ONSETS[X.volumes], atol=0.5 / SFREQ)


def test_an_unclear_trigger_is_refused_with_all_markers(tmp_path):
    names = ["R128"] * N_VOLUMES + ["beat"] * N_VOLUMES + ["stop"]
    raw = make_raw(np.r_[ONSETS, ONSETS - 1.1, 5.0], names)
    write_eeg(tmp_path, raw, subject="01", task="rest")
    write_image(tmp_path / "sub-01/func/sub-01_task-rest_bold.nii.gz")
    reason = load_bids(tmp_path, bold="raw").table["reason"][0]
    assert "several markers come every 2 s" in reason
    assert (
        "'Stimulus/S 1' (60 every 2 s), 'Stimulus/S 2' (60 every 2 s), 'Stimulus/S 3' (1)" in reason
    )


def test_noddi_volumes_follow_the_start_of_the_scan(tmp_path):
    (tmp_path / "EEG/32/export").mkdir(parents=True)
    raw = make_raw([START], "Scanner/Scan Start", duration=150.0)
    mne.export.export_raw(tmp_path / "EEG/32/export/32_rest.vhdr", raw, verbose="error")
    write_image(tmp_path / "fMRI/32/rest_cross.nii.gz", t_r=2.16)
    write_image(tmp_path / "fMRI/33/rest_cross.nii.gz", t_r=2.16)
    vmrk = tmp_path / "EEG/32/export/32_rest.vmrk"
    vmrk.write_text(vmrk.read_text().replace("Comment,Scanner/", "Scanner,"))
    study = load_noddi(tmp_path)
    assert rows(study)["verdict"].to_dict() == {"32": "ok", "33": "no EEG"}
    np.testing.assert_allclose(study.usable[0].onsets, START + 2.16 * np.arange(N_VOLUMES))
    with pytest.raises(ValueError, match="neither EEG nor BOLD"):
        load_noddi(tmp_path, subject="34")


def test_vu_has_tables_of_regions(tmp_path):
    (tmp_path / "EEG").mkdir()
    (tmp_path / "fMRI_difumo").mkdir()
    onsets = START + 2.1 * np.arange(N_VOLUMES)
    raw = make_raw(onsets, "R149", duration=150.0).set_montage("easycap-M1", on_missing="ignore")
    mne.export.export_raw(tmp_path / "EEG/sub01-scan02_eeg_pp.set", raw, verbose="error")
    bold = pd.DataFrame(
        np.random.default_rng(0).standard_normal((N_VOLUMES, 2)), columns=["A", "B"]
    )
    bold.to_csv(tmp_path / "fMRI_difumo/sub01-scan02_difumo_roi.csv", index=False)
    study = load_vu(tmp_path)
    assert study.table[["subject", "task", "run", "verdict"]].to_numpy().tolist() == [
        ["sub01", "rest", "02", "ok"]
    ]
    X, y = study.extract_regions(verbose=False).align(tmin=-6.0, verbose=False)
    np.testing.assert_allclose(y["A"], bold["A"].to_numpy()[X.volumes])
    study.write_predictions(y, tmp_path / "out")
    func = tmp_path / "out/sub-sub01/func"
    assert {path.name for path in func.iterdir()} == {
        f"sub-sub01_task-rest_run-02_desc-predicted_timeseries.{kind}" for kind in ("tsv", "json")
    }
    np.testing.assert_allclose(X.times, onsets[X.volumes], atol=0.5 / SFREQ)


def test_two_files_for_one_scan_are_refused(tmp_path):
    write_image(tmp_path / "fMRI/32/a_cross.nii.gz", t_r=2.16)
    write_image(tmp_path / "fMRI/32/b_cross.nii.gz", t_r=2.16)
    for folder, name in (("EEG/32/export", "32.vhdr"), ("EEG/32/export", "._32.vhdr")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).touch()
    row = load_noddi(tmp_path).table.iloc[0]
    assert row["verdict"] == "refused"
    assert row["reason"].startswith("2 files fit (a_cross.nii.gz, b_cross.nii.gz); leave one")
    (tmp_path / "fMRI_difumo").mkdir()
    for name in ("sub01-scan01_eeg.set", "sub01-scan01_eeg_pp.set"):
        (tmp_path / "EEG" / name).touch()
    (tmp_path / "fMRI_difumo/sub01-scan01.csv").touch()
    row = load_vu(tmp_path).table.iloc[0]
    assert row["verdict"] == "refused"
    assert row["reason"].startswith("2 files fit (sub01-scan01_eeg.set, sub01-scan01_eeg_pp.set)")


def test_the_page_on_studies_goes_from_a_folder_to_X_and_y(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    names = {"root": root, "atlas": LABELS, "print": said.append}
    names = run_page("studies.rst", names)
    assert said[1]["subject"].tolist() == ["01", "02"]
    assert set(names["X"].subjects) == {"02"}  # the other has no schedule
    assert list(names["X"].nuisance[0]) == ["on", "off"]
    table = load_bids("simulated", bold="raw").table
    assert table[["subject", "run", "verdict"]].to_numpy().tolist() == [
        [person, run, "ok"] for person in ("01", "02", "03") for run in ("1", "2")
    ]


def test_the_page_on_studies_finds_schedules_of_images_of_fmriprep(tmp_path):
    for subject in ("01", "02"):
        write_eeg(tmp_path, make_raw(ONSETS), subject=subject, task="rest")
        func = tmp_path / f"derivatives/fmriprep/sub-{subject}/func"
        stem = f"sub-{subject}_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold"
        write_image(func / f"{stem}.nii.gz")
    write_schedule(tmp_path / "sub-01/func/sub-01_task-rest_events.tsv")
    study = load_bids(tmp_path, confounds=None)
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    blocks = BLOCK.finditer((PAGES / "studies.rst").read_text())
    (code,) = (block["code"] for block in blocks if "events.tsv" in block["code"])
    exec(dedent(code), names := {"root": str(tmp_path), "study": study})
    assert set(names["X"].subjects) == {"01"}
    on = names["X"].nuisance[0]["on"]
    assert on.index[on == 1][0] == pytest.approx(START + 10, abs=0.3)


@pytest.mark.slow
def test_dask_workers_and_files_give_the_same(root, tmp_path, dask_client):
    extractor = ROIExtractor(LABELS, smoothing_fwhm=None)
    made = []
    for backend, folder in (("sequential", None), ("dask", tmp_path / "eeg")):
        study = load_bids(root, run="1", bold="raw")
        with parallel_config(backend):
            study.extract_regions(extractor, cache=tmp_path / backend, verbose=False)
            made.append(study.align(tmin=-6.0, folder=folder, verbose=False))
    (X, y), (X_2, y_2) = made
    np.testing.assert_array_equal(np.asarray(X), np.asarray(X_2))
    pd.testing.assert_frame_equal(y, y_2)


def test_images_of_fmriprep_come_with_confounds_offset_and_without_dummy_volumes(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    func = tmp_path / "derivatives/fmriprep/sub-01/func"
    stem = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold"
    rng = np.random.default_rng(0)
    bold = rng.standard_normal((N_VOLUMES, 2))
    motion = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    confounds = pd.DataFrame(rng.standard_normal((N_VOLUMES, 6)), columns=motion)
    for suffix in ("_derivative1", "_power2", "_derivative1_power2"):
        for name in motion:
            confounds[name + suffix] = rng.standard_normal(N_VOLUMES)
    confounds["framewise_displacement"] = np.r_[np.nan, np.ones(N_VOLUMES - 1)]
    confounds["std_dvars"] = rng.standard_normal(N_VOLUMES)
    bold += confounds[["trans_x"]].to_numpy()
    bold[:2] += 500  # before the steady state
    for k in (0, 1):
        confounds[f"non_steady_state_outlier0{k}"] = (np.arange(N_VOLUMES) == k).astype(int)
    write_image(func / f"{stem}.nii.gz", bold)
    facts = {"RepetitionTime": T_R, "SliceTimingCorrected": True, "StartTime": 0.9}
    (func / f"{stem}.json").write_text(json.dumps(facts))
    table = func / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    confounds.to_csv(table, sep="\t", index=False)
    table.with_suffix(".json").write_text("{}")
    study = load_bids(tmp_path, confounds=("motion",))
    elsewhere = load_bids(tmp_path, bold=tmp_path / "derivatives/fmriprep", confounds=("motion",))
    assert elsewhere.images == study.images
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    X, y = study.align(tmin=-4.0, nuisance="confounds", verbose=False)
    assert X.volumes[0] == 2
    np.testing.assert_allclose(X.times, ONSETS[X.volumes] + 0.9)
    np.testing.assert_allclose(X.nuisance[0].index, ONSETS + 0.9)
    np.testing.assert_allclose(X.nuisance[0]["trans_x"], confounds["trans_x"])
    assert not {"trans_x_power2", "std_dvars"} & set(X.nuisance[0])  # the latter is of BOLD
    assert np.abs(np.corrcoef(y.iloc[:, 0], confounds["trans_x"][X.volumes])[0, 1]) < 1e-6
    assert y.to_numpy().std() < 3


def test_people_of_two_data_sets_stay_apart_and_runs_are_not_added_twice(root, tmp_path):
    other = tmp_path / "b/other"
    write_eeg(other, make_raw(ONSETS, seed=7), subject="01", task="rest", run="01")
    bold = np.random.default_rng(7).standard_normal((N_VOLUMES, 2))
    write_image(other / "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz", bold)
    extractor = ROIExtractor(LABELS, smoothing_fwhm=None, detrend=False)
    parts = [load_bids(folder, subject=["01", "02"], bold="raw") for folder in (root, other)]
    for part in parts:
        part.extract_regions(extractor, verbose=False)
    both = parts[0] + parts[1]
    assert both.subjects == [f"{root.name}-01", "02", "other-01"]
    for k, part, row in ((0, 0, 0), (1, 0, 1), (2, 1, 0)):
        pd.testing.assert_frame_equal(both.bolds[k], parts[part].bolds[row])
    assert not both.bolds[0].equals(both.bolds[2])
    assert parts[1].subjects == ["01"]
    with pytest.raises(ValueError, match="both studies have sub-01_task-rest_run-01; select"):
        parts[0] + load_bids(root, subject="01", bold="raw")
    same_name = tmp_path / "a/other"
    write_eeg(same_name, make_raw(ONSETS), subject="01", task="nap")
    write_image(same_name / "sub-01/func/sub-01_task-nap_bold.nii.gz")
    with pytest.raises(ValueError, match=r"other-01 is a subject of two data sets .* rename one"):
        parts[1] + load_bids(same_name, bold="raw")


def test_rows_of_a_scrubbed_table_keep_the_numbers_of_their_volumes(tmp_path):
    (tmp_path / "EEG").mkdir()
    (tmp_path / "fMRI_difumo").mkdir()
    onsets = START + 2.1 * np.arange(N_VOLUMES)
    raw = make_raw(onsets, "R149", duration=150.0)
    mne.export.export_raw(tmp_path / "EEG/sub01-scan02_eeg.set", raw, verbose="error")
    kept = np.r_[0:5, 8:N_VOLUMES]
    bold = {"volume": kept, "A": np.random.default_rng(0).standard_normal(len(kept))}
    bold = pd.DataFrame(bold | {"B": bold["A"][::-1]})
    bold.to_csv(tmp_path / "fMRI_difumo/sub01-scan02.csv", index=False)
    study = load_vu(tmp_path)
    assert study.table[["verdict", "n_volumes"]].to_numpy().tolist() == [["ok", N_VOLUMES]]
    study.extract_regions(verbose=False)
    assert study.bolds[0].index.tolist() == kept.tolist()
    X, y = study.align(tmin=-2.0, verbose=False)
    assert X.volumes.tolist() == kept.tolist()
    np.testing.assert_allclose(X.times, onsets[kept], atol=0.5 / SFREQ)
    np.testing.assert_allclose(y["A"], bold["A"], rtol=1e-12)


def test_a_placed_run_does_not_end_the_others(tmp_path):
    for subject in ("01", "02"):
        write_eeg(tmp_path, make_raw(ONSETS), subject=subject, task="rest")
        write_image(tmp_path / f"sub-{subject}/func/sub-{subject}_task-rest_bold.nii.gz")
    header = next((tmp_path / "sub-02/eeg").glob("*.vhdr"))
    whole = header.read_bytes()
    header.write_text("damaged")
    study = load_bids(tmp_path, bold="raw")
    with pytest.raises(ValueError, match=r"_eeg\.vhdr"):
        study.place("sub-02_task-rest", ONSETS)
    assert study.subjects == ["01"]
    header.write_bytes(whole)
    study.place("sub-02_task-rest", ONSETS)
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    X, _ = study.align(tmin=-2.0, verbose=False)
    assert X.ch_names == ["Fz", "Cz", "Pz", "Oz"]
    assert X.alignment["subject"].tolist() == ["01", "02"]
    with (
        pytest.warns(UserWarning, match="2 of 2 runs failed"),
        pytest.raises(ValueError, match=r"first reason: .*[^.]\.$"),
    ):
        study.align(tmin=-2000.0, verbose=False)
    study = load_bids(tmp_path, bold="raw")
    study.usable[0].ch_names = ["E1", "E2"]
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    with pytest.raises(ValueError, match="no EEG channel in common"):
        study.align(verbose=False)


def test_confounds_that_are_absent_or_several_and_onsets_of_bold_are_told(tmp_path):
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest")
    func = tmp_path / "sub-01/func"
    write_image(func / "sub-01_task-rest_bold.nii.gz")
    events = pd.DataFrame({"onset": ONSETS - START, "duration": 0, "code": 47})
    events.to_csv(func / "sub-01_task-rest_events.tsv", sep="\t", index=False)
    next((tmp_path / "sub-01/eeg").glob("*_events.tsv")).unlink()
    preproc = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    write_image(tmp_path / "derivatives/fmriprep/sub-01/func" / preproc)

    def told(**settings):
        return load_bids(tmp_path, **settings).table[["verdict", "reason"]].to_numpy().tolist()[0]

    none_fits = ["ok", "no table of confounds fits, so none are removed"]
    assert told() == none_fits
    assert told(bold="raw") == ["ok", ""]
    assert told(confounds=None) == ["ok", ""]
    assert told(confounds="motion/*.tsv") == none_fits
    (tmp_path / "motion").mkdir()
    for name in ("a", "b"):
        pd.DataFrame({"x": np.zeros(N_VOLUMES)}).to_csv(
            tmp_path / f"motion/sub-01_task-rest_{name}.tsv", sep="\t", index=False
        )
    assert told(confounds="motion/*_a.tsv") == ["ok", ""]
    verdict, reason = told(confounds="motion/*.tsv")
    assert verdict == "refused"
    assert "2 files fit (sub-01_task-rest_a.tsv, sub-01_task-rest_b.tsv)" in reason
    assert load_bids(tmp_path, bold="raw").events[0] is not None
    verdict, reason = told(bold="raw", trigger={"code": 47})
    assert verdict == "refused"
    assert "that of BOLD counts from the first volume" in reason


def test_runs_without_a_table_of_confounds_are_told_and_do_not_end_the_others(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    motion = pd.DataFrame(rng.standard_normal((N_VOLUMES, 6)), columns=names)
    for suffix in ("_derivative1", "_power2", "_derivative1_power2"):
        motion[[name + suffix for name in names]] = rng.standard_normal((N_VOLUMES, 6))
    motion["framewise_displacement"] = 1.0
    bold = rng.standard_normal((N_VOLUMES, 2)) + 2 * motion[["trans_x"]].to_numpy()
    for subject in ("01", "02", "03"):
        write_eeg(tmp_path, make_raw(ONSETS), subject=subject, task="rest")
        func = tmp_path / f"derivatives/fmriprep/sub-{subject}/func"
        stem = f"sub-{subject}_task-rest"
        write_image(func / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz", bold)
        (func / f"{stem}_desc-confounds_timeseries.json").write_text("{}")
        columns = {"01": list(motion), "02": [], "03": names[:2]}[subject]
        if columns:
            table = func / f"{stem}_desc-confounds_timeseries.tsv"
            motion[columns].to_csv(table, sep="\t", index=False)
    study = load_bids(tmp_path, confounds=("motion",))
    assert rows(study)["confounds"].isna().tolist() == [False, True, False]
    assert "no table of confounds fits" in rows(study).loc["02", "reason"]
    with pytest.warns(UserWarning, match="1 of 3 runs failed"):
        study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    assert study.subjects == ["01", "02"]
    assert "rot_z" in rows(study).loc["03", "reason"]  # the table of 03 lacks what is asked for
    r = [np.corrcoef(regions.iloc[:, 0], motion["trans_x"])[0, 1] for regions in study.bolds]
    assert abs(r[0]) < 1e-6
    assert r[1] > 0.8
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        X, _ = study.align(tmin=-2.0, nuisance="confounds", verbose=False)
    assert X.alignment["subject"].tolist() == ["01"]
    assert "no table of confounds for nuisance" in rows(study).loc["02", "reason"]


def test_heart_beat_and_breathing_of_runs_become_nuisance_signals(tmp_path):
    times = np.arange(0, N_VOLUMES * T_R + 10, 0.02)
    breath = (1 + 0.3 * np.sin(times / 15)) * np.sin(2 * np.pi * 0.25 * times)
    pulse = np.exp(-((((1.1 * times) % 1 - 0.3) / 0.1) ** 2))
    for subject in ("01", "02"):
        write_eeg(tmp_path, make_raw(ONSETS), subject=subject, task="rest", run="01")
        func = tmp_path / f"sub-{subject}/func"
        write_image(func / f"sub-{subject}_task-rest_run-01_bold.nii.gz")
        signals = {"respiratory": breath, "cardiac": pulse, "trigger": 0 * breath}
        for name, values in signals.items():
            stem = f"sub-{subject}_task-rest_run-01_recording-{name}_physio"
            table = pd.DataFrame({"time": times, name: values})
            table.to_csv(func / f"{stem}.tsv.gz", sep="\t", header=False, index=False)
            facts = {"SamplingFrequency": 50, "StartTime": 0, "Columns": ["time", name]}
            (func / f"{stem}.json").write_text(json.dumps(facts))
    write_eeg(tmp_path, make_raw(ONSETS), subject="01", task="rest", run="02")
    write_image(tmp_path / "sub-01/func/sub-01_task-rest_run-02_bold.nii.gz")
    study = load_bids(tmp_path, bold="raw", run="01")
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    X, _ = study.align(tmin=-2.0, nuisance="confounds", verbose=False)
    table = X.nuisance[0]
    assert list(table) == ["heart rate", "respiration"]
    np.testing.assert_allclose(table["heart rate"], 66.0, atol=1.0)
    depth = 1 + 0.3 * np.sin((table.index - START) / 15)
    assert np.corrcoef(table["respiration"], depth)[0, 1] > 0.95
    run = load_bids(tmp_path, bold="raw", run="02", subject="01").usable[0]
    assert run.physio == []  # those of another run are not taken


def test_a_step_that_failed_may_be_tried_again(root):
    study = load_bids(root, bold="raw", subject=["01", "02"])
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    with (
        pytest.warns(UserWarning, match="2 of 2 runs failed"),
        pytest.raises(ValueError, match=r"no run can be used; first reason: .*Typo"),
    ):
        study.align(picks=["Typo"], verbose=False)
    assert rows(study)["verdict"].to_dict() == {"01": "refused", "02": "refused"}
    assert "Typo" in study.refused["sub-01_task-rest_run-01"]
    X, y = study.align(tmin=-2.0, verbose=False)
    assert rows(study)["verdict"].to_dict() == {"01": "ok", "02": "ok"}
    assert X.subjects.tolist() == np.repeat(["01", "02"], len(y) // 2).tolist()


def test_regions_that_cannot_be_extracted_are_not_those_of_before(root):
    study = load_bids(root, bold="raw", subject="01")
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    with pytest.warns(UserWarning, match="1 of 1 runs failed"):
        study.extract_regions(ROIExtractor("no atlas"), verbose=False)
    with pytest.raises(ValueError, match=r"no run can be used; first reason: .*no atlas"):
        study.align(tmin=-2.0, verbose=False)
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    assert len(study.align(tmin=-2.0, verbose=False)[1]) > 50


def write_vu(root, scans, **tables):
    """Write scans of the VU layout with these tables of BOLD."""
    for folder in ("EEG", "fMRI_difumo"):
        (root / folder).mkdir(exist_ok=True)
    onsets = START + 2.1 * np.arange(N_VOLUMES)
    for scan in scans:
        raw = make_raw(onsets, "R149", duration=150.0)
        mne.export.export_raw(root / f"EEG/sub01-scan{scan}_eeg.set", raw, verbose="error")
    for scan, table in tables.items():
        table.to_csv(root / f"fMRI_difumo/sub01-{scan}.csv", index=False)
    return onsets


def test_runs_with_other_regions_are_refused(tmp_path):
    bold = np.random.default_rng(0).standard_normal((N_VOLUMES, 2))
    first, second = (pd.DataFrame(bold, columns=["V1", name]) for name in ("PCC", "Precuneus"))
    write_vu(tmp_path, ["1", "2"], scan1=first, scan2=second)
    study = load_vu(tmp_path).extract_regions(verbose=False)
    with pytest.raises(ValueError, match="other regions than the first run: PCC, Precuneus are"):
        study.align(tmin=-2.0, verbose=False)
    turned = first[["PCC", "V1"]]  # the same regions
    turned.to_csv(tmp_path / "fMRI_difumo/sub01-scan2.csv", index=False)
    _, y = load_vu(tmp_path).extract_regions(verbose=False).align(tmin=-2.0, verbose=False)
    pd.testing.assert_frame_equal(y.loc[0], y.loc[1])


def test_bold_of_each_run_is_indexed_by_the_volumes_of_its_eeg(tmp_path):
    bold = pd.DataFrame(np.random.default_rng(0).standard_normal((N_VOLUMES, 2)))
    scrubbed = bold.assign(volume=np.arange(N_VOLUMES)).drop([5, 6, 7])
    whole = bold.assign(recording=0, volume=np.arange(N_VOLUMES))  # as y of align
    write_vu(tmp_path, ["1", "2"], scan1=scrubbed, scan2=whole)
    study = load_vu(tmp_path).extract_regions(verbose=False)
    parts = study.align_runs(tmin=-2.0, verbose=False)
    for (X, y), table in zip(parts, (scrubbed, whole), strict=True):
        assert y.index.get_level_values("volume").tolist() == X.volumes.tolist()
        assert X.volumes.tolist() == table["volume"].tolist()


def test_given_onsets_do_not_choose_among_files(tmp_path):
    table = pd.DataFrame(np.random.default_rng(0).standard_normal((N_VOLUMES, 2)))
    onsets = write_vu(tmp_path, ["1"], scan1_a=table, scan1_b=table)
    study = load_vu(tmp_path)
    assert "2 files fit" in study.table["reason"][0]
    with pytest.raises(ValueError, match="no run 'sub-sub01_task-rest_run-1' with BOLD"):
        study.place("sub-sub01_task-rest_run-1", onsets)


def write_fmriprep(root, bold, confounds):
    """Write an image of fMRIPrep with its table of confounds, beside EEG with a marker each."""
    write_eeg(root, make_raw(ONSETS), subject="01", task="rest")
    func = root / "derivatives/fmriprep/sub-01/func"
    stem = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold"
    write_image(func / f"{stem}.nii.gz", bold)
    table = func / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    confounds.to_csv(table, sep="\t", index=False)
    table.with_suffix(".json").write_text("{}")
    return table


def test_volumes_with_motion_take_no_part_in_cleaning(tmp_path):
    rng = np.random.default_rng(0)
    bold, moved = rng.standard_normal((N_VOLUMES, 2)), np.arange(8, 50, 10)
    spiked = bold + np.linspace(0, 30, N_VOLUMES)[:, None]
    spiked[moved] += 100 * rng.standard_normal((len(moved), 2))
    motion = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    confounds = pd.DataFrame(rng.standard_normal((N_VOLUMES, 6)), columns=motion)
    for suffix in ("_derivative1", "_power2", "_derivative1_power2"):
        for name in motion:
            confounds[name + suffix] = rng.standard_normal(N_VOLUMES)
    confounds["framewise_displacement"] = np.where(np.isin(range(N_VOLUMES), moved), 3.0, 0.1)
    confounds["std_dvars"] = 1.0
    write_fmriprep(tmp_path, spiked, confounds)
    study = load_bids(tmp_path, confounds=("motion", "scrub"))
    study.extract_regions(ROIExtractor(LABELS, smoothing_fwhm=None), verbose=False)
    used, kept = load_confounds(str(study.images[0]), strategy=("motion", "scrub"))
    assert not set(moved) & set(kept)
    expected = clean(spiked, confounds=used, sample_mask=kept, standardize=None)
    np.testing.assert_allclose(study.bolds[0], expected, atol=1e-3)  # of float32
    assert study.bolds[0].index.tolist() == kept.tolist()
    X, _ = study.align(tmin=-4.0, verbose=False)
    row = X.alignment.iloc[0]
    assert row["n_volumes"] == N_VOLUMES
    assert row["left_out"] == N_VOLUMES - len(kept)
    reasons = ["left_out", "no_marker", "no_history", "no_future", "bad"]
    assert row["kept"] == N_VOLUMES - row[reasons].sum()


def test_volumes_before_the_steady_state_are_left_out_with_a_table_of_confounds(tmp_path):
    rng = np.random.default_rng(0)
    bold, early = rng.standard_normal((N_VOLUMES, 2)), np.arange(N_VOLUMES) < 2
    bold[early] += 500
    table = write_fmriprep(
        tmp_path,
        bold,
        pd.DataFrame(
            {
                "trans_x": rng.standard_normal(N_VOLUMES),
                **{
                    f"non_steady_state_outlier0{k}": 1 * (np.arange(N_VOLUMES) == k) for k in (0, 1)
                },
            }
        ),
    )
    study = load_bids(tmp_path, confounds="derivatives/fmriprep/sub-*/func/*confounds*.tsv")
    extractor = ROIExtractor(LABELS, smoothing_fwhm=None, confound_columns=["trans_x"])
    study.extract_regions(extractor, verbose=False)
    assert study.bolds[0].index.tolist() == list(range(2, N_VOLUMES))
    assert study.bolds[0].to_numpy().std() < 2
    extractor.set_params(confounds=table)
    with pytest.warns(UserWarning, match=r"before the steady state \(non_steady_state_outlier00"):
        extractor.fit_transform(study.images[0])


def test_runs_are_selected_by_labels_with_or_without_prefix_and_zeros(root):
    study = load_bids(root, bold="raw")
    for subject in ("01", "sub-01", "1", 1):
        assert study.select(subject=subject).subjects == ["01"]
    assert study.select(subject=["01", "sub-2"], run="run-1").subjects == ["01", "02"]
