"""ROIExtractor against plain NumPy, and each of its errors."""

import contextlib
import gzip
import os
import pickle
import socket
import time
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.masking import compute_epi_mask
from scipy.ndimage import gaussian_filter
from scipy.signal import detrend
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_beira.bold.atlas import STRIATUM
from sklearn_beira.bold.confounds import MOTION
from sklearn_beira.bold.roi import ROIExtractor

SHAPE = (10, 12, 10)
AFFINE = np.array([[3.0, 0, 0, -15], [0, 3, 0, -18], [0, 0, 3, -12], [0, 0, 0, 1]])
NAMES = ["caudate", "putamen", "pallidum"]
SIDES = ("Left", "Right")
# the order of FSL's xml file, where the index is the label value minus 1
HARVARD_OXFORD = [
    *[
        f"Left {part}"
        for part in ("Cerebral White Matter", "Cerebral Cortex ", "Lateral Ventrical", "Thalamus")
    ],
    *[f"Left {part}" for part in ("Caudate", "Putamen", "Pallidum")],
    "Brain-Stem",
    *[f"Left {part}" for part in ("Hippocampus", "Amygdala", "Accumbens")],
    *[
        f"Right {part}"
        for part in ("Cerebral White Matter", "Cerebral Cortex ", "Lateral Ventricle", "Thalamus")
    ],
    *[f"Right {part}" for part in ("Caudate", "Putamen", "Pallidum")],
    *[f"Right {part}" for part in ("Hippocampus", "Amygdala", "Accumbens")],
]


def make_labels(values=(1, 2, 3), dtype=np.int16):
    """Three boxes of 8, 12 and 16 voxels."""
    data = np.zeros(SHAPE, dtype=dtype)
    data[2:4, 2:4, 2:4] = values[0]
    data[5:8, 2:4, 2:4] = values[1]
    data[2:6, 6:8, 5:7] = values[2]
    return nib.Nifti1Image(data, AFFINE)


def make_maps():
    """Three overlapping bumps."""
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0)
    centers = [(3, 3, 3), (5, 4, 3), (4, 7, 6)]
    maps = [np.exp(-((grid - c) ** 2).sum(-1) / 4.0) for c in centers]
    data = np.stack(maps, axis=-1)
    return nib.Nifti1Image(np.where(data > 0.05, data, 0).astype(np.float32), AFFINE)


def make_series(n_volumes=40, n_rois=3, seed=0):
    """Random walks: slopes and means to be removed."""
    return np.random.default_rng(seed).normal(size=(n_volumes, n_rois)).cumsum(axis=0)


def make_bold(series=None, seed=1, labels=None, noise=1.0, dtype=np.float64):
    """A bright ellipsoid in the dark, plus the series of the regions, plus noise."""
    series = make_series() if series is None else series
    labels = make_labels() if labels is None else labels
    rng = np.random.default_rng(seed)
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0)
    inside = (((grid - [4.5, 5.5, 4.5]) / [4.5, 5.5, 4.5]) ** 2).sum(-1) <= 1
    data = noise * rng.normal(size=(*SHAPE, len(series))) + 1000.0 * inside[..., None]
    regions = np.asarray(labels.dataobj)
    for i, column in enumerate(series.T, start=1):
        data[regions == i] += column
    return nib.Nifti1Image(data.astype(dtype), AFFINE)


def make_extractor(atlas=None, **params):
    params = {"labels": NAMES, "smoothing_fwhm": None, **params}
    return ROIExtractor(make_labels() if atlas is None else atlas, **params)


def numpy_means(img, labels=None):
    data, regions = img.get_fdata(), np.asarray((labels or make_labels()).dataobj)
    return np.stack([data[regions == i].mean(axis=0) for i in (1, 2, 3)], axis=1)


def residuals(Y, *regressors):
    """Y without the regressors, the mean and the trend, by one least squares fit."""
    n = len(Y)
    design = np.column_stack([np.ones(n), np.arange(n), *regressors])
    return Y - design @ np.linalg.lstsq(design, Y, rcond=None)[0]


@pytest.fixture
def make_harvard_oxford(tmp_path):
    """Lay a small atlas where nilearn's fetcher looks for the one of FSL."""

    def make(left_out=()):
        root = tmp_path / "nilearn_data" / "fsl" / "data" / "atlases"
        (root / "HarvardOxford").mkdir(parents=True, exist_ok=True)
        data = np.zeros((10, 12, 10), dtype=np.uint8)
        for value in range(1, len(HARVARD_OXFORD) + 1):
            if value not in left_out:
                x, y = 2 * ((value - 1) % 5), 2 * ((value - 1) // 5)
                data[x : x + 2, y : y + 2, 2:6] = value
        img = nib.Nifti1Image(data, AFFINE)
        for name in ("sub", "cort"):
            nib.save(img, root / "HarvardOxford" / f"HarvardOxford-{name}-maxprob-thr25-2mm.nii.gz")
        rows = [f'<label index="{i}">{name}</label>' for i, name in enumerate(HARVARD_OXFORD)]
        xml = f"<atlas><data>{''.join(rows)}</data></atlas>"
        for name in ("Subcortical", "Cortical"):
            (root / f"HarvardOxford-{name}.xml").write_text(xml)
        return img, tmp_path / "nilearn_data"

    return make


@pytest.fixture
def make_fmriprep():
    """The columns of an fMRIPrep table that matter here, the first derivative row empty."""

    def make(n_volumes=40, seed=3):
        rng = np.random.default_rng(seed)
        names = [*MOTION, "global_signal", "csf", "framewise_displacement", "trans_x_derivative1"]
        table = pd.DataFrame(rng.normal(size=(n_volumes, len(names))), columns=names)
        table.loc[0, ["framewise_displacement", "trans_x_derivative1"]] = np.nan
        return table

    return make


@pytest.fixture
def real_motion():
    root = Path(__file__).parents[1]
    data = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", root.parent / "shared" / "data"))
    files = sorted((data / "real" / "motion").glob("*headmotion.tsv"))
    if not files:
        pytest.skip("the real motion parameters are not here (set SKLEARN_BEIRA_TEST_DATA)")
    return files


# ---------------------------------------------------------------- numbers


def test_region_series_are_the_means_of_their_voxels():
    img = make_bold()
    Y = make_extractor(detrend=False).fit_transform(img)
    np.testing.assert_allclose(Y, numpy_means(img), rtol=1e-10)


def test_planted_series_come_back():
    series = make_series()
    Y = make_extractor().fit_transform(make_bold(series, noise=0.1))
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(Y.to_numpy().T, detrend(series.T), strict=True)]
    assert min(r) > 0.99


