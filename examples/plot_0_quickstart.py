"""
From a recording to an honest score
===================================

Align EEG and BOLD, compare BEIRA with simpler models, and read what the model learned. The
recording is **simulated**: its truth is known, and no number says anything about brains.
"""

# %%
# A recording
# -----------
# :func:`~sklearn_beira.make_eeg_fmri` returns what a simultaneous measurement gives: an MNE
# ``Raw`` with one annotation per volume, and a table of BOLD with one row per volume. Two regions
# follow the alpha power of one source each, and a little of the other's.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    EEGFilter,
    Windower,
    align,
    compare,
    make_band_power_ridge,
    make_eeg_fmri,
    make_report,
    make_time_polynomial,
    plot_branches,
    plot_predictions,
    read_branches,
)

run = make_eeg_fmri(duration=400.0, n_rois=2, random_state=0)
run.bolds[0].head(3).round(2)

# %%
# One sample is one volume
# ------------------------
# :func:`~sklearn_beira.align` returns ``X``, a view of the EEG before each volume, and ``y``, the
# BOLD of these volumes. The first volumes have no 20 s of EEG before them and are dropped.

HISTORY = 20.0  # seconds of EEG that predict a volume
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0)
print("X:", X.shape, " y:", y.shape)

# %%
# A model and two baselines
# -------------------------
# BEIRA learns spatial filters, bands and delays. The ridge reads the log power of every channel in
# fixed bands over the same 20 s. The polynomial reads only the time, because BOLD drifts.

eeg_filter = EEGFilter(1.0, 45.0, sfreq=100.0)
models = {
    "BEIRA": make_pipeline(eeg_filter, Windower(HISTORY), BEIRARegressor(verbose=False)),
    "ridge": make_pipeline(eeg_filter, make_band_power_ridge(HISTORY)),
    "time": make_time_polynomial(),
}
models["BEIRA"]

# %%
# Compare
# -------
# :func:`~sklearn_beira.compare` predicts every volume with models that have not seen it.
# :class:`~sklearn_beira.BlockedKFold` drops training volumes that share EEG with a test block.
# There is one recording, so surrogate BOLD is the measured BOLD with random phases.

cv = BlockedKFold(3)
comparison = compare(models, X, y, cv=cv, null="phase", verbose=False)
comparison.summary(ceiling=run.truth.noise_ceiling)

# %%
# ``p_max`` is corrected over regions, and * marks values up to .05. The interval uses ``n_eff``,
# the number of independent volumes. The ceiling, the r of a perfect predictor, is known only in
# simulations. :doc:`/user_guide/validation` explains every column.

print(comparison.settings["question"])
fig = plt.figure(figsize=(8, 2.4), layout="constrained")
_ = comparison.plot(ceiling=run.truth.noise_ceiling, fig=fig)

# %%
region = "Left Caudate"
fig = plot_predictions(comparison, region, models=["BEIRA", "ridge"])

# %%
# What the model reads
# --------------------
# A branch is a spatial filter, a band-pass and its power, read by a delay kernel.
# :func:`~sklearn_beira.read_branches` turns weights into patterns: where on the scalp the signal
# comes from, and at which frequencies. This model is fitted to all volumes, and again in every
# fold: only branches in color help to predict held-out volumes and return in every fold.

# sphinx_gallery_thumbnail_number = 3
model = models["BEIRA"].fit(X, y)
branches = read_branches(model, X, y, cv=cv)
fig = plot_branches(branches, region, n_branches=3)

# %%
# The truth of the simulation: the source of the region and its band.

best = np.argmax(branches.importance[y.columns.get_loc(region)])
peak = branches.frequencies[np.argmax(branches.frequency_patterns[best])]
similarity = abs(np.corrcoef(branches.patterns[best], run.truth.patterns[0])[0, 1])
low, high = run.truth.bands[0]
print(f"peak at {peak:.1f} Hz; true band {low:g} to {high:g} Hz")
print(f"correlation of the scalp map with the true one: {similarity:.2f}")

# %%
# ``closed_form_`` shows how much of the prediction each band carries, and the autocorrelation of
# the noise in BOLD.

start = model[-1].closed_form_
pd.DataFrame(start.shares, index=y.columns, columns=start.bands).assign(
    autocorrelation=start.autocorrelation
).round(2)

# %%
# A report
# --------
# :func:`~sklearn_beira.make_report` writes data, scores, figures and branches to one HTML file.

report = make_report(comparison, X, model=model, branches=branches)
file = Path(tempfile.mkdtemp()) / "report.html"
report.save(file, open_browser=False, verbose="error")
print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
