"""
A map of the brain
==================

:func:`~sklearn_beira.map_brain` takes a NIfTI image and the EEG, and tells for every voxel how well
EEG predicts it, with a p that is corrected over the whole brain.

The recording and its image are **simulated**: noise that is smooth in space and time, in a brain of
voxels of 10 mm, and two patches that follow the EEG. Nothing here is a claim about brains.
"""

# %%
# A brain with two patches
# ------------------------
# BOLD in the first patch follows the power of an alpha source, in the second that of a beta source.

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from scipy.ndimage import gaussian_filter

from sklearn_beira import make_eeg_fmri, map_brain, plot_brain_map

T_R = 2.0
PATCHES = {"left, back": (-20, -80, 5), "right, front": (40, 10, 30)}  # centers in mm
run = make_eeg_fmri(
    duration=420.0,
    t_r=T_R,
    n_channels=8,
    n_rois=2,
    bands=[(8, 12), (15, 20)],
    noise_ceiling=0.9,
    random_state=0,
)
mask_img, anatomy = load_mni152_brain_mask(resolution=10), load_mni152_template(resolution=10)
brain = np.asarray(mask_img.dataobj) != 0
bold = run.bolds[0].to_numpy()
bold = (bold - bold.mean(axis=0)) / bold.std(axis=0)

rng = np.random.default_rng(0)
voxels = rng.standard_normal((len(bold), *brain.shape))
for volume in range(len(voxels)):
    voxels[volume] = 5.0 * gaussian_filter(voxels[volume], 1.0)
    voxels[volume] += 0.6 * voxels[volume - 1] if volume else 0.0
millimeters = nib.affines.apply_affine(mask_img.affine, np.argwhere(brain))
for center, series in zip(PATCHES.values(), bold.T, strict=True):
    near = np.zeros(brain.shape, dtype=bool)
    near[brain] = np.linalg.norm(millimeters - center, axis=1) < 14
    voxels[:, near] += 2.0 * series[:, np.newaxis]
data = np.where(brain, 100.0 * np.asarray(anatomy.dataobj) + voxels, 0.0)
bold_img = nib.Nifti1Image(np.moveaxis(data, 0, -1).astype(np.float32), mask_img.affine)
bold_img.header.set_xyzt_units("mm", "sec")
bold_img.header.set_zooms((10.0, 10.0, 10.0, T_R))
bold_img.set_sform(mask_img.affine, code="mni")
print("image:", bold_img.shape, " voxels of the brain:", brain.sum())

# %%
# The map
# -------
# Each voxel is predicted by models that have not seen the volumes they predict. By default they are
# a :class:`~sklearn_beira.WholeBrainRegressor`; any regressor for many targets can be given as
# ``model``.

brain_map = map_brain(run.raws[0], bold_img, mask_img=mask_img, trigger="mri", verbose=False)
print(brain_map.headline())
brain_map.summary()

# %%
# Voxels with a ``p_max`` of at most .05 are colored. If EEG predicted no voxel at all, at most
# one study in twenty would show any.

fig = plot_brain_map(brain_map)

# %%
# The same on slices of the mean BOLD image.

fig = plot_brain_map(brain_map, view="slices")

# %%
# What the predictions rest on: the frequency band, and the delay from EEG to BOLD. BOLD of the
# simulation follows the hemodynamic response, which peaks after 5 s.

fig = plot_brain_map(brain_map, "band")
fig = plot_brain_map(brain_map, "delay")

# %%
# Without the limit, r of all voxels shows how much chance there is in a map: voxels without
# coupling reach an r of .4 in these seven minutes.

fig = plot_brain_map(brain_map, view="slices", alpha=None)

# %%
# Images
# ------
# Maps and predictions are NIfTI images, for nilearn or any other program. ``to_folder`` writes
# them all, with tables and settings, :meth:`BrainMap.from_folder
# <sklearn_beira.BrainMap.from_folder>` reads them again, and ``to_html`` makes a page with an
# interactive view.

predicted_img = brain_map.predicted_img()
print("r:", brain_map.r_img().shape, " predicted BOLD:", predicted_img.shape)
