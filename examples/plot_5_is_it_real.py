"""
Is it real?
===========

An r of .3: is that a finding? It depends on how smooth the series are, on how many volumes there
are, and on what it is compared with. This page takes one region that follows the EEG and one that
does not, and puts both before every null of the package.

The data are **simulated**: the truth is known.
"""

# %%
# One coupled region, one uncoupled
# ---------------------------------
# Six runs of the same person. The left caudate follows the alpha power of a source; the right one
# follows nothing: noise with the autocorrelation of real BOLD, and a slow drift. The filter learns
# nothing from data, so it is applied once, before everything else.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import lfilter

from sklearn_beira import EEGFilter, align, compare, null_test
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import r_p_value, region_scores
from sklearn_beira.evaluation.null import kpss
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.exceptions import StationarityWarning

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
cv = BlockedKFold(3)
print(f"{len(y)} volumes in {len(study.raws)} runs; regions: {', '.join(y.columns)}")

# %%
# Three p values of the same r
# ----------------------------
# The naive p counts every volume as independent. ``p_parametric`` counts those that there are in
# effect, given how smooth the two series are. ``p`` compares r with the r of other BOLD:
# here with that of the other runs (``null="swap"``), and ``p_max`` corrects it over the regions.

comparison = compare(model, X, y, cv=cv, null="swap", n_surrogates=500, verbose=False)
pooled = comparison.table.query("scope == 'pooled'").set_index("region")
pooled = pooled.assign(p_naive=r_p_value(pooled["r"], pooled["n"]))
pooled[["r", "ci_low", "ci_high", "n", "n_eff", "p_naive", "p_parametric", "p", "p_max"]].round(4)

# %%
# One table shows one draw of chance. How often does each p find something in nothing? Take pairs
# of series that have nothing to do with each other, as smooth as BOLD, and count how often p is
# below .05.

noise = np.random.default_rng(0).standard_normal((2, 300, 1000))
one, other = lfilter([1], [1, -0.75], noise, axis=1)
scores = region_scores(one, other)  # of series as they are; cross-validation has its own scatter
false = pd.Series(
    {
        "naive": (r_p_value(scores["r"], scores["n"]) <= 0.05).mean(),
        "with n_eff": (scores["p"] <= 0.05).mean(),
    }
)
print("share of 1000 unrelated pairs with p <= .05:")
false.round(3)

# %%
# Every null answers a question of its own
# ----------------------------------------
# - **swap**: is r higher than with the BOLD of another run? Nothing about BOLD is assumed but that
#   the runs are alike. It needs at least four recordings.
# - **shift**: is r higher than with the BOLD of the same run some time earlier or later? Assumes
#   stationary BOLD, costs half of the volumes, and its p is an upper bound.
# - **circular**: the same with the end glued to the beginning.
# - **phase**: is r higher than with random BOLD of the same spectrum? Assumes stationary, Gaussian
#   BOLD.
#
# With ``refit=True`` everything is repeated in every draw: is the *procedure* able to get such an r
# where there is nothing? With ``refit=False`` the predictions are kept: do *these predictions*
# follow this BOLD better than other BOLD? As every fold's BOLD was learned from as well, chance
# counts twice: the draws are widened to allow for it, and p is an upper bound.
#
names = ("swap", "shift", "circular", "phase")
tests = {
    (null, refit): null_test(
        model, X, y, cv=cv, null=null, refit=refit, n_surrogates=200, verbose=False
    )
    for null in names
    for refit in (True, False)
}

# %%
# Each result says in words what its p means:

print(tests["swap", True].question)
print(tests["phase", False].question)

# %%
# The gray bars are r of the draws, the line is the observed r. The observed r of "shift" differs
# from the others, as it rests on half of the volumes.

fig, axes = plt.subplots(
    len(names), 4, figsize=(10, 6.4), sharex=True, layout="constrained", squeeze=False
)
for row, null in zip(axes, names, strict=True):
    pairs = [(region, refit) for region in y.columns for refit in (True, False)]
    for ax, (region, refit) in zip(row, pairs, strict=True):
        test = tests[null, refit]
        result = test.table.loc[region]
        ax.hist(test.draws[:, test.table.index.get_loc(region)], bins=20, color="0.75")
        ax.axvline(result["r"], color="#0072B2", lw=2)
        ax.set_title(f"{null}, p = {result['p']:.3f}", fontsize="small")
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
for ax, (region, refit) in zip(axes[0], pairs, strict=True):
    ax.set_title(f"{region}\nrefit={refit}\n{ax.get_title()}", fontsize="small")
for ax in axes[-1]:
    ax.set_xlabel("Pearson's r")
for ax in axes[:, 0]:
    ax.set_ylabel("draws")

# %%
# Do not look for the null with the smallest p. Eight tests of one r are eight looks, and a region
# without coupling passes one of twenty. Choose the null by what can be assumed, before you look.
#
# One recording only
# ------------------
# With a single run there is nothing to swap, unless you have the BOLD of others: other sessions or
# other people, the same regions, the same repetition time. They need no EEG. The draws are
# stretches of them, as long as the run; here the run is the first two minutes of the first one.

first = (X.groups == 0) & (X.times < 120)
rest = [y[X.groups == k].to_numpy() for k in range(1, 6)]
alone = null_test(
    model, X[first], y[first], cv=cv, null="swap", other_bold=rest, n_surrogates=200, verbose=False
)
alone

# %%
# Without others, "auto" takes the phase null. This and the two shifts leave a slow trend of the run
# in place, and assume that BOLD is stationary around it. Where the KPSS test rejects that for a
# linear trend, they warn. Here the level of a longer run falls and rises by three standard
# deviations:

longer = make_eeg_fmri(duration=420.0, n_channels=8, n_rois=2, random_state=1)
X_long, y_long = align(
    longer.raws, longer.bolds, trigger="mri", tmin=-16.0, tmax=0.0, verbose="error"
)
X_long = EEGFilter(1.0, 30.0, sfreq=64.0).fit_transform(X_long)
moving = y_long + 3 * np.outer(np.abs(np.linspace(-1, 1, len(y_long))), y_long.std())
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", StationarityWarning)
    null_test(model, X_long, moving, cv=cv, n_surrogates=200, verbose=False)
print(*(warning.message for warning in caught), sep="\n")

# %%
# That there is no warning proves little, as the test needs volumes as well. In a run of a minute or
# two, the same movement passes unseen.

print("KPSS statistic, median of 100 series; rejected (1 %) above 0.216:")
for n in (50, 100, 200):
    stretch = 3 * np.abs(np.linspace(-1, 1, n))[:, None] + noise[0, :n, :100] / noise[0].std()
    print(f"  {n} volumes: {np.median(kpss(stretch)):.2f}")

# %%
# Too few recordings
# ------------------
# p cannot be smaller than one over the number of orders that the recordings can have. Three
# recordings have six, the true one among them:

some = X.groups < 3
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    few = null_test(model, X[some], y[some], cv=cv, null="swap", verbose=False)
print(*(warning.message for warning in caught), sep="\n")
few.table.round(3)
