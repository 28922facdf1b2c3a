"""
The network and its rivals
==========================

A network that predicts BOLD has shown little before simpler models have had their chance on the
same volumes. This page sets BEIRA beside the linear rivals of
:mod:`sklearn_beira.baselines`: one call, one table, one figure.

The recording is **simulated**, short and with few electrodes, so that the page is fast. Which model
wins here says nothing about which wins on your data.
"""

# %%
# The models
# ----------
# :func:`~sklearn_beira.baselines.make_baselines` makes all linear rivals that can run on this
# computer. Three of them rest on packages of the extra ``rivals`` and are left out where these are
# missing; ``extras="all"`` would say which. The sparse group lasso is left out of this page: it
# compiles itself first, and takes longer than all others together. All look back
# 20 s, and have otherwise the settings they come with.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, compare, paired_test
from sklearn_beira.baselines.makers import make_baselines
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.splitters import BlockedKFold

HISTORY = 20.0  # seconds
run = make_eeg_fmri(duration=240.0, n_channels=8, n_rois=2, random_state=0)
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)

rivals = make_baselines(duration=HISTORY)
rivals.pop("sparse_group_lasso", None)
models = {
    "BEIRA": Pipeline([("window", Windower(HISTORY)), ("beira", BEIRARegressor(verbose=False))]),
    **rivals,
}
print(*models, sep="\n")

# %%
# One call
# --------
# All models get the same folds and the same draws of the null. With ``cache="folder"``, every model
# and fold is kept as soon as it is done, and a run that was stopped continues.

comparison = compare(
    models, X, y, cv=BlockedKFold(3), null="phase", n_surrogates=500, verbose=False
)
pooled = comparison.table.query("scope == 'pooled'")
columns = ["model", "region", "r", "ci_low", "ci_high", "n_eff", "p", "p_max", "fit_time"]
pooled[columns].round(3)

# %%
# "mean" predicts the training mean, which is constant within a block: its r is 0 and its p 1.
# "time_polynomial" reads only the clock. What these two reach owes nothing to the EEG. "alpha_hrf"
# convolves alpha power with the canonical response, which is how this simulation makes its BOLD: it
# has an advantage here that it need not have elsewhere. A dotted line across the figure says that
# there are too few effective volumes for an interval.

fig = plt.figure(figsize=(8, 4), layout="constrained")
_ = comparison.plot(ceiling=run.truth.noise_ceiling, fig=fig)

# %%
# Is one better than another?
# ---------------------------
# Look at differences, not at whether intervals overlap: all models predict the same volumes, so
# their errors go together. :func:`~sklearn_beira.paired_test` compares them fold by fold and allows
# for the training data that folds share. With several subjects it compares subject by subject.

readers = [name for name in rivals if name not in ("mean", "time_polynomial")]
pairs = {rival: paired_test(comparison, "BEIRA", rival).loc["mean"] for rival in readers}
pairs = pd.DataFrame(pairs).T.drop(columns="unit").astype(float)
pairs.round(3)

# %%
fig, ax = plt.subplots(figsize=(7, 0.6 + 0.32 * len(pairs)), layout="constrained")
ax.axvline(0, color="0.6", lw=0.8)
ax.hlines(range(len(pairs)), pairs["ci_low"], pairs["ci_high"], color="#0072B2", lw=1.2)
ax.plot(pairs["difference_z"], range(len(pairs)), "o", color="#0072B2")
ax.set_yticks(range(len(pairs)), pairs.index)
ax.set(xlabel="BEIRA minus rival (Fisher's z, mean over regions, 95 % interval)")
ax.spines[["top", "right"]].set_visible(False)

# %%
# Three folds of a few minutes decide little, and the wide intervals say so.
#
# Once you have seen such a table, the best model in it is a choice made on the test data. Its r is
# then too good by the luck of the draw. To report the best of several models, let a search choose
# it inside the training data, or correct with ``correct_over="all"``, which compares with the
# highest r of *all* models and regions in every draw; better still, test the chosen
# one on recordings that had no part in the choice. This is one more table with that correction:

corrected = compare(
    {name: models[name] for name in ("band_power_ridge", "alpha_hrf")},
    X,
    y,
    cv=BlockedKFold(3),
    null="phase",
    correct_over="all",
    verbose=False,
)
corrected.table.query("scope == 'pooled'")[["model", "region", "r", "p", "p_max"]].round(3)
