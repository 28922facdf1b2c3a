"""
From a recording to an honest figure
====================================

This page takes EEG and BOLD, aligns them, compares BEIRA with simpler models, and looks at what
the network reads. The recording is **simulated**: its truth is known, and
no number below says anything about brains.
"""

# %%
# A recording
# -----------
# :func:`~sklearn_beira.datasets.make_eeg_fmri` returns what a simultaneous measurement gives you:
# an MNE ``Raw`` with one annotation per volume, and a table of BOLD with one row per volume.
# Here, two regions follow the alpha power of one source each, and a little of the other's.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, compare
from sklearn_beira.baselines.makers import make_band_power_ridge, make_time_polynomial
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.inspection import read_branches
from sklearn_beira.viz import plot_branches, plot_predictions
from sklearn_beira.viz.report import make_report

run = make_eeg_fmri(duration=400.0, n_rois=2, random_state=0)
print(run.DESCR)
run.bolds[0].head(3).round(2)

# %%
# A sample is a volume
# --------------------
# :func:`~sklearn_beira.align` is the only place where EEG and BOLD meet. It returns ``X``, a view
# of the EEG before each volume, and ``y``, the BOLD of these volumes. The first volumes are
# dropped from both: 20 s of EEG before them were not recorded.

HISTORY = 20.0  # seconds of EEG that predict a volume
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0)
X

# %%
# ``X`` looks like an array and can go wherever scikit-learn wants one, but it stores the recording
# once.

print("shape of X:", X.shape, " shape of y:", y.shape)

# %%
# A model and its rivals
# ----------------------
# BEIRA finds spatial filters, bands and delays in the data and reads the power behind them; the
# ridge reads the log power of every channel in fixed bands over the same 20 s; the
# last rival reads nothing but the clock, because BOLD drifts.

eeg_filter = EEGFilter(1.0, 45.0, sfreq=100.0)
models = {
    "BEIRA": Pipeline(
        [
            ("filter", eeg_filter),
            ("window", Windower(duration=HISTORY, delay=0.0)),
            ("beira", BEIRARegressor(verbose=False)),
        ]
    ),
    "ridge": Pipeline([("filter", eeg_filter), *make_band_power_ridge(HISTORY).steps]),
    "time": make_time_polynomial(),
}
models["BEIRA"]

# %%
# Compare
# -------
# :func:`~sklearn_beira.compare` predicts every volume from models that have not seen it.
# :class:`~sklearn_beira.evaluation.BlockedKFold` cuts the recording into blocks, and leaves
# out training volumes so close to a test block that they share EEG with it. Then the BOLD is
# exchanged for BOLD that has nothing to do with the EEG, a thousand times. There is one recording
# only, so that BOLD is made of the measured one, with randomized phases.

comparison = compare(models, X, y, cv=BlockedKFold(3), null="phase", verbose=False)
print(f"Pearson's r over {len(y)} volumes, predicted out of fold")
print("interval, p and p_max are BEIRA's; * where p_max, corrected over the regions, is <= .05")
comparison.summary(ceiling=run.truth.noise_ceiling)

# %%
# The interval counts neighboring volumes for what they are worth: ``n_eff`` independent ones
# instead of ``n``. ``p`` is (k + 1) / (n + 1), where k of the n draws of the null have such an r.

pooled = comparison.table.query("scope == 'pooled'")
pooled[["model", "region", "n", "n_eff", "p", "p_max"]].round(3)

# %%
print(comparison.settings["question"])

# %%
# The ceiling is the r of a perfect predictor: the rest of this BOLD is noise. It is known because
# the data are simulated; with your own data there is no such column. (It is an r over the whole
# run, drifts included; r in the table is centered within blocks.)
#
# Intervals of two models that overlap do not rank them; :func:`~sklearn_beira.paired_test` asks
# that question. See :doc:`/user_guide/validation` for what the columns mean.

fig = plt.figure(figsize=(8, 2.4), layout="constrained")
_ = comparison.plot(ceiling=run.truth.noise_ceiling, fig=fig)

# %%
fig, axes = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
for region, ax in zip(y.columns, axes, strict=True):
    plot_predictions(
        y[region],
        {name: comparison.predictions[name][region] for name in ("BEIRA", "ridge")},
        X.times,
        blocks=comparison.blocks,
        region=region,
        ax=ax,
    )
axes[0].label_outer()

# %%
# What the network reads
# ----------------------
# A branch is a spatial filter, a band-pass and the power behind it, read by a delay kernel. Every
# region has branches of its own. :func:`~sklearn_beira.inspection.read_branches` turns the weights
# into patterns: where on the scalp the signal of a branch comes from, and at which frequencies.
# Branches are sorted by how much they move the prediction of the region; two with one map and one
# band differ in their delays. This model is trained on all volumes, as nothing is scored any more.

# sphinx_gallery_thumbnail_number = 3
model = clone(models["BEIRA"]).fit(X, y)
branches = read_branches(model, X)
fig = plot_branches(branches, "Left Caudate", n_branches=3)

# %%
# Compare with the truth of the simulation: the source that drives the region, and its band.

best = np.argmax(branches.importance[y.columns.get_loc("Left Caudate")])
source = np.argmax(np.abs(run.truth.weights[y.columns.get_loc("Left Caudate")]))
peak = branches.frequencies[np.argmax(branches.frequency_patterns[best])]
similarity = abs(np.corrcoef(branches.patterns[best], run.truth.patterns[source])[0, 1])
low, high = run.truth.bands[source]
print(f"most important branch: peak at {peak:.1f} Hz; true band {low:g} to {high:g} Hz")
print(f"correlation of its scalp map with the true one: {similarity:.2f}")

# %%
# The attribute ``closed_form_`` has what the data said before the branches were made: how much of a
# region's prediction each band carries, how strongly the noise in BOLD goes on from volume to
# volume, and how well the branches that were kept follow the prediction of all of them.

start = model["beira"].closed_form_
pd.DataFrame(start.shares, index=y.columns, columns=start.bands).assign(
    autocorrelation=start.autocorrelation, kept=start.kept
).round(2)

# %%
# One file to send
# ----------------
# :func:`~sklearn_beira.viz.make_report` puts data, model, table, figures and branches into one
# HTML file that opens in any browser.

report = make_report(
    comparison, X, y, model=model, branches=branches, ceiling=run.truth.noise_ceiling
)
file = Path(tempfile.mkdtemp()) / "report.html"
report.save(file, open_browser=False, verbose="error")
print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
