"""
A simultaneous recording of sleep
=================================

EEG and fMRI of three people who fell asleep in the scanner, recorded at the same time: the public
data set `ds003574 <https://openneuro.org/datasets/ds003574>`_ of Sterpenich and colleagues [1]_. It
shares derived series, one row per scan: the power of the EEG in six bands, and the output of a
classifier that read five states off the BOLD. Can lagged band power predict what the classifier
said?

The page makes two tables, one within each person and one across people, and shows what a night does
to an r: both sides change slowly, so that an hour and a half of scans holds few independent values.

.. [1] Sterpenich et al. (2021), Reward biases spontaneous neural reactivation during sleep,
   Nature Communications 12.
"""

# %%
# The data
# --------
# The recordings are small, but are not part of the package. They are looked for in the folder that
# the environment variable ``SKLEARN_BEIRA_TEST_DATA`` names, then in ``shared/data`` beside the
# checkout. Where they are absent, simulated series of the same shape take their place, and the page
# says so.

import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import lfilter
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from sklearn_beira import compare, null_test
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.evaluation.null import kpss
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.exceptions import StationarityWarning

T_R = 2.1
POWERS = ["SW", "delta", "theta", "alpha", "sigma", "beta"]
STATES = ["face", "maze", "prep_face", "pre_maze", "rest"]
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "0.3"]


def load_subject(folder, subject):
    """Load both tables of a subject and join them on the number of the scan."""
    start = folder / f"sub-{subject}_task-rest"
    eeg = pd.read_csv(f"{start}_hypnogram-powerspectrum.tsv", sep="\t", index_col="num_scan")
    fmri = pd.read_csv(f"{start}_decoding-states.tsv", sep="\t", index_col="num_scan")
    return eeg[POWERS].join(fmri[STATES], how="inner")


def simulate_subject(subject):
    """Make slow powers, and probabilities that follow two of them a little."""
    rng = np.random.default_rng(int(subject))
    noise = rng.standard_normal((2000, len(POWERS) + len(STATES)))
    slow = lfilter([0.2], [1, -0.98], noise, axis=0)
    powers, scores = np.split(slow, [len(POWERS)], axis=1)
    scores = 2 * scores + [0, 0, 0, 0, 4]
    scores[:, 0] += 2 * powers[:, 0]
    scores[:, 4] -= 2 * powers[:, 1]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return pd.DataFrame(np.column_stack([powers, shares]), columns=POWERS + STATES)


here = Path(globals().get("__file__", "examples/plot_7_ds003574.py")).resolve().parent
data = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", here.parents[1] / "shared" / "data"))
folder = data / "real" / "ds003574"
if folder.is_dir():
    print("Data: real, ds003574 (EEG and fMRI of the same people at the same time).")
    nights = {subject: load_subject(folder, subject) for subject in ("01", "03", "04")}
else:
    print("Data: SIMULATED. The recordings are not on this computer: read no number as a finding.")
    nights = {subject: simulate_subject(subject) for subject in ("01", "03", "04")}

for subject, night in nights.items():
    if not (np.diff(night.index) == 1).all() or night.isna().any(axis=None):
        raise ValueError(f"sub-{subject}: scans or values are missing; lags would be wrong.")
    print(
        f"sub-{subject}: {len(night)} scans in a row, {len(night) * T_R / 60:.0f} min, none missing"
    )

# %%
# What is predicted from what
# ---------------------------
# Target, features, folds and models were chosen before any correlation was looked at.
#
# - **Target.** Probabilities crowd at 0 and 1, where a linear model and an r say little. They are
#   turned into log-odds, and clipped to 1e-5 first, or the smallest ones would weigh most. The five
#   sum to one: they are not five independent questions.
# - **Features.** The six log powers of the scan itself and of the seven scans before it, 0 to
#   14.7 s. The sleep stages in the table are not used.
# - **Rival.** A cubic polynomial of the time since the start. People fall asleep once and sleep
#   deepens, so a clock alone predicts something.
#
# Power was smoothed before it was shared: it changes little from scan to scan, and the tables do
# not say over which stretch it was averaged. It may reach past the scan itself. These lags
# therefore say nothing about the hemodynamic delay, and the gap below is longer than the lags ask
# for.

