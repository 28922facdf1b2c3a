"""
A simultaneous recording of sleep
=================================

EEG and fMRI of three people who fell asleep in the scanner, recorded at the same time: the public
data set `ds003574 <https://openneuro.org/datasets/ds003574>`_ of Sterpenich and colleagues [1]_.
It shares derived series, one row per scan: EEG power in six bands, and the output of a classifier
that read five states from BOLD. Does lagged band power predict the classifier?

Both sides change slowly, so an hour and a half of scans holds few independent values.

.. [1] Sterpenich et al. (2021), Reward biases spontaneous neural reactivation during sleep, Nature
   Communications 12.
"""

# %%
# The data
# --------
# The recordings are not part of the package. The example reads the folder named by the environment
# variable ``SKLEARN_BEIRA_TEST_DATA``, or ``shared/data`` beside the checkout. Without them it
# simulates series of the same shape.

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from sklearn_beira import (
    BlockedKFold,
    BlockedRidgeCV,
    StationarityWarning,
    compare,
    kpss,
    null_test,
    plot_comparison,
)

T_R = 2.1
POWERS = ["SW", "delta", "theta", "alpha", "sigma", "beta"]
STATES = ["face", "maze", "prep_face", "pre_maze", "rest"]
warnings.simplefilter("ignore", StationarityWarning)  # expected, see below


def load_subject(folder, subject):
    """Join both tables of a subject on the number of the scan."""
    start = folder / f"sub-{subject}_task-rest"
    eeg = pd.read_csv(f"{start}_hypnogram-powerspectrum.tsv", sep="\t", index_col="num_scan")
    fmri = pd.read_csv(f"{start}_decoding-states.tsv", sep="\t", index_col="num_scan")
    return eeg[POWERS].join(fmri[STATES], how="inner")


def simulate_subject(subject):
    """Make slow powers, and probabilities that follow two of them a little."""
    rng = np.random.default_rng(int(subject))
    slow = lfilter([0.2], [1, -0.98], rng.standard_normal((2000, 11)), axis=0)
    powers, scores = slow[:, :6], 2 * slow[:, 6:] + [0, 0, 0, 0, 4]
    scores[:, [0, 4]] += 2 * powers[:, :2] * [1, -1]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return pd.DataFrame(np.column_stack([powers, shares]), columns=POWERS + STATES)


here = Path(globals().get("__file__", "examples/plot_7_ds003574.py")).resolve().parent
data = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", here.parents[1] / "shared" / "data"))
folder, subjects = data / "real" / "ds003574", ("01", "03", "04")
if folder.is_dir():
    print("Data: real, ds003574 (EEG and fMRI of the same people at the same time).")
    nights = {subject: load_subject(folder, subject) for subject in subjects}
else:
    print("Data: SIMULATED. The recordings are not on this computer: no number is a finding.")
    nights = {subject: simulate_subject(subject) for subject in subjects}
for subject, night in nights.items():
    print(f"sub-{subject}: {len(night)} scans, {len(night) * T_R / 60:.0f} min")

# %%
# What is predicted from what
# ---------------------------
# Target, features, folds and models were chosen before any correlation was seen.
#
# - **Target.** Log-odds of the five probabilities, clipped to 1e-5. They sum to one, so they are
#   not five independent questions.
# - **Features.** Six log powers of the scan itself and of the seven scans before it, 0 to 14.7 s.
# - **Baseline.** A cubic polynomial of time. People fall asleep once and sleep deepens, so time
#   alone predicts something.
#
# Power was smoothed before it was shared, so these lags say nothing about the hemodynamic delay.


def make_samples(night):
    """Make features (time in minutes, lagged powers) and targets (log-odds) of one subject."""
    X = pd.concat([night[POWERS].shift(lag).add_suffix(f" -{lag}") for lag in range(8)], axis=1)
    X.insert(0, "time", np.arange(len(night)) * T_R / 60)
    p = night[STATES].clip(1e-5, 1 - 1e-5)
    complete = X.notna().all(axis=1)
    return X[complete].to_numpy(), np.log(p / (1 - p))[complete]


