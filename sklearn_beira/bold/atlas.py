"""Atlases: by name or as an image, their regions, and how much of each region an image shows."""

import difflib
from contextlib import suppress
from pathlib import Path
from threading import Thread

import nibabel as nib
import numpy as np
import pandas as pd
import requests
from nilearn import datasets
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker
from requests.exceptions import RequestException, SSLError

from .._utils.files import one_line
from .._utils.warn import warn_user
from .images import open_image, read_data, space_of
from .tables import load_table

_2MM = {"resolution_mm": 2}
# name: (nilearn's fetch_atlas_..., its options)
ATLASES = {
    "harvard-oxford-subcortical": ("harvard_oxford", {"atlas_name": "sub-maxprob-thr25-2mm"}),
    "harvard-oxford-cortical": ("harvard_oxford", {"atlas_name": "cort-maxprob-thr25-2mm"}),
    "aal": ("aal", {"version": "SPM12"}),
    **{f"schaefer-{n}": ("schaefer_2018", {"n_rois": n, **_2MM}) for n in range(100, 1001, 100)},
    **{f"difumo-{n}": ("difumo", {"dimension": n, **_2MM}) for n in (64, 128, 256)},
}
# Where nilearn keeps the image of each family, and the server that it is fetched from.
_PLACES = {
    "harvard_oxford": (
        "fsl/data/atlases/HarvardOxford/HarvardOxford-{atlas_name}.nii.gz",
        "www.nitrc.org",
    ),
    "aal": ("aal_{version}/aal/atlas/AAL.nii", "www.gin.cnrs.fr"),
    "schaefer_2018": (
        "schaefer_2018/Schaefer2018_{n_rois}Parcels_7Networks_order_FSLMNI152_{resolution_mm}mm.nii.gz",
        "raw.githubusercontent.com",
    ),
    "difumo": ("difumo_atlases/{dimension}/{resolution_mm}mm/maps.nii.gz", "osf.io"),
}
_PATIENCE = 1.5  # s
# Names that tables of labels give to the background.
_NO_REGION = ("background", "unknown", "outside", "clear label", "none", "???", "0")
STRIATUM = tuple(
    f"{side} {part}"
    for part in ("Pallidum", "Caudate", "Putamen", "Accumbens")
    for side in ("Left", "Right")
)
NOT_SUBCORTICAL = ("Cerebral White Matter", "Cerebral Cortex")


def _is_path(atlas):
    with suppress(OSError):  # of a name that is too long
        return bool(Path(atlas).suffix) or Path(atlas).exists()
    return False


def load_atlas(atlas, labels, data_dir):
    """Load labels or maps, {region name: label value, or 1 + index of the map}, and the space."""
    if isinstance(atlas, str) and atlas in ATLASES:
        if labels is not None:
            raise ValueError(f"labels is given, but atlas {atlas!r} has its own; leave it out.")
        atlas, labels = _fetch_atlas(atlas, data_dir)
    elif isinstance(atlas, str) and not _is_path(atlas):
        raise ValueError(
            f"Unknown atlas {atlas!r}{_similar([atlas], ATLASES)}; give one of "
            f"{', '.join(ATLASES)}, or the path of an image."
        )
    img = open_image(atlas, "atlas")
    data = np.nan_to_num(read_data(img))  # SPM writes NaN for the background
    while data.ndim > 3 and data.shape[-1] == 1 and (data == np.rint(data)).all():
        data = data[..., 0]
    are_labels = data.ndim == 3
    if data.ndim not in (3, 4) or (are_labels and (data != np.rint(data)).any()):
        raise ValueError(
            f"The atlas of shape {data.shape} has neither labels (nx, ny, nz), which are whole "
            "numbers, nor maps (nx, ny, nz, n_maps)."
        )
    if are_labels:
        data = data.astype(np.int32)
        values = np.setdiff1d(data, 0)
    else:
        values = np.arange(data.shape[-1]) + 1
    table = _name_values(labels, values, are_labels)
    return nib.Nifti1Image(data, img.affine), table, space_of(img)


def select_regions(regions, table):
    """List the names of the regions wanted, in order."""
    if regions is None:
        names = list(table)
    elif isinstance(regions, str) and regions == "subcortical":
        names = [name for name in table if not name.endswith(NOT_SUBCORTICAL)]
    elif isinstance(regions, str):
        names = list(STRIATUM) if regions == "striatum" else [regions]
    else:
        names = _as_list(regions, "regions")
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"regions is {names}; expected at least one name, and none of them more than once."
        )
    unknown = [name for name in names if name not in table]
    if unknown:
        raise ValueError(
            f"Unknown regions {unknown}{_similar(unknown, table)}; this atlas has {list(table)}."
        )
    return names


def pick_regions(atlas, values):
    """Keep the regions wanted, in order: as labels 1 ... n_rois, or as a stack of maps."""
    if atlas.ndim == 4:
        return nib.Nifti1Image(atlas.dataobj[..., np.subtract(values, 1)], atlas.affine)
    picked = np.zeros(atlas.shape, dtype=np.int16)
    for number, value in enumerate(values, start=1):
        picked[atlas.dataobj == value] = number
    return nib.Nifti1Image(picked, atlas.affine)


def measure_coverage(atlas, on_grid, names):
    """Compute the share of each region's volume (map weight) that is left on the grid."""
    shares = [_volume(on_grid, i) / _volume(atlas, i) for i in range(len(names))]
    coverage = pd.Series(shares, index=names)
    lost = list(coverage.index[~(coverage > 0)])
    if lost:
        raise ValueError(
            f"No voxel of the image belongs to {lost}; check that the image (and the mask) is in "
            "the space of the atlas, or leave these regions out with regions=."
        )
    few = _below_half(coverage)
    if few:
        warn_user(
            f"Less than half of these regions lies inside the image and the mask: {few}; check "
            "both, or leave the regions out with regions=."
        )
    return coverage


