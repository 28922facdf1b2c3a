"""What goes out of a study again, as BIDS derivatives."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.image import load_img
from test_bids import LABELS, N_VOLUMES, ONSETS, T_R, make_raw, write_eeg, write_image

from sklearn_beira import ROIExtractor, load_bids
from sklearn_beira.datasets.derivatives import write_table

mne_bids = pytest.importorskip("mne_bids", reason="mne-bids is not installed")
SPACE = "MNI152NLin2009cAsym"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs, one of which has images of fMRIPrep and a session."""
    root = tmp_path_factory.mktemp("data")
    for subject, session in (("01", None), ("02", "b")):
        raw = make_raw(ONSETS, seed=int(subject))
        write_eeg(root, raw, subject=subject, session=session, task="rest", run="1")
        middle = f"ses-{session}/" if session else ""
        name = f"sub-{subject}_{middle.replace('/', '_')}task-rest_run-1_space-{SPACE}"
        folder = root / f"derivatives/fmriprep/sub-{subject}/{middle}func"
        write_image(folder / f"{name}_desc-preproc_bold.nii.gz")
    return root


@pytest.fixture(scope="module")
def written(root, tmp_path_factory):
    study = load_bids(root)
    extractor = ROIExtractor(LABELS, labels=["A", "B"], smoothing_fwhm=None, standardize="psc")
    _, y = study.extract_regions(extractor, verbose=False).align(tmin=-8.0, verbose=False)
    predictions = y + 1.0
    predictions.iloc[7] = np.nan
    folder = tmp_path_factory.mktemp("out") / "beira"
    study.write_predictions(predictions, folder, extractor)
    return study, predictions, folder


def test_images_have_the_grid_the_volumes_and_the_repetition_time_of_the_measured(written):
    study, predictions, folder = written
    path = (
        folder
        / f"sub-02/ses-b/func/sub-02_ses-b_task-rest_run-1_space-{SPACE}_desc-predicted_bold.nii.gz"
    )
    img, source = load_img(path), nib.load(study.images[1])
    assert img.shape == source.shape
    np.testing.assert_array_equal(img.affine, source.affine)
    assert img.header.get_zooms() == (1.0, 1.0, 1.0, T_R)
    assert img.header.get_xyzt_units() == ("mm", "sec")
    assert img.get_sform(coded=True)[1] == source.get_sform(coded=True)[1]
    of_run = predictions.loc[1]
    for region, value in (("A", 1), ("B", 2)):
        voxels = img.get_fdata()[LABELS.get_fdata() == value]
        expected = np.zeros(N_VOLUMES)
        expected[of_run.index] = of_run[region]
        np.testing.assert_allclose(voxels, np.tile(expected, (4, 1)), rtol=1e-6)
    # The regions of the image are the predictions.
    again = ROIExtractor(LABELS, labels=["A", "B"], smoothing_fwhm=None, detrend=False)
    found = again.fit_transform(path)
    np.testing.assert_allclose(found.loc[of_run.index], of_run, rtol=1e-5)
    assert again.t_r_ == T_R


def test_tables_have_a_row_per_volume_and_say_what_was_not_predicted(written):
    _, predictions, folder = written
    path = (
        folder / f"sub-01/func/sub-01_task-rest_run-1_space-{SPACE}_desc-predicted_timeseries.tsv"
    )
    table = pd.read_csv(path, sep="\t")
    assert len(table) == N_VOLUMES
    pd.testing.assert_frame_equal(
        table.loc[predictions.loc[0].index], predictions.loc[0], check_names=False
    )
    assert "n/a" in path.read_text()
    columns = json.loads(path.with_suffix(".json").read_text())
    assert {name: column["Units"] for name, column in columns.items()} == dict.fromkeys(
        "AB", "percent"
    )


def test_cells_of_tables_are_never_empty(tmp_path):
    table = pd.DataFrame({"reason": ["", "odd"], "run": [None, "1"], "t_r": [np.nan, 2.0]})
    write_table(table, tmp_path / "study.tsv")
    assert (tmp_path / "study.tsv").read_text() == "reason\trun\tt_r\nn/a\tn/a\tn/a\nodd\t1\t2.0\n"


def test_the_folder_is_a_derivative_of_bids(written):
    _, _, folder = written
    facts = json.loads((folder / "dataset_description.json").read_text())
    assert facts["DatasetType"] == "derivative"
    assert facts["GeneratedBy"][0]["Name"] == "sklearn-beira"
    found = mne_bids.find_matching_paths(folder, descriptions="predicted", extensions=".nii.gz")
    assert [(path.subject, path.session, path.run, path.space) for path in found] == [
        ("01", None, "1", SPACE), ("02", "b", "1", SPACE),
    ]  # fmt: skip
    for path in found:
        sidecar = json.loads(path.copy().update(extension=".json").fpath.read_text())
        assert sidecar["RepetitionTime"] == T_R
        assert sidecar["TaskName"] == "rest"


def test_labels_of_added_studies_become_those_of_bids(written, root, tmp_path):
    study, predictions, _ = written
    shutil.copytree(root, tmp_path / "other")
    both = study.select(subject="01") + load_bids(tmp_path / "other", subject="01")
    both.write_predictions(predictions, tmp_path / "out")
    found = mne_bids.find_matching_paths(tmp_path / "out", descriptions="predicted")
    assert {path.subject for path in found} == {f"{root.name}01".replace("-", ""), "other01"}


def test_predictions_of_other_runs_are_refused(written, tmp_path):
    study, predictions, _ = written
    for wrong in (predictions.reset_index(drop=True), predictions.loc[[0]], predictions.to_numpy()):
        with pytest.raises(ValueError, match="predictions of 2 runs need an index"):
            study.write_predictions(wrong, tmp_path)