samples = {subject: make_samples(night) for subject, night in nights.items()}
only_time = ColumnTransformer([("time", "passthrough", [0])])
only_eeg = ColumnTransformer([("eeg", "passthrough", slice(1, None))])
clock = make_pipeline(only_time, MinMaxScaler(clip=True), PolynomialFeatures(3), LinearRegression())
ridge = make_pipeline(only_eeg, StandardScaler(), BlockedRidgeCV(gap=30))
models = {"time": clock, "EEG": ridge}

# %%
# Are the series stationary around a trend? The KPSS test rejects it (1 %) above 0.216. The nulls
# that shift or randomize a person's own BOLD assume it, so their p is in doubt here.

pd.DataFrame({f"sub-{s}": kpss(y) for s, (_, y) in samples.items()}, index=STATES).T.round(2)

# %%
# Within each person
# ------------------
# Five blocks of the night, each predicted from the others, with a minute left out on both sides. r
# is centered within blocks. ``n_eff`` is the number of independent scans.

shown = ["r", "ci_low", "ci_high", "n", "n_eff", "p_parametric", "p", "p_max"]
options = {"cv": BlockedKFold(5, gap=60.0, t_r=T_R), "verbose": False}
within = {
    subject: compare(models, X, y, null="phase", n_surrogates=200, **options).table
    for subject, (X, y) in samples.items()
}
within = pd.concat(within, names=["subject"]).query("scope == 'pooled'")
within.droplevel(1).set_index(["model", "region"], append=True)[shown].round(3)

# %%
# The shift null moves the faster part of BOLD by up to seven minutes and keeps the trend. Here the
# whole procedure is repeated at every shift. ``p_max`` corrects over states, not over people.

tests = {
    subject: null_test(ridge[1:], X[:, 1:], y, null="shift", n_surrogates=400, **options).table
    for subject, (X, y) in samples.items()
}
pd.concat(tests, names=["subject"]).round(3)

# %%
# Across people
# -------------
# A model of two people predicts the third. Power differs between people and amplifiers, so
# features and targets are standardized over each night. This uses EEG of the test person, but not
# their BOLD: the scale of a target does not change its r.

X_all = np.concatenate([X for X, _ in samples.values()])
y_all = pd.concat([(y - y.mean()) / y.std() for _, y in samples.values()])
who = np.repeat(list(samples), [len(y) for _, y in samples.values()])
for subject in samples:
    mine = who == subject
    X_all[mine, 1:] = StandardScaler().fit_transform(X_all[mine, 1:])
options = {"cv": LeaveOneGroupOut(), "groups": who, "subjects": who, "verbose": False}
across = compare(models, X_all, y_all, null="phase", n_surrogates=200, **options)
across.table.query("scope == 'pooled'").set_index(["model", "region"])[shown].round(3)

# %%
# To speak about people, the person is the unit. With three, the interval of the mean is wide.

people = across.table.query("scope in ['subject', 'group']")
people.pivot(index=["model", "region"], columns="label", values="r").round(2)

# %%
fig = plot_comparison(across, n_columns=5)
_ = fig.suptitle("one person left out, phase null")

# %%
# What is found
# -------------
# On the real recordings:
#
# - In sub-01 the interval of the EEG model lies above zero, but no null calls its r improbable
#   after correction over states. The EEG follows the slow course of the night: thousands of scans
#   count as dozens. In the other people no state passes either.
# - Across people no state passes. Where the EEG model reaches most, time alone reaches more. All
#   intervals over people include zero for the EEG.
#
# These series do not show that the EEG says more about the classifier than that people fall asleep
# and wake up. They do not show the opposite either. A finding needs more people, so that whole
# nights can be swapped.
