"""
Search for the delay, and let the search fail
=============================================

How long before a volume lies the EEG that predicts it? A grid search answers, and is a test of the
data at the same time: EEG *after* the volume cannot cause it. If the best delay is negative, EEG
and BOLD are misaligned, or the test leaks.

The recording is **simulated**, with the canonical hemodynamic response: the curves below say
nothing about brains. A ridge on band power keeps the page fast; the search is the same for BEIRA.
"""

# %%
# History and future
# ------------------
# The search looks through windows of 4 s. The earliest ends 10 s before the volume, the latest
# 8 s after its onset. ``tmin`` and ``tmax`` keep that much EEG around each volume, so that every
# delay is scored on the same volumes.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, align
from sklearn_beira.baselines import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.metrics import pearson_r, pearson_r_scorer
from sklearn_beira.model_selection import BlockedKFold

run = make_eeg_fmri(duration=480.0, n_channels=16, n_rois=2, random_state=0)
DURATION = 4.0
delays = np.arange(-8.0, 11.0, 2.0)
span = {"tmin": -(delays.max() + DURATION), "tmax": -delays.min()}
X, y = align(run.raws, run.bolds, trigger="mri", **span)
X

# %%
# Search inside, score outside
# ----------------------------
# The best of ten delays is best partly by luck, so its score in the search is too good. The last
# quarter of the recording is set apart before the search begins, and is predicted once, with the
# delay that the search chose. The gap is the whole span of EEG that any grid point can see.
#
# The delay is a parameter of the step ``window``. Trying another one costs no memory: ``Windower``
# only moves the view.

gap = span["tmax"] - span["tmin"]
train, test = list(BlockedKFold(4, gap=gap).split(X))[-1]
model = Pipeline(
    [
        ("filter", EEGFilter(1.0, 30.0, sfreq=64.0)),
        *make_band_power_ridge(
            DURATION, bands={"theta": (4, 8), "alpha": (8, 12), "beta": (12, 30)}, step=DURATION
        ).steps,
    ]
)
search = GridSearchCV(
    model, {"window__delay": delays}, cv=BlockedKFold(4, gap=gap), scoring=pearson_r_scorer
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
# The same search on misaligned data
# ----------------------------------
# Suppose the EEG was stopped four volumes before the scanner, and somebody said that the triggers
# are missing at the start. Every volume is now given the time of the fourth volume before it.

raw = run.raws[0].copy()
raw.annotations.delete(np.flatnonzero(raw.annotations.description == "mri")[-4:])
X_wrong, y_wrong = align(raw, run.bolds[0], trigger="mri", missing="start", **span)
wrong = clone(search).fit(X_wrong, y_wrong)
print(f"best delay: {wrong.best_params_['window__delay']:g} s")
print(f"r in the search, mean of 4 folds: {wrong.best_score_:.2f}")

# %%
# A flexible search finds the EEG wherever it is, so r alone need not show the mistake. The delay
# does: it is negative.


def plot_delays(search, color, label, ax):
    """Draw the score over delays: mean as a line, folds as dots."""
    results = search.cv_results_
    folds = np.array([results[f"split{k}_test_score"] for k in range(search.n_splits_)])
    ax.plot(np.tile(delays, (len(folds), 1)), folds, ".", color=color, alpha=0.4, ms=5)
    ax.plot(delays, results["mean_test_score"], "o-", color=color, label=label)


fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
ax.axvspan(delays[0] - 1, 0, color="0.93", lw=0, zorder=0)
ax.axhline(0, color="0.6", lw=0.8)
plot_delays(search, "#0072B2", "aligned", ax)
plot_delays(wrong, "#E69F00", "four volumes off", ax)
ax.margins(y=0.12)
ax.annotate(
    "the window ends after the volume", (-8.7, 1), xycoords=("data", "axes fraction"), va="top"
)
ax.set(
    xlim=(-9, 11),
    xlabel="delay from the end of the window to the volume (s)",
    ylabel="Pearson's r in the search\n(line: mean; dots: folds)",
)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# For BEIRA, replace ``model`` by ``Pipeline([("filter", ...), ("window", Windower(DURATION)),
# ("beira", make_compact_beira())])``; nothing else changes. A network trains once per delay and
# fold: search few delays, or find the delay with the ridge.
