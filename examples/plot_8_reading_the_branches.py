"""
Reading the branches
====================

A model predicts BOLD. What did it find in the EEG: which rhythm, from where, with which delay?
This example reads a model on a recording with known truth, and ends with checks that work without
a truth. :doc:`/user_guide/interpretation` has the reasons. The recording is **simulated**: no map
says anything about brains.
"""

# %%
# Two runs, three regions
# -----------------------
# Left and right caudate follow the alpha power of one source each. The left putamen follows
# nothing.

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    EEGFilter,
    Windower,
    align,
    band_importance,
    branch_envelopes,
    channel_importance,
    compare,
    make_eeg_fmri,
    maps_of_random_weights,
    match_branches,
    plot_branches,
    read_branches,
)

HISTORY = 20.0  # seconds of EEG that predict a volume
coupling = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]  # regions x sources
study = make_eeg_fmri(n_runs=2, duration=240.0, n_rois=3, weights=coupling, random_state=0)
X, y = align(study.raws, study.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)
model = make_pipeline(Windower(HISTORY), BEIRARegressor(verbose=False))

# %%
# First r
# -------
# Without a prediction there is nothing to read. Leave one run out:

cv = LeaveOneGroupOut()
comparison = compare(model, X, y, cv=cv, null="phase", verbose=False)
pooled = comparison.table.query("scope == 'pooled'")
pooled[["region", "r", "ci_low", "ci_high", "p_max"]].round(3)

# %%
# The figure of the paper
# -----------------------
# The model to read is fitted to all volumes. Each row is a branch: scalp map, spectrum and delay
# kernel, which shows how BOLD follows the power of the branch. The model is fitted again in every
# fold. Branches in color contribute to the prediction of held-out volumes and return in every fold.

fitted = clone(model).fit(X, y)
branches = read_branches(fitted, X, y, cv=cv)
fig = plot_branches(branches, "Left Caudate", n_branches=3)

# %%
# Everything is an array. ``k`` is the most important branch of the left caudate.

region = y.columns.get_loc("Left Caudate")
k = branches.importance[region].argmax()
peak = branches.frequencies[branches.frequency_patterns[k].argmax()]
print("maps:", branches.patterns.shape, " kernels:", branches.delay_kernels.shape)
print(f"peak of the frequency pattern: {peak:.1f} Hz; planted: 8 to 12 Hz")

# %%
# A pattern is not a weight
# -------------------------
# Weights say how the signal of the branch is computed, which includes canceling noise. The pattern
# says where the signal comes from. Only the pattern looks like the planted source.


def draw_map(values, ax, title):
    """Draw a scalp map scaled to its largest value."""
    values = values / np.abs(values).max()
    mne.viz.plot_topomap(
        values, branches.info, axes=ax, show=False, cmap="RdBu_r", vlim=(-1, 1), sensors="k."
    )
    ax.set_title(title, fontsize="medium")


truth = study.truth.patterns[0]
maps = {"source": truth, "pattern": branches.patterns[k], "weights": branches.filters[k]}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
for ax, (name, values) in zip(axes, maps.items(), strict=True):
    cosine = values @ truth / np.linalg.norm(values) / np.linalg.norm(truth)
    draw_map(np.sign(cosine) * values, ax, f"{name}\n|cosine| {abs(cosine):.2f}")

# %%
# The envelope
# ------------
# The kernel reads the power of the branch, here beside the power of the planted source.

envelope = branch_envelopes(fitted, X)
times, values = envelope.times[0], envelope.envelopes[0][k]
power = np.interp(times, study.truth.envelope_times[0], study.truth.envelopes[0][:, 0])
fig, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
ax.plot(times, (power - power.mean()) / power.std(), color="0.6", lw=2, label="planted source")
ax.plot(times, (values - values.mean()) / values.std(), color="#0072B2", lw=1, label="branch")
ax.set(xlabel="time in the first run (s)", ylabel="power (SD)", xlim=(60, 180))
ax.legend(frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1.0, 1.2))

# %%
# Channels and bands
# ------------------
# On a run the model has not seen, take a channel or a band from other times. The loss of r is what
# it was worth.

first, second = X.groups == 0, X.groups == 1
of_first = clone(model).fit(X[first], y[first])
options = {"n_repeats": 3, "random_state": 0}
bands = band_importance(of_first, X[second], y[second], **options)
channels = channel_importance(of_first, X[second], y[second], **options)
pd.DataFrame(bands.importances_mean, index=y.columns, columns=list(bands.bands)).round(3)

# %%
fig, ax = plt.subplots(figsize=(3, 3), layout="constrained")
draw_map(channels.importances_mean[region], ax, "loss of r, Left Caudate")

# %%
# Only alpha is worth much, and the bands beside it a little. In the putamen, which is not
# predicted, losses mean nothing. Neighboring channels replace each other, so most single channels
# are worth little.
#
# Does it come back?
# ------------------
# Two models, one of each run, share no volume. Order and sign of branches are arbitrary, so they
# are matched first. A ``stability`` of 1 means that a branch is the same in both. The last column
# shows how alike maps of copies with permuted weights are.

of_second = clone(model).fit(X[second], y[second])
runs = [read_branches(of_first, X[first]), read_branches(of_second, X[second])]
matched = {name: match_branches(runs, name, n_branches=3) for name in y.columns}
random = maps_of_random_weights(fitted, X, n_surrogates=10, random_state=0)
table = pd.DataFrame({name: one.stability for name, one in matched.items()}).T
table.columns = ["1st", "2nd", "3rd"]
table.assign(random=(random.spatial * random.spectral).max(axis=0)).round(2)

# %%
fig, axes = plt.subplots(2, 2, figsize=(5, 5), layout="constrained")
for row, name in zip(axes, ("Left Caudate", "Left Putamen"), strict=True):
    draw_map(matched[name].aligned_patterns[0, 0], row[0], f"{name}\nfirst run")
    draw_map(matched[name].aligned_patterns[1, 0], row[1], f"{name}\nsecond run")

# %%
# The putamen, which follows nothing, has a branch that comes back nearly as well: a strong source
# of the EEG that the fit picked by chance. Stability above that of random weights shows that a map
# comes from the fit. Whether the fit found a coupling, only r shows.
