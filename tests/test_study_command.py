"""The command for studies: a BIDS folder in, reports of participants and of the group out."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import warnings

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from sklearn_beira import Comparison, align, load_bids
from sklearn_beira.cli import main
from sklearn_beira.cli.quality import marked_runs, run_quality
from sklearn_beira.cli.study import _warn_of_tasks
from sklearn_beira.datasets import make_eeg_fmri

mne_bids = pytest.importorskip("mne_bids", reason="mne-bids is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three people whose BOLD follows their EEG, one whose image is damaged, one without EEG."""
    root = tmp_path_factory.mktemp("study")
    weights = [[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]]  # the first region is coupled, the other is not
    study = make_eeg_fmri(
        4, duration=200.0, t_r=2.0, sfreq=100.0, n_channels=8, n_rois=2, weights=weights,
        bands=[(8, 12), (15, 20), (4, 7)], return_img=True, random_state=0,
    )  # fmt: skip
    data = root / "data"
    for k, (raw, image) in enumerate(zip(study.raws, study.bold_imgs, strict=True), 1):
        path = mne_bids.BIDSPath(f"0{k}", task="rest", root=data, datatype="eeg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne_bids.write_raw_bids(
                raw, path, allow_preload=True, format="BrainVision", verbose="error"
            )
        func = data / f"sub-0{k}/func"
        func.mkdir()
        if k == 4:
            voxels = np.asarray(image.dataobj).copy()
            voxels[..., 5] = np.nan
            image = nib.Nifti1Image(voxels, image.affine, image.header)
        nib.save(image, func / f"sub-0{k}_task-rest_bold.nii.gz")
        (func / f"sub-0{k}_task-rest_bold.json").write_text(json.dumps({"RepetitionTime": 2.0}))
    (data / "sub-05/func").mkdir(parents=True)
    nib.save(study.bold_imgs[0], data / "sub-05/func/sub-05_task-rest_bold.nii.gz")
    nib.save(study.atlas_img, root / "atlas.nii.gz")
    names = {"index": [1, 2], "name": ["coupled", "other"]}
    pd.DataFrame(names).to_csv(root / "labels.csv", index=False)
    return root


def run(folder, *options):
    """Run the command in this process, and keep what it printed."""
    out, err = io.StringIO(), io.StringIO()
    given = ["study", str(folder / "data"), "--bold", "raw", "--task", "rest", *options]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(given)
    return Bunch(status=status, out=out.getvalue(), err=err.getvalue())


def atlas_of(folder):
    return ["--atlas", str(folder / "atlas.nii.gz"), "--labels", str(folder / "labels.csv")]


def test_help_answers_at_once():
    code = "import sys; from sklearn_beira.cli import main; main(['study', '--help'])"
    code = f"try:\n {code}\nexcept SystemExit: print('mne' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "BIDS folder" in done.stdout
    assert done.stdout.endswith("False False\n")


