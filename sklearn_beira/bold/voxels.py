"""Time series of all voxels of a brain."""

from numbers import Real

import numpy as np
import pandas as pd

from .._utils.warn import warn_user


def read_voxels(bolds, mask_img, smoothing_fwhm, detrend, confounds, confound_columns):
    """Read the series of all voxels of the mask that vary in every run.

    Parameters
    ----------
    bolds : list of path or image (nx, ny, nz, n_volumes)
        BOLD of each run.
    mask_img, smoothing_fwhm, detrend, confound_columns : object
        As in :func:`map_brain`.
    confounds : list
        Confounds of each run.

    Returns
    -------
    mask_img : Nifti1Image (nx, ny, nz)
        The voxels.
    mean_img : Nifti1Image (nx, ny, nz)
        Mean of all volumes.
    series : list of DataFrame of shape (n_volumes, n_voxels)
        Of each run, with the repetition time of its image in ``attrs``, which :func:`align` checks.
    """
    import nibabel as nib
    from nilearn.maskers import NiftiMasker
    from nilearn.signal import clean

    from .confounds import find_brain, read_confounds
    from .images import is_array, open_bold, read_pieces, repetition_time, same_affine

    for one in filter(is_array, bolds):
        raise TypeError(
            f"bold must be images or their paths, got {type(one).__name__}; make an image of an "
            f"array with nibabel.Nifti1Image(data, affine)."
        )
    if not (smoothing_fwhm is None or (isinstance(smoothing_fwhm, Real) and smoothing_fwhm >= 0)):
        raise ValueError(f"smoothing_fwhm must be a width in mm or None, got {smoothing_fwhm!r}.")
    imgs = [open_bold(one, None) for one in bolds]
    shape, affine = imgs[0].shape[:3], imgs[0].affine
    for k, img in enumerate(imgs):
        if img.shape[:3] != shape or not same_affine(img.affine, affine):
            raise ValueError(
                f"image {k} has grid {img.shape[:3]} with another origin, orientation or voxel "
                f"size than the grid {shape} of the first; resample the images to one grid."
            )
    total, varies = np.zeros(shape), np.ones(shape, dtype=bool)
    for img in imgs:
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        for data in read_pieces(img):
            total += data.sum(axis=-1, dtype=float)
            np.minimum(low, data.min(axis=-1), out=low)
            np.maximum(high, data.max(axis=-1), out=high)
        varies &= high > low
    mean = total / sum(img.shape[-1] for img in imgs)
    mean_img = nib.Nifti1Image(mean.astype(np.float32), affine)
    mask = find_brain(nib.Nifti1Image(mean, affine), mask_img)
    if not (mask & varies).any():
        raise ValueError("no voxel of the brain mask varies in every run; check mask and images.")
    n_constant = np.count_nonzero(mask & ~varies)
    if n_constant > np.count_nonzero(mask) / 2:
        warn_user(
            f"{n_constant:,} of {np.count_nonzero(mask):,} voxels of the mask do not vary in every "
            f"run, and are left out; check that mask and images are in one space."
        )
    mask_img = nib.Nifti1Image((mask & varies).astype(np.uint8), affine)
    mask_img.header.set_xyzt_units("mm", "sec")
    if isinstance(imgs[0], nib.Nifti1Pair):  # which says what space it is in
        mask_img.set_sform(affine, int(imgs[0].header["sform_code"]))
        mask_img.set_qform(affine, int(imgs[0].header["qform_code"]))
    masker = NiftiMasker(mask_img, smoothing_fwhm=smoothing_fwhm or None, standardize=None).fit()
    index = np.argwhere(mask & varies)
    names, series = [f"voxel {i} {j} {k}" for i, j, k in index.tolist()], []
    for img, of_run in zip(imgs, confounds, strict=True):
        values, _ = read_confounds(of_run, confound_columns, False, img.shape[-1], detrend)
        pieces = (nib.Nifti1Image(data, affine) for data in read_pieces(img))
        found = np.concatenate([masker.transform(piece).astype(float) for piece in pieces])
        options = {"detrend": detrend, "confounds": values if values.size else None}
        series.append(pd.DataFrame(clean(found, standardize=None, **options), columns=names))
        series[-1].attrs["t_r"] = repetition_time(img)
    return mask_img, mean_img, series
