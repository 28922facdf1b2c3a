"""BOLD images, masks and atlases: opened, read, and resampled to one grid."""

import warnings
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from nilearn.image import resample_img

from .._utils.files import existing_file, reading, unreadable
from .._utils.warn import warn_user

# Codes of NIfTI for spaces that exclude each other, and units of time in s.
_SPACES = {1: "scanner space", 3: "Talairach space", 4: "MNI space"}
PIECE = 50  # volumes that are read at a time: a whole run may take gigabytes
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def is_array(X):
    """Tell BOLD given as an array from a path or an image."""
    return not isinstance(X, (str, Path, SpatialImage))


def open_bold(X, affine, atlas=None):
    """Open BOLD as a nibabel image (time last), without a copy of the voxels.

    An array (time first) gets the affine given, or that of the atlas if the spatial shapes agree.
    """
    if isinstance(X, (list, tuple)):
        raise TypeError(
            f"X is a {type(X).__name__}, but ROIExtractor takes one run; call it for each run, "
            "with the confounds of that run."
        )
    if is_array(X):
        X = np.asarray(X)
        shape = X.shape
        img = SpatialImage(np.moveaxis(np.atleast_1d(X), 0, -1), None)
    else:
        img = open_image(X, "BOLD image")
        shape = img.shape
    if len(shape) != 4 or img.shape[-1] < 2:
        raise ValueError(
            f"The BOLD has shape {shape}; expected several volumes in four dimensions, "
            "(nx, ny, nz, n_volumes) in an image and (n_volumes, nx, ny, nz) in an array."
        )
    if img.affine is not None:
        return img
    if affine is None and img.shape[:3] != atlas.shape[:3]:
        raise ValueError(
            f"The BOLD array has volumes of shape {img.shape[:3]} (time comes first) and the atlas "
            f"{atlas.shape[:3]}, so the place of the voxels is unknown; give affine=."
        )
    affine = np.asarray(atlas.affine if affine is None else affine, dtype=float)
    if affine.shape != (4, 4):
        raise ValueError(f"affine has shape {affine.shape}; expected (4, 4), voxels to mm.")
    return SpatialImage(img.dataobj, affine)


def read_pieces(img, first=0):
    """Read the voxels (nx, ny, nz, n_volumes) of open BOLD, a few volumes after the other.

    All have to be finite. Volumes before `first` are left out.
    """
    if nib.is_proxy(img.dataobj) and isinstance(img, nib.Nifti1Pair):
        with _quiet_nibabel():  # a compressed file would be read from its start for each piece
            img = nib.load(img.get_filename(), keep_file_open=True)
    dtype = _dtype(img)
    for start in range(first, img.shape[-1], PIECE):
        with reading(img.get_filename() or "the image"):
            data = np.asarray(img.dataobj[..., start : start + PIECE], dtype=dtype)
        for volume in range(data.shape[-1]):
            bad = np.argwhere(~np.isfinite(data[..., volume]))
            if len(bad):
                raise ValueError(
                    f"The BOLD image has {len(bad)} NaN or infinite values in volume "
                    f"{start + volume}, the first at voxel {tuple(bad[0].tolist())}; repair the "
                    "image, for example with nilearn.image.clean_img(..., ensure_finite=True, "
                    "detrend=False, standardize=False)."
                )
        yield data


def same_affine(a, b):
    """Tell whether two affines agree to a micrometer."""
    return np.allclose(a, b, atol=1e-3)


def resample(img, shape, affine):
    """Copy labels (nearest neighbor) or maps (linear, float64) to another grid."""
    is_maps = img.ndim == 4
    if img.shape[:3] != shape or not same_affine(img.affine, affine):
        with warnings.catch_warnings():
            # nilearn takes a map that is the same everywhere for a mask
            warnings.filterwarnings("ignore", message="Resampling binary images")
            how = "linear" if is_maps else "nearest"
            img = resample_img(img, target_affine=affine, target_shape=shape, interpolation=how)
    # least squares in float32 would cost up to 2 % of the SD of BOLD, whose mean is far from 0
    data = np.array(img.dataobj, dtype=float if is_maps else None)
    return nib.Nifti1Image(data, affine)


def mask_on_grid(mask_img, shape, affine):
    """Read a brain mask as an array of bool of that shape."""
    img = open_image(mask_img, "brain mask")
    values = np.nan_to_num(np.squeeze(read_data(img)))
    mask = values != 0
    if (np.abs(values - np.rint(values)) > 0.01).any():
        raise ValueError(
            "The brain mask holds fractions, as an image of probabilities does; threshold it."
        )
    if mask.ndim != 3:
        raise ValueError(f"The brain mask has shape {img.shape}; expected (nx, ny, nz).")
    img = nib.Nifti1Image(mask.astype(np.int8), img.affine)
    mask = resample(img, shape, affine).dataobj != 0
    if not mask.any():
        raise ValueError(
            "The brain mask has no voxel inside the BOLD image; check that both are in one space."
        )
    return mask


def open_image(source, role):
    """Open a path or an image as a nibabel image; the data stay on disk."""
    img = source
    if not isinstance(source, SpatialImage):
        if not isinstance(source, (str, Path)):
            raise TypeError(
                f"The {role} is a {type(source).__name__}; expected a path or a nibabel image."
            )
        path = existing_file(source, role)
        with reading(path), _quiet_nibabel():
            img = nib.load(path)
        if not isinstance(img, SpatialImage):
            raise unreadable(path, f"it holds a {type(img).__name__}, expected a NIfTI image")
    plain = type(img) is nib.AnalyzeImage
    if plain or (isinstance(img, nib.Nifti1Pair) and not _codes(img).any()):
        warn_user(
            f"The {role} does not give its orientation (sform and qform codes are 0), so left and "
            "right may be swapped; write the affine of its space into it."
        )
    return img


@contextmanager
def _quiet_nibabel():
    """Keep what nibabel mends in headers out of the log, which goes to the terminal."""
    logger = nib.imageglobals.logger
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _codes(img):
    return np.array([int(img.header["sform_code"]), int(img.header["qform_code"])])


def space_of(img):
    """Name the space that a NIfTI image is in; None if it does not say."""
    codes = _codes(img) if isinstance(img, nib.Nifti1Pair) else np.zeros(2, int)
    return _SPACES.get(int(codes[0] or codes[1]))


def repetition_time(img):
    """Read the repetition time in s from the header of BOLD; None if it has none."""
    if not isinstance(img, nib.Nifti1Pair):
        return None
    step, unit = float(img.header.get_zooms()[3]), img.header.get_xyzt_units()[1]
    step *= _SECONDS.get(unit, 1.0 if step < 100 else 1e-3)
    return step if step > 0 else None


def read_data(img):
    """Read the voxels of an image."""
    dtype = _dtype(img)
    with reading(img.get_filename() or "the image"):
        return np.asarray(img.dataobj, dtype=dtype)


def _dtype(img):
    """Choose float64 where float32 would round, float32 otherwise."""
    dtype = img.dataobj.dtype
    if dtype.kind not in "biuf":
        raise ValueError(f"The image has voxels of type {dtype}; expected real numbers.")
    return np.result_type(dtype, np.float32)
