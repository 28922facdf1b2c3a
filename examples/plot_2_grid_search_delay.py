"""
Search for the delay
====================

How long before a volume is the EEG that predicts it? A curve over delays answers, and tests the
data: EEG *after* the volume cannot cause it. If the best delay is negative, EEG and BOLD are
misaligned or the test leaks.

The recording is **simulated**, with the canonical hemodynamic response. The curves say nothing
about brains.
"""

# %%
# History and future
# ------------------
# Windows of 4 s end between 10 s before and 8 s after the volume. ``tmin`` and ``tmax`` keep
# enough EEG for all of them, so every delay is scored on the same volumes.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import (
    BlockedKFold,
    EEGFilter,
    align,
    delay_curve,
    make_band_power_ridge,
    make_eeg_fmri,
    pearson_r,
    pearson_r_scorer,
    plot_delay_curve,
)

run = make_eeg_fmri(duration=480.0, n_channels=16, n_rois=2, random_state=0)
DURATION = 4.0
delays = np.arange(-8.0, 11.0, 2.0)
span = {"tmin": -(delays.max() + DURATION), "tmax": -delays.min()}
X, y = align(run.raws, run.bolds, trigger="mri", **span)

# %%
# The curve
# ---------
# :func:`~sklearn_beira.delay_curve` compares the same model at every delay, on the same folds. The
# highest point is highest partly by luck, so ``p_max`` is corrected over delays and regions.

bands = {"theta": (4, 8), "alpha": (8, 12), "beta": (12, 30)}
ridge = make_band_power_ridge(DURATION, bands=bands, step=DURATION)
model = Pipeline([("filter", EEGFilter(1.0, 30.0, sfreq=64.0)), *ridge.steps])
options = {"cv": BlockedKFold(4), "null": "phase", "n_surrogates": 500, "verbose": False}
curve = delay_curve(model, X, y, delays, **options)
pooled = curve.table.query("scope == 'pooled'")
pooled.pivot(index="delay", columns="region", values=["r", "p_max"]).round(3)

# %%
# Misaligned data
# ---------------
# Suppose the EEG stopped four volumes before the scanner, and somebody said that triggers are
# missing at the start. Every volume now has the time of the fourth volume before it.

raw = run.raws[0].copy()
raw.annotations.delete(np.flatnonzero(raw.annotations.description == "mri")[-4:])
X_wrong, y_wrong = align(raw, run.bolds[0], trigger="mri", missing="start", **span)
wrong = delay_curve(model, X_wrong, y_wrong, delays, **options)

fig = plt.figure(figsize=(9, 3.6), layout="constrained")
left, right = fig.subfigures(1, 2)
plot_delay_curve(curve, fig=left)
plot_delay_curve(wrong, fig=right)
left.suptitle("aligned")
_ = right.suptitle("four volumes off")

# %%
# Filled points have a ``p_max`` of at most .05. r alone need not show the mistake, because a
# flexible model finds the EEG wherever it is. The delay shows it: the peak moved to negative
# delays.

# %%
# Search inside, score outside
# ----------------------------
# To use the best delay and report one r, search inside the training data. The last quarter of the
# recording is set apart first and predicted once.

train, test = list(BlockedKFold(4).split(X))[-1]
search = GridSearchCV(
    model, {"window__delay": delays}, cv=BlockedKFold(4), scoring=pearson_r_scorer
)
search.fit(X[train], y.iloc[train])
print(f"best delay: {search.best_params_['window__delay']:g} s")
print(f"r in the search, mean of 4 folds: {search.best_score_:.2f}")

# %%
# The honest score is that of the volumes set apart:

r = pearson_r(y.iloc[test], search.predict(X[test]), multioutput="raw_values")
pd.Series(r, index=y.columns, name=f"r on {len(test)} volumes").round(2)

# %%
# On so few volumes, chance moves r by more than the choice of the delay does. The search is still
# biased in one direction only. ``compare({"search": search}, X, y)`` searches in every fold, and
# ``null_test(search, X, y)`` searches in every draw.
#
# The default BEIRA needs no such search: ``Windower(20.0)`` holds the response, and its delay
# kernels adapt inside the window. The published network has one delay, which can be searched like
# this.
