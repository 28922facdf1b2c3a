"""Atlases: by name or as an image, their regions, and how much of them an image shows."""

import difflib
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn import datasets
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker

from .._utils.files import one_line
from .images import open_image, read_data
from .tables import read_table

# name: (nilearn's fetch_atlas_..., its options)
ATLASES = {
    "harvard-oxford-subcortical": ("harvard_oxford", {"atlas_name": "sub-maxprob-thr25-2mm"}),
    "harvard-oxford-cortical": ("harvard_oxford", {"atlas_name": "cort-maxprob-thr25-2mm"}),
    "difumo-64": ("difumo", {"dimension": 64, "resolution_mm": 2}),
}
STRIATUM = tuple(
    f"{side} {part}"
    for part in ("Pallidum", "Caudate", "Putamen", "Accumbens")
    for side in ("Left", "Right")
)
NOT_SUBCORTICAL = ("Cerebral White Matter", "Cerebral Cortex")


def load_atlas(atlas, labels, data_dir):
    """Image of labels or maps, and {region name: label value, or number of the map from 1}."""
    if isinstance(atlas, str) and atlas in ATLASES:
        if labels is not None:
            raise ValueError(f"labels is given, but atlas {atlas!r} has its own; leave it out.")
        atlas, labels = _fetch_atlas(atlas, data_dir)
    elif isinstance(atlas, str) and not Path(atlas).suffix and not Path(atlas).exists():
        close = difflib.get_close_matches(atlas, ATLASES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"Unknown atlas {atlas!r}{hint}; the known ones are {', '.join(ATLASES)}, or give the "
            "path of an image."
        )
    img = open_image(atlas, "atlas")
    data = read_data(img)
    if not np.isfinite(data).all():  # SPM's way of saying background
        data = np.nan_to_num(data)
    if data.ndim == 4:
        values = range(1, data.shape[-1] + 1)
    elif data.ndim == 3:
        values = np.unique(data)
        if (values != np.rint(values)).any():
            raise ValueError(
                "The atlas has three dimensions and values that are not whole numbers; expected "
                "a label image, or maps in four dimensions (nx, ny, nz, n_maps)."
            )
        data, values = data.astype(np.int32), values[values != 0].astype(int)
    else:
        raise ValueError(
            f"The atlas has shape {data.shape}; expected labels (nx, ny, nz) or maps "
            "(nx, ny, nz, n_maps)."
        )
    table = _name_values(labels, values, are_labels=data.ndim == 3)
    return nib.Nifti1Image(data, img.affine), table


def select_regions(regions, table):
    """Names of the regions wanted, in order."""
    if regions is None:
        names = list(table)
    elif isinstance(regions, str) and regions == "subcortical":
        names = [name for name in table if not name.endswith(NOT_SUBCORTICAL)]
    elif isinstance(regions, str):
        names = list(STRIATUM) if regions == "striatum" else [regions]
    else:
        names = _as_list(regions, "regions")
    if not names:
        raise ValueError("No region is selected; give at least one name in regions.")
    if len(set(names)) < len(names):
        raise ValueError(f"regions names one more than once: {names}; name each one once.")
    unknown = [name for name in names if name not in table]
    if unknown:
        close = {m for u in unknown for m in difflib.get_close_matches(str(u), table, n=2)}
        hint = f" (did you mean {', '.join(sorted(close))}?)" if close else ""
        raise ValueError(
            f"Unknown regions {unknown}{hint}; this atlas has {list(table)}, and the selections "
            "'striatum' and 'subcortical' where it names their regions so."
        )
    return names


def pick_regions(atlas, values):
    """Keep the regions wanted: labels become 1 ... n_rois, maps a shorter stack, in order."""
    if atlas.ndim == 4:
        return nib.Nifti1Image(atlas.dataobj[..., np.subtract(values, 1)], atlas.affine)
    picked = np.zeros(atlas.shape, dtype=np.int16)
    for number, value in enumerate(values, start=1):
        picked[atlas.dataobj == value] = number
    return nib.Nifti1Image(picked, atlas.affine)


def measure_coverage(atlas, on_grid, names):
    """Share of each region's volume (map weight) that is left on the grid, as a Series."""
    coverage = pd.Series(
        [_volume(on_grid, i) / _volume(atlas, i) for i in range(len(names))], index=names
    )
    lost = list(coverage.index[~(coverage > 0)])
    if len(lost) == len(coverage):
        raise ValueError(
            "The atlas and the image do not overlap, no region has a voxel in it: the atlas spans "
            f"{_extent(atlas)} and the image (inside the mask) {_extent(on_grid)}; normalize the "
            "image to the space of the atlas."
        )
    if lost:
        raise ValueError(
            f"No voxel of the image belongs to {lost}: outside the field of view or the mask, or "
            "smaller than a voxel; leave these regions out with regions=."
        )
    for name, share in coverage[coverage < 0.5].items():
        warnings.warn(
            f"Only {share:.0%} of the volume of {name!r} is left in the image: the rest is outside "
            "the field of view or the mask, or lost in resampling.",
            UserWarning,
            stacklevel=4,
        )
    return coverage


