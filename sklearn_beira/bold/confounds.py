"""Confounds that are regressed out of BOLD: tables of them, and the global signal."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.masking import compute_epi_mask

from .._utils.warn import warn_user
from .images import mask_on_grid
from .tables import MOTION, load_table, without_counts


def read_confounds(confounds, columns, global_signal, n_volumes, detrend, rows=None):
    """Read the confounds of one run, and refuse more of them than volumes.

    Parameters
    ----------
    confounds, columns, global_signal : object
        Parameters of :class:`~sklearn_beira.ROIExtractor`.
    n_volumes : int
        Volumes of the run.
    detrend : bool
        Whether a trend is removed as well.
    rows : ndarray of int or None
        Volumes that are used; None takes all.

    Returns
    -------
    values : ndarray, shape (n_rows, n_confounds)
        The confounds of these volumes.
    has_global_signal : bool
        True if the global signal was asked for and is one of them.
    """
    values, used = np.empty((n_volumes, 0)), []
    rows = np.arange(n_volumes) if rows is None else rows
    if confounds is not None:
        values, used = _read(confounds, columns, global_signal, n_volumes, rows)
    values, n_volumes = values[rows], len(rows)
    has_global = global_signal and "global_signal" in used
    n_regressors = values.shape[1] + (global_signal and not has_global) + 1 + bool(detrend)
    if n_volumes <= n_regressors:
        raise ValueError(
            f"{n_volumes} volumes cannot be cleaned of {n_regressors} regressors (mean, trend "
            "and confounds); use fewer confounds or a longer run."
        )
    return values, has_global


def _read(confounds, columns, global_signal, n_volumes, rows):
    if isinstance(confounds, (str, Path)):
        table = load_table(confounds)
    elif isinstance(confounds, pd.DataFrame):
        table = confounds
    elif np.ndim(confounds) in (1, 2):
        table = pd.DataFrame(np.asarray(confounds))
    else:
        raise ValueError(
            f"The confounds have shape {np.shape(confounds)}; expected (n_volumes, n_confounds), "
            "those of one run."
        )
    if len(table) != n_volumes:
        raise ValueError(
            f"The confounds have {len(table)} rows, but the image has {n_volumes} volumes; give "
            "the confounds of this run, one row per volume."
        )
    if columns is not None:
        used = [columns] if isinstance(columns, str) else list(columns)
    elif {*MOTION, "framewise_displacement"} <= set(table):
        used = list(MOTION)
    else:
        used = list(without_counts(table))
    early = [name for name in unsteady(table) if name not in used and table[name].iloc[rows].any()]
    if early:
        warn_user(
            f"the confounds mark volumes before the steady state ({', '.join(early)}), which are "
            f"brighter and used nevertheless; leave them out of image and table, or name these "
            f"columns in confound_columns as well."
        )
    if global_signal and "global_signal" in table and "global_signal" not in used:
        used.append("global_signal")
    missing = [column for column in used if column not in table]
    if missing:
        raise ValueError(
            f"The confounds have no columns {missing}; choose among {list(table.columns)}."
        )
    try:
        values = table[used].to_numpy(dtype=float, na_value=np.nan, copy=True)
    except (TypeError, ValueError, OverflowError) as err:
        raise ValueError(f"The confounds {used} are not all numbers ({err}).") from err
    # a derivative has no value in the first row
    values[0] = np.where(np.isnan(values[0]), values[1], values[0])
    bad = [used[i] for i in np.flatnonzero(~np.isfinite(values).all(axis=0))]
    if bad:
        raise ValueError(
            f"The confounds {bad} have NaN or infinite values after the first row; fill them in or "
            "choose other columns with confound_columns."
        )
    return values, used


def unsteady(table):
    """List the columns in which fMRIPrep marks volumes before the steady state."""
    return [name for name in table if str(name).startswith("non_steady_state_outlier")]


def find_brain(mean, mask_img):
    """Find the voxels of the brain, shape (nx, ny, nz)."""
    if mask_img is not None:
        return mask_on_grid(mask_img, mean.shape, mean.affine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nilearn warns of an empty mask
        mask = np.asarray(compute_epi_mask(mean).dataobj) != 0
    if not mask.any():
        raise ValueError(
            "No brain was found, because the mean image has no bright part; give a brain mask as "
            "mask_img."
        )
    return mask
