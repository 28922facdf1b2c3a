"""
From your own files to X and y
==============================

You have an EEG file, a BOLD image, an atlas and a table of head motion. This page brings them
together, and shows what happens when the number of volume triggers is not the number of volumes,
which is common.

The files are written by the simulator first, so that the page runs anywhere. With your own files,
begin at `Read the files`_.
"""

# %%
# Files in the shape you have them
# --------------------------------
# One run of EEG with a trigger per volume, an ECG electrode that the amplifier stored as EEG, and
# the BOLD image. The EEG was stopped before the scanner: the last three triggers are missing.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd

from sklearn_beira import ROIExtractor, align
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.viz import plot_alignment

mne.set_log_level("warning")
study = make_eeg_fmri(duration=150.0, n_rois=4, return_img=True, random_state=1)
folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)

raw = study.raws[0]
ecg = mne.io.RawArray(
    1e-4 * rng.standard_normal((1, raw.n_times)), mne.create_info(1, 250.0, "eeg")
)
raw.add_channels([ecg.rename_channels({"0": "ECG"})], force_update_info=True)
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
# :func:`mne.io.read_raw` opens BrainVision (``.vhdr``), EEGLAB (``.set``), EDF and other formats in
# the same way. Gradient and pulse artifacts must be gone already. Look at what the file holds
# before anything else.

raw = mne.io.read_raw(folder / "sub-01_eeg.fif", preload=True)
print(raw)
print(pd.Series(raw.annotations.description).value_counts().to_string())

# %%
# Every channel of type "eeg" is used later. Say what is not EEG, and which channels are bad.

raw.set_channel_types({"ECG": "ecg"}, on_unit_change="ignore")
raw.info["bads"] = ["TP9"]

# %%
# From the image to regions
# -------------------------
# :class:`~sklearn_beira.ROIExtractor` makes one column per region. The atlas is your own label
# image here; ``atlas="harvard-oxford-subcortical"`` fetches the one of the paper. Confounds are
# those of this run: the ``rp_*.txt`` of SPM, or the table of fMRIPrep.

extractor = ROIExtractor(
    atlas=folder / "atlas.nii.gz",
    labels=folder / "atlas.csv",
    confounds=folder / "rp_sub-01.txt",
)
bold = extractor.fit_transform(folder / "sub-01_bold.nii.gz")
print(f"{len(bold)} volumes, {bold.shape[1]} regions")
bold.head(3).round(2)

# %%
# Refused
# -------
# Which volume belongs to which trigger? If the counts differ, the data cannot tell, and
# :func:`~sklearn_beira.align` does not guess: three volumes are six seconds, as much as the
# hemodynamic delay that you want to measure.

try:
    align(raw, bold, trigger="Response/R128", tmin=-20.0, tmax=0.0)
except ValueError as error:
    print("ValueError:", error)

# %%
# The fix
# -------
# Only you can know which end is missing. Was the EEG started after the scanner, or did the
# scanner drop its first volumes? Then it is ``missing="start"``. Was the EEG stopped first, as
# here? Then it is ``missing="end"``. If triggers are lost in the middle, repair them and give
# ``volume_times``, the onset of every volume in seconds. With ``t_r`` the interval of the
# triggers is checked as well.

X, y = align(raw, bold, trigger="Response/R128", missing="end", t_r=study.t_r, tmin=-20.0, tmax=0.0)
X

# %%
# The account says what was left out, and why. Keep it for the methods section.

X.alignment.T

# %%
# The index of ``y`` still names recording and volume. ``X`` and ``y`` have one row per volume
# that was kept, and can go into any of the models.

print(X.shape, y.shape)
y.head(3).round(2)

# %%
# Look before you model
# ---------------------
# :func:`~sklearn_beira.viz.plot_alignment` draws the recording, the volumes that are kept, and why
# others are not: without a marker, without 20 s of EEG before them, or with EEG that touches a
# stretch annotated as bad.

ax = plot_alignment(X)

# %%
# The same for one electrode and one region.

region = bold.columns[0]
kept = bold.index.isin(y.index.get_level_values("volume"))
times = raw.annotations.onset[raw.annotations.description == "Response/R128"]
times = times[0] + study.t_r * np.arange(len(bold))  # those without a trigger are drawn as well

fig, (ax_eeg, ax_bold) = plt.subplots(2, 1, figsize=(9, 4.4), sharex=True, layout="constrained")
oz = raw.copy().filter(1.0, 30.0).get_data("Oz")[0]
ax_eeg.plot(raw.times, 1e6 * oz, color="0.4", lw=0.4)
middle = X.times[len(X) // 2]
ax_eeg.axvspan(middle + X.tmin, middle + X.tmax, color="#E69F00", alpha=0.4, lw=0)
ax_eeg.set(ylabel="Oz (µV)", title="EEG; orange: the window that predicts the marked volume")
ax_bold.plot(times, bold[region], color="0.75", zorder=0)
ax_bold.plot(times[~kept], bold[region][~kept], "x", color="#CC79A7", label="left out")
ax_bold.plot(times[kept], bold[region][kept], ".", color="#0072B2", label="kept")
ax_bold.plot(middle, y[region].iloc[len(X) // 2], "o", ms=10, mfc="none", mec="#E69F00", mew=2)
ax_bold.set(xlabel="time (s)", ylabel="BOLD (a.u.)", title=region)
ax_bold.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
for ax in (ax_eeg, ax_bold):
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Several runs go in as lists, ``align([raw_1, raw_2], [bold_1, bold_2], ...)``; ``X.groups`` then
# says which run a volume is from, and no window or block spans two of them.
