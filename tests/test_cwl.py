"""The loader of the CWL data set, on folders written in its layout."""

import importlib.util
import os
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat, savemat
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, ROIExtractor, Windower, align
from sklearn_beira.datasets import load_cwl
from sklearn_beira.eeg.channels import MONTAGE
from sklearn_beira.evaluation.metrics import pearson_r_scorer
from sklearn_beira.evaluation.splitters import BlockedKFold

ROOT = Path(__file__).resolve().parents[1]
TEST_DATA = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", ROOT.parent / "shared" / "data"))
SPEC = importlib.util.spec_from_file_location("write_cwl", ROOT / "benchmarks" / "write_cwl.py")
writer = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(writer)


@pytest.fixture(params=["simulated", "real"])
def real_dir(request):
    """None for simulated data, or the folder of the real recordings."""
    if request.param == "simulated":
        return None
    if not (TEST_DATA / "real").is_dir():
        pytest.skip(f"no real recordings in {TEST_DATA}; set SKLEARN_BEIRA_TEST_DATA")
    return TEST_DATA


@pytest.fixture
def write(tmp_path):
    """Write a run; return the folder and the paths of its files."""

    def make(subject="trio1", pump="off", **params):
        bold = writer.write_cwl(tmp_path, subject, pump=pump, **params)
        paths = {
            kind: tmp_path / name.format(subject=subject, pump=pump)
            for kind, name in writer.FILES.items()
        }
        return tmp_path, paths, bold

    return make


def rewrite_eeg(path, *, onsets=None, positions=True):
    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error")
    if onsets is not None:
        raw.set_annotations(mne.Annotations(onsets, 0.0, ["mri"] * len(onsets)))
    if not positions:
        raw.set_montage(None)
    mne.export.export_raw(path, raw, fmt="eeglab", overwrite=True, verbose="error")


def split_eeg(path):
    """Move the samples of a .set into a .fdt beside it, as EEGLAB does by default."""
    fields = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    fdt = path.with_suffix(".fdt")
    fields["data"].astype("<f4").T.tofile(fdt)
    fields["data"] = fdt.name
    savemat(path, fields, appendmat=False)
    return fdt


def cut(path, share=0.5):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


def test_what_was_written_is_read(write, real_dir):
    folder, paths, bold = write(real_dir=real_dir)
    run = load_cwl(folder, "trio1")
    assert (run.subject, run.pump, run.paths) == ("trio1", "off", paths)
    assert (run.n_volumes, run.n_triggers) == (26, 23)
    assert run.t_r == 1.95
    assert not run.raw.preload
    assert not run.bold_img.in_memory
    assert run.raw.get_channel_types() == ["eeg"] * 30 + ["eog", "ecg"] + ["misc"] * 6
    assert run.raw.info["sfreq"] == 250
    assert 5e-6 < run.raw.get_data("eeg").std(axis=1).mean() < 50e-6
    at = [ch["loc"][:3] for ch in run.raw.copy().pick("eeg").info["chs"]]
    assert np.isfinite(at).all()
    assert list(run.confounds) == ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    np.testing.assert_allclose(run.confounds, np.loadtxt(paths["motion"]))
    assert "trio1" in run.DESCR
    assert "143" not in run.DESCR

    atlas = np.asarray(nib.load(folder / "atlas.nii").dataobj)
    labels = pd.read_csv(folder / "labels.tsv", sep="\t")
    values = run.bold_img.get_fdata()
    for index, name in zip(labels["index"], labels["name"], strict=True):
        assert np.corrcoef(values[atlas == index].mean(axis=0), bold[name])[0, 1] > 0.97


def test_samples_and_triggers_survive_to_the_microvolt_and_the_sample(write):
    folder, paths, _ = write()
    stored = loadmat(paths["eeg"])["data"]
    run = load_cwl(folder, "trio1")
    np.testing.assert_allclose(run.raw.get_data() * 1e6, stored, rtol=1e-5)
    lead_in = (60 - 26 * 1.95) / 2
    np.testing.assert_allclose(
        run.raw.annotations.onset, lead_in + 1.95 * np.arange(23), atol=1 / 250
    )


def test_data_beside_the_set_file_are_read_as_well(write):
    folder, paths, _ = write()
    inside = load_cwl(folder, "trio1").raw.get_data()
    fdt = split_eeg(paths["eeg"])
    run = load_cwl(folder, "trio1")
    np.testing.assert_allclose(run.raw.get_data(), inside, rtol=1e-6)
    cut(fdt)
    with pytest.raises(ValueError, match=r"hpump-off\.set cannot be read .* truncated"):
        load_cwl(folder, "trio1")
    fdt.unlink()
    with pytest.raises(FileNotFoundError, match=r"\.fdt"):
        load_cwl(folder, "trio1")


def test_pump_chooses_the_file(write):
    write(pump="off", random_state=0)
    folder, paths, _ = write(pump="on", random_state=1)
    off, on = (load_cwl(folder, "trio1", pump=pump) for pump in ("off", "on"))
    assert on.paths == paths
    assert not np.allclose(off.raw.get_data(), on.raw.get_data())


