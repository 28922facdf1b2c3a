"""
Reading the branches
====================

A model predicts BOLD. What has it found in the EEG: which rhythm, from where, with which delay? And
what of that can be believed? This page reads a model on a recording whose truth is known, and ends
with three checks that work without a truth as well. :doc:`/user_guide/interpretation` has the
reasons.

The recording is **simulated**: no map on this page says anything about brains.
"""

# %%
# Two runs, three regions
# -----------------------
# The left and the right caudate follow the alpha power of one source each. The left putamen follows
# nothing: what is read there is what reading gives where there is nothing to read.

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from scipy.signal import firwin
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, compare
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.inspection import (
    band_importance,
    branch_envelopes,
    branch_importance,
    branch_patterns,
    channel_importance,
    cross_spectrum,
    maps_of_random_weights,
    match_branches,
    randomize_branches,
    read_branches,
)
from sklearn_beira.viz import plot_branches

HISTORY = 20.0  # seconds of EEG that predict a volume
coupling = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]  # regions x sources
study = make_eeg_fmri(n_runs=2, duration=240.0, n_rois=3, weights=coupling, random_state=0)
X, y = align(study.raws, study.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)
model = Pipeline([("window", Windower(HISTORY)), ("beira", BEIRARegressor(verbose=False))])

# %%
# First r
# -------
# Nothing can be read where nothing is predicted. So look at r on volumes that were not used, here
# by leaving one run out.

comparison = compare(
    model, X, y, cv=LeaveOneGroupOut(), null="phase", n_surrogates=200, verbose=False
)
comparison.table.query("scope == 'pooled'")[["region", "r", "ci_low", "ci_high", "p_max"]].round(3)

# %%
# The figure of the paper
# -----------------------
# The model that is read is fitted to all volumes, as nothing is scored with it. A row is a branch,
# the most important on top: its scalp map, its spectrum, and its delay kernel, which says how the
# predicted BOLD follows the power of the branch.

fitted = clone(model).fit(X, y)
branches = read_branches(fitted, X)
fig = plot_branches(branches, "Left Caudate", n_branches=3)

# %%
# Everything is an array, too. ``k`` is the most important branch of the left caudate.

region = y.columns.get_loc("Left Caudate")
k = branches.importance[region].argmax()
peak = branches.frequencies[branches.frequency_patterns[k].argmax()]
print("maps:", branches.patterns.shape, " kernels:", branches.delay_kernels.shape)
print(f"peak of the frequency pattern: {peak:.1f} Hz; planted: 8 to 12 Hz")

# %%
# A pattern is not a weight
# -------------------------
# Weights say how the signal of the branch is computed: they also cancel what disturbs it. The
# pattern says where the signal comes from. Only one of the two looks like the planted source.

truth = study.truth.patterns[0]
info = branches.info
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
for ax, values, name in (
    (axes[0], truth, "planted source"),
    (axes[1], branches.patterns[k], "pattern"),
    (axes[2], branches.filters[k], "weights"),
):
    cosine = values @ truth / np.linalg.norm(values) / np.linalg.norm(truth)
    values = np.sign(cosine) * values / np.abs(values).max()
    mne.viz.plot_topomap(
        values, info, axes=ax, show=False, cmap="RdBu_r", vlim=(-1, 1), sensors="k."
    )
    ax.set_title(f"{name}\n|cosine| with the truth {abs(cosine):.2f}", fontsize="medium")

# %%
# The same can be had for any spatial filter, as the function below takes arrays. This one is the
# classical difference between C3 and its neighbors, in the alpha band.

frequencies, spectrum = cross_spectrum(X)
laplacian = np.array([[{"C3": 1.0}.get(name, 0.0) for name in X.ch_names]])
laplacian[0, [X.ch_names.index(name) for name in ("FC1", "FC5", "CP1", "CP5")]] = -0.25
alpha = firwin(101, (8, 12), pass_zero=False, fs=X.sfreq)[np.newaxis]
own = branch_patterns(laplacian, alpha, spectrum, frequencies, X.sfreq)
cosine = own.patterns[0] @ truth / np.linalg.norm(own.patterns[0]) / np.linalg.norm(truth)
print(f"pattern of the difference: |cosine| with the truth {abs(cosine):.2f}")