LAGS = range(8)
CLIP = 1e-5


def make_samples(night):
    """Make features (time in minutes, lagged powers) and targets (log-odds) of one subject."""
    lagged = [night[POWERS].shift(lag).add_suffix(f" -{lag}") for lag in LAGS]
    X = pd.concat(lagged, axis=1)
    X.insert(0, "time", np.arange(len(night)) * T_R / 60)
    p = night[STATES].clip(CLIP, 1 - CLIP)
    complete = X.notna().all(axis=1)
    return X[complete].to_numpy(), np.log(p / (1 - p))[complete]


samples = {subject: make_samples(night) for subject, night in nights.items()}
only_time = ColumnTransformer([("time", "passthrough", [0])])
only_eeg = ColumnTransformer([("eeg", "passthrough", slice(1, None))])
models = {
    # Outside the times of the training the clock stands still: a cubic would run away.
    "time": make_pipeline(
        only_time, MinMaxScaler(clip=True), PolynomialFeatures(3), LinearRegression()
    ),
    "EEG": make_pipeline(only_eeg, StandardScaler(), BlockedRidgeCV(gap=30)),
}

# %%
# Slow series on both sides
# -------------------------

subject, (X, y) = next(iter(samples.items()))
fig, axes = plt.subplots(3, 1, figsize=(9, 5.2), sharex=True, layout="constrained")
for ax, values, label in (
    (axes[0], nights[subject]["SW"].to_numpy()[LAGS[-1] :], "slow-wave power\n(log)"),
    (axes[1], nights[subject]["rest"].to_numpy()[LAGS[-1] :], "p(rest)"),
    (axes[2], y["rest"], "p(rest)\n(log-odds)"),
):
    ax.plot(X[:, 0], values, lw=0.6, color="0.3")
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_title(f"sub-{subject}")
axes[-1].set_xlabel("time (min)")
axes[-1].margins(x=0.01)

# %%
# Are these series stationary around a trend? The KPSS test rejects that above the value printed.
# The nulls that move or scramble one person's own BOLD assume it. They are wanted here, as there
# are few people, and their assumption is in doubt.

print("rejected (1 %) above 0.216")
pd.DataFrame({f"sub-{s}": kpss(y) for s, (_, y) in samples.items()}, index=STATES).T.round(2)

# %%
# Within each person
# ------------------
# Five blocks of the night, each predicted from the other four, with a minute left out on both
# sides. r is centered within blocks: it asks whether the EEG follows the minutes, not whether the
# last part of the night differs from the first. ``n_eff`` tells how many independent scans the r
# rests on. ``p`` is that of the phase null; it warns for each person, and the warnings are
# collected here instead of being printed three times.

shown = ["r", "ci_low", "ci_high", "n", "n_eff", "p_parametric", "p", "p_max"]
within = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", StationarityWarning)
    for subject, (X, y) in samples.items():
        within[subject] = compare(
            models,
            X,
            y,
            cv=BlockedKFold(5, gap=60.0, t_r=T_R),
            null="phase",
            n_surrogates=200,
            verbose=False,
        ).table
first = pd.concat(within, names=["subject"]).query("scope == 'pooled'")
first = first.droplevel(1).set_index(["model", "region"], append=True)
print(f"{len(caught)} warnings, the first: {caught[0].message}" if caught else "no warnings")
first[shown].round(3)

# %%
# The phase null leaves the slow trend of BOLD in place and keeps the spectrum of the rest. The
# linear shift moves the rest as it is, by up to seven minutes, and its p is an upper bound; the
# seven minutes at either end are lost. Above, predictions were kept; here the whole procedure is
# repeated at every shift, the choice of the penalty included.
#
# Both tables have one p per person and state, which is many looks: ``p_max`` corrects for the five
# states, not for the three people.