def test_dry_run_prints_the_table_and_writes_nothing(folder):
    before = sorted(folder.rglob("*"))
    done = run(folder, "--dry-run")
    assert done.status == 0
    assert "no EEG of the same subject" in done.out
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n-jobs", "0"], "--n-jobs must be at least 1, or -1"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--folds", "1"], "--folds must be at least 2"),
        (["--pair", "A"], "--pair takes EEG=BOLD"),
        (["--only", "01", "--level", "group"], "--only is for --level participant"),
    ],
)
def test_wrong_options_are_told_before_anything_is_read(folder, options, said, capsys):
    with pytest.raises(SystemExit):
        main(["study", "no such folder", "--out", "out", *options])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "{}", "--participants", "09"], "has neither EEG"),
        (["--bold", "fmriprep", "--dry-run"], "give --bold raw, a folder or a pattern, or another"),
        (["--out", "{}/data"], "is not empty; give --resume"),
        (["--out", "{}", "--participants", "05"], "no run can be used"),
        (["--out", "{}/new", "--atlas", "yeo"], "Unknown atlas 'yeo'"),
    ],
)
def test_what_cannot_be_used_is_refused(folder, options, said):
    done = run(folder, *(option.format(folder) for option in options))
    assert done.status == 2
    assert said in done.err
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["STI:8", "T:8"])
def test_a_trigger_may_be_a_code_of_a_channel_or_a_name_with_a_colon(tmp_path, name):
    n = np.arange(3500)  # samples at 50 Hz; both codes come every 2 s, and 4 lacks the last one
    codes = 8.0 * (n % 100 < 5) + 4.0 * ((n - 50) % 100 < 5) * (n < 3400)
    info = mne.create_info(["Fz", "Cz", "STI"], 50.0, ["eeg", "eeg", "stim"])
    raw = mne.io.RawArray(np.vstack([1e-5 * np.sin(n), 1e-5 * np.cos(n), codes]), info)
    if name == "T:8":
        raw.drop_channels("STI").set_annotations(mne.Annotations(2.0 * np.arange(30), 0.0, name))
    for kind in ("eeg", "func"):
        (tmp_path / f"data/sub-1/{kind}").mkdir(parents=True)
    raw.save(tmp_path / "data/sub-1/eeg/sub-1_task-rest_eeg.fif", verbose="error")
    img = nib.Nifti1Image(np.zeros((2, 2, 2, 30 if name == "T:8" else 35)), np.eye(4))
    nib.save(img, tmp_path / "data/sub-1/func/sub-1_task-rest_bold.nii.gz")
    sidecar = tmp_path / "data/sub-1/func/sub-1_task-rest_bold.json"
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0}))
    done = run(tmp_path, "--dry-run", "--trigger", name)
    assert done.status == 0, done.out + done.err
    other = run(tmp_path, "--dry-run", "--trigger", name.replace("8", "4"))
    assert other.status == 2
    said = "34 ('STI', 4) triggers" if name == "STI:8" else "no marker ('T', 4); the EEG has the"
    assert said in other.out  # and not that there is no marker of that name


def test_doubts_about_images_and_tasks_are_in_the_reports(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "data", tmp_path / "data")
    func = tmp_path / "data/sub-01/func"
    for path, code in ((func / "sub-01_task-rest_bold.nii.gz", 1), (folder / "atlas.nii.gz", 4)):
        img = nib.load(path)
        img.set_sform(img.affine, code)  # of the scanner, and of MNI
        nib.save(img, tmp_path / path.name)
    (tmp_path / "sub-01_task-rest_bold.nii.gz").replace(func / "sub-01_task-rest_bold.nii.gz")
    blocks = {"onset": [0, 20, 60, 80], "duration": 20, "trial_type": ["on", "off"] * 2}
    pd.DataFrame(blocks).to_csv(func / "sub-01_task-rest_events.tsv", sep="\t", index=False)
    jobs = []
    method = "sklearn_beira.cli.study._Job.do_participants"
    monkeypatch.setattr(method, lambda job: jobs.append(job))
    options = ["--atlas", str(tmp_path / "atlas.nii.gz"), "--labels", str(folder / "labels.csv")]
    options += ["--participants", "01", "--level", "participant", "--out", str(tmp_path / "out")]
    assert run(tmp_path, *options).status == 0
    told = jobs[0]._told([], Bunch(nuisance=None))
    assert "Note: sub-01_task-rest: The atlas is in MNI space, but the BOLD image in sc" in told
    assert "Note: sub-01_task-rest: there are events other than volumes (off, on)." in told
    assert "movement, were not checked, as no signal of them is known in every run" in told


def test_the_schedule_of_a_run_is_the_closest_one_by_inheritance(folder, tmp_path):
    shutil.copytree(folder / "data", tmp_path / "data")
    study = load_bids(tmp_path / "data", subject=["01", "02"], bold="raw")
    blocks = pd.DataFrame({"onset": [0, 20, 60, 80], "duration": 20, "trial_type": "on"})
    blocks.to_csv(tmp_path / "data/sub-01/sub-01_task-rest_events.tsv", sep="\t", index=False)
    with pytest.warns(UserWarning, match="^sub-01_task-rest: there are events other than volumes"):
        _warn_of_tasks(study)
    own = tmp_path / "data/sub-01/func/sub-01_task-rest_events.tsv"
    blocks[:1].to_csv(own, sep="\t", index=False)
    _warn_of_tasks(study)  # a single event is no schedule