def test_detrending_equals_scipy():
    img = make_bold()
    Y = make_extractor().fit_transform(img)
    np.testing.assert_allclose(Y, detrend(numpy_means(img), axis=0), atol=1e-8)


def test_smoothing_equals_a_gaussian_of_that_width_in_mm():
    img = make_bold()
    Y = make_extractor(smoothing_fwhm=4.0, detrend=False).fit_transform(img)
    sigma = 4.0 / 3.0 / np.sqrt(8 * np.log(2))  # voxels of 3 mm
    smooth = gaussian_filter(img.get_fdata(), (sigma, sigma, sigma, 0), mode="constant")
    np.testing.assert_allclose(Y, numpy_means(nib.Nifti1Image(smooth, AFFINE)), rtol=1e-6)


def test_standardize_gives_unit_sample_variance_and_is_off_by_default():
    img = make_bold()
    Y = make_extractor(standardize="zscore_sample").fit_transform(img)
    np.testing.assert_allclose(Y.std(ddof=1), 1)
    assert (make_extractor().fit_transform(img).std() > 1.5).any()


def test_percent_signal_change_refers_to_the_mean_before_detrending():
    img = make_bold()
    Y = make_extractor(standardize="psc").fit_transform(img)
    means = numpy_means(img)
    np.testing.assert_allclose(Y, 100 * detrend(means, axis=0) / means.mean(axis=0), rtol=1e-5)


def test_maps_are_fitted_together_by_least_squares():
    maps, img = make_maps(), make_bold()
    Y = make_extractor(maps, detrend=False).fit_transform(img)
    A, b = maps.get_fdata().reshape(-1, 3), img.get_fdata().reshape(-1, 40)
    np.testing.assert_allclose(Y, np.linalg.lstsq(A, b, rcond=None)[0].T, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8, ">i4"])
def test_the_type_of_the_voxels_on_disk_makes_no_difference(tmp_path, dtype):
    img = make_bold(noise=200.0)
    data = np.clip(img.get_fdata() / 8, 0, 200).round()
    nib.save(nib.Nifti1Image(data.astype(dtype), AFFINE), tmp_path / "bold.nii.gz")
    Y = make_extractor(detrend=False).fit_transform(tmp_path / "bold.nii.gz")
    np.testing.assert_allclose(Y, numpy_means(nib.Nifti1Image(data, AFFINE)), rtol=1e-6)


def test_input_is_not_modified():
    img, atlas = make_bold(), make_labels()
    before, atlas_before = img.get_fdata().copy(), atlas.get_fdata().copy()
    make_extractor(atlas, smoothing_fwhm=3.0, mask_img=make_labels()).fit_transform(img)
    np.testing.assert_array_equal(img.dataobj, before)
    np.testing.assert_array_equal(atlas.dataobj, atlas_before)


# ---------------------------------------------------------------- atlases and selections


def test_harvard_oxford_by_name_gives_the_17_subcortical_regions(make_harvard_oxford):
    atlas, data_dir = make_harvard_oxford()
    Y = ROIExtractor(data_dir=data_dir).fit_transform(make_bold())
    assert Y.shape == (40, 17)
    assert {"Right Lateral Ventricle", "Brain-Stem"} <= set(Y)
    assert not [name for name in Y if "Matter" in name or "Cortex" in name or name == "Background"]
    explicit = ROIExtractor(data_dir=data_dir, regions="subcortical").fit_transform(make_bold())
    pd.testing.assert_frame_equal(Y, explicit)
    value = HARVARD_OXFORD.index("Right Putamen") + 1
    plain = ROIExtractor(data_dir=data_dir, smoothing_fwhm=None, detrend=False)
    means = make_bold().get_fdata()[atlas.get_fdata() == value].mean(axis=0)
    np.testing.assert_allclose(plain.fit_transform(make_bold())["Right Putamen"], means)


def test_striatum_is_the_eight_regions_of_the_paper(make_harvard_oxford):
    atlas, data_dir = make_harvard_oxford()
    img = make_bold()
    roi = ROIExtractor(data_dir=data_dir, regions="striatum", smoothing_fwhm=None, detrend=False)
    Y = roi.fit_transform(img)
    assert list(Y.columns) == [
        f"{side} {part}"
        for part in ("Pallidum", "Caudate", "Putamen", "Accumbens")
        for side in SIDES
    ]
    for name in Y:
        value = HARVARD_OXFORD.index(name) + 1
        means = img.get_fdata()[atlas.get_fdata() == value].mean(axis=0)
        np.testing.assert_allclose(Y[name], means, err_msg=name)


def test_the_cortical_atlas_gives_every_region(make_harvard_oxford):
    _, data_dir = make_harvard_oxford()
    roi = ROIExtractor("harvard-oxford-cortical", data_dir=data_dir).fit(make_bold())
    assert len(roi.region_names_) == len(HARVARD_OXFORD)


@pytest.fixture
def no_network(monkeypatch):
    """Send all requests to a port where nobody listens; a test may name another."""

    def through(proxy):
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)

    through("http://127.0.0.1:9")
    return through