# %%
# The envelope
# ------------
# What the kernel reads is the power of the branch, here every half second of two minutes, beside
# the power of the planted source.

envelope = branch_envelopes(fitted, X)
times, values = envelope.times[0], envelope.envelopes[0][k]
power = np.interp(times, study.truth.envelope_times[0], study.truth.envelopes[0][:, 0])
shown = (times > 60) & (times < 180)
fig, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
for series, style, label in (
    (power, {"color": "0.55", "lw": 2.2}, "planted source"),
    (values, {"color": "#0072B2", "lw": 1.0}, "envelope of the branch"),
):
    ax.plot(times[shown], ((series - series.mean()) / series.std())[shown], label=label, **style)
ax.set(xlabel="time in the first run (s)", ylabel="power (SD)")
ax.legend(frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1.0, 1.2))
ax.spines[["top", "right"]].set_visible(False)

# %%
# Delays
# ------
# Branches with one map and one band are parts of one kernel. Their sum can be compared with the
# response that the simulator used, in a half second's mean as the model has it. The model expects a
# response like this one, so that the agreement proves little; a kernel that departs would tell
# more.

lengths = np.linalg.norm(branches.patterns, axis=1)
cosines = np.abs(branches.patterns @ branches.patterns[k]) / lengths / lengths[k]
peaks = branches.frequencies[branches.frequency_patterns.argmax(axis=1)]
alike = (cosines > 0.95) & (np.abs(peaks - peak) < 2.0) & (branches.regions == region)
kernel = branches.delay_kernels[region, alike].sum(axis=0)
hrf = uniform_filter1d(study.truth.hrf, round(0.5 / study.truth.envelope_step))
hrf_times = np.arange(len(hrf)) * study.truth.envelope_step
hrf = np.interp(branches.lags, hrf_times, hrf)
hrf = hrf * (kernel @ hrf) / (hrf @ hrf)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.axhline(0, color="0.6", lw=0.8)
ax.plot(branches.lags, hrf, color="0.5", lw=2.5, label="response of the simulator, scaled")
ax.plot(branches.lags, kernel, color="#0072B2", label=f"sum of {alike.sum()} kernels")
ax.set(xlabel="BOLD follows the EEG by (s)", ylabel="BOLD (SD per s)\nper doubling of power")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# Which branches, which channels, which bands
# -------------------------------------------
# "gradient" is how far a branch moves the prediction, relative to the first. "leave_out" is how
# much the prediction changes without it, relative to its own SD. Two branches that say the same
# share both.

left_out = branch_importance(fitted, X, method="leave_out")
gradient = branch_importance(fitted, X, method="gradient")
order = np.argsort(-branches.importance[region])[:4]
pd.DataFrame(
    {
        "gradient": gradient[region, order],
        "leave_out": left_out[region, order],
        "peak (Hz)": branches.frequencies[branches.frequency_patterns[order].argmax(axis=1)],
    },
    index=pd.Index(["1st", "2nd", "3rd", "4th"], name="Left Caudate"),
).round(2)

# %%
# Channels and bands are asked on a run that the model has not seen. The signal of one channel, or
# of one band, is taken from other half minutes of the run, and the loss of r is what it was worth.

first, second = X.groups == 0, X.groups == 1
of_first = clone(model).fit(X[first], y[first])
options = {"n_repeats": 3, "random_state": 0}
channels = channel_importance(of_first, X[second], y[second], **options)
bands = band_importance(of_first, X[second], y[second], **options)
pd.DataFrame(bands.importances_mean, index=y.columns, columns=list(bands.bands)).round(3)