@pytest.mark.parametrize("cleaned", [True, False])
def test_gradient_artifact_is_marked_even_if_all_runs_have_it(make_study, cleaned):
    study = make_study(2, duration=120.0, n_channels=4, t_r=2.0)
    for raw in study.raws if not cleaned else ():  # as strong as the EEG, at multiples of 0.5 Hz
        comb = sum(np.sin(np.pi * k * raw.times + k**2) for k in range(4, 60))
        raw.load_data().apply_function(lambda one, comb=comb: one + one.std() * comb / comb.std())
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-4.0, verbose="error")
    quality = run_quality(X, y).drop(columns="file").assign(session=None, run=["1", None])
    marked = marked_runs(quality)
    assert marked["gradient"].tolist() == [not cleaned] * 2
    assert marked.index.tolist() == ["1", ""]  # names that are known of some runs only


@pytest.fixture(scope="module")
def study(folder):
    out = folder / "out"
    done = run(folder, *atlas_of(folder), "--out", str(out), "--folds", "3")
    return Bunch(**done, folder=out)


@pytest.mark.slow
def test_bad_run_does_not_end_the_others_and_exit_code_and_log_tell(study):
    assert study.status == 1
    log = (study.folder / "study.log").read_text(encoding="utf-8")
    assert "participant 03 (3 of 3) is done" in log
    assert "failed: " not in log
    assert "sub-04_task-rest is refused: The BOLD image has" in log
    runs = pd.read_csv(study.folder / "study.tsv", sep="\t", dtype=str).set_index("subject")
    assert runs["verdict"].to_dict() == {
        "01": "ok", "02": "ok", "03": "ok", "04": "refused", "05": "no EEG",
    }  # fmt: skip
    assert "NaN or infinite values" in runs.loc["04", "reason"]


@pytest.mark.slow
def test_the_coupled_region_is_found_within_and_across_participants(study):
    scores = pd.read_csv(study.folder / "group/scores.tsv", sep="\t", na_values="n/a")
    group = scores.query("scope == 'group' and model == 'ridge'")
    r = group.pivot(index="region", columns="evaluation", values="r")
    assert (r.loc["coupled"] > 0.4).all()
    assert (r.loc["other"].abs() < 0.3).all()
    assert scores["participant"].nunique() == 3


