"""
From your own files to X and y
==============================

You have an EEG file, a BOLD image, an atlas and a table of head motion. This example combines
them, and shows what to do if triggers and volumes differ in number.

The simulator writes the files, so that the example runs anywhere. With your own files, start at
`Read the files`_.
"""

# %%
# Files
# -----
# One run of EEG with a trigger per volume, an ECG electrode stored as EEG, and the BOLD image. The
# EEG stopped before the scanner: the last three triggers are missing.

import tempfile
from pathlib import Path

import mne
import numpy as np
import pandas as pd

from sklearn_beira import ROIExtractor, align, make_eeg_fmri, plot_alignment

mne.set_log_level("warning")
study = make_eeg_fmri(duration=150.0, n_rois=4, return_img=True, random_state=1)
folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)

raw = study.raws[0]
info = mne.create_info(["ECG"], raw.info["sfreq"], "eeg")
ecg = mne.io.RawArray(1e-4 * rng.standard_normal((1, raw.n_times)), info)
raw.add_channels([ecg], force_update_info=True)
raw.annotations.delete(np.flatnonzero(raw.annotations.description == "mri")[-3:])
raw.annotations.rename({"mri": "Response/R128"})
raw.annotations.append(70.0, 1.5, "BAD_movement")
raw.save(folder / "sub-01_eeg.fif", verbose="error")

study.bold_imgs[0].to_filename(folder / "sub-01_bold.nii.gz")
study.atlas_img.to_filename(folder / "atlas.nii.gz")
pd.DataFrame({"index": range(1, 5), "name": study.labels}).to_csv(folder / "atlas.csv", index=False)
motion = np.cumsum(0.01 * rng.standard_normal((len(study.bolds[0]), 6)), axis=0)
np.savetxt(folder / "rp_sub-01.txt", motion)
print(*sorted(path.name for path in folder.iterdir()), sep="\n")

# %%
# Read the files
# --------------
# :func:`mne.io.read_raw` opens BrainVision (``.vhdr``), EEGLAB (``.set``), EDF and other formats.
# Gradient and pulse artifacts must be gone already. Look at the file first.

raw = mne.io.read_raw(folder / "sub-01_eeg.fif", preload=True)
print(raw)
pd.Series(raw.annotations.description).value_counts()

# %%
# Every channel of type "eeg" is used. Declare what is not EEG, and which channels are bad.

raw.set_channel_types({"ECG": "ecg"}, on_unit_change="ignore")
raw.info["bads"] = ["TP9"]

# %%
# From the image to regions
# -------------------------
# :class:`~sklearn_beira.ROIExtractor` makes one column per region. The atlas is a label image
# here; ``atlas="harvard-oxford-subcortical"`` downloads the one of the paper. Confounds are the
# ``rp_*.txt`` of SPM, or the table of fMRIPrep.

extractor = ROIExtractor(
    atlas=folder / "atlas.nii.gz",
    labels=folder / "atlas.csv",
    confounds=folder / "rp_sub-01.txt",
)
bold = extractor.fit_transform(folder / "sub-01_bold.nii.gz")
print(f"{len(bold)} volumes, {bold.shape[1]} regions")

# %%
# Align
# -----
# Which trigger belongs to which volume? If the numbers differ, :func:`~sklearn_beira.align` does
# not guess: three volumes are six seconds, as long as the hemodynamic delay.

try:
    align(raw, bold, trigger="Response/R128", tmin=-20.0, tmax=0.0)
except ValueError as error:
    print("ValueError:", error)

# %%
# Only you know which end is missing. If the EEG started after the scanner, use
# ``missing="start"``. If it stopped first, as here, use ``missing="end"``. If triggers are lost in
# the middle, repair them and give ``volume_times``. With ``t_r``, the interval between triggers is
# checked as well.

X, y = align(raw, bold, trigger="Response/R128", missing="end", t_r=study.t_r, tmin=-20.0, tmax=0.0)
X.alignment.T

# %%
# This table belongs in the methods section. The index of ``y`` names recording and volume.

print(X.shape, y.shape)
y.head(3).round(2)

# %%
# Look before you model
# ---------------------
# :func:`~sklearn_beira.plot_alignment` shows which volumes are kept and why others are not: no
# marker, no 20 s of EEG before them, or EEG in a bad stretch.

ax = plot_alignment(X)

# %%
# Several runs are lists: ``align([raw_1, raw_2], [bold_1, bold_2], ...)``. ``X.groups`` holds the
# run of each volume.