def test_positions_are_those_of_the_standard_montage_where_the_file_has_none(write):
    folder, paths, _ = write()
    rewrite_eeg(paths["eeg"], positions=False)
    raw = mne.io.read_raw_eeglab(paths["eeg"], verbose="error")
    assert np.isnan([ch["loc"] for ch in raw.info["chs"]]).all()
    raw = load_cwl(folder, "trio1").raw
    standard = mne.channels.make_standard_montage(MONTAGE).get_positions()["ch_pos"]
    found = raw.get_montage().get_positions()["ch_pos"]
    for pair in (("Fp1", "O2"), ("T7", "T8"), ("Cz", "Oz")):
        a, b = (np.linalg.norm(place[pair[0]] - place[pair[1]]) for place in (found, standard))
        assert a == pytest.approx(b, abs=1e-4)


def test_t_r_is_that_of_most_intervals(write):
    folder, paths, _ = write()
    onsets = 4 + 1.95 * np.arange(23) + np.random.default_rng(0).choice([0, 0.004], 23)
    rewrite_eeg(paths["eeg"], onsets=np.delete(onsets, [5, 6, 15]))
    run = load_cwl(folder, "trio1")
    assert run.n_triggers == 20
    assert run.t_r == pytest.approx(1.95, abs=0.0041)


@pytest.mark.parametrize("n_triggers", [24, 26])
def test_counts_are_reported_and_not_reconciled(n_triggers, write):
    folder, _, _ = write(n_triggers=n_triggers)
    run = load_cwl(folder, "trio1")
    assert run.n_triggers == n_triggers == len(run.raw.annotations)
    assert run.n_volumes == 26 == run.bold_img.shape[3] == len(run.confounds)


def test_unknown_subject_and_pump_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown subject 'trio9'; expected one of trio1, trio2"):
        load_cwl(tmp_path, "trio9")
    with pytest.raises(ValueError, match="unknown pump 'Off'; expected one of off, on"):
        load_cwl(tmp_path, "trio1", pump="Off")


@pytest.mark.parametrize("kind", ["eeg", "bold", "motion"])
def test_missing_file_is_named_with_where_to_get_it(kind, write):
    folder, paths, _ = write()
    paths[kind].unlink()
    with pytest.raises(FileNotFoundError) as error:
        load_cwl(folder, "trio1")
    assert str(paths[kind]) in str(error.value)
    assert "jnvandermeer/CWL_Data" in str(error.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["eeg", "bold"])
def test_truncated_file_is_named(kind, share, write):
    folder, paths, _ = write()
    cut(paths[kind], share)
    with pytest.raises(ValueError, match=r"cannot be read|copy it again") as error:
        load_cwl(folder, "trio1")
    assert str(paths[kind]) in str(error.value)


def test_recording_without_volume_triggers_is_refused(write):
    folder, paths, _ = write()
    rewrite_eeg(paths["eeg"], onsets=[4.0])
    with pytest.raises(ValueError, match=r"has 1 annotation\(s\) 'mri'.*annotations found: mri"):
        load_cwl(folder, "trio1")


def test_image_without_time_is_refused(write):
    folder, paths, _ = write()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), paths["bold"])
    with pytest.raises(ValueError, match=r"has shape \(4, 4, 4\); expected four dimensions"):
        load_cwl(folder, "trio1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda values: values[:, :5],
            r"has shape \(26, 5\); expected finite numbers \(n_volumes, 6\)",
        ),
        (lambda values: values[:25], "has 25 rows of motion parameters, but .* has 26 volumes"),
        (lambda values: values * np.nan, "expected finite numbers"),
        (lambda values: np.array([[*"123456"], ["x"] * 6]), "cannot be read as a table of numbers"),
    ],
)
def test_wrong_motion_parameters_are_refused(change, message, write):
    folder, paths, _ = write()
    np.savetxt(paths["motion"], change(np.loadtxt(paths["motion"])), fmt="%s")
    with pytest.raises(ValueError, match=message) as error:
        load_cwl(folder, "trio1")
    assert str(paths["motion"]) in str(error.value)


def test_empty_motion_file_is_refused(write):
    folder, paths, _ = write()
    paths["motion"].write_text("")
    with pytest.raises(ValueError, match="cannot be read: it has no rows"):
        load_cwl(folder, "trio1")


def test_a_session_goes_from_files_to_predicted_bold(write, real_dir):
    folder, _, _ = write(real_dir=real_dir, n_times=100_000, n_volumes=50, n_triggers=47)
    run = load_cwl(folder, "trio1")
    extractor = ROIExtractor(
        folder / "atlas.nii", labels=folder / "labels.tsv", confounds=run.confounds
    )
    y = extractor.fit_transform(run.bold_img)
    with pytest.raises(ValueError, match="recording 0 has 47 'mri' triggers but the BOLD has 50"):
        align(run.raw, y, trigger="mri")
    X, y = align(run.raw, y, trigger="mri", missing="end", tmin=-14.24, tmax=2.0, verbose="error")
    beira = BEIRARegressor(verbose=False)
    model = Pipeline(
        [("filter", EEGFilter(1, 45, sfreq=100)), ("window", Windower(10.24)), ("beira", beira)]
    )
    search = GridSearchCV(
        model,
        {"window__delay": [-2, 0, 4]},
        cv=BlockedKFold(3),
        scoring=pearson_r_scorer,
    )
    y_pred = search.fit(X, y).predict(X)
    assert y_pred.shape == y.shape == (X.alignment["kept"].sum(), len(extractor.region_names_))
    assert extractor.inverse_transform(y_pred).shape[3] == len(y)
