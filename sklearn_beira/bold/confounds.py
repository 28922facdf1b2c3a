"""What is regressed out of BOLD: a table of confounds, and the global signal."""

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.masking import compute_epi_mask

from .._utils.files import one_line
from .images import mask_on_grid
from .tables import read_table

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


def read_confounds(confounds, columns, global_signal, n_volumes):
    """Array (n_volumes, n_confounds), and whether the global signal is one of them."""
    if confounds is None:
        return np.empty((n_volumes, 0)), False
    if isinstance(confounds, (str, Path)):
        table = _read_file(confounds)
    elif isinstance(confounds, pd.DataFrame):
        table = confounds
    else:
        array = np.asarray(confounds)
        if array.ndim not in (1, 2):
            raise ValueError(
                f"The confounds have shape {array.shape}; expected (n_volumes, n_confounds), those "
                "of one run."
            )
        table = pd.DataFrame(array)
    if len(table) != n_volumes:
        raise ValueError(
            f"The confounds have {len(table)} rows and the image {n_volumes} volumes; expected one "
            "row a volume: give the confounds of this run."
        )
    used = list(table.columns)
    if columns is not None:
        used = [columns] if isinstance(columns, str) else list(columns)
    elif {*MOTION, "framewise_displacement"} <= set(used):
        used = list(MOTION)
    if global_signal and "global_signal" in table and "global_signal" not in used:
        used.append("global_signal")
    missing = [column for column in used if column not in table]
    if missing:
        raise ValueError(
            f"The confounds have no columns {missing}; they have {list(table.columns)}."
        )
    try:
        values = table[used].to_numpy(dtype=float, na_value=np.nan, copy=True)
    except (TypeError, ValueError, OverflowError) as err:
        raise ValueError(f"The confounds {used} are not all numbers ({one_line(err)}).") from err
    # a derivative has no value in the first row
    values[0] = np.where(np.isnan(values[0]), values[1], values[0])
    finite = np.isfinite(values).all(axis=0)
    bad = [name for name, good in zip(used, finite, strict=True) if not good]
    if bad:
        raise ValueError(
            f"The confounds {bad} have NaN or infinite values after the first row; fill them in or "
            "choose others with confound_columns."
        )
    return values, global_signal and "global_signal" in used


def compute_global_signal(data, affine, mask_img):
    """Mean over the brain, shape (n_volumes,)."""
    if mask_img is not None:
        mask = mask_on_grid(mask_img, data.shape[:3], affine)
    else:
        mean = nib.Nifti1Image(data.mean(axis=-1), affine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty mask is an error, below
            mask = np.asarray(compute_epi_mask(mean).dataobj) != 0
        if not mask.any():
            raise ValueError(
                "No brain was found for the global signal, the mean image has no bright part; "
                "give a brain mask as mask_img."
            )
    return np.array([data[..., i][mask].mean(dtype=float) for i in range(data.shape[-1])])


def _read_file(path):
    """Numbers separated by white space or commas, with or without a header."""
    separator = "," if str(path).endswith(".csv") else r"\s+"
    first = read_table(path, "confounds", sep=separator, header=None, nrows=1)
    has_header = any(isinstance(cell, str) for cell in first.iloc[0])
    return read_table(path, "confounds", sep=separator, header=0 if has_header else None)