def check_signal(data, atlas, names):
    """A region must vary in time; voxels without any signal are a hole in the image."""
    inside = _support(atlas)
    varies = np.zeros_like(inside)
    varies[inside] = np.ptp(data[inside], axis=1) > 0
    dead = []
    for i, name in enumerate(names):
        weight = _weight(atlas, i)
        share = weight[varies].sum() / weight.sum()
        if not share > 0:
            dead.append(name)
        elif share < 0.5:
            warnings.warn(
                f"Only {share:.0%} of the voxels of {name!r} vary in time: the rest has no signal "
                "in this image.",
                UserWarning,
                stacklevel=4,
            )
    if dead:
        raise ValueError(
            f"The time series of {dead} is constant; expected BOLD that varies: the image has no "
            "signal there, leave these regions out with regions=."
        )


def make_masker(atlas, names, **settings):
    """Fitted nilearn masker of labels 1 ... n_rois or of maps, on the grid of the image."""
    settings |= {"resampling_target": None, "reports": False}
    if atlas.ndim == 3:
        lut = pd.DataFrame({"index": range(len(names) + 1), "name": ["Background", *names]})
        return NiftiLabelsMasker(atlas, lut=lut, **settings).fit()
    # without a mask the least squares would run over the voxels of the air as well
    mask_img = nib.Nifti1Image(_support(atlas).astype(np.int8), atlas.affine)
    return NiftiMapsMasker(atlas, mask_img=mask_img, **settings).fit()


def _fetch_atlas(name, data_dir):
    family, options = ATLASES[name]
    fetcher = f"fetch_atlas_{family}"
    try:
        atlas = getattr(datasets, fetcher)(**options, data_dir=data_dir, verbose=0)
    except Exception as err:  # whatever a download or a damaged file may raise
        looked = ", ".join(map(str, datasets.get_data_dirs(data_dir)))
        raise ValueError(
            f"Atlas {name!r} is not in {looked} and nilearn could not fetch it "
            f"({type(err).__name__}: {one_line(err)}); run nilearn.datasets.{fetcher} once with a "
            "network connection, or give its folder as data_dir, or your own image and labels."
        ) from err
    if atlas.get("lut") is not None:
        return atlas.maps, atlas.lut
    return atlas.maps, list(atlas.labels["difumo_names"])


def _name_values(labels, values, are_labels):
    """{name: value} of the `values` in the image, from a list or a table of names."""
    if isinstance(labels, (str, Path)):
        labels = read_table(labels, "labels", sep="," if str(labels).endswith(".csv") else "\t")
    if isinstance(labels, pd.DataFrame):
        needed = ["index", "name"] if are_labels else ["name"]
        if not set(needed) <= set(labels.columns):
            raise ValueError(
                f"The table of labels has columns {list(labels.columns)}; expected {needed}."
            )
        if are_labels:
            labels = labels[labels["index"].isin(values)]
            if labels["index"].duplicated().any():
                raise ValueError("The table of labels gives one index two names; remove one.")
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
    if doubled:
        raise ValueError(f"The labels name {doubled} more than once; make the names unique.")
    return dict(zip(names, values, strict=True))


def _as_list(names, parameter):
    if isinstance(names, (list, tuple, np.ndarray, pd.Index, pd.Series)):
        return list(names)
    raise TypeError(f"{parameter} is a {type(names).__name__}; expected a list of region names.")


def _weight(atlas, i):
    """Weight of each voxel in region i: yes or no for labels, the size of a map."""
    regions = atlas.dataobj
    return regions == i + 1 if regions.ndim == 3 else np.abs(regions[..., i])


def _support(atlas):
    """Voxels that belong to any region."""
    return (atlas.dataobj.reshape(*atlas.shape[:3], -1) != 0).any(axis=-1)


def _volume(atlas, i):
    """Volume of region i in mm3, weighted by its map."""
    return _weight(atlas, i).sum(dtype=float) * abs(np.linalg.det(atlas.affine[:3, :3]))


def _extent(img):
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in img.shape[:3]])).reshape(3, -1).T
    mm = nib.affines.apply_affine(img.affine, ends)
    spans = zip("xyz", mm.min(0), mm.max(0), strict=True)
    return ", ".join(f"{axis} {low:.0f} to {high:.0f} mm" for axis, low, high in spans)
