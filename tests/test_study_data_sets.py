"""The command for studies on the sidecars of public data sets, with planted couplings beside them.

One region of each run follows the EEG, the other does not.
"""

import contextlib
import io
import shutil
import warnings

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from test_bids_studies import VHDR, samples

from sklearn_beira import load_table
from sklearn_beira.cli import main
from sklearn_beira.datasets import make_eeg_fmri

pytestmark = pytest.mark.slow

SFREQ = 250.0
EEG = ("Fz", "Cz", "Pz", "Oz", "C3", "C4", "F3", "F4")


def write_run(root, eeg, bold, n_volumes, t_r, *, onsets=None, marker="Response,R128", shift=0.0,
              others=("ECG",), seed=0):  # fmt: skip
    """Write EEG and BOLD of a run; markers at ``onsets`` in s, of which the first is a volume's.

    BOLD stands for moments ``shift`` s after the onsets of volumes. The ending of ``eeg`` is its
    format: BrainVision, EDF or EEGLAB.
    """
    start = 5.0 if onsets is None else onsets[0]
    onsets = start + t_r * np.arange(n_volumes) if onsets is None else np.asarray(onsets)
    study = make_eeg_fmri(
        duration=start + n_volumes * t_r + 4.0, lead_in=start + shift, t_r=t_r, sfreq=SFREQ,
        n_channels=len(EEG), n_rois=2, weights=[[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]],
        bands=[(8, 12), (15, 20), (4, 7)], return_img=True, random_state=seed,
    )  # fmt: skip
    img = study.bold_imgs[0].slicer[..., :n_volumes]
    assert img.shape[3] == n_volumes
    path = root / bold
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(img, path)
    nib.save(study.atlas_img, root / "atlas.nii.gz")
    path = root / eeg
    path.parent.mkdir(parents=True, exist_ok=True)
    names = dict(zip(study.raws[0].ch_names, EEG, strict=True))
    raw = study.raws[0].load_data().rename_channels(names)
    rng = np.random.default_rng(seed)
    signals = np.vstack([raw.get_data("eeg"), 1e-5 * rng.standard_normal((len(others), len(raw)))])
    names = [*EEG, *others]
    marks = onsets if marker else []
    {".vhdr": write_brainvision, ".edf": write_edf, ".set": write_eeglab}[path.suffix](
        path, signals, names, marks, marker
    )


def write_brainvision(path, signals, names, onsets, marker):
    listed = "\n".join(f"Ch{i}={name},,0.1,µV" for i, name in enumerate(names, 1))
    text = VHDR.format(name=path.stem, n=len(names), channels=listed)
    text = text.replace("SamplingInterval=200", f"SamplingInterval={1e6 / SFREQ:g}")
    (signals.T / 1e-7).round().astype("<i2").tofile(path.with_suffix(".eeg"))
    if marker:
        lines = [f"Mk{i}={marker},{round(at * SFREQ) + 1},1,0" for i, at in enumerate(onsets, 1)]
        head = "Brain Vision Data Exchange Marker File, Version 1.0\n[Marker Infos]\n"
        path.with_suffix(".vmrk").write_text(head + "\n".join(lines), encoding="utf-8")
    else:  # no markers at all
        text = text.replace(f"MarkerFile={path.stem}.vmrk\n", "")
    path.write_text(text, encoding="utf-8")