def lay_difumo(root):
    folder = root / "difumo_atlases" / "64"
    (folder / "2mm").mkdir(parents=True)
    (root / "difumo_atlases" / "README.md").write_text("")
    nib.save(make_maps(), folder / "2mm" / "maps.nii.gz")
    table = pd.DataFrame({"Component": [1, 2, 3], "Difumo_names": NAMES})
    table.to_csv(folder / "labels_64_dictionary.csv", index=False)


def lay_schaefer(root):
    folder = root / "schaefer_2018"
    folder.mkdir()
    nib.save(make_labels(), folder / "Schaefer2018_100Parcels_7Networks_order_FSLMNI152_2mm.nii.gz")
    rows = [f"{i}\t{name}\t0\t0\t0\t0" for i, name in enumerate(NAMES, start=1)]
    (folder / "Schaefer2018_100Parcels_7Networks_order.txt").write_text("\n".join(rows))


def lay_aal(root):
    folder = root / "aal_SPM12" / "aal" / "atlas"
    folder.mkdir(parents=True)
    nib.save(make_labels((2001, 2002, 9170)), folder / "AAL.nii")
    values = zip((2001, 2002, 9170), NAMES, strict=True)
    rows = [f"<label><index>{v}</index><name>{name}</name></label>" for v, name in values]
    (folder / "AAL.xml").write_text(f"<atlas><data>{''.join(rows)}</data></atlas>")


@pytest.mark.parametrize(
    ("atlas", "lay", "image"),
    [
        ("difumo-64", lay_difumo, "make_maps"),
        ("schaefer-100", lay_schaefer, "make_labels"),
        ("aal", lay_aal, "make_labels"),
    ],
)
def test_an_atlas_on_disk_needs_no_network(tmp_path, no_network, atlas, lay, image):
    lay(tmp_path)
    Y = ROIExtractor(atlas, data_dir=tmp_path).fit_transform(make_bold())
    by_hand = ROIExtractor(
        {"make_maps": make_maps, "make_labels": make_labels}[image](), labels=NAMES
    )
    pd.testing.assert_frame_equal(Y, by_hand.fit_transform(make_bold()))


def test_columns_follow_the_order_of_the_regions_asked_for():
    img = make_bold()
    every = make_extractor().fit_transform(img)
    some = make_extractor(regions=["pallidum", "caudate"]).fit_transform(img)
    pd.testing.assert_frame_equal(some, every[["pallidum", "caudate"]])
    maps = make_extractor(make_maps(), regions=["pallidum"]).fit_transform(img)
    assert maps.shape == (40, 1)
    one = make_extractor(regions="putamen").fit_transform(img)
    assert list(one.columns) == ["putamen"]


@pytest.mark.parametrize("kind", ["list", "background", "frame", "csv", "tsv", "shuffled"])
def test_labels_come_as_list_table_or_file(tmp_path, kind):
    values = (3, 10, 40)
    table = pd.DataFrame({"index": [0, *values, 99], "name": ["Background", *NAMES, "elsewhere"]})
    table.to_csv(tmp_path / "lut.csv", index=False)
    table.to_csv(tmp_path / "lut.tsv", index=False, sep="\t")
    labels = {
        "list": NAMES,
        "background": ["Background", *NAMES],
        "frame": table,
        "csv": tmp_path / "lut.csv",
        "tsv": str(tmp_path / "lut.tsv"),
        "shuffled": table.iloc[::-1],
    }[kind]
    atlas = make_labels(values)
    Y = make_extractor(atlas, labels=labels, detrend=False).fit_transform(make_bold())
    assert sorted(Y.columns) == sorted(NAMES)
    np.testing.assert_allclose(Y[NAMES], numpy_means(make_bold()))


def test_a_table_that_leaves_a_label_out_leaves_the_region_out():
    table = pd.DataFrame({"index": [1, 3], "name": ["caudate", "pallidum"]})
    roi = make_extractor(labels=table).fit(make_bold())
    assert roi.region_names_ == ["caudate", "pallidum"]


def test_without_labels_the_numbers_are_the_names():
    roi = make_extractor(make_labels((3, 10, 40)), labels=None).fit(make_bold())
    assert roi.region_names_ == ["3", "10", "40"]
    assert make_extractor(make_maps(), labels=None).fit(make_bold()).region_names_ == list("123")


def test_an_atlas_of_floats_on_disk_is_a_label_image(tmp_path):
    nib.save(make_labels(dtype=np.float32), tmp_path / "atlas.nii.gz")
    Y = make_extractor(str(tmp_path / "atlas.nii.gz")).fit_transform(make_bold())
    pd.testing.assert_frame_equal(Y, make_extractor().fit_transform(make_bold()))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"atlas": "harvard-oxford-subcortica", "labels": None}, "did you mean 'harvard-oxford-s"),
        ({"atlas": "yeo", "labels": None}, r"Unknown atlas 'yeo'.*harvard-oxford-cor.*difumo-64"),
        ({"atlas": "harvard-oxford-subcortical"}, "has its own; leave it out"),
        ({"atlas": "nowhere/atlas.nii.gz"}, r"file of the atlas does not exist: nowhere"),
        ({"regions": ["putame"]}, r"Unknown regions \['putame'\] \(did you mean 'putamen'\?\)"),
        (
            {"regions": ["insula", "putamen"]},
            r"\['insula'\].*this atlas has \['caudate', 'putamen'",
        ),
        ({"regions": "striatum"}, r"Unknown regions .'Left Pallidum'"),
        ({"regions": []}, r"regions is \[\]; expected at least one name"),
        ({"regions": ["putamen", "putamen"]}, "more than once"),
        ({"labels": ["a", "b"]}, "2 names are given for 3 regions"),
        ({"labels": ["a", "b", "b"]}, r"name or an index more than once.*'b'"),
        ({"labels": "nowhere.csv"}, "file of the table does not exist: nowhere.csv"),
        ({"labels": pd.DataFrame({"id": [1], "name": "a"})}, "expected index and name"),
        (
            {"labels": pd.DataFrame({"index": [1, 1], "name": list("ab")})},
            "index more than once",
        ),
        ({"smoothing_fwhm": -1.0}, "'smoothing_fwhm'.*Got -1.0"),
        ({"smoothing_fwhm": "wide"}, "'smoothing_fwhm'.*Got 'wide'"),
        ({"standardize": "robust"}, "'standardize'.*zscore_sample.*Got 'robust'"),
    ],
)
def test_a_bad_parameter_is_named_at_fit_and_not_before(params, message):
    roi = make_extractor().set_params(**params)
    with pytest.raises(ValueError, match=message):
        roi.fit(make_bold())
    assert not [name for name in vars(roi) if name.endswith("_")]


