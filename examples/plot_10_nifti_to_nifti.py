"""
From an image to a predicted image
==================================

BOLD comes as a NIfTI image, and predictions go back into one. The extraction of regions is a step
of the model here: a :class:`~sklearn.compose.TransformedTargetRegressor` with
:class:`~sklearn_beira.ROIExtractor` as its transformer. Then nothing that is done to BOLD reaches
from the training volumes to the test volumes, not even a detrending.

The recording and its images are **simulated**: the regions are cubes in an empty head.
"""

# %%
# EEG and an image
# ----------------

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from nilearn import image
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, ROIExtractor, Windower, align
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.viz import plot_predictions, plot_rois

HISTORY = 20.0  # seconds of EEG that predict a volume
run = make_eeg_fmri(duration=400.0, n_channels=16, n_rois=4, return_img=True, random_state=1)
bold_img = run.bold_imgs[0]
print("image:", bold_img.shape, " atlas:", run.atlas_img.shape, " regions:", run.labels)

# %%
# Which volumes have their history
# --------------------------------
# The image becomes an array with time first, as scikit-learn indexes samples along the first axis.
# :func:`~sklearn_beira.align` brings EEG and a table together: here the mean over the head, a row
# for each volume. ``X.volumes`` tells which volumes are kept.

bold = np.moveaxis(np.asarray(bold_img.dataobj), -1, 0)
means = bold.mean(axis=(1, 2, 3))[:, np.newaxis]
X, _ = align(run.raws[0], means, trigger="mri", tmin=-HISTORY, tmax=0.0)
volumes = bold[X.volumes]
print("X:", X.shape, " y:", volumes.shape)

# %%
# Image in, image out
# -------------------
# In ``fit``, the extractor makes a table of regions from the training volumes, and the regressor
# learns from it. In ``predict``, the predicted regions are painted back. ``check_inverse=False``
# says that this loses the voxels, which it should. A fold is taken for one stretch of time, so
# nothing is detrended and no confound is regressed out inside.

extractor = ROIExtractor(
    run.atlas_img, labels=run.labels, smoothing_fwhm=None, detrend=False, affine=bold_img.affine
)
model = TransformedTargetRegressor(
    regressor=Pipeline(
        [
            ("filter", EEGFilter(1.0, 45.0, sfreq=100.0)),
            ("window", Windower(HISTORY)),
            ("beira", BEIRARegressor(verbose=False)),
        ]
    ),
    transformer=extractor,
    check_inverse=False,
)
train, test = list(BlockedKFold(3).split(X))[-1]
predicted = model.fit(X[train], volumes[train]).predict(X[test])
print(f"trained on {len(train)} volumes, predicted {len(test)}: {predicted.shape}")

# %%
# The array becomes an image with the affine of the BOLD image. It can be saved and opened in any
# viewer.

predicted_img = nib.Nifti1Image(np.moveaxis(predicted, 0, -1), bold_img.affine)
predicted_img.header.set_zooms(bold_img.header.get_zooms())
# predicted_img.to_filename("predicted.nii.gz")
print(predicted_img.shape, predicted_img.header.get_zooms())

# %%
# How well, region by region
# --------------------------
# The fitted extractor makes tables from both images. r is over the volumes of the test block; the
# ceiling is that of the whole run, so that on a part of it r may come out above.

roi = model.transformer_
measured_rois, predicted_rois = roi.transform(volumes[test]), roi.transform(predicted)
r = pearson_r(measured_rois, predicted_rois, multioutput="raw_values")
r = pd.Series(r, index=roi.region_names_, name="r")
pd.DataFrame({"r": r, "ceiling over the run": run.truth.noise_ceiling}).round(2)

# %%
region = r.idxmax()
ax = plot_predictions(
    measured_rois[region], {"BEIRA": predicted_rois[region]}, X.times[test], region=region
)

# %%
# In the head
# -----------
# r of every region, painted into its voxels by the extractor. There is no anatomy behind this head
# of cubes, so the mean of the image stands in, which is dark outside of them; for BOLD in MNI
# space, leave ``background`` out.

fig = plot_rois(r, roi, vmax=1.0, background=image.mean_img(bold_img))

# %%
# One volume of the test block: what was measured, as percent of the mean of the training volumes,
# and what was predicted. Voxels have noise of their own; a predicted region has one value. The
# slice runs from back to front and from bottom to top, through all four cubes.

# sphinx_gallery_thumbnail_number = 3
mean = volumes[train].mean(axis=0)
atlas = np.asarray(run.atlas_img.dataobj)
at = np.argmax(np.abs(predicted_rois[region] - predicted_rois[region].mean()))
slice_ = np.flatnonzero((atlas > 0).any(axis=(1, 2)))[1]
shown = {
    "measured": 100 * (volumes[test][at] / np.where(mean > 0, mean, np.nan) - 1),
    "predicted": np.where(
        atlas > 0, 100 * (predicted[at] / np.where(mean > 0, mean, np.nan) - 1), np.nan
    ),
}
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for ax, (name, change) in zip(axes, shown.items(), strict=True):
    drawn = ax.imshow(change[slice_].T, origin="lower", cmap="RdBu_r", vmin=-4, vmax=4)
    ax.set(title=f"{name}, {X.times[test][at]:.0f} s", xticks=[], yticks=[])
    ax.set(xlabel="back to front", ylabel="bottom to top")
_ = fig.colorbar(drawn, ax=axes, label="BOLD, change from the training mean (%)")

# %%
# With your own files the atlas has a name (``atlas="harvard-oxford-subcortical"``), and the image
# is read with ``nibabel.load``. Smoothing works inside, too. Where confounds have to be regressed
# out, do that first (``nilearn.image.clean_img``), and say that the test volumes took part.
#
# r of single voxels needs no other model: :func:`nilearn.image.load_img` of both images and a
# correlation along time. But a region has one predicted series, so this asks which voxels follow
# it, and not whether the EEG knows voxels apart.