# %%
loss = channels.importances_mean[region]
fig, axes = plt.subplots(1, 2, figsize=(8, 3), width_ratios=[1, 1.6], layout="constrained")
limit = np.abs(loss).max()
image, _ = mne.viz.plot_topomap(
    loss, info, axes=axes[0], show=False, cmap="RdBu_r", vlim=(-limit, limit), sensors="k."
)
fig.colorbar(image, ax=axes[0], shrink=0.7, label="loss of r")
axes[0].set_title("channels, Left Caudate", fontsize="medium")
at = np.arange(len(bands.bands))
styles = (("#0072B2", "o"), ("#E69F00", "s"), ("0.4", "^"))
for shift, name, (color, marker) in zip((-0.15, 0, 0.15), y.columns, styles, strict=True):
    row = y.columns.get_loc(name)
    axes[1].errorbar(
        at + shift, bands.importances_mean[row], bands.importances_std[row],
        fmt=marker, color=color, label=name,
    )  # fmt: skip
axes[1].axhline(0, color="0.6", lw=0.8)
axes[1].set_xticks(at, bands.bands)
axes[1].set(ylabel="loss of r (mean ± SD)", title="bands")
axes[1].title.set_fontsize("medium")
axes[1].legend(frameon=False, fontsize="small")
axes[1].spines[["top", "right"]].set_visible(False)

# %%
# Only the alpha band is worth much, and a little the band beside it, as filters overlap. The
# putamen is not predicted: where a model is wrong, losses of either sign mean nothing, and taking
# a band away may even raise r. The SD is that of the repeated permutations, not of the volumes.
#
# A channel costs as much as the model leans on it: few weigh much here, and most are replaced by
# their neighbors. Weights give importance, too, to channels that only cancel noise: this map
# answers another question than a pattern does.
#
# Does it come back?
# ------------------
# Two models, one of each run, share no volume. Order and sign of branches are arbitrary, so they
# are matched first. ``stability`` is 1 where a branch is the same in both.

of_second = clone(model).fit(X[second], y[second])
runs = [read_branches(of_first, X[first]), read_branches(of_second, X[second])]
matched = {name: match_branches(runs, name, n_branches=3) for name in y.columns}
pd.DataFrame(
    {name: one.stability for name, one in matched.items()}, index=["1st", "2nd", "3rd"]
).round(2)

# %%
# The putamen, which follows nothing, has a branch that comes back nearly as well. It is a source of
# the EEG itself, strong in both runs, which the fit took up by chance. So stability alone proves
# nothing: it tells which branches of a *predicted* region may be read.

fig, axes = plt.subplots(2, 3, figsize=(7.5, 5), layout="constrained")
for row, name in zip(axes, ("Left Caudate", "Left Putamen"), strict=True):
    one = matched[name]
    maps = (*one.aligned_patterns[:, 0], one.patterns[0])
    for ax, values, of in zip(row, maps, ("first run", "second run", "average"), strict=True):
        mne.viz.plot_topomap(
            values / np.abs(values).max(), info, axes=ax, show=False, cmap="RdBu_r", vlim=(-1, 1),
            sensors="k.",
        )  # fmt: skip
        ax.set_title(f"{name}\n{of}", fontsize="medium")

# %%
# The sanity check
# ----------------
# Would the EEG alone give such maps? Copies of the model keep their weights and lose their order.
# Maps that stay as they are show the recording and not what was learned.

random = maps_of_random_weights(fitted, X, n_surrogates=10, random_state=0)
both = random.spatial * random.spectral  # what stability is made of
pd.DataFrame(
    {
        "maps": random.spatial.mean(axis=0),
        "spectra": random.spectral.mean(axis=0),
        "both": both.mean(axis=0),
        "both, highest of 10": both.max(axis=0),
        "stability of the 1st": [matched[name].stability[0] for name in random.region_names],
        "of its kernel": [matched[name].kernel_stability[0] for name in random.region_names],
    },
    index=random.region_names,
).round(2)

# %%
# One of the copies, to look at:

copy = read_branches(randomize_branches(fitted, random_state=0), X)
fig = plot_branches(copy, "Left Caudate", n_branches=2)

# %%
# Random weights give maps that are alike to some degree, because scalp maps are smooth; the spectra
# go apart. Where stability is no higher than what random copies reach, there is no reason to
# believe a branch. Where it is higher, the branch comes from the fit. Whether the fit found a
# coupling, only r tells: the map of the putamen passes this check, and the putamen is not
# predicted. The stability of kernels is worth a look, too: in a region that nothing drives they are
# as often opposite as alike, which with two runs is one throw of a coin.