@pytest.mark.slow
def test_reports_show_participants_and_runs(study):
    page = (study.folder / "group_report.html").read_text(encoding="utf-8")
    assert "Within participants, the folds are blocks. Each recording is cut into 3 blocks." in page
    assert len(page) < 10e6
    assert "left-out participants" in page
    assert "5 runs: 3 ok, 1 refused, 1 no EEG" in page
    assert (study.folder / "sub-02/report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_resuming_gives_the_same_numbers_without_fitting_again(folder, study):
    before = (study.folder / "group/scores.tsv").read_text()
    fits = {path: path.stat().st_mtime_ns for path in (study.folder / "work").rglob("*.npz")}
    assert len(fits) >= 3 * 5 * 3
    options = [*atlas_of(folder), "--out", str(study.folder), "--folds", "3", "--resume"]
    assert run(folder, *options, "--level", "group").status == 1
    assert (study.folder / "group/scores.tsv").read_text() == before
    after = {path: path.stat().st_mtime_ns for path in (study.folder / "work").rglob("*.npz")}
    assert after == fits


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on_to_the_same_numbers(folder, study, tmp_path):
    options = [*atlas_of(folder), "--out", str(tmp_path / "out"), "--folds", "3", "--resume"]
    given = ["study", str(folder / "data"), "--bold", "raw", "--task", "rest", *options]
    with subprocess.Popen(
        [sys.executable, "-m", "sklearn_beira", *given], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if "participant 01" in line:
                process.kill()
    assert not (tmp_path / "out/group").exists()
    assert run(folder, *options, "--n-jobs", "2").status == 1  # participants side by side
    again = (tmp_path / "out/group/scores.tsv").read_text()
    assert again == (study.folder / "group/scores.tsv").read_text()


@pytest.mark.slow
def test_participants_that_failed_or_are_of_other_data_are_no_part_of_the_group(
    folder, study, tmp_path
):
    out = tmp_path / "out"
    shutil.copytree(study.folder, out)
    shutil.rmtree(out / "sub-03")
    shutil.copytree(out / "sub-01", out / "sub-03")
    options = [*atlas_of(folder), "--out", str(out), "--folds", "3", "--resume"]
    done = run(folder, *options, "--participants", "01", "02", "03", "--level", "group")
    assert done.status == 1
    assert "sub-03 is left out of the group: it has no results of these data" in done.out
    assert "sub-01 is left out" not in done.out
    assert "sub-01 is left out" in run(folder, *options, "--level", "group", "--seed", "1").out
    (out / "sub-02/report.html").unlink()
    (out / "sub-02/report.html").mkdir()
    assert "participant 02 failed" in run(folder, *options).out
    scores = pd.read_csv(out / "group/scores.tsv", sep="\t", na_values="n/a", dtype=str)
    within = scores[scores["evaluation"] == "within participants"]
    assert set(within["participant"].dropna()) == {"01", "03"}
    assert "common causes of EEG and BOLD" in (out / "group_report.html").read_text("utf-8")
    assert "common causes of EEG and BOLD" in (out / "sub-01/report.html").read_text("utf-8")


@pytest.mark.slow
def test_jobs_of_single_participants_make_what_the_group_needs(folder, tmp_path):
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data/sub-03")
    channels = tmp_path / "data/sub-02/eeg/sub-02_task-rest_channels.tsv"
    table = pd.read_csv(channels, sep="\t").assign(status="good")
    table.loc[0, "status"] = "bad"  # so that it is no channel of the group
    table.to_csv(channels, sep="\t", index=False)
    options = [*atlas_of(folder), "--out", str(tmp_path / "out"), "--folds", "2", "--resume"]
    for person, status in {"01": 0, "02": 0, "04": 2}.items():
        done = run(tmp_path, *options, "--only", f"sub-{person}" if person == "02" else person)
        assert done.status == status, done.out
        own = pd.read_csv(tmp_path / f"out/sub-{person}/study.tsv", sep="\t", dtype=str)
        assert own["subject"].tolist() == [person]
    assert "NaN or infinite values" in own["reason"][0]
    assert not (tmp_path / "out/study.tsv").exists()
    done = run(tmp_path, *options, "--level", "group")
    assert done.status == 1  # of 04
    assert "is left out of the group" not in done.out
    for page in ("sub-02/report.html", "group_report.html"):
        assert "some runs lack the channels" in (tmp_path / "out" / page).read_text("utf-8")
    assert len(pd.read_csv(tmp_path / "out/study.tsv", sep="\t")) == 4
    assert pd.read_csv(tmp_path / "out/quality.tsv", sep="\t")["subject"].tolist() == [1, 2]
    unknown = run(tmp_path, *options, "--only", "1", "09").err
    assert "--only 09: there is no such participant; the study has 01, 02, 04, 05" in unknown


@pytest.mark.slow
def test_tables_of_confounds_are_the_nuisance_signals(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_beira.cli.study._MOST_VOLUMES", 100)
    rng = np.random.default_rng(0)
    (folder / "data/motion").mkdir()
    for subject in ("01", "02"):
        motion = pd.DataFrame(rng.standard_normal((95, 2)), columns=["x", "y"])
        motion.to_csv(
            folder / f"data/motion/sub-{subject}_task-rest_motion.tsv", sep="\t", index=False
        )
    options = [*atlas_of(folder), "--out", str(tmp_path / "out"), "--folds", "3"]
    options += ["--participants", "01", "02", "--confounds", "motion/*.tsv"]
    done = run(folder, *options)
    assert done.status == 0, done.out
    assert "motion is not checked" not in done.out
    for name in ("sub-01", "sub-02", "group"):
        assert (tmp_path / f"out/{name}/beyond/comparison.json").is_file()
    used = [Comparison.from_folder(tmp_path / f"out/{name}").bold for name in ("sub-01", "group")]
    assert len(used[1]) <= 100 < 2 * len(used[0])  # every second volume of both
    of_group = used[1].loc[0]
    pd.testing.assert_frame_equal(of_group, used[0].loc[0].loc[of_group.index])
    page = (tmp_path / "out/group_report.html").read_text("utf-8")
    assert "common causes of EEG and BOLD" not in page
    assert "sub-02/report.html" in page
    assert "two participants give no interval of their mean" in page
    scores = pd.read_csv(tmp_path / "out/group/scores.tsv", sep="\t", na_values="n/a")
    known = scores.groupby("scope")[["ci_low", "p_parametric"]].apply(
        lambda t: t.notna().any().all()
    )
    assert known.to_dict() == {"group": False, "participant": True}