def check_signal(varies, atlas, names):
    """Refuse regions that do not vary in time; warn if most voxels of a region do not."""
    weights = [_weight(atlas, i) for i in range(len(names))]
    shares = pd.Series([w[varies].sum() / w.sum() for w in weights], index=names)
    dead = list(shares.index[~(shares > 0)])
    if dead:
        raise ValueError(
            f"The time series of {dead} is constant, because the image has no signal there; leave "
            "these regions out with regions=."
        )
    few = _below_half(shares)
    if few:
        warn_user(
            f"Less than half of the voxels of these regions vary in time: {few}; check the image, "
            "or leave the regions out with regions=."
        )


def make_masker(atlas, names, **settings):
    """Fit a nilearn masker of labels 1 ... n_rois or of maps, on the grid of the image."""
    settings |= {"resampling_target": None, "reports": False}
    if atlas.ndim == 3:
        lut = pd.DataFrame({"index": range(len(names) + 1), "name": ["Background", *names]})
        return NiftiLabelsMasker(atlas, lut=lut, **settings).fit()
    # without a mask, least squares would use the voxels of the air as well
    mask_img = nib.Nifti1Image(_support(atlas).astype(np.int8), atlas.affine)
    return NiftiMapsMasker(atlas, mask_img=mask_img, **settings).fit()


def _fetch_atlas(name, data_dir):
    family, options = ATLASES[name]
    fetcher = f"fetch_atlas_{family}"
    place, server = _PLACES[family]
    folders = datasets.get_data_dirs(data_dir)
    try:
        if not any((Path(folder) / place.format(**options)).exists() for folder in folders):
            _check_server(server)
        atlas = getattr(datasets, fetcher)(**options, data_dir=data_dir, verbose=0)
    except Exception as err:  # whatever a download or a damaged file may raise
        looked = ", ".join(map(str, folders))
        raise ValueError(
            f"Atlas {name!r} is not in {looked} and nilearn could not fetch it "
            f"({type(err).__name__}: {one_line(err)}); run nilearn.datasets.{fetcher} once with a "
            "network connection, or give its folder as data_dir or in NILEARN_DATA."
        ) from err
    if atlas.get("lut") is not None:
        return atlas.maps, atlas.lut
    return atlas.maps, list(atlas.labels["difumo_names"])


def _check_server(server):
    """Refuse a server that does not answer soon; a network that drops packets takes minutes."""
    answers = []

    def ask():
        with suppress(RequestException):
            with suppress(SSLError):  # nilearn then asks another server
                requests.head(f"https://{server}", timeout=_PATIENCE)
            answers.append(True)

    thread = Thread(target=ask, daemon=True)  # the name of a server may take longer than the answer
    thread.start()
    thread.join(_PATIENCE)
    if not answers:
        raise ConnectionError(f"{server} does not answer")


def _name_values(labels, values, are_labels):
    """Map the names in a list or a table to the `values` in the image."""
    if isinstance(labels, (str, Path)):
        labels = load_table(labels)
    if isinstance(labels, pd.DataFrame):
        needed = {"index", "name"} if are_labels else {"name"}
        if not needed <= set(labels):
            raise ValueError(
                f"The table of labels has columns {list(labels)}; expected index and name."
            )
        if are_labels:
            first = labels.loc[labels["index"] == 0, "name"].astype(str)
            from_0 = len(first) and first.iloc[0].lower() not in _NO_REGION
            if from_0 and max(values) not in set(labels["index"]):
                raise ValueError(
                    f"The table of labels gives {first.iloc[0]!r} the index 0, which is the "
                    f"background of the image, and no name to its value {max(values)}; add 1 to "
                    f"the index if it counts regions from 0, as tables of FSL do."
                )
            labels = labels[labels["index"].isin(values)]
            values = labels["index"].astype(int)
        names = list(labels["name"].astype(str))
    elif labels is None:
        names = [str(value) for value in values]
    else:
        names = [str(name) for name in _as_list(labels, "labels")]
        names = names[1:] if names[:1] and names[0].lower() == "background" else names
    if len(names) != len(values):
        raise ValueError(
            f"{len(names)} names are given for {len(values)} regions in the atlas image; give one "
            "for each, or a table with the columns index and name."
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or len(set(values)) < len(values):
        raise ValueError(
            f"The labels have a name or an index more than once: {doubled}; make them unique."
        )
    return dict(zip(names, values, strict=True))


def _similar(names, known):
    close = {m for name in names for m in difflib.get_close_matches(str(name), known, n=1)}
    return f" (did you mean {', '.join(map(repr, sorted(close)))}?)" if close else ""


def _as_list(names, parameter):
    if isinstance(names, (list, tuple, np.ndarray, pd.Index, pd.Series)):
        return list(names)
    raise TypeError(f"{parameter} is a {type(names).__name__}; expected a list of region names.")


def _below_half(shares):
    return ", ".join(f"{name!r} {share:.0%}" for name, share in shares[shares < 0.5].items())


def _weight(atlas, i):
    """Return the weight of each voxel in region i: a bool for labels, the size of a map."""
    regions = atlas.dataobj
    return regions == i + 1 if regions.ndim == 3 else np.abs(regions[..., i])


def _support(atlas):
    """Find the voxels that belong to any region."""
    return (atlas.dataobj.reshape(*atlas.shape[:3], -1) != 0).any(axis=-1)


def _volume(atlas, i):
    """Compute the volume of region i in mm3, weighted by its map."""
    return _weight(atlas, i).sum(dtype=float) * abs(np.linalg.det(atlas.affine[:3, :3]))
