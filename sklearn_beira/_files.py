"""Reading images and tables, with errors that say what to do."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage

IMAGE_ERRORS = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


def open_image(source, role):
    """Path or image -> nibabel image; the data stay on disk."""
    if isinstance(source, SpatialImage):
        return source
    if not isinstance(source, (str, Path)):
        raise TypeError(
            f"The {role} is a {type(source).__name__}; expected a path or a nibabel image."
        )
    path = _existing(source, role)
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


def read_table(path, role, **options):
    """DataFrame of a text file; the options are those of ``pandas.read_csv``."""
    path = _existing(path, role)
    try:
        return pd.read_csv(path, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as err:
        raise ValueError(
            f"The file of the {role} cannot be read as a table: {path} ({one_line(err)}); "
            "expected rows of equal length in a csv, tsv or txt file."
        ) from err


def one_line(err):
    """Message of an exception without its line breaks."""
    return " ".join(str(err).split())


def _existing(path, role):
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"The file of the {role} does not exist: {path}; check the path.")
    return path
