"""
From an image to a predicted image
==================================

BOLD comes as a NIfTI image, and predictions return to one. The extraction of regions is a step of
the model here: a :class:`~sklearn.compose.TransformedTargetRegressor` with
:class:`~sklearn_beira.ROIExtractor` as its transformer. Nothing done to BOLD reaches from training
to test volumes, not even detrending.

The recording and its images are **simulated**: the regions are cubes in an empty head.
"""

# %%
# EEG and an image
# ----------------

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn import image
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    EEGFilter,
    ROIExtractor,
    Windower,
    align,
    make_eeg_fmri,
    pearson_r,
    plot_rois,
    plot_time_course,
)

HISTORY = 20.0  # seconds of EEG that predict a volume
run = make_eeg_fmri(duration=400.0, n_channels=16, n_rois=4, return_img=True, random_state=1)
bold_img = run.bold_imgs[0]
print("image:", bold_img.shape, " regions:", run.labels)

# %%
# Align
# -----
# scikit-learn indexes samples along the first axis, so time comes first.
# :func:`~sklearn_beira.align` needs a table, here the mean over the head. ``X.volumes`` numbers
# the volumes that are kept.

bold = np.moveaxis(np.asarray(bold_img.dataobj), -1, 0)
means = bold.mean(axis=(1, 2, 3))[:, np.newaxis]
X, _ = align(run.raws[0], means, trigger="mri", tmin=-HISTORY, tmax=0.0)
volumes = bold[X.volumes]
print("X:", X.shape, " y:", volumes.shape)

# %%
# Image in, image out
# -------------------
# In ``fit``, the extractor makes a table of regions from the training volumes. In ``predict``, it
# paints the predicted regions back. ``check_inverse=False`` accepts that voxels are lost.

extractor = ROIExtractor(
    run.atlas_img, labels=run.labels, smoothing_fwhm=None, detrend=False, affine=bold_img.affine
)
model = TransformedTargetRegressor(
    regressor=make_pipeline(
        EEGFilter(1.0, 45.0, sfreq=100.0), Windower(HISTORY), BEIRARegressor(verbose=False)
    ),
    transformer=extractor,
    check_inverse=False,
)
train, test = list(BlockedKFold(3).split(X))[-1]
predicted = model.fit(X[train], volumes[train]).predict(X[test])
predicted_img = nib.Nifti1Image(np.moveaxis(predicted, 0, -1), bold_img.affine)
print(f"trained on {len(train)} volumes, predicted {len(test)}: {predicted_img.shape}")

# %%
# Scores
# ------
# The fitted extractor makes tables from both images. The ceiling is that of the whole run, so r on
# a part may lie above it.

roi = model.transformer_
measured_rois, predicted_rois = roi.transform(volumes[test]), roi.transform(predicted)
r = pearson_r(measured_rois, predicted_rois, multioutput="raw_values")
r = pd.Series(r, index=roi.region_names_, name="r")
pd.DataFrame({"r": r, "ceiling over the run": run.truth.noise_ceiling}).round(2)

# %%
region = r.idxmax()
ax = plot_time_course(
    measured_rois[region], {"BEIRA": predicted_rois[region]}, X.times[test], region=region
)

# %%
# In the head
# -----------
# r of every region in its voxels. This head has no anatomy, so the mean image is the background.
# For BOLD in MNI space, leave ``background`` out.

# sphinx_gallery_thumbnail_number = 2
fig = plot_rois(r, roi, vmax=1.0, background=image.mean_img(bold_img))

# %%
# With your own files, use ``atlas="harvard-oxford-subcortical"`` and ``nibabel.load``. Smoothing
# works inside the model. If confounds must be regressed out, do it first
# (``nilearn.image.clean_img``) and report that test volumes took part. A region has one predicted
# series, so voxels are not distinguished.