def test_an_atlas_that_is_no_atlas_is_refused():
    with pytest.raises(TypeError, match="atlas is a int; expected a path or a nibabel image"):
        make_extractor(3).fit(make_bold())
    for parameter in ("regions", "labels"):
        with pytest.raises(TypeError, match=f"{parameter} is a int; expected a list of region"):
            make_extractor(**{parameter: 3}).fit(make_bold())
    halves = nib.Nifti1Image(np.full(SHAPE, 0.5), AFFINE)
    with pytest.raises(ValueError, match=r"neither labels.*whole numbers, nor maps"):
        make_extractor(halves).fit(make_bold())
    with pytest.raises(ValueError, match=r"atlas of shape \(10, 12\)"):
        make_extractor(nib.Nifti1Image(np.ones((10, 12)), AFFINE)).fit(make_bold())


@pytest.mark.parametrize("problem", ["refused", "silent", "unknown name"])
@pytest.mark.parametrize(
    "atlas", ["harvard-oxford-subcortical", "schaefer-400", "aal", "difumo-64"]
)
def test_without_a_network_an_atlas_is_refused_soon(tmp_path, no_network, atlas, problem):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes requests, and never answers
        if problem == "silent":
            no_network(f"http://127.0.0.1:{silent.getsockname()[1]}")
        elif problem == "unknown name":
            no_network("http://nowhere.invalid:80")
        start = time.monotonic()
        with pytest.raises(ValueError, match=r"does not answer.*network connection") as info:
            ROIExtractor(atlas, data_dir=tmp_path).fit(make_bold())
        assert time.monotonic() - start < 2.0
    assert f"{atlas!r} is not in {tmp_path}" in str(info.value)


# ---------------------------------------------------------------- grids


def test_the_atlas_is_resampled_to_the_grid_of_the_image():
    fine = np.kron(np.asarray(make_labels().dataobj), np.ones((2, 2, 2), dtype=np.int16))
    affine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] -= 0.75  # centers of the small voxels inside the large ones
    roi = make_extractor(nib.Nifti1Image(fine, affine))
    Y = roi.fit_transform(make_bold())
    pd.testing.assert_frame_equal(Y, make_extractor().fit_transform(make_bold()))
    np.testing.assert_allclose(roi.coverage_, 1)
    assert roi.atlas_img_.shape == SHAPE


def test_maps_are_resampled_linearly():
    half = AFFINE.copy()
    half[0, 3] += 1.5
    maps = make_maps()
    roi = make_extractor(nib.Nifti1Image(maps.get_fdata(), half)).fit(make_bold())
    data = maps.get_fdata()
    np.testing.assert_allclose(
        roi.atlas_img_.get_fdata()[1:], (data[1:] + data[:-1]) / 2, atol=1e-6
    )


def test_an_atlas_elsewhere_is_refused():
    far = AFFINE.copy()
    far[2, 3] = 500
    with pytest.raises(ValueError, match=r"No voxel.*belongs to .*pallidum.*space of the atlas"):
        make_extractor(nib.Nifti1Image(make_labels().dataobj, far)).fit(make_bold())


@pytest.mark.parametrize("make_atlas", [make_labels, make_maps])
def test_a_region_outside_the_field_of_view_is_named(make_atlas):
    cut = make_bold().slicer[:, :6]
    atlas = make_atlas()
    if atlas.ndim == 4:
        atlas.dataobj[:, :6, :, 2] = 0
    with pytest.raises(ValueError, match=r"No voxel of the image belongs to \['pallidum'\]"):
        make_extractor(atlas).fit(cut)
    roi = make_extractor(atlas, regions=["caudate", "putamen"])
    assert roi.fit_transform(cut).shape == (40, 2)


def test_a_region_mostly_outside_is_warned_of_with_its_share():
    cut = make_bold().slicer[:6]  # putamen is at x 5 to 7
    with pytest.warns(UserWarning, match="lies inside the image and the mask: 'putamen' 33%"):
        roi = make_extractor().fit(cut)
    np.testing.assert_allclose(roi.coverage_, [1, 1 / 3, 1])


def test_a_region_smaller_than_a_voxel_of_the_image_is_named():
    coarse = nib.Nifti1Image(
        np.random.default_rng(0).normal(size=(5, 6, 5, 20)), AFFINE @ np.diag([2.0, 2, 2, 1])
    )
    atlas = make_labels()
    atlas.dataobj[9, 9, 9] = 4
    with pytest.raises(ValueError, match=r"No voxel of the image belongs to \['speck'\]"):
        make_extractor(atlas, labels=[*NAMES, "speck"]).fit(coarse)


def test_a_mask_takes_voxels_away():
    img, mask = make_bold(), np.ones(SHAPE)
    mask[5] = 0
    with_mask = make_extractor(mask_img=nib.Nifti1Image(mask, AFFINE), detrend=False)
    Y = with_mask.fit_transform(img)
    kept = np.asarray(make_labels().dataobj) * (mask > 0)
    np.testing.assert_allclose(Y, numpy_means(img, nib.Nifti1Image(kept, AFFINE)))
    with pytest.raises(ValueError, match="brain mask has no voxel inside"):
        with_mask.set_params(mask_img=nib.Nifti1Image(0 * mask, AFFINE)).fit(img)


