"""Public data sets: their own sidecars, with empty signals laid beside them."""

import json
import re
import shutil
import warnings
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sklearn_beira import ROIExtractor, align, load_bids, load_noddi
from sklearn_beira._utils.warn import warn_user
from sklearn_beira.datasets import Study
from sklearn_beira.datasets.run import Run
from sklearn_beira.datasets.study import join_runs

SIGNALS = re.compile(r"(_eeg|_bold|_preproc|_eeg_pp)\.(vhdr|set|edf|nii|nii\.gz)$")
VHDR = """Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
DataFile={name}.eeg
MarkerFile={name}.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n}
SamplingInterval=200
[Binary Infos]
BinaryFormat=INT_16
[Channel Infos]
{channels}
"""
CHANNELS = ("Fz", "Oz", "ECG", "CWL1", "EOGL")


@pytest.fixture
def lay(shared_data, tmp_path):
    """Copy the sidecars of a data set, and lay empty files of a list of its files beside them."""

    def lay(name, tree=None):
        root = tmp_path / name
        side = shared_data / "bids_sidecars"
        if (side / name).is_dir():
            shutil.copytree(side / name, root, copy_function=shutil.copyfile)
        root.mkdir(exist_ok=True)
        for folder in (root, *root.rglob("*/")):
            folder.chmod(0o755)
        for line in (side / "trees" / f"{tree}.txt").read_text().splitlines() if tree else ():
            if SIGNALS.search(line):
                (root / line).parent.mkdir(parents=True, exist_ok=True)
                (root / line).touch()
        return root

    return lay


