"""
Is it real?
===========

Is an r of .3 a finding? It depends on how smooth the series are, how many volumes there are, and
what it is compared with. This example puts one coupled and one uncoupled region before every null
of the package. The data are **simulated**: the truth is known.
"""

# %%
# One coupled region, one uncoupled
# ---------------------------------
# Six runs of one person. The left caudate follows the alpha power of a source. The right caudate
# follows nothing: it is noise with the autocorrelation of BOLD, and a slow drift.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import lfilter

from sklearn_beira import (
    BlockedKFold,
    EEGFilter,
    StationarityWarning,
    align,
    compare,
    kpss,
    make_band_power_ridge,
    make_eeg_fmri,
    null_test,
    r_p_value,
    region_scores,
)

study = make_eeg_fmri(
    n_runs=6,
    duration=180.0,
    n_channels=8,
    n_rois=2,
    weights=[[1.0, 0.0], [0.0, 0.0]],
    noise_ceiling=0.6,
    drift=0.8,
    random_state=0,
)
X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 30.0, sfreq=64.0).fit_transform(X)
model = make_band_power_ridge(16.0, bands={"theta": (4, 8), "alpha": (8, 12), "beta": (12, 30)})
options = {"cv": BlockedKFold(3), "verbose": False}
print(f"{len(y)} volumes in {len(study.raws)} runs; regions: {', '.join(y.columns)}")

# %%
# Three p values of the same r
# ----------------------------
# The naive p counts every volume as independent. ``p_parametric`` counts the effective number of
# volumes. ``p`` compares r with the r of surrogate BOLD, here the BOLD of the other runs, and
# ``p_max`` corrects it over regions.

comparison = compare(model, X, y, null="swap", n_surrogates=500, **options)
pooled = comparison.table.query("scope == 'pooled'").set_index("region")
pooled = pooled.assign(p_naive=r_p_value(pooled["r"], pooled["n"]))
pooled[["r", "ci_low", "ci_high", "n", "n_eff", "p_naive", "p_parametric", "p", "p_max"]].round(4)

# %%
# How often does a p find something in nothing? Take unrelated pairs of series as smooth as BOLD,
# and count how often p is at most .05.

noise = np.random.default_rng(0).standard_normal((2, 300, 1000))
one, other = lfilter([1], [1, -0.75], noise, axis=1)
scores = region_scores(one, other)
naive = (r_p_value(scores["r"], scores["n"]) <= 0.05).mean()
pd.Series({"naive": naive, "with n_eff": (scores["p"] <= 0.05).mean()}).round(3)

# %%
# Every null answers its own question
# -----------------------------------
# - **swap**: is r higher than with the BOLD of another run? It assumes that runs are alike.
# - **shift**: is r higher than with the BOLD of the same run, earlier or later? It assumes
#   stationary BOLD, loses up to half of the volumes, and its p is an upper bound.
# - **circular**: the same with the ends joined.
# - **phase**: is r higher than with random BOLD of the same spectrum? It assumes stationary,
#   Gaussian BOLD.
#
# ``refit=True`` repeats everything in every draw. ``refit=False`` uses fixed predictions; its p is
# an upper bound, because draws are widened for cross-validation.

names = ("swap", "shift", "circular", "phase")
tests = {
    (null, refit): null_test(model, X, y, null=null, refit=refit, n_surrogates=200, **options)
    for null in names
    for refit in (True, False)
}
print(tests["swap", True].question)
print(tests["phase", False].question)

# %%
# Gray bars are r of the draws, and the line is the observed r. For "shift" it rests on half of the
# volumes.

fig, axes = plt.subplots(len(names), 4, figsize=(10, 6.4), sharex=True, layout="constrained")
for row, null in zip(axes, names, strict=True):
    pairs = [(region, refit) for region in y.columns for refit in (True, False)]
    for ax, (region, refit) in zip(row, pairs, strict=True):
        test = tests[null, refit]
        ax.hist(test.draws[:, y.columns.get_loc(region)], bins=20, color="0.75")
        ax.axvline(test.table.loc[region, "r"], color="#0072B2", lw=2)
        title = f"{null}, p = {test.table.loc[region, 'p']:.3f}"
        head = f"{region}\nrefit={refit}\n" if null == names[0] else ""
        ax.set_title(head + title, fontsize="small")
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
for ax in axes[-1]:
    ax.set_xlabel("Pearson's r")

# %%
# Do not look for the smallest p. Eight tests of one r are eight looks. Choose the null by its
# assumptions, before you look.
#
# One recording only
# ------------------
# A single run has nothing to swap, unless you have ``other_bold``: other sessions or other people,
# the same regions and repetition time. Draws are stretches of it.

first = (X.groups == 0) & (X.times < 120)
rest = [y[X.groups == k].to_numpy() for k in range(1, 6)]
null_test(
    model, X[first], y[first], null="swap", other_bold=rest, n_surrogates=200, **options
).table.round(3)

# %%
# Otherwise "auto" takes the phase null, which assumes that BOLD is stationary around a slow trend.
# If the KPSS test rejects this, there is a warning. Here the level falls and rises by three
# standard deviations:

longer = make_eeg_fmri(duration=420.0, n_channels=8, n_rois=2, random_state=1)
X, y = align(longer.raws, longer.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 30.0, sfreq=64.0).fit_transform(X)
moving = y + 3 * np.outer(np.abs(np.linspace(-1, 1, len(y))), y.std())
print("KPSS:", kpss(moving).round(2), "(rejected above 0.216)")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", StationarityWarning)
    null_test(model, X, moving, n_surrogates=200, **options)
print(*(warning.message for warning in caught), sep="\n")

# %%
# No warning proves little: the test needs volumes as well.