def test_transform_refuses_another_grid():
    roi = make_extractor().fit(make_bold())
    with pytest.raises(ValueError, match=r"grid \(10, 12, 8\).*fitted on"):
        roi.transform(make_bold().slicer[:, :, :8])
    with pytest.raises(ValueError, match="another origin, orientation or voxel size"):
        roi.transform(nib.Nifti1Image(make_bold().dataobj, AFFINE @ np.diag([-1, 1, 1, 1])))


# ---------------------------------------------------------------- bad images


def test_values_that_are_not_finite_are_counted_and_placed():
    img = make_bold()
    img.dataobj[1, 2, 3, 7] = img.dataobj[1, 2, 4, 7] = np.nan
    with pytest.raises(ValueError, match=r"2 NaN or inf.*volume 7.*voxel \(1, 2, 3\)"):
        make_extractor().fit_transform(img)
    img.dataobj[1, 2, 3:5, 7] = 0
    img.dataobj[4, 5, 6, 9] = np.inf
    with pytest.raises(ValueError, match=r"1 NaN or inf.*volume 9.*voxel \(4, 5, 6\)"):
        make_extractor().fit_transform(img)


def test_one_volume_is_no_time_series():
    img = make_bold()
    for one in (img.slicer[..., 0], img.slicer[..., :1]):
        with pytest.raises(ValueError, match="expected several volumes"):
            make_extractor().fit(one)
    with pytest.raises(ValueError, match=r"\(10, 12, 10\); expected several volumes in four dim"):
        make_extractor().fit(np.zeros(SHAPE))


