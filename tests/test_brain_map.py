"""Maps of voxels: planted patches are found, nothing else is, and voxels score as regions do."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.image import smooth_img
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BANDS,
    BandPower,
    BrainMap,
    EEGFilter,
    ROIExtractor,
    Windower,
    align,
    compare,
    make_eeg_fmri,
    map_brain,
    plot_brain_map,
)
from sklearn_beira.bold.voxels import read_voxels

AFFINE = np.array([[-8.0, 0, 0, 32], [0, 8, 0, -60], [0, 0, 8, -20], [0, 0, 0, 1]])
SHAPE, T_R = (9, 9, 9), 2.0
BRAIN = np.zeros(SHAPE, dtype=bool)
BRAIN[1:8, 1:8, 1:8] = True
PATCH = np.zeros(SHAPE, dtype=bool)
PATCH[2:5, 3:5, 2:4] = True
N_CHANNELS = 6
OPTIONS = {"trigger": "mri", "n_surrogates": 199, "verbose": False}


class BandRidge(Ridge):
    """A ridge that says which of its features weighs most."""

    def fit(self, X, y):
        super().fit(X, y)
        self.bands_ = list(BANDS)
        weights = self.coef_.reshape(len(self.coef_), -1, len(BANDS), N_CHANNELS)
        self.best_band_ = np.array(self.bands_)[np.abs(weights).sum(axis=(1, 3)).argmax(axis=1)]
        self.best_delay_ = 2.0 * np.abs(weights).sum(axis=(2, 3))[:, ::-1].argmax(axis=1)
        return self


def model(regressor=None):
    return make_pipeline(EEGFilter(), Windower(20), BandPower(), regressor or Ridge(1e3))


def image(series, seed=0, noise=1.0):
    """Make a brain of noise, with a series of one patch."""
    rng = np.random.default_rng(seed)
    data = noise * rng.standard_normal((*SHAPE, len(series)))
    data[..., 1:] += 0.6 * data[..., :-1]
    data[PATCH] += series
    img = nib.Nifti1Image(np.where(BRAIN[..., None], 1000 + data, 0).astype(np.float32), AFFINE)
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_zooms((8.0, 8.0, 8.0, T_R))
    img.set_sform(AFFINE, 4)
    return img


def mask_img():
    return nib.Nifti1Image(BRAIN.astype(np.uint8), AFFINE)


@pytest.fixture(scope="module")
def study():
    return make_eeg_fmri(
        duration=300.0, t_r=T_R, n_channels=N_CHANNELS, n_rois=1, n_sources=2,
        bands=[(8, 12), (15, 20)], noise_ceiling=0.95, random_state=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def img(study):
    bold = study.bolds[0].to_numpy()[:, 0]
    return image(2.0 * bold / bold.std())


@pytest.fixture(scope="module")
def brain_map(study, img):
    return map_brain(
        study.raws[0], img, model=model(BandRidge(1e3)), mask_img=mask_img(), **OPTIONS
    )


def test_a_planted_patch_is_found_and_little_else(brain_map):
    assert len(brain_map.voxels) == BRAIN.sum()
    planted = PATCH[BRAIN]
    found = brain_map.found()
    assert found[planted].mean() >= 0.9
    assert found[~planted].sum() <= 1
    summary = brain_map.summary()
    peak = summary.iloc[0]
    at = np.linalg.inv(AFFINE) @ [*peak[["x", "y", "z"]], 1.0]
    assert PATCH[tuple(at[:3].round().astype(int))]
    assert peak["size_mm3"] >= 0.9 * PATCH.sum() * 8**3
    assert peak["r"] == pytest.approx(brain_map.voxels["r"].max(), abs=1e-3)
    assert f"{found.sum()} of {BRAIN.sum()} voxels (p_max ≤ 0.05)" in repr(brain_map)
    assert brain_map.headline() in brain_map._repr_html_()


def test_maps_without_coupling_are_silent(study):
    n_found = 0
    for seed in range(12):
        noise = image(np.zeros(len(study.bolds[0])), seed)
        options = {"model": model(), "mask_img": mask_img(), "cv": 3} | OPTIONS
        one = map_brain(study.raws[0], noise, **options)
        n_found += one.found().any()
        assert one.summary().empty or one.found().any()
    assert n_found <= 2


def test_voxels_score_as_columns_of_compare(study, img, brain_map):
    data = np.asarray(img.dataobj)[BRAIN].T
    trend = np.column_stack([np.ones(len(data)), np.arange(len(data))])
    data = data - trend @ np.linalg.lstsq(trend, data, rcond=None)[0]
    X, y = align(study.raws[0], data, trigger="mri", tmin=-20.0, verbose="error")
    some = np.r_[5:9, np.flatnonzero(PATCH[BRAIN])[:3]]
    comparison = compare(model(), X, y[:, some], n_surrogates=199, verbose=False)
    pooled = comparison.table.query("scope == 'pooled'")
    for column in ("r", "n_eff", "ci_low", "p_parametric", "p", "influence", "r_without_burst"):
        np.testing.assert_allclose(
            brain_map.voxels[column].iloc[some], pooled[column], rtol=1e-3, atol=1e-4
        )
    np.testing.assert_allclose(
        brain_map.predictions[0][:, some], comparison.predictions["Pipeline"], atol=1e-3
    )
    # Corrected over more voxels.
    assert (brain_map.voxels["p_max"].iloc[some].to_numpy() >= pooled["p_max"] - 1e-9).all()


def test_a_region_of_equal_voxels_scores_as_its_voxels(study):
    bold = study.bolds[0].to_numpy()[:, 0]
    bold = bold + bold.std() * np.random.default_rng(0).standard_normal(len(bold))
    same = image(np.zeros(len(bold)), noise=0.0)
    data = np.array(same.dataobj)
    data[BRAIN] = 1000 + np.random.default_rng(1).standard_normal((BRAIN.sum(), len(bold)))
    data[PATCH] = 1000 + bold
    same = nib.Nifti1Image(data, AFFINE, same.header)
    atlas = nib.Nifti1Image(PATCH.astype(np.int16), AFFINE)
    one = map_brain(study.raws[0], same, model=model(), mask_img=atlas, **OPTIONS)
    y = ROIExtractor(atlas, labels=["patch"], smoothing_fwhm=None).fit_transform(same)
    X, y = align(study.raws[0], y, trigger="mri", tmin=-20.0, verbose="error")
    (region,) = (
        compare(model(), X, y, n_surrogates=199, verbose=False)
        .table.query("scope == 'pooled'")
        .itertuples()
    )
    for column in ("r", "n_eff", "p", "p_max"):
        np.testing.assert_allclose(one.voxels[column], getattr(region, column), rtol=1e-4)


def test_images_have_the_grid_of_the_bold_and_say_nothing_outside(brain_map, img):
    for one in (brain_map.r_img(), *map(brain_map.img, ["p", "p_max", "n_eff"])):
        np.testing.assert_allclose(one.affine, AFFINE)
        assert one.shape == SHAPE
        assert int(one.header["sform_code"]) == 4
    voxels = brain_map.voxels
    r = brain_map.r_img().get_fdata()
    index = tuple(voxels[list("ijk")].to_numpy().T)
    np.testing.assert_allclose(r[index], voxels["r"], rtol=1e-6)
    np.testing.assert_allclose(
        nib.affines.apply_affine(AFFINE, voxels[list("ijk")]), voxels[list("xyz")]
    )
    assert (r[~BRAIN] == 0).all()
    assert (brain_map.img("p").get_fdata()[~BRAIN] == 1).all()
    shown = brain_map.r_img(alpha=0.05).get_fdata()
    np.testing.assert_array_equal(shown[BRAIN] != 0, brain_map.found())
    predicted = brain_map.predicted_img()
    assert predicted.shape == img.shape
    assert predicted.header.get_zooms() == (8, 8, 8, T_R)
    assert predicted.header.get_xyzt_units() == ("mm", "sec")
    data, (volumes,) = predicted.get_fdata(), brain_map.volumes
    assert (data[..., np.setdiff1d(np.arange(img.shape[-1]), volumes)] == 0).all()


def test_bands_and_delays_are_those_of_the_folds(brain_map):
    planted = PATCH[BRAIN] & brain_map.found()
    assert (brain_map.voxels["band"][planted] == "alpha").mean() > 0.8
    img, names = brain_map.band_img()
    assert list(names.values()) == list(BANDS)
    numbers = img.get_fdata()[BRAIN]
    assert (numbers[~brain_map.found()] == 0).all()
    told = [names[k] for k in numbers[brain_map.found()]]
    assert told == brain_map.voxels["band"][brain_map.found()].tolist()
    delay = brain_map.delay_img().get_fdata()
    np.testing.assert_array_equal(np.isfinite(delay[BRAIN]), brain_map.found())
    assert np.isfinite(brain_map.delay_img(alpha=None).get_fdata()).sum() == BRAIN.sum()


def test_without_a_null_bands_and_delays_of_all_voxels_can_be_shown(study, img, tmp_path):
    patch = nib.Nifti1Image(PATCH.astype(np.uint8), AFFINE)
    options = {"mask_img": patch, "trigger": "mri", "null": None, "verbose": False}
    one = map_brain(study.raws[0], img, model=model(BandRidge(1e3)), **options)
    band, names = one.band_img(alpha=None)
    assert [names[k] for k in band.get_fdata()[PATCH]] == one.voxels["band"].tolist()
    np.testing.assert_allclose(
        one.delay_img(alpha=None).get_fdata()[PATCH], one.voxels["delay"], rtol=1e-6
    )
    assert not one.band_img()[0].get_fdata().any()
    one.to_folder(tmp_path)
    written = nib.load(tmp_path / "desc-band_dseg.nii.gz").get_fdata()
    np.testing.assert_array_equal(written, band.get_fdata())
    plain = map_brain(study.raws[0], img, model=model(), **options)
    plain.to_folder(tmp_path)  # has no bands and delays
    assert not [*tmp_path.glob("desc-band*"), *tmp_path.glob("desc-delay*")]
    assert BrainMap.from_folder(tmp_path).voxels.shape == plain.voxels.shape


def test_bands_of_some_of_the_folds_are_not_taken_for_those_of_all(study, img, tmp_path):
    patch = nib.Nifti1Image(PATCH.astype(np.uint8), AFFINE)
    options = {"mask_img": patch, "trigger": "mri", "null": None, "verbose": False}
    first = map_brain(study.raws[0], img, model=model(BandRidge(1e3)), cache=tmp_path, **options)
    assert {"band", "delay"} <= set(first.voxels)
    next(path for path in sorted(tmp_path.rglob("*")) if path.is_file()).unlink()
    again = map_brain(study.raws[0], img, model=model(BandRidge(1e3)), cache=tmp_path, **options)
    pd.testing.assert_frame_equal(again.voxels, first.voxels.drop(columns=["band", "delay"]))


def test_a_repetition_time_in_the_header_that_is_not_that_of_the_markers_is_told(study, img):
    slower = nib.Nifti1Image(np.asarray(img.dataobj), AFFINE, img.header.copy())
    slower.header.set_zooms((8.0, 8.0, 8.0, 2.5))
    patch = {**OPTIONS, "mask_img": nib.Nifti1Image(PATCH.astype(np.uint8), AFFINE)}
    with pytest.warns(UserWarning, match="a repetition time of 2.5 s in its header"):
        one = map_brain(study.raws[0], slower, model=model(), **patch)
    assert any("repetition time of 2.5 s" in said for said in one.warnings)


def test_the_default_finds_patch_band_and_delay(study, img):
    some = PATCH.copy()
    some[6, 2:7, 2:7] = True
    some = nib.Nifti1Image(some.astype(np.uint8), AFFINE)
    found = map_brain(study.raws[0], img, mask_img=some, cv=3, **OPTIONS)
    planted = PATCH[np.asarray(some.dataobj) != 0]
    np.testing.assert_array_equal(found.found(), planted)
    assert (found.voxels["band"][planted] == "alpha").all()
    assert found.voxels["delay"][planted].between(4, 7).all()  # the response peaks after 5 s
    assert found.settings["model"] == "WholeBrainRegressor"


def test_a_folder_holds_everything(brain_map, tmp_path):
    brain_map.to_folder(tmp_path / "map")
    again = BrainMap.from_folder(tmp_path / "map")
    pd.testing.assert_frame_equal(again.voxels, brain_map.voxels)
    for name in ("settings", "versions", "warnings", "volumes", "n_volumes", "t_r"):
        assert getattr(again, name) == getattr(brain_map, name)
    np.testing.assert_array_equal(again.predictions[0], brain_map.predictions[0])
    np.testing.assert_array_equal(
        again.predicted_img().get_fdata(), brain_map.predicted_img().get_fdata()
    )
    pd.testing.assert_frame_equal(again.summary(), brain_map.summary())
    r = nib.load(tmp_path / "map" / "stat-r_statmap.nii.gz")
    np.testing.assert_array_equal(r.get_fdata(), brain_map.r_img().get_fdata())
    described = json.loads((tmp_path / "map" / "voxels.json").read_text())
    assert set(described) == set(brain_map.voxels)
    (tmp_path / "map" / "voxels.tsv").write_text("i\n1\n")
    with pytest.raises(ValueError, match="holds no map"):
        BrainMap.from_folder(tmp_path / "map")


def test_figures_and_page(brain_map, tmp_path):
    fig = plt.figure()
    assert brain_map.plot(fig=fig) is fig
    assert "no voxel" not in fig.get_suptitle()
    plt.close(fig)
    plt.close(plot_brain_map(brain_map, alpha=None, view="slices", vmax=0.9))
    with pytest.raises(ValueError, match="view must be one of slices for what='band'"):
        brain_map.plot(what="band", view="glass")
    brain_map.to_html(tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "could not be drawn" not in page
    for said in (brain_map.headline(), "r, interactive", "<iframe", "Best band", "Peaks"):
        assert said in page
    silent = replace(brain_map, voxels=brain_map.voxels.assign(p_max=1.0))
    silent.to_html(tmp_path / "silent.html")
    page = (tmp_path / "silent.html").read_text(encoding="utf-8")
    assert "No voxel is predicted" in page
    assert "could not be drawn" not in page


def test_runs_nuisance_and_no_null():
    two = make_eeg_fmri(2, duration=200.0, t_r=T_R, n_channels=4, n_rois=1, random_state=1)
    series = [3 * one.to_numpy()[:, 0] for one in two.bolds]
    imgs = [image(one, seed) for seed, one in enumerate(series)]
    data = np.array(imgs[1].dataobj)
    data[2, 3, 2] = 7.0  # does not vary in the second run
    imgs[1] = nib.Nifti1Image(data, AFFINE, imgs[1].header)
    options = {"model": model(), "trigger": "mri", "verbose": False}
    plain = map_brain(two.raws, imgs, mask_img=mask_img(), null=None, **options)
    assert len(plain.voxels) == BRAIN.sum() - 1
    assert plain.voxels["p_max"].isna().all()
    assert not plain.found().any()
    assert "without a null distribution" in repr(plain)
    with pytest.raises(ValueError, match="there is no map of 'z_score'"):
        plain.img("z_score")
    fig = plain.plot(view="slices")
    assert "alpha=None shows all voxels" in fig.get_suptitle()
    plt.close(fig)
    moved = [pd.DataFrame({"drift": np.arange(len(one)) % 7.0}) for one in series]
    patch = nib.Nifti1Image(PATCH.astype(np.uint8), AFFINE)
    one = map_brain(two.raws, imgs, mask_img=patch, nuisance=moved, n_surrogates=99, **options)
    assert len(one.voxels) == PATCH.sum() - 1
    assert (one.voxels["p_max_beyond"] <= 0.05).any()
    assert (one.voxels["r_beyond"] - one.voxels["r"]).abs().max() < 0.2
    assert [len(v) for v in one.volumes] == [len(p) for p in one.predictions]
    assert one.predicted_img(1).shape == imgs[1].shape
    with pytest.raises(ValueError, match="there is no run 2"):
        one.predicted_img(2)
    with pytest.raises(ValueError, match="does not tell the best band"):
        one.band_img()


def test_voxels_are_smoothed_detrended_and_cleaned_as_by_nilearn(img):
    confounds = np.random.default_rng(0).standard_normal((img.shape[-1], 2))
    mask, mean, (series,) = read_voxels([img], mask_img(), 10.0, True, [confounds], None)
    data = np.asarray(smooth_img(img, 10.0).dataobj, dtype=float)[BRAIN].T
    trend = np.column_stack([np.ones(len(data)), np.arange(len(data)), confounds])
    expected = data - trend @ np.linalg.lstsq(trend, data, rcond=None)[0]
    np.testing.assert_allclose(series, expected, atol=1e-3 * expected.std())
    np.testing.assert_array_equal(np.asarray(mask.dataobj) != 0, BRAIN)
    np.testing.assert_allclose(
        mean.get_fdata()[BRAIN], np.asarray(img.dataobj)[BRAIN].mean(axis=1), rtol=1e-6
    )


def test_the_brain_is_found_without_a_mask(img):
    data = np.random.default_rng(0).standard_normal((20, 20, 20, 30))
    data[4:16, 4:16, 4:16] += 1000
    mask, _, (series,) = read_voxels(
        [nib.Nifti1Image(data, AFFINE)], None, None, True, [None], None
    )
    found = np.asarray(mask.dataobj) != 0
    assert found[4:16, 4:16, 4:16].mean() > 0.7
    assert found.sum() == series.shape[1] <= 12**3


def test_what_cannot_be_mapped_is_refused(study, img):
    raw, rest = study.raws[0], {"mask_img": mask_img(), **OPTIONS}
    with pytest.raises(ValueError, match="1 recordings of EEG, but 2 BOLD images"):
        map_brain(raw, [img, img], **rest)
    moved = nib.Nifti1Image(np.asarray(img.dataobj), np.diag([8, 8, 8, 1]))
    with pytest.raises(ValueError, match="image 1 has grid"):
        map_brain([raw, raw], [img, moved], **rest)
    still = nib.Nifti1Image(np.ones(img.shape, np.float32), AFFINE)
    with pytest.raises(ValueError, match="no voxel of the brain mask varies"):
        map_brain(raw, still, **rest)
    with pytest.raises(TypeError, match="bold must be images or their paths, got ndarray"):
        map_brain(raw, np.asarray(img.dataobj), **rest)
    with pytest.raises(ValueError, match="smoothing_fwhm must be a width in mm or None, got -3"):
        map_brain(raw, img, smoothing_fwhm=-3, **rest)
    with pytest.raises(ValueError, match="need a list of as many confounds"):
        map_brain(raw, img, confounds=[None, None], **rest)
    with pytest.raises(TypeError, match="no options return_estimator"):
        map_brain(raw, img, return_estimator=True, **rest)
    with pytest.raises(ValueError, match="cannot be cleaned of 200 regressors"):
        map_brain(raw, img, confounds=np.ones((img.shape[-1], 198)), **rest)
    half = np.array(img.dataobj)
    half[:, :6] = 0
    with pytest.warns(UserWarning, match="voxels of the mask do not vary in every run"):
        read_voxels(
            [nib.Nifti1Image(half, AFFINE, img.header)], mask_img(), None, True, [None], None
        )