tests = {}
for subject, (X, y) in samples.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StationarityWarning)
        test = null_test(
            models["EEG"][1:],
            X[:, 1:],
            y,
            cv=BlockedKFold(5, gap=60.0, t_r=T_R),
            null="shift",
            n_surrogates=400,
            verbose=False,
        )
    tests[subject] = test
print(test.question)
pd.concat({subject: test.table for subject, test in tests.items()}, names=["subject"]).round(3)

# %%
# The draws of this null are a curve: r of the EEG with BOLD whose faster part comes from earlier
# and later scans, while the trend stays. Coupling from scan to scan would stand out as a peak at
# zero. A curve that is high everywhere owes its height to the slow trends of a night.

fig, axes = plt.subplots(1, 3, figsize=(10, 3.0), sharey=True, layout="constrained")
for ax, (subject, test) in zip(axes, tests.items(), strict=True):
    half = len(test.draws) // 2
    shifts = np.arange(-half, half + 1) * T_R / 60
    curves = np.insert(test.draws, half, test.table["r"], axis=0)
    for curve, state, color in zip(curves.T, STATES, COLORS, strict=True):
        ax.plot(shifts, curve, color=color, lw=1.2, label=state)
        ax.plot(0, curve[half], "o", color=color, ms=4)
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(title=f"sub-{subject}", xlabel="BOLD from later scans, by (min)")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("Pearson's r")
_ = axes[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")

# %%
# Across people
# -------------
# A model of two people predicts the third. Levels and ranges of power differ between people and
# amplifiers, so every person's features and targets are standardized over their own night. That
# uses the test person's EEG, but not their BOLD: the scaling of a target does not change its r.

X_all = np.concatenate([X for X, _ in samples.values()])
y_all = pd.concat([(y - y.mean()) / y.std() for _, y in samples.values()])
who = np.repeat(list(samples), [len(y) for _, y in samples.values()])
for subject in samples:
    mine = who == subject
    X_all[mine, 1:] = StandardScaler().fit_transform(X_all[mine, 1:])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", StationarityWarning)
    across = compare(
        models,
        X_all,
        y_all,
        cv=LeaveOneGroupOut(),
        groups=who,
        subjects=who,
        null="phase",
        n_surrogates=200,
        verbose=False,
    )
across.table.query("scope == 'pooled'").set_index(["model", "region"])[shown].round(3)

# %%
# The person is the unit where one wants to speak about people. With three, the interval of the mean
# is wide, whatever the number of scans.

people = across.table.query("scope in ['subject', 'group']")
people.pivot(index=["model", "region"], columns="label", values="r").round(2).join(
    people.query("scope == 'group'").set_index(["model", "region"])[["ci_low", "ci_high"]].round(2)
)

# %%
# The one null that does not need stationary BOLD gives a person the BOLD of another. Three nights
# have five other orders, too few for any finding at .05:

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    swapped = null_test(
        models["EEG"], X_all, y_all, cv=LeaveOneGroupOut(), groups=who, null="swap", refit=False,
        verbose=False,
    )  # fmt: skip
for warning in caught:
    print(warning.message)
swapped.table.round(3)

# %%
fig = across.plot(n_columns=5)
_ = fig.suptitle("one person left out, phase null")

# %%
# What is found
# -------------
# On the real recordings:
#
# - In sub-01 the EEG model reaches an r whose interval lies above zero. Neither null calls it
#   improbable after the correction over states: it is about as high when the faster part of BOLD is
#   replaced or shifted by minutes. What the EEG follows there is the slow course of the night. The
#   ``n_eff`` of the first table says the same: thousands of scans count as dozens.
# - In the two other people no state passes the correction either. A p of a single state that is
#   small in one table is one of many looks.
# - Across people no state passes, and in the state where the EEG model reaches most, the clock,
#   which reads no EEG, reaches more. The intervals of the mean over people include zero for the EEG
#   in every state.
#
# So these series do not show that the EEG says more about the classifier's output than that people
# fall asleep and wake up. They do not show the opposite either: three people, smoothed powers and
# few independent values leave room for much. A finding would need more people, so that whole nights
# can be swapped.