def write_eeg(path, onsets, marker="Response,R128", channels=CHANNELS):
    """Write EEG of 5 kHz without samples on disk; ``onsets`` in samples, None keeps the .vmrk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = "\n".join(f"Ch{i}={ch},,0.1,µV" for i, ch in enumerate(channels, 1))
    text = VHDR.format(name=path.stem, n=len(channels), channels=listed)
    path.write_text(text, encoding="utf-8")
    lines = [f"Mk{i}={marker},{round(at) + 1},1,0" for i, at in enumerate(onsets or (), 1)]
    if onsets is not None:
        head = "Brain Vision Data Exchange Marker File, Version 1.0\n[Marker Infos]\n"
        path.with_suffix(".vmrk").write_text(head + "\n".join(lines), encoding="utf-8")
    with open(path.with_suffix(".eeg"), "wb") as file:
        file.truncate(2 * len(channels) * 5000 * 700)


def write_image(path, n_volumes, t_r):
    path.parent.mkdir(parents=True, exist_ok=True)
    img = nib.Nifti1Image(np.ones((2, 2, 2, n_volumes), "float32"), np.eye(4))
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((1.0, 1.0, 1.0, t_r))
    nib.save(img, path)


def samples(vmrk):
    """Samples of R128 in a marker file, counted from 0."""
    found = re.findall(r"=Response,R128,(\d+)", vmrk.read_text(errors="replace"))
    return np.array(found, dtype=int) - 1


PAIRS = {
    "ds003574": ("OpenNeuroDatasets+ds003574", 18, {}),
    "natview_nm000254": ("nemarDatasets+nm000254", 391, {}),
    "ds007216": ("nemarDatasets+on007216", 186, {}),
    # One run is 00 in EEG and 006 in BOLD; runs in folders named "rejected" are left out.
    "ds002158": ("OpenNeuroDatasets+ds002158", 115, {}),
    "ds002336": ("OpenNeuroDatasets+ds002336", 53, {}),
    "ds002338": ("OpenNeuroDatasets+ds002338", 84, {}),
    "ds002725": ("OpenNeuroDatasets+ds002725", 105, {}),
    "ds003768": ("OpenNeuroDatasets+ds003768", 255, {}),
    "ds006033": ("OpenNeuroDatasets+ds006033", 5, {}),
    "ds006040": ("nemarDatasets+on006040", 84, {"pair": {"GRADON": "GRAD"}, "task": "GRADON"}),
}


@pytest.mark.parametrize("sidecar", ["[1]", '{"RepetitionTime": "2.1 s"}', "{", "\xff"])
def test_a_sidecar_that_cannot_be_read_is_a_reason(lay, sidecar):
    root = lay("ds003768")
    stem = root / "sub-01/func/sub-01_task-rest_run-1_bold"
    marks = (5000 * (1 + 2.1 * np.arange(285))).tolist()
    write_eeg(root / "sub-01/eeg/sub-01_task-rest_run-1_eeg.vhdr", marks)
    write_image(stem.with_name(f"{stem.name}.nii.gz"), 285, 2.1)
    stem.with_suffix(".json").write_bytes(sidecar.encode("latin-1"))
    table = load_bids(root, task="rest", bold="raw").table
    assert table["verdict"].tolist() == ["refused"]
    assert "_bold.json is no sidecar of BIDS" in table["reason"][0]


@pytest.mark.parametrize("name", ["ds000116", "ds002739"])
def test_eeg_of_another_format_is_no_eeg(lay, name):
    table = load_bids(lay(name, f"OpenNeuroDatasets+{name}"), bold="raw").table
    assert len(table) > 40
    assert set(table["verdict"]) == {"no EEG"}
    assert table["reason"].str.endswith("in a format of BIDS").all()


@pytest.mark.parametrize("name", PAIRS)
def test_all_runs_of_the_data_set_are_paired_by_their_names(lay, name):
    tree, n_pairs, settings = PAIRS[name]
    table = load_bids(lay(name, tree), bold="raw", **settings).table
    pairs = table[table["eeg"].notna() & table["bold"].notna()]
    assert len(pairs) == n_pairs
    assert pairs["reason"].str.contains("is empty").all()
    assert pairs["t_r"].dropna().isin([1.0, 1.28, 2.0, 2.1]).all()


def test_xp2_runs_without_a_partner_are_in_the_table(lay):
    table = load_bids(lay("ds002338", "OpenNeuroDatasets+ds002338"), bold="raw").table
    alone = table[table["eeg"].isna() | table["bold"].isna()].set_index("subject")
    assert alone["verdict"].to_dict() == {"xp219": "no BOLD", "xp220": "no EEG"}
    assert alone["run"].to_dict() == {"xp219": "03", "xp220": "04"}


def test_natview_keeps_the_triggers_of_the_recording_to_a_sample(lay):
    root = lay("natview_nm000254")
    eeg, func = root / "sub-01/ses-01/eeg", root / "sub-01/ses-01/func"
    for task, n_volumes in (("checker", 98), ("rest", 289), ("inscapes", 288), ("peer", 55)):
        write_eeg(eeg / f"sub-01_ses-01_task-{task}_eeg.vhdr", None)
        write_image(func / f"sub-01_ses-01_task-{task}_bold.nii.gz", n_volumes, 2.1)
    pointer = "../../../.git/annex/objects/xx/yy/SHA256E-s1--1.set"
    (eeg / "sub-01_ses-01_task-checker_eeg.set").write_text(pointer)
    (eeg / "sub-01_ses-01_task-peer_eeg.eeg").write_text("/annex/objects/SHA256E-s1--1.eeg\n")
    study = load_bids(root, bold="raw")
    table = study.table.set_index("task")
    assert table.loc[["checker", "inscapes"], "verdict"].tolist() == ["ok", "ok"]
    assert set(table.loc[["checker", "rest"], "trigger"]) == {"Response/R128"}
    assert "checker_eeg.vhdr is read, and not" in table.loc["checker", "reason"]
    assert table.loc["rest", ["n_triggers", "difference"]].tolist() == [288, -1]
    assert "missing='start' or 'end'" in table.loc["rest", "reason"]
    assert "only points to its content" in table.loc["peer", "reason"]
    run = study.select(task="inscapes").usable[0]
    vmrk = eeg / "sub-01_ses-01_task-inscapes_eeg.vmrk"
    assert np.rint(run.onsets * 5000).astype(int).tolist() == samples(vmrk).tolist()
    assert run.ch_names == ["Fz", "Oz"]
    types = dict(zip(CHANNELS, run.read_eeg().get_channel_types(), strict=True))
    assert types == {"Fz": "eeg", "Oz": "eeg", "ECG": "ecg", "CWL1": "misc", "EOGL": "eog"}


def test_natview_lost_and_spurious_triggers_are_refused_until_onsets_are_given(lay):
    root = lay("natview_nm000254")
    stem = root / "sub-01/ses-01/eeg/sub-01_ses-01_task-dme_run-01_eeg"
    marks = samples(stem.with_suffix(".vmrk"))
    broken = np.sort(np.r_[np.delete(marks, np.arange(100, 107)), marks[[50, 200]] + [12, 79]])
    write_eeg(stem.with_suffix(".vhdr"), broken.tolist())
    bold = root / "sub-01/ses-01/func/sub-01_ses-01_task-dme_run-01_bold.nii.gz"
    write_image(bold, len(marks), 2.1)
    study = load_bids(root, task="dme", bold="raw", missing="end")
    assert study.table[["verdict", "gaps"]].to_numpy().tolist() == [["refused", 3]]
    assert "a trigger is missing or doubled" in study.table["reason"][0]
    study.place("sub-01_ses-01_task-dme_run-01", marks / 5000)
    assert len(study.usable) == 1


def test_ds007216_trigger_has_two_blanks_and_one_too_many(lay):
    root = lay("ds007216")
    session = root / "sub-001/ses-001"
    stem = "sub-001_ses-001_task-ExperienceSampling_run-001"
    events = pd.read_csv(session / f"eeg/{stem}_events.tsv", sep="\t", encoding="utf-8-sig")
    marks = events.loc[events["trial_type"] == "Tr/T  1", "sample"].tolist()
    channels = pd.read_csv(session / f"eeg/{stem}_channels.tsv", sep="\t", encoding="utf-8-sig")
    write_eeg(session / f"eeg/{stem}_eeg.vhdr", marks, "Tr,T  1", channels["name"])
    write_image(session / f"func/{stem}_bold.nii.gz", 293, 2.0)
    assert load_bids(root, bold="raw", run="1").table["difference"][0] == 1
    study = load_bids(root, bold="raw", trigger="Tr/T 1", missing="end")
    run = study.usable[0]
    assert run.trigger == "Tr/T  1"
    assert len(run.ch_names) == 31
    assert run.onsets == pytest.approx(np.array(marks[:293]) / 5000)


def test_ds006040_other_task_names_offset_and_confounds_of_fmriprep(lay):
    root = lay("ds006040")
    func = root / "derivatives/sub-001/func"
    confounds = func / "sub-001_task-GRAD_run-1_desc-confounds_timeseries.tsv"
    n_volumes = len(pd.read_csv(confounds, sep="\t"))
    image = "sub-001_task-GRAD_run-1_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    write_image(func / image, n_volumes, 2.0)
    marks = (5000 * (3 + 2.0 * np.arange(n_volumes))).tolist()
    write_eeg(root / "sub-001/eeg/sub-001_task-GRADON_run-1_eeg.vhdr", marks)
    pattern = "derivatives/sub-*/func/*_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    study = load_bids(root, task="GRADON", bold=pattern, pair={"GRADON": "GRAD"})
    assert study.table["verdict"].tolist() == ["ok"]
    assert study.table["confounds"].tolist() == ["motion, wm_csf, high_pass"]
    assert study.usable[0].offset == 0.965
    table = study.confounds[0]
    assert {"trans_x", "csf", "cosine00"} <= set(table)
    assert len(table) == n_volumes


def test_xp1_events_are_on_the_clock_of_the_scanner_and_cleaned_eeg_is_cut(lay):
    root = lay("ds002336")
    marks = (5000 * (10 + 2.0 * np.arange(100))).tolist()
    write_eeg(root / "sub-xp101/eeg/sub-xp101_task-motorloc_eeg.vhdr", marks)
    write_image(root / "sub-xp101/func/sub-xp101_task-motorloc_bold.nii.gz", 100, 2.0)
    cleaned = root / "derivatives/sub-xp101/eeg_pp/sub-xp101_task-motorloc_eeg_pp.vhdr"
    write_eeg(cleaned, (5000 * 2.0 * np.arange(98)).tolist())
    settings = {"bold": "raw", "confounds": "derivatives/sub-*/head_motion/*_headmotion.tsv"}
    study = load_bids(root, task="motorloc", **settings)
    assert study.table["trigger"].tolist() == ["Response/R128"]
    assert study.usable[0].ch_names == ["Fz", "Oz"]  # channels.tsv has blanks and quotes
    assert study.events[0]["onset"][0] == "2"
    assert study.confounds[0].name == "d_sub-xp101_task-motorloc_headmotion.tsv"
    settings |= {"eeg": "derivatives/sub-*/eeg_pp/*_eeg_pp.vhdr", "missing": 1}
    onsets = load_bids(root, task="motorloc", **settings).usable[0].onsets
    assert np.isnan(onsets).nonzero()[0].tolist() == [0, 99]
    assert onsets[1:3].tolist() == [0.0, 2.0]


def test_ds002158_names_of_spm_and_folders_of_rejected_runs(lay):
    root = lay("ds002158")
    session = root / "sub-02/ses-001"
    func = root / "derivatives/fmriprep/sub-02/ses-001/func"
    for folder in ("eeg", "eeg/rejected"):
        marks = (5000 * 1.28 * np.arange(1, 201)).tolist()
        write_eeg(session / folder / "sub-02_ses-001_task-main_run-001_eeg.vhdr", marks)
    write_image(func / "sub-02_ses-001_task-main_run-001_preproc.nii", 200, 1.28)
    (func / "sub-02_ses-001_task-main_run-001_headmove.txt").write_text("0 0 0 0 0 0\n" * 200)
    pattern = "derivatives/fmriprep/sub-*/ses-*/func/*_{}"
    study = load_bids(
        root, bold=pattern.format("preproc.nii"), confounds=pattern.format("headmove.txt")
    )
    assert study.table[["verdict", "t_r"]].to_numpy().tolist() == [["ok", 1.28]]
    assert study.confounds[0].name.endswith("headmove.txt")


def test_ds002725_trigger_is_a_code_in_the_events(lay):
    root = lay("ds002725")
    stem = "sub-01_task-genMusic01"
    write_eeg(root / f"sub-01/eeg/{stem}_eeg.vhdr", [])
    write_image(root / f"sub-01/func/{stem}_bold.nii.gz", 371, 2.0)
    study = load_bids(root, task="genMusic01", bold="raw")
    assert "no marker comes every 2 s" in study.table["reason"][0]
    trigger = {"trial_type": 47}
    study = load_bids(root, task="genMusic01", bold="raw", trigger=trigger, missing="start")
    # The first code 47, 0.12 s before the second, starts the experiment.
    assert study.table[["verdict", "gaps"]].to_numpy().tolist() == [["ok", 1]]
    assert study.usable[0].onsets[:2].tolist() == pytest.approx([0.161, 2.161])


@pytest.mark.parametrize("text", ["", "hello"])
def test_a_damaged_table_of_channels_is_a_note(lay, text):
    root = lay("ds003768")
    stem = "sub-01_task-rest_run-1"
    marks = (5000 * (1 + 2.1 * np.arange(285))).tolist()
    write_eeg(root / f"sub-01/eeg/{stem}_eeg.vhdr", marks)
    (root / f"sub-01/eeg/{stem}_channels.tsv").write_text(text)
    write_image(root / f"sub-01/func/{stem}_bold.nii.gz", 285, 2.1)
    table = load_bids(root, task="rest", bold="raw").table
    assert table["verdict"].tolist() == ["ok"]
    assert "channels.tsv is not used" in table["reason"][0]


def test_ds003768_has_no_sidecars_of_the_eeg(lay):
    root = lay("ds003768")
    write_eeg(
        root / "sub-01/eeg/sub-01_task-rest_run-1_eeg.vhdr",
        (5000 * (1 + 2.1 * np.arange(285))).tolist(),
    )
    write_image(root / "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz", 285, 2.1)
    study = load_bids(root, task="rest", bold="raw")
    assert study.table[["verdict", "difference"]].to_numpy().tolist() == [["ok", 0]]
    assert study.events == [None]


def test_a_sidecar_that_lies_is_refused_with_what_was_found(lay):
    root = lay("ds003768")
    stem = root / "sub-01/func/sub-01_task-rest_run-1_bold"
    write_eeg(
        root / "sub-01/eeg/sub-01_task-rest_run-1_eeg.vhdr",
        (5000 * (1 + 2.1 * np.arange(285))).tolist(),
    )
    write_image(stem.with_name(f"{stem.name}.nii.gz"), 285, 2.1)
    stem.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 2.5}))
    reason = load_bids(root, task="rest", bold="raw").table["reason"][0]
    assert "no marker comes every 2.5 s" in reason
    assert "'Response/R128' (285 every 2.1 s)" in reason
    assert "the header of the image has a repetition time of 2.1 s" in reason


def test_noddi_links_of_headers_are_wrong_and_one_marker_starts_the_scan(tmp_path):
    names = mne.channels.make_standard_montage("easycap-M1").ch_names[:63]
    folder = tmp_path / "EEG/32/export"
    write_eeg(folder / "32_rest.vhdr", [2500], "Scanner,Scan Start", [*names, "ECG"])
    vhdr = folder / "32_rest.vhdr"
    text = vhdr.read_text(encoding="utf-8").replace("SamplingInterval=200", "SamplingInterval=4000")
    for ending in ("eeg", "vmrk"):
        text = text.replace(f"=32_rest.{ending}", f"=old name.{ending}")
    vhdr.write_text(text, encoding="utf-8")
    with open(folder / "32_rest.eeg", "r+b") as file:
        file.truncate(2 * 64 * 250 * 670)
    write_image(tmp_path / "fMRI/32/rest_cross.nii.gz", 300, 2.16)
    study = load_noddi(tmp_path)
    row = study.table.iloc[0]
    assert row["verdict"] == "ok", row["reason"]
    assert row[["n_triggers", "n_volumes"]].tolist() == [1, 300]
    run = study.usable[0]
    assert run.onsets == pytest.approx(10.0 + 2.16 * np.arange(300))
    assert run.ch_names == names
    assert vhdr.read_text(encoding="utf-8") == text
    assert study.raws[0].get_data(["Fz"], stop=5).tolist() == [[0.0] * 5]


def make_runs(channels):
    """Runs with files that are not read."""
    return [
        Run(f"{k}", task="rest", eeg=Path("eeg"), bold=Path("bold"), ch_names=list(names))
        for k, names in enumerate(channels)
    ]


def test_runs_that_leave_no_common_channel_are_named():
    usual, other = ["Fz", "Cz", "Oz"], ["E1", "E2"]
    said = "in common; without sub-1_task-rest, they have 2: check names and bad channels there, or"
    with pytest.raises(ValueError, match=said):
        Study(make_runs([usual, other, usual[1:]])).common_channels()
    with pytest.raises(ValueError, match="without sub-1_task-rest, sub-4_task-rest, they have 3"):
        Study(make_runs([usual, other, usual, usual, []])).common_channels()
    with pytest.raises(ValueError, match="in common; select runs of one montage"):
        Study(make_runs([usual, other, other, usual])).common_channels()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_warnings_about_images_name_the_runs(tmp_path, n_jobs):
    rng, runs = np.random.default_rng(0), make_runs([["Cz"]] * 3)
    for k, run in enumerate(runs):
        run.bold = tmp_path / f"{k}.nii.gz"
        img = nib.Nifti1Image(100 + rng.standard_normal((2, 2, 2, 20)), np.eye(4))
        img.set_sform(np.eye(4), 1 if k else 4)  # scanner or MNI space
        nib.save(img, run.bold)
    atlas = nib.Nifti1Image(np.repeat([1, 2], 4).reshape(2, 2, 2).astype("int16"), np.eye(4))
    atlas.set_sform(np.eye(4), 4)
    said = "^sub-1_task-rest, sub-2_task-rest: The atlas is in MNI space, but the BOLD image in sc"
    with pytest.warns(UserWarning, match=said) as caught:
        Study(runs).extract_regions(ROIExtractor(atlas), n_jobs=n_jobs, verbose=False)
    # Old versions of other packages deprecate what they call.
    assert len([w for w in caught if issubclass(w.category, UserWarning)]) == 1
    assert len(runs[2].regions) == 20
    assert Study(runs).table["reason"].str.startswith("The atlas").tolist() == [False, True, True]


def test_warnings_about_images_stay_with_regions_in_the_cache(tmp_path):
    img = nib.Nifti1Image(np.random.default_rng(0).standard_normal((2, 2, 2, 20)), np.eye(4))
    img.set_sform(np.eye(4), 1)
    nib.save(img, tmp_path / "bold.nii.gz")
    atlas = nib.Nifti1Image(np.repeat([1, 2], 4).reshape(2, 2, 2).astype("int16"), np.eye(4))
    atlas.set_sform(np.eye(4), 4)
    for _ in range(2):
        runs = make_runs([["Cz"]])
        runs[0].bold = tmp_path / "bold.nii.gz"
        with pytest.warns(UserWarning, match="sub-0_task-rest: The atlas is in MNI space"):
            Study(runs).extract_regions(
                ROIExtractor(atlas), cache=tmp_path / "cache", verbose=False
            )
        assert "The atlas is in MNI space" in runs[0].row()["reason"]
    assert len(list((tmp_path / "cache").glob("*.tsv"))) == 1


def test_warnings_of_other_packages_keep_their_category_and_are_no_reason(monkeypatch):
    def doubtful(run, *args, **options):
        warnings.warn("an argument will change.", FutureWarning, stacklevel=2)
        return run.subject

    monkeypatch.setattr(Run, "align", doubtful)
    study = Study(make_runs([["Cz"]] * 2))
    for run in study.usable:
        run.regions = pd.DataFrame()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study.align_runs(picks=["Cz"], verbose=False)
    assert [(str(w.message), w.category) for w in caught] == [
        ("sub-0_task-rest, sub-1_task-rest: an argument will change.", FutureWarning)
    ]
    assert study.table["reason"].tolist() == ["", ""]


def test_warnings_about_volumes_name_the_runs(monkeypatch):
    def doubtful(run, *args, **options):
        warn_user("the BOLD of recording 0 does not vary in A.")
        if run.subject == "0":
            raise ValueError("no volume is left.")
        return run.subject

    monkeypatch.setattr(Run, "align", doubtful)
    study = Study(make_runs([["Cz"]] * 2))
    for run in study.usable:
        run.regions = pd.DataFrame()
    said = "^sub-0_task-rest, sub-1_task-rest: the BOLD of the recording does not vary in A"
    with (
        pytest.warns(UserWarning, match="1 of 2 runs failed"),
        pytest.warns(UserWarning, match=said),
    ):
        assert study.align_runs(picks=["Cz"], verbose=False) == ["1"]
    reasons = ["no volume is left; the BOLD of the recording", "the BOLD of the recording"]
    assert study.table["reason"].tolist() == [f"{one} does not vary in A" for one in reasons]


def test_runs_without_a_common_nuisance_signal_are_joined_without_one(make_study):
    study, parts = make_study(2, duration=60.0, n_channels=4), []
    for raw, bold, name in zip(study.raws, study.bolds, ("heart rate", "respiration"), strict=True):
        table = pd.DataFrame({name: np.arange(float(len(bold)))})
        options = {"trigger": "mri", "tmin": -4.0, "subjects": "1", "verbose": "error"}
        parts.append(align(raw, bold, nuisance=table, **options))
    with pytest.warns(UserWarning, match="none is used; some have heart rate, respiration"):
        X, y = join_runs(parts)
    assert X.nuisance is None
    assert len(X) == len(y)
