"""
From a recording to an honest figure
====================================

This page takes EEG and BOLD, aligns them, cross-validates a small BEIRA beside its linear rival,
and looks at what the network has learned. The recording is **simulated**: its truth is known, and
no number below says anything about brains.
"""

# %%
# A recording
# -----------
# :func:`~sklearn_beira.datasets.make_eeg_fmri` returns what a simultaneous measurement gives you:
# an MNE ``Raw`` with one annotation per volume, and a table of BOLD with one row per volume.
# Here, two regions follow the alpha power of one source each, and a little of the other's.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, Windower, align, make_compact_beira
from sklearn_beira.baselines import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.features import BANDS
from sklearn_beira.inspection import read_branches
from sklearn_beira.metrics import pearson_r
from sklearn_beira.model_selection import BlockedKFold
from sklearn_beira.viz import plot_branches, plot_predictions, plot_scores

run = make_eeg_fmri(duration=400.0, n_rois=2, random_state=0)
print(run.DESCR)
run.bolds[0].head(3).round(2)

# %%
# A sample is a volume
# --------------------
# :func:`~sklearn_beira.align` is the only place where EEG and BOLD meet. It returns ``X``, a view
# of the EEG before each volume, and ``y``, the BOLD of these volumes. The first volumes are
# dropped from both: 16 s of EEG before them were not recorded.

HISTORY = 16.0  # seconds of EEG that predict a volume
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0)
X

# %%
# ``X`` looks like an array and can go wherever scikit-learn wants one, but it stores the recording
# once.

print("shape of X:", X.shape, " shape of y:", y.shape)

# %%
# Two models
# ----------
# Both see the same filtered EEG. The compact BEIRA learns its spatial filters and band-passes; the
# ridge reads log power of every channel in fixed bands. To keep this page fast, the EEG is reduced
# to 64 Hz, and the network has 8 branches and 40 epochs instead of 16 and 60.

eeg_filter = EEGFilter(1.0, 30.0, sfreq=64.0)
bands = {name: band for name, band in BANDS.items() if band[1] <= 30.0}
models = {
    "BEIRA": Pipeline(
        [
            ("filter", eeg_filter),
            ("window", Windower(duration=HISTORY, delay=0.0)),
            (
                "beira",
                make_compact_beira(n_branches=8, max_epochs=40, random_state=0, verbose=False),
            ),
        ]
    ),
    "ridge": Pipeline([("filter", eeg_filter), *make_band_power_ridge(HISTORY, bands=bands).steps]),
}
models["BEIRA"]

# %%
# Predict volumes that the model has not seen
# -------------------------------------------
# :class:`~sklearn_beira.model_selection.BlockedKFold` cuts the recording into blocks and predicts
# each from the others. Training volumes closer than ``gap`` seconds to the test block are left out,
# because they share EEG with it.

cv = BlockedKFold(4, gap=HISTORY)
predictions = {name: cross_val_predict(model, X, y, cv=cv) for name, model in models.items()}
scores = pd.DataFrame(
    {name: pearson_r(y, p, multioutput="raw_values") for name, p in predictions.items()},
    index=y.columns,
)
scores["ceiling"] = run.truth.noise_ceiling
print(f"Pearson's r over {len(y)} volumes, predicted out of fold:")
scores.round(2)

# %%
# The ceiling is the r of a perfect predictor: the rest of this BOLD is noise. It is known because
# the data are simulated; with your own data there is no such column.
#
# A few hundred autocorrelated volumes cannot rank two models that are this close. See
# :doc:`/user_guide/validation` for what an r on so many volumes can say.

fig, axes = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
for column, ax in enumerate(axes):
    plot_predictions(
        y.iloc[:, column],
        {name: p[:, column] for name, p in predictions.items()},
        X.times,
        region=y.columns[column],
        ax=ax,
    )
axes[0].label_outer()

# %%
ax = plot_scores(scores[["BEIRA", "ridge"]], ceiling=scores["ceiling"])

# %%
# What the network reads
# ----------------------
# A branch is a spatial filter, a band-pass and the power behind it.
# :func:`~sklearn_beira.inspection.read_branches` turns its weights into patterns: where on the
# scalp its signal comes from, and at which frequencies. Branches are sorted by how much they move
# the prediction of the region. This model is trained on all volumes, as nothing is scored any
# more.

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
