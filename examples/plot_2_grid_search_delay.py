"""
Search for the delay, and let the search fail
=============================================

How long before a volume lies the EEG that predicts it? A curve over delays answers, and is a test
of the data at the same time: EEG *after* the volume cannot cause it. If the best delay is negative,
EEG and BOLD are misaligned, or the test leaks.

The recording is **simulated**, with the canonical hemodynamic response: the curves below say
nothing about brains. A ridge on band power keeps the page fast; any model can be searched so.
"""

# %%
# History and future
# ------------------
# The model looks through windows of 4 s. The earliest ends 10 s before the volume, the latest
# 8 s after its onset. ``tmin`` and ``tmax`` keep that much EEG around each volume, so that every
# delay is scored on the same volumes.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, align, delay_curve
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r, pearson_r_scorer
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.viz import plot_delay_curve

run = make_eeg_fmri(duration=480.0, n_channels=16, n_rois=2, random_state=0)
DURATION = 4.0
delays = np.arange(-8.0, 11.0, 2.0)
span = {"tmin": -(delays.max() + DURATION), "tmax": -delays.min()}
X, y = align(run.raws, run.bolds, trigger="mri", **span)
X

# %%
# The curve
# ---------
# :func:`~sklearn_beira.delay_curve` compares the same model at every delay, on the same folds.
# Trying another delay costs no memory: ``Windower`` only moves the view. The gap between test and
# training is the whole span of EEG that any delay can see; that is what ``BlockedKFold()`` takes by
# default.
#
# The highest point of a curve is highest partly by luck. So ``p_max`` is corrected over delays and
# regions here: in every draw of the null, it looks at the highest point of the whole curve.

model = Pipeline(
    [
        ("filter", EEGFilter(1.0, 30.0, sfreq=64.0)),
        *make_band_power_ridge(
            DURATION, bands={"theta": (4, 8), "alpha": (8, 12), "beta": (12, 30)}, step=DURATION
        ).steps,
    ]
)
options = {"cv": BlockedKFold(4), "null": "phase", "n_surrogates": 500, "verbose": False}
curve = delay_curve(model, X, y, delays, **options)
pooled = curve.table.query("scope == 'pooled'")
pooled.pivot(index="delay", columns="region", values=["r", "p_max"]).round(3)

# %%
# The same curve on misaligned data
# ---------------------------------
# Suppose the EEG was stopped four volumes before the scanner, and somebody said that the triggers
# are missing at the start. Every volume is now given the time of the fourth volume before it.

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
# Filled points pass ``p_max``. A flexible model finds the EEG wherever it is, so r alone need not
# show the mistake. The delay does: the peak has moved by the time of four volumes, to negative
# delays.
#
# Search inside, score outside
# ----------------------------
# To use the best delay and to report one r, choose it by a search inside the training data. The
# last quarter of the recording is set apart before the search begins, and is predicted once, with
# the delay that the search chose. The delay is a parameter of the step ``window``.

train, test = list(BlockedKFold(4).split(X))[-1]
search = GridSearchCV(
    model, {"window__delay": delays}, cv=BlockedKFold(4), scoring=pearson_r_scorer
)
search.fit(X[train], y.iloc[train])
best = search.best_params_["window__delay"]
print(
    f"best delay: {best:g} s, a window from {best + DURATION:g} s to {best:g} s before the volume"
)
print(f"r in the search, mean of 4 folds: {search.best_score_:.2f}")

# %%
# The honest figure is that of the volumes set apart:

r = pearson_r(y.iloc[test], search.predict(X[test]), multioutput="raw_values")
print(f"r on {len(test)} volumes that the search has not seen:")
pd.Series(r, index=y.columns).round(2)

# %%
# It may come out above or below the figure of the search: on so few volumes, chance moves it by
# more than the choice of the delay does. The two steps are still not optional, because the bias
# of the search always goes one way.
#
# ``compare({"search": search}, X, y)`` does the same in every fold and gives interval and null, and
# the column ``params`` tells which delay each fold chose. ``null_test(search, X, y)`` repeats the
# search in every draw: the cost is that of the search times the number of draws.

# %%
# BEIRA needs no such search: give it ``Windower(20.0)``, which holds the canonical response. Its
# delay kernels, one per branch, adapt to the region inside the window. The published network
# (:func:`~sklearn_beira.make_paper_beira`) has one delay, and can be searched as ``model`` is here.
# It trains once per delay and fold: try few delays, or find the delay with the ridge.
