"""What goes out of a study again: predicted BOLD and tables, as BIDS derivatives."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone

from .._utils.files import atomic_write, writable_folder
from .._version import __version__

# What the columns of the tables of a study mean.
COLUMNS = {
    "subject": "Label of the subject",
    "session": "Label of the session",
    "task": "Label of the task, in the name of the EEG",
    "run": "Label of the run",
    "eeg": "File of the EEG",
    "bold": "File of the BOLD",
    "confounds": "Confounds that are regressed out of the BOLD",
    "t_r": "Repetition time in s",
    "trigger": "Marker of the volumes",
    "n_triggers": "Number of markers",
    "n_volumes": "Number of volumes",
    "difference": "Markers less volumes",
    "gaps": "Intervals between markers that are not the repetition time",
    "verdict": "ok, no EEG, no BOLD or refused",
    "reason": "Why the run is not used, and what else is to be known",
    "evaluation": "Whether models are trained on the same participants or on others",
    "model": "Model that predicts BOLD from EEG",
    "region": "Region of the atlas",
    "scope": "participant, or group for the mean over participants",
    "participant": "Label of the participant",
    "r": "Pearson's r of measured BOLD and out-of-fold predictions",
    "ci_low": "Lower end of the 95% confidence interval of r",
    "ci_high": "Upper end of the 95% confidence interval of r",
    "p_parametric": "p of r for the effective number of volumes, or of the mean over participants",
    "p_max": "p of r in the null distribution, corrected over regions",
    "null_low": "Lower end of the central range of r under the null",
    "null_high": "Upper end of the central range of r under the null",
    "volumes": "Number of volumes of the image",
    "kept": "Volumes that are used",
    "kept_share": "Share of volumes that are used",
    "mean_fd": "Mean framewise displacement in mm",
    "max_fd": "Largest framewise displacement in mm",
    "n_eff": "Effective number of volumes of the BOLD, median over regions",
    "loud_eeg": "Share of volumes after EEG that is much louder than usual, as in movement",
    "bad_eeg": "Share of the EEG that is annotated as bad",
    "gradient": "Gradient artifact that is left at the rate of volumes in dB, median over "
    "channels; clean EEG has about 0",
}
_README = """\
BOLD of regions that sklearn-beira predicted from EEG. Tables and images in sub-*/ hold predictions
of volumes that did not train the model; their sidecars (JSON) describe them.
"""
_UNITS = {"zscore_sample": "standard deviations of the run", "psc": "percent"}
# Files that BIDS has no names for.
_IGNORED = (
    "*.html",
    "*.log",
    "*_timeseries.*",
    "study.*",
    "quality.*",
    "group",
    "work",
    "sub-*/*.*",
    "sub-*/beyond",
)


def write_table(table: pd.DataFrame, path: Path, columns: dict[str, dict] | None = None) -> None:
    """Write a table as TSV, with a JSON sidecar that describes its columns.

    Parameters
    ----------
    table : DataFrame
        Table.
    path : Path
        File that ends in ``.tsv``.
    columns : dict of str to dict, or None
        Description of each column; None takes those of the tables of a study.
    """
    columns = columns or {name: {"Description": COLUMNS[name]} for name in table}
    _write_json(columns, path.with_suffix(".json"))
    with atomic_write(path) as file:
        table.mask(table == "").to_csv(file, sep="\t", index=False, na_rep="n/a")


def open_derivatives(folder: Path) -> Path:
    """Make a folder of BIDS derivatives.

    Parameters
    ----------
    folder : Path
        Folder, which may hold derivatives of this package already.

    Returns
    -------
    folder : Path
        The folder, with ``README`` and ``dataset_description.json``.
    """
    folder = writable_folder(folder, "output")
    made_by = {
        "Name": "sklearn-beira",
        "Version": __version__,
        "CodeURL": "https://github.com/sklearn-beira/sklearn-beira",
    }
    facts = {
        "Name": "BOLD predicted from EEG",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [made_by],
    }
    _write_json(facts, folder / "dataset_description.json")
    with atomic_write(folder / "README") as file:
        file.write(_README.encode())
    with atomic_write(folder / ".bidsignore") as file:
        file.write("\n".join(_IGNORED).encode())
    return folder


def write_predicted(run, predicted: pd.DataFrame, folder: Path, extractor=None) -> None:
    """Write the predicted BOLD of a run, as a table and an image of all its volumes.

    Parameters
    ----------
    run : Run
        Run, whose image gives grid, space and number of volumes.
    predicted : DataFrame of shape (n_predicted, n_rois)
        Predictions, indexed by the number of the volume.
    folder : Path
        Folder of BIDS derivatives.
    extractor : ROIExtractor or None
        Extractor of the regions, which paints them; None writes no image.
    """
    # Labels of BIDS have letters and digits only; those of added studies have a dash.
    run = replace(run, subject=re.sub(r"[^a-zA-Z0-9]", "", run.subject))
    predicted = predicted.reindex(range(run.n_volumes))
    parts = [f"sub-{run.subject}", f"ses-{run.session}" if run.session else "", "func"]
    func = writable_folder(folder.joinpath(*filter(None, parts)), "output")
    space = re.search(r"_space-[a-zA-Z0-9]+", run.bold.name)
    stem = f"{run.name}{space[0] if space else ''}_desc-predicted"
    unit = _UNITS.get(extractor and extractor.standardize, "arbitrary")
    column = {"Description": "Predicted BOLD of the region", "Units": unit}
    write_table(predicted, func / f"{stem}_timeseries.tsv", dict.fromkeys(predicted, column))
    if extractor is None:
        return
    facts = {
        "RepetitionTime": run.t_r,
        "SkullStripped": True,
        "Description": "Predicted BOLD of each region in all of its voxels. Voxels outside of the "
        "regions, and volumes without prediction (n/a in the table), are 0.",
        "Units": unit,
    }
    _write_json({"TaskName": run.task, **facts} if run.task else facts, func / f"{stem}_bold.json")
    extractor = clone(extractor).set_params(confounds=None).fit(run.bold)
    _write_image(func / f"{stem}_bold.nii.gz", run, extractor, predicted.fillna(0.0))


def _write_image(path, run, extractor, predicted):
    """Write an image volume by volume: all of them would take gigabytes of memory."""
    import nibabel as nib

    from ..bold.images import PIECE  # which imports nilearn

    source = nib.load(run.bold)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((*extractor.spatial_shape_, len(predicted)))
    code = source.get_sform(coded=True)[1] or source.get_qform(coded=True)[1]
    header.set_qform(source.affine, code, strip_shears=True)
    header.set_sform(source.affine, code)
    header.set_xyzt_units("mm", "sec")
    header.set_zooms((*source.header.get_zooms()[:3], run.t_r))
    header.set_slope_inter(1, 0)
    with atomic_write(path) as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as out:
        header.write_to(out)
        for start in range(0, len(predicted), PIECE):
            img = extractor.inverse_transform(predicted.iloc[start : start + PIECE])
            out.write(np.asarray(img.dataobj, np.float32).tobytes(order="F"))


def _write_json(facts, path):
    with atomic_write(path) as file:
        file.write(json.dumps(facts, indent=2, ensure_ascii=False).encode())