def test_missing_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"BOLD image does not exist: .*none\.nii"):
        make_extractor().fit(tmp_path / "none.nii")
    text = tmp_path / "text.nii"
    text.write_text("not an image")
    with pytest.raises(ValueError, match=r"text\.nii cannot be read: Cannot work out file type"):
        make_extractor().fit(text)
    surface = tmp_path / "surface.gii"
    nib.save(nib.gifti.GiftiImage(), surface)
    with pytest.raises(ValueError, match=r"surface\.gii cannot be read: it holds a GiftiImage"):
        make_extractor().fit(surface)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    nib.save(make_bold(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"cut{suffix} cannot be read: .*(data|Compressed)"):
        make_extractor().fit_transform(path)


def test_a_gzip_header_cut_short_is_named(tmp_path):
    path = tmp_path / "head.nii.gz"
    path.write_bytes(gzip.compress(b"x" * 100)[:12])
    with pytest.raises(ValueError, match=r"head\.nii\.gz cannot be read: "):
        make_extractor().fit(path)


def test_colors_are_no_bold():
    rgb = np.zeros((*SHAPE, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ValueError, match="expected real numbers"):
        make_extractor().fit_transform(nib.Nifti1Image(rgb, AFFINE))


def test_a_constant_region_is_named_even_when_smoothing_would_hide_it():
    img = make_bold()
    img.dataobj[2:4, 2:4, 2:4] = 700.0
    with pytest.raises(ValueError, match=r"time series of \['caudate'\] is constant"):
        make_extractor(smoothing_fwhm=6.0).fit_transform(img)


@pytest.mark.parametrize("make_atlas", [make_labels, make_maps])
def test_a_region_mostly_without_signal_is_warned_of(make_atlas):
    img = make_bold()
    img.dataobj[4:, :6] = 0.0
    img.dataobj[7, 2, 2] = np.arange(40)  # one of the 12 voxels of the putamen
    with pytest.warns(UserWarning, match=r"vary in time: 'putamen' \d+%"):
        make_extractor(make_atlas()).fit_transform(img)


def test_a_list_of_runs_is_refused():
    with pytest.raises(TypeError, match="takes one run"):
        make_extractor().fit([make_bold(), make_bold()])


# ---------------------------------------------------------------- confounds


@pytest.mark.parametrize("detrended", [True, False])
def test_confounds_are_regressed_out_as_least_squares_does(detrended):
    rng = np.random.default_rng(5)
    confounds, img = rng.normal(size=(40, 4)).cumsum(axis=0), make_bold()
    Y = make_extractor(confounds=confounds, detrend=detrended).fit_transform(img).to_numpy()
    means = numpy_means(img)
    if detrended:
        expected = residuals(means, confounds)
    else:
        design = np.column_stack([np.ones(40), confounds])
        weights = np.linalg.lstsq(design, means, rcond=None)[0]
        expected = means - (confounds - confounds.mean(axis=0)) @ weights[1:]
    np.testing.assert_allclose(Y, expected, atol=1e-7)


def test_planted_motion_is_removed():
    motion = np.random.default_rng(6).normal(size=(40, 1)).cumsum(axis=0)
    img = make_bold(make_series() + 20 * motion)
    clean = make_extractor(confounds=motion).fit_transform(img)
    raw = make_extractor().fit_transform(img)
    trendless = detrend(motion[:, 0])
    assert min(abs(np.corrcoef(raw[name], trendless)[0, 1]) for name in NAMES) > 0.9
    assert max(abs(np.corrcoef(clean[name], trendless)[0, 1]) for name in NAMES) < 1e-6


@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize("global_signal", [True, False])
def test_of_an_fmriprep_table_motion_and_global_signal_are_used(
    tmp_path, make_fmriprep, as_file, global_signal
):
    table, img = make_fmriprep(), make_bold()
    path = tmp_path / "sub-01_desc-confounds_timeseries.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    confounds = path if as_file else table
    Y = make_extractor(confounds=confounds, global_signal=global_signal).fit_transform(img)
    used = [*MOTION, "global_signal"] if global_signal else list(MOTION)
    np.testing.assert_allclose(Y, residuals(numpy_means(img), table[used]), atol=1e-7)


def test_columns_can_be_chosen_and_a_first_row_without_value_is_filled(make_fmriprep):
    table, img = make_fmriprep(), make_bold()
    columns = ["csf", "trans_x_derivative1"]
    Y = make_extractor(confounds=table, confound_columns=columns).fit_transform(img)
    filled = table[columns].bfill()
    np.testing.assert_allclose(Y, residuals(numpy_means(img), filled), atol=1e-7)
    assert np.isnan(table.loc[0, "trans_x_derivative1"])  # the table of the user is untouched


def test_a_small_table_of_ones_own_is_used_whole():
    rng = np.random.default_rng(8)
    table = pd.DataFrame(rng.normal(size=(40, 7)), columns=[*MOTION, "csf"])
    Y = make_extractor(confounds=table).fit_transform(make_bold())
    np.testing.assert_allclose(Y, residuals(numpy_means(make_bold()), table), atol=1e-7)


@pytest.mark.parametrize(("name", "separator"), [("rp_run.txt", "  "), ("motion.csv", ",")])
def test_motion_files_without_header_are_read(tmp_path, name, separator):
    motion = np.random.default_rng(9).normal(size=(40, 6))
    lines = ["" if separator == "," else " "] * 40
    lines = [
        start + separator.join(f"{v:.12e}" for v in row)
        for start, row in zip(lines, motion, strict=True)
    ]
    (tmp_path / name).write_text("\n".join(lines))
    Y = make_extractor(confounds=str(tmp_path / name)).fit_transform(make_bold())
    np.testing.assert_allclose(Y, residuals(numpy_means(make_bold()), motion), atol=1e-7)


def test_real_motion_parameters_are_read_and_removed(real_motion):
    for path in real_motion:
        rows = path.read_text().split("\n")[1:]
        motion = np.array([row.split() for row in rows if row.strip()], dtype=float)
        assert motion.shape[1] == 6
        img = make_bold(make_series(len(motion)) + 50 * motion[:, :3], dtype=np.float32)
        Y = make_extractor(confounds=path).fit_transform(img)
        expected = residuals(numpy_means(img), motion)
        np.testing.assert_allclose(Y, expected, atol=1e-2)
        short = nib.Nifti1Image(img.dataobj[..., :-3], AFFINE)
        counts = f"{len(motion)} rows.*{len(motion) - 3} volumes"
        with pytest.raises(ValueError, match=counts):
            make_extractor(confounds=path).fit_transform(short)


def test_the_global_signal_is_the_mean_over_the_mask():
    img = make_bold(make_series() + 5 * make_series(n_rois=1, seed=11))
    brain = nib.Nifti1Image((img.get_fdata().mean(-1) > 500).astype(np.uint8), AFFINE)
    roi = make_extractor(global_signal=True, mask_img=brain)
    inside = brain.get_fdata() > 0
    means = numpy_means(img, nib.Nifti1Image(make_labels().get_fdata() * inside, AFFINE))
    signal = img.get_fdata()[inside].mean(axis=0)
    np.testing.assert_allclose(roi.fit_transform(img), residuals(means, signal), atol=1e-7)


def test_without_a_mask_the_brain_is_found_in_the_image(make_fmriprep):
    img = make_bold()
    brain = compute_epi_mask(nib.Nifti1Image(img.get_fdata().mean(-1), AFFINE)).get_fdata() > 0
    assert 100 < brain.sum() < 800
    signal, motion = img.get_fdata()[brain].mean(axis=0), make_fmriprep()[list(MOTION)]
    Y = make_extractor(global_signal=True, confounds=motion).fit_transform(img)
    np.testing.assert_allclose(Y, residuals(numpy_means(img), signal, motion), atol=1e-7)


def test_an_image_without_a_bright_part_has_no_global_signal():
    flat = nib.Nifti1Image(np.random.default_rng(0).normal(size=(*SHAPE, 20)), AFFINE)
    with pytest.raises(ValueError, match=r"No brain was found.*mask_img"):
        make_extractor(global_signal=True).fit_transform(flat)


def with_nan_in_row_5(table):
    table = table.copy()
    table.loc[5, "trans_x"] = np.nan
    return table


@pytest.mark.parametrize(
    ("confounds", "columns", "message"),
    [
        (np.zeros((37, 6)), None, "37 rows.*40 volumes"),
        ([np.zeros((40, 6)), np.zeros((40, 6))], None, r"shape \(2, 40, 6\).*those of one run"),
        (np.ones((40, 38)), None, "40 volumes cannot be cleaned of 40 regressors"),
        ("nowhere/rp_run.txt", None, "file of the table does not exist: nowhere"),
        (with_nan_in_row_5, None, r"confounds \['trans_x'\] have NaN or infinite values"),
        (lambda table: table, ["aroma"], r"no columns \['aroma'\].*\['trans_x'"),
        (lambda table: table.assign(csf="high"), ["csf"], "not all numbers"),
    ],
)
def test_bad_confounds_are_refused(make_fmriprep, confounds, columns, message):
    confounds = confounds(make_fmriprep()) if callable(confounds) else confounds
    roi = make_extractor(confounds=confounds, confound_columns=columns)
    with pytest.raises(ValueError, match=message):
        roi.fit_transform(make_bold())


def test_a_confound_file_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "rp_bad.txt"
    path.write_text("1 2 3\n1 2 3 4 5\n")
    with pytest.raises(ValueError, match=r"rp_bad\.txt cannot be read: line 2 has 5 fields"):
        make_extractor(confounds=path).fit_transform(make_bold())


# ---------------------------------------------------------------- and back


def test_inverse_transform_paints_each_region_with_its_value():
    roi = make_extractor(regions=["pallidum", "caudate"]).fit(make_bold())
    Y = make_series(7, 2)
    back = roi.inverse_transform(Y)
    assert isinstance(back, nib.Nifti1Image)
    assert back.shape == (*SHAPE, 7)
    np.testing.assert_array_equal(back.affine, AFFINE)
    data, regions = back.get_fdata(), make_labels().get_fdata()
    np.testing.assert_allclose(data[regions == 3], np.tile(Y[:, 0], (16, 1)), rtol=1e-6)
    np.testing.assert_allclose(data[regions == 1], np.tile(Y[:, 1], (8, 1)), rtol=1e-6)
    assert not data[(regions == 0) | (regions == 2)].any()


@pytest.mark.parametrize("make_atlas", [make_labels, make_maps])
def test_the_painted_image_gives_the_series_again_and_equals_nilearn(tmp_path, make_atlas):
    roi = make_extractor(make_atlas(), detrend=False).fit(make_bold())
    Y = pd.DataFrame(make_series(), columns=NAMES)
    back = roi.inverse_transform(Y)
    nib.save(back, tmp_path / "predicted.nii.gz")
    again = roi.transform(tmp_path / "predicted.nii.gz")
    np.testing.assert_allclose(again, Y, atol=1e-5)
    theirs = roi.masker_.inverse_transform(Y.to_numpy())
    np.testing.assert_allclose(back.get_fdata(), theirs.get_fdata(), atol=1e-5)


def test_inverse_transform_checks_its_columns():
    roi = make_extractor().fit(make_bold())
    with pytest.raises(ValueError, match=r"shape \(4, 2\).*expects \(n_volumes, 3\)"):
        roi.inverse_transform(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"with the columns .'caudate', 'putamen', 'pallidum'"):
        roi.inverse_transform(pd.DataFrame(np.zeros((4, 3)), columns=NAMES[::-1]))
    with pytest.raises(ValueError, match="NaN or infinite values"):
        roi.inverse_transform([[0, 1, np.nan], [0, np.inf, 2]])


# ---------------------------------------------------------------- arrays and scikit-learn


def test_an_array_with_time_first_gives_the_same_table():
    img = make_bold()
    array = np.moveaxis(img.get_fdata(), -1, 0)
    roi = make_extractor(smoothing_fwhm=4.0)
    pd.testing.assert_frame_equal(roi.fit_transform(array), roi.fit_transform(img))
    integers = make_extractor().fit_transform(array.astype(np.int64))
    assert integers.shape == (40, 3)


def test_an_array_on_another_grid_needs_an_affine():
    array = np.moveaxis(make_bold().get_fdata(), -1, 0)
    with pytest.raises(ValueError, match=r"shape \(8, 12, 10\).*atlas \(10, 12, 10\).*affine="):
        make_extractor().fit(array[:, 2:])
    moved = AFFINE.copy()
    moved[0, 3] += 2 * 3.0
    Y = make_extractor(affine=moved).fit_transform(array[:, 2:])
    pd.testing.assert_frame_equal(Y, make_extractor().fit_transform(array))
    with pytest.raises(ValueError, match=r"affine has shape \(3, 3\)"):
        make_extractor(affine=np.eye(3)).fit(array)


@pytest.mark.parametrize("regions", [None, ["putamen"]])
def test_it_is_the_transformer_of_a_target_regressor(regions):
    rng = np.random.default_rng(12)
    X = rng.normal(size=(120, 5))
    series = X @ rng.normal(size=(5, 3))
    y = np.moveaxis(make_bold(series, noise=0.2).get_fdata(), -1, 0)
    roi = make_extractor(detrend=False, regions=regions)
    model = TransformedTargetRegressor(Ridge(), transformer=roi, check_inverse=False)
    predicted = model.fit(X, y).predict(X)
    assert predicted.shape == y.shape
    by_hand = Ridge().fit(X, roi.fit_transform(y)).predict(X).reshape(120, -1)
    np.testing.assert_allclose(predicted, roi.inverse_transform(by_hand), rtol=1e-5)

    def putamen_r(estimator, X, y):
        voxel = (slice(None), 6, 3, 3)
        return np.corrcoef(estimator.predict(X)[voxel], y[voxel])[0, 1]

    assert cross_val_score(model, X, y, cv=KFold(3), scoring=putamen_r).min() > 0.9
    assert cross_val_predict(model, X, y, cv=KFold(3)).shape == y.shape


def test_output_is_a_table_under_every_setting():
    img = make_bold()
    expected = make_extractor().fit_transform(img)
    assert isinstance(expected, pd.DataFrame)
    for setting in ("pandas", "default"):
        roi = make_extractor().set_output(transform=setting)
        pd.testing.assert_frame_equal(roi.fit_transform(img), expected)
    with config_context(transform_output="pandas"):
        pd.testing.assert_frame_equal(make_extractor().fit_transform(img), expected)
    assert make_extractor().fit(img).get_feature_names_out().tolist() == NAMES
    piped = make_pipeline(make_extractor()).set_output(transform="pandas")
    pd.testing.assert_frame_equal(piped.fit_transform(img), expected)
    assert list(piped.get_feature_names_out()) == NAMES


@pytest.mark.parametrize("make_atlas", [make_labels, make_maps])
def test_clones_and_pickles_are_equal_and_refits_forget(make_atlas):
    img, cut = make_bold(), make_bold().slicer[:, :, :8]
    roi = make_extractor(make_atlas(), confounds=pd.DataFrame(make_series(seed=4)), detrend=True)
    Y = roi.fit_transform(img)
    pd.testing.assert_frame_equal(clone(roi).fit_transform(img), Y)
    loaded = pickle.loads(pickle.dumps(roi))
    pd.testing.assert_frame_equal(loaded.transform(img), Y)
    assert loaded.inverse_transform(Y).shape == img.shape
    assert roi.set_params(regions=["putamen"]).fit_transform(cut).shape == (40, 1)
    assert roi.inverse_transform(Y[["putamen"]]).shape == cut.shape
    pd.testing.assert_frame_equal(roi.set_params(regions=None).fit_transform(img), Y)


def test_it_must_be_fitted_first():
    with pytest.raises(NotFittedError):
        make_extractor().transform(make_bold())
    with pytest.raises(NotFittedError):
        make_extractor().inverse_transform(np.zeros((3, 3)))
    with pytest.raises(NotFittedError):
        make_extractor().get_feature_names_out()


def test_init_only_assigns():
    params = dict.fromkeys(ROIExtractor().get_params(), "nonsense")
    assert ROIExtractor(**params).get_params() == params
    assert len(STRIATUM) == 8


def test_memory_does_not_grow_with_the_number_of_volumes():
    shape = (40, 40, 10, 500)
    data = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    labels = np.zeros(shape[:3], dtype=np.int16)
    labels[10:20, 10:20, 2:8], labels[25:30, 10:20, 2:8] = 1, 2
    roi = ROIExtractor(nib.Nifti1Image(labels, AFFINE), global_signal=True, mask_img=None)
    roi.set_params(mask_img=nib.Nifti1Image(np.ones(shape[:3], np.int8), AFFINE))
    img = nib.Nifti1Image(data, AFFINE)
    tracemalloc.start()
    try:
        roi.fit_transform(img)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.4 * data.nbytes  # copies of 50 volumes, and little more


# ---------------------------------------------------------------- files as people have them


def test_labels_with_a_fourth_dimension_are_labels():
    img, labels = make_bold(), make_labels()
    expected = ROIExtractor(labels, smoothing_fwhm=None).fit_transform(img)
    deep = nib.Nifti1Image(np.asarray(labels.dataobj)[..., None], labels.affine)
    pd.testing.assert_frame_equal(
        ROIExtractor(deep, smoothing_fwhm=None).fit_transform(img), expected
    )


def test_an_image_without_orientation_is_said():
    data = np.asarray(make_bold().dataobj)
    img = nib.Nifti1Image(data, None)
    img.header.set_zooms((*np.diag(AFFINE)[:3], 2.0))
    img.header["qform_code"] = img.header["sform_code"] = 0
    with (
        pytest.warns(UserWarning, match="does not give its orientation"),
        contextlib.suppress(ValueError),
    ):
        make_extractor().fit(img)


def test_spaces_that_differ_are_said():
    img, labels = make_bold(), make_labels()
    img.set_sform(AFFINE, 1)
    labels.set_sform(labels.affine, 4)
    with pytest.warns(
        UserWarning, match="atlas is in MNI space, but the BOLD image in scanner space"
    ):
        ROIExtractor(labels).fit(img)
    img.set_sform(AFFINE, 4)
    ROIExtractor(labels).fit(img)


@pytest.mark.parametrize(
    ("step", "unit", "t_r"),
    [(2.1, "sec", 2.1), (2100, "msec", 2.1), (2100, "unknown", 2.1), (0, "sec", None)],
)
def test_the_repetition_time_is_kept(step, unit, t_r):
    img = make_bold()
    img.header.set_xyzt_units("mm", unit)
    img.header.set_zooms((*img.header.get_zooms()[:3], step))
    extractor = make_extractor()
    Y = extractor.fit_transform(img)
    assert extractor.t_r_ == pytest.approx(t_r)
    assert Y.attrs.get("t_r") == pytest.approx(t_r)
    back = extractor.inverse_transform(Y)
    assert back.header.get_xyzt_units() == ("mm", "sec")
    assert back.header.get_zooms()[3] == pytest.approx(t_r or 0.0)


@pytest.mark.parametrize("name", ["RUN.NII", "pair.img", "pair.hdr"])
def test_other_names_of_images_are_read(tmp_path, name):
    img = make_bold()
    if name == "RUN.NII":
        img.to_filename(tmp_path / "run.nii")
        (tmp_path / "run.nii").rename(tmp_path / name)
    else:
        nib.Nifti1Pair(np.asarray(img.dataobj), img.affine).to_filename(tmp_path / "pair.img")
    expected = make_extractor().fit_transform(img)
    pd.testing.assert_frame_equal(make_extractor().fit_transform(tmp_path / name), expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("excel.csv", {"sep": ";", "decimal": ","}),
        ("pandas.csv", {"index": True}),
        ("c.tsv.gz", {"sep": "\t"}),
        ("dfile.1D", None),
    ],
)
def test_confounds_in_files_are_those_of_the_table(tmp_path, name, options):
    motion = pd.DataFrame(np.random.default_rng(3).standard_normal((40, 3)), columns=MOTION[:3])
    if options:
        motion.to_csv(tmp_path / name, **{"index": False} | options)
    else:  # as AFNI writes it
        np.savetxt(tmp_path / name, motion, header="3dvolreg -prefix run1", fmt="%.18e")
    img = make_bold()
    expected = make_extractor(confounds=motion).fit_transform(img)
    is_said = pytest.warns(UserWarning, match="Unnamed: 0")
    with is_said if "pandas" in name else contextlib.nullcontext():
        found = make_extractor(confounds=tmp_path / name).fit_transform(img)
    pd.testing.assert_frame_equal(found, expected)
    assert not np.allclose(found, make_extractor().fit_transform(img))


def test_a_table_of_labels_that_counts_from_0_is_refused():
    table = pd.DataFrame({"index": [0, 1, 2], "name": NAMES})
    with pytest.raises(ValueError, match=r"gives 'caudate' the index 0.*add 1 to the index"):
        make_extractor(labels=table).fit(make_bold())


def test_a_mask_of_probabilities_is_refused():
    mask = nib.Nifti1Image(np.random.default_rng(0).random(SHAPE), AFFINE)
    with pytest.raises(ValueError, match="brain mask holds fractions"):
        make_extractor(mask_img=mask).fit(make_bold())
