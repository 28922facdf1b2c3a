"""The BOLD image, and what is brought onto its grid."""

import warnings
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage
from nilearn.image import resample_img

from .._utils.files import existing_file, one_line


def open_bold(X, affine, atlas=None):
    """Path, image or array (time first) -> nibabel image (time last), without a copy.

    An array has the given affine, or that of the atlas if the spatial shapes agree.
    """
    if isinstance(X, (list, tuple)):
        raise TypeError(
            f"X is a {type(X).__name__}; ROIExtractor takes one run a call: extract each run with "
            "its own confounds, or join volumes with nilearn.image.concat_imgs."
        )
    if isinstance(X, (str, Path, SpatialImage)):
        img = open_image(X, "BOLD image")
    else:
        array = np.asarray(X)
        if array.ndim != 4:
            raise ValueError(
                f"The BOLD array has shape {array.shape}; expected four dimensions, "
                "(n_volumes, nx, ny, nz)."
            )
        img = SpatialImage(np.moveaxis(array, 0, -1), None)
    if len(img.shape) != 4 or img.shape[-1] < 2:
        raise ValueError(
            f"The BOLD image has shape {img.shape}; expected several volumes, "
            "(nx, ny, nz, n_volumes): a time series cannot be had from one."
        )
    if img.affine is not None:
        return img
    if affine is None and img.shape[:3] != atlas.shape[:3]:
        raise ValueError(
            f"The BOLD array has volumes of shape {img.shape[:3]} (time comes first) and the atlas "
            f"{atlas.shape[:3]}, so where its voxels lie is unknown; give affine=."
        )
    affine = np.asarray(atlas.affine if affine is None else affine, dtype=float)
    if affine.shape != (4, 4):
        raise ValueError(f"affine has shape {affine.shape}; expected (4, 4), voxels to mm.")
    return SpatialImage(img.dataobj, affine)


def read_bold(img):
    """Voxels (nx, ny, nz, n_volumes) of an open BOLD image, all of them finite."""
    data = read_data(img)
    # volume by volume, so that no second array of this size is made
    count, first = 0, None
    for volume in range(data.shape[-1]):
        bad = np.argwhere(~np.isfinite(data[..., volume]))
        if len(bad):
            count += len(bad)
            first = first or (volume, tuple(bad[0].tolist()))
    if count:
        raise ValueError(
            f"The BOLD image has {count} NaN or infinite values, the first in volume {first[0]} at "
            f"voxel {first[1]}; expected finite values: repair the image, or set them to 0 with "
            "nilearn.image.clean_img(..., ensure_finite=True, detrend=False, standardize=False)."
        )
    return data


def same_affine(a, b):
    """Whether two affines agree to a micrometre."""
    return np.allclose(a, b, atol=1e-3)


def resample(img, shape, affine):
    """Copy of labels (nearest neighbor) or maps (linear, float64) on another grid."""
    is_maps = img.ndim == 4
    if img.shape[:3] != shape or not same_affine(img.affine, affine):
        with warnings.catch_warnings():
            # said of a map that is the same everywhere; a map is not a mask
            warnings.filterwarnings("ignore", message="Resampling binary images")
            how = "linear" if is_maps else "nearest"
            img = resample_img(img, target_affine=affine, target_shape=shape, interpolation=how)
    # least squares in float32 would cost up to 2 % of the SD of BOLD, whose mean is far from 0
    data = np.array(img.dataobj, dtype=float if is_maps else None)
    return nib.Nifti1Image(data, affine)


def mask_on_grid(mask_img, shape, affine):
    """Brain mask, array of bool of that shape."""
    img = open_image(mask_img, "brain mask")
    mask = np.nan_to_num(np.squeeze(read_data(img))) != 0
    if mask.ndim != 3:
        raise ValueError(f"The brain mask has shape {img.shape}; expected (nx, ny, nz).")
    img = nib.Nifti1Image(mask.astype(np.int8), img.affine)
    mask = resample(img, shape, affine).dataobj != 0
    if not mask.any():
        raise ValueError(
            "The brain mask has no voxel inside the BOLD image; check that both are in one space."
        )
    return mask


IMAGE_ERRORS = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


def open_image(source, role):
    """Path or image -> nibabel image; the data stay on disk."""
    if isinstance(source, SpatialImage):
        return source
    if not isinstance(source, (str, Path)):
        raise TypeError(
            f"The {role} is a {type(source).__name__}; expected a path or a nibabel image."
        )
    path = existing_file(source, role)
    try:
        img = nib.load(path)
    except IMAGE_ERRORS as err:
        raise ValueError(
            f"The file of the {role} cannot be read as a NIfTI image: {path} ({one_line(err)}); "
            "it may be truncated or of another format, get it again."
        ) from err
    if not isinstance(img, SpatialImage):
        raise ValueError(
            f"The file of the {role} is a {type(img).__name__}: {path}; expected a volumetric "
            "NIfTI image, not a surface."
        )
    return img


def read_data(img):
    """Voxels of an image; float64 only where float32 would round."""
    dtype = img.dataobj.dtype
    if dtype.kind not in "biuf":
        raise ValueError(f"The image has voxels of type {dtype}; expected real numbers.")
    try:
        return np.asarray(img.dataobj, dtype=np.result_type(dtype, np.float32))
    except IMAGE_ERRORS as err:
        raise ValueError(
            f"The data of {img.get_filename()} cannot be read ({one_line(err)}); the file is "
            "damaged or truncated, get it again."
        ) from err