def write_edf(path, signals, names, onsets, marker):
    """Write EDF without markers, in records of 1 s."""
    assert not marker
    n, size = len(names), round(SFREQ)
    fields = [(name, 16) for name in names] + [("", 80)] * n + [("uV", 8)] * n
    for value in (-3276.8, 3276.7, -32768, 32767):
        fields += [(value, 8)] * n
    fields += [("", 80)] * n + [(size, 8)] * n + [("", 32)] * n
    records = signals[:, : signals.shape[1] // size * size].reshape(n, -1, size).swapaxes(0, 1)
    head = [(0, 8), ("", 80), ("", 80), ("01.01.20", 8), ("00.00.00", 8), (256 * (n + 1), 8)]
    head += [("", 44), (len(records), 8), (1, 8), (n, 4)]
    text = "".join(f"{value}".ljust(width) for value, width in head + fields)
    path.write_bytes(text.encode() + (records / 1e-7).round().astype("<i2").tobytes())


def write_eeglab(path, signals, names, onsets, marker):
    raw = mne.io.RawArray(signals, mne.create_info(list(names), SFREQ, "eeg"), verbose="error")
    name = marker.partition(",")[2]
    raw.set_annotations(mne.Annotations(onsets, 0.0, name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of channels without positions
        mne.export.export_raw(path, raw, fmt="eeglab", verbose="error")


# -- data sets: what is laid beside the sidecars, options, and verdicts ---------------------------
def natview(root):
    """Real triggers, 288 for 289 volumes; another run has no BOLD."""
    eeg = "sub-01/ses-01/eeg/sub-01_ses-01_task-{}_eeg.vhdr"
    onsets = samples(root / eeg.format("rest").replace(".vhdr", ".vmrk")) / 5000
    bold = "sub-01/ses-01/func/sub-01_ses-01_task-rest_bold.nii.gz"
    others = ("ECG", "EOGL")
    write_run(root, eeg.format("rest"), bold, 289, 2.1, onsets=onsets, others=others)
    write_run(root, eeg.format("peer"), "unpaired.nii.gz", 60, 2.1)
    return ["--bold", "raw", "--missing", "end"], {"rest": "ok", "peer": "no BOLD"}


def ds007216(root):
    """One trigger too many, with two blanks in its name; channels typed MISC, wires by name."""
    stem = "sub-001_ses-001_task-ExperienceSampling_run-001"
    folder = "sub-001/ses-001/"
    events = pd.read_csv(root / f"{folder}eeg/{stem}_events.tsv", sep="\t", encoding="utf-8-sig")
    onsets = events.loc[events["trial_type"] == "Tr/T  1", "sample"] / 5000
    write_run(
        root, f"{folder}eeg/{stem}_eeg.vhdr", f"{folder}func/{stem}_bold.nii.gz", 293, 2.0,
        onsets=onsets.to_numpy(), marker="Tr,T  1", others=("ECG", "CWL1"),
    )  # fmt: skip
    return ["--bold", "raw", "--missing", "end"], {"ExperienceSampling": "ok"}


def ds006040(root):
    """Other task names of EEG and BOLD; cleaned EEG and fMRIPrep without folders of their own."""
    func = "derivatives/sub-001/func/sub-001_task-GRAD_run-1_"
    n_volumes = len(load_table(root / f"{func}desc-confounds_timeseries.tsv"))
    image = f"{func}space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    eeg = "derivatives/sub-001/eeg/sub-001_task-GRADON_run-1_desc-anc0qrsrm_eeg.set"
    write_run(root, eeg, image, n_volumes, 2.0, shift=0.965)
    pattern = "derivatives/sub-*/func/*_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    options = ["--eeg", "derivatives/sub-*/eeg/*_desc-anc0qrsrm_eeg.set", "--bold", pattern]
    return ["--task", "GRADON", "--pair", "GRADON=GRAD", *options], {"GRADON": "ok"}


def ds002336(root):
    """Events on the clock of the scanner; channels.tsv with blanks and quotes; motion of SPM."""
    motion = root / "derivatives/sub-xp101/head_motion/d_sub-xp101_task-motorloc_headmotion.tsv"
    stem = "sub-xp101/{}/sub-xp101_task-motorloc_{}"
    write_run(
        root, stem.format("eeg", "eeg.vhdr"), stem.format("func", "bold.nii.gz"),
        len(load_table(motion)), 2.0,
    )  # fmt: skip
    options = ["--bold", "raw", "--confounds", "derivatives/sub-*/head_motion/*_headmotion.tsv"]
    return [*options, "--task", "motorloc"], {"motorloc": "ok"}


def ds002338(root):
    """As XP1, with a repetition time of 1 s; the cleaned EEG starts 2 s after the scanner."""
    motion = "derivatives/sub-xp201/head_motion/d_sub-xp201_task-MIpre_headmotion.tsv"
    n_volumes = len(load_table(root / motion))
    eeg = "derivatives/sub-xp201/eeg_pp/sub-xp201_task-MIpre_eeg_pp.vhdr"
    onsets = np.arange(n_volumes - 2.0)
    write_run(root, eeg, "cut.nii.gz", n_volumes - 2, 1.0, onsets=onsets)
    # The first two volumes were measured before the EEG begins.
    img = nib.load(root / "cut.nii.gz")
    voxels = np.concatenate([img.dataobj[..., :2], img.dataobj], axis=3)
    path = root / "sub-xp201/func/sub-xp201_task-MIpre_bold.nii.gz"
    nib.save(nib.Nifti1Image(voxels, img.affine, img.header), path)
    options = ["--bold", "raw", "--eeg", "derivatives/sub-*/eeg_pp/*_eeg_pp.vhdr", "--missing", "2"]
    options += ["--confounds", "derivatives/sub-*/head_motion/*_headmotion.tsv"]
    return options, {"MIpre": "ok"}


def ds002158(root):
    """Images and motion with names of SPM in a folder named fmriprep; a rejected run."""
    func = "derivatives/fmriprep/sub-02/ses-001/func/sub-02_ses-001_task-main_run-001_"
    eeg = "sub-02/ses-001/{}/sub-02_ses-001_task-main_run-001_eeg.vhdr"
    n_volumes = 200
    for folder in ("eeg/rejected", "eeg"):
        write_run(root, eeg.format(folder), f"{func}preproc.nii", n_volumes, 1.28)
    rng = np.random.default_rng(0)
    np.savetxt(root / f"{func}headmove.txt", 0.1 * rng.standard_normal((n_volumes, 6)))
    pattern = "derivatives/fmriprep/sub-*/ses-*/func/*_{}"
    options = ["--bold", pattern.format("preproc.nii")]
    return [*options, "--confounds", pattern.format("headmove.txt"), "--task", "main"], {
        "main": "ok"
    }


def ds002725(root):
    """The trigger is a code of events.tsv; the first code starts the paradigm."""
    stem = "sub-01_task-genMusic01"
    events = pd.read_csv(root / f"sub-01/eeg/{stem}_events.tsv", sep="\t")
    onsets = events.loc[events["trial_type"] == 47, "onset"].to_numpy()
    write_run(
        root, f"sub-01/eeg/{stem}_eeg.edf", f"sub-01/func/{stem}_bold.nii.gz", 371, 2.0,
        onsets=onsets[1:], marker=None,
    )  # fmt: skip
    options = ["--task", "genMusic01", "--bold", "raw", "--trigger", "trial_type=47"]
    return [*options, "--missing", "start"], {"genMusic01": "ok"}


def ds003768(root):
    """No sidecars of the EEG; several runs of a task."""
    stem = "sub-01/{}/sub-01_task-rest_run-{}_{}"
    for run in (1, 2):
        write_run(
            root, stem.format("eeg", run, "eeg.vhdr"), stem.format("func", run, "bold.nii.gz"),
            150, 2.1, seed=run,
        )  # fmt: skip
    return ["--task", "rest", "--bold", "raw"], {"rest": "ok"}


@pytest.mark.parametrize(
    "lay",
    [natview, ds007216, ds006040, ds002336, ds002338, ds002158, ds002725, ds003768],
    ids=lambda lay: lay.__name__,
)
def test_command_finds_the_planted_region(lay, shared_data, tmp_path):
    side = "natview_nm000254" if lay is natview else lay.__name__
    root = tmp_path / side
    shutil.copytree(shared_data / "bids_sidecars" / side, root, copy_function=shutil.copyfile)
    for folder in (root, *root.rglob("*/")):
        folder.chmod(0o755)
    options, verdicts = lay(root)
    pd.DataFrame({"index": [1, 2], "name": ["coupled", "other"]}).to_csv(
        root / "labels.csv", index=False
    )
    given = ["study", root, "--out", tmp_path / "out", "--folds", "2", *options]
    given += ["--atlas", root / "atlas.nii.gz", "--labels", root / "labels.csv"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(map(str, given)))
    assert status == 0, out.getvalue() + err.getvalue()
    runs = pd.read_csv(tmp_path / "out/study.tsv", sep="\t", dtype=str)
    assert runs.groupby("task")["verdict"].unique().str.join(", ").to_dict() == verdicts
    (table,) = (tmp_path / "out").glob("sub-*/table.csv")
    found = pd.read_csv(table).query("scope == 'pooled' and model == 'BEIRA'").set_index("region")
    assert found.loc["coupled", "r"] > 0.3, found
    assert found.loc["coupled", "p_max"] <= 0.05, found
    assert found.loc["other", "p_max"] > 0.05, found
    images = [*(tmp_path / "out").glob("sub-*/**/func/*_desc-predicted_bold.nii.gz")]
    assert len(images) == (runs["verdict"] == "ok").sum()
