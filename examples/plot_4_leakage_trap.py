"""
The leakage trap
================

Here EEG and BOLD are made by two generators of random numbers that know nothing of each other.
Nothing can be predicted. A common way of cross-validating finds a strong correlation all the same;
this page shows why, and what :class:`~sklearn_beira.evaluation.BlockedKFold` does about it.

All data are **simulated**.
"""

# %%
# EEG and BOLD that have nothing to do with each other
# ----------------------------------------------------
# Both are smooth, as in a scanner: EEG power waxes and wanes over seconds, and so does BOLD. Each
# volume is predicted from the power of the 16 s of EEG before it, by a very flexible model: the
# mean BOLD of the three training volumes whose EEG is most alike.

import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from sklearn_beira import EEGWindows
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.exceptions import GapWarning
from sklearn_beira.features.band_power import BandPower

T_R, SFREQ, HISTORY = 2.0, 20.0, 16.0
N_VOLUMES = 300


def make_unrelated(seed):
    """Make EEG with smooth power, and smooth BOLD that has nothing to do with it."""
    rng = np.random.default_rng(seed)
    info = mne.create_info(4, SFREQ, "eeg")
    noise = 1e-5 * rng.standard_normal((4, round((HISTORY + N_VOLUMES * T_R) * SFREQ)))
    power = gaussian_filter1d(rng.standard_normal(noise.shape), 5 * SFREQ, axis=1)
    eeg = noise * np.exp(power / power.std())
    times = HISTORY + np.arange(N_VOLUMES) * T_R
    X = EEGWindows([eeg], np.zeros(N_VOLUMES, int), times, info, tmin=-HISTORY, tmax=0.0)
    bold = gaussian_filter1d(rng.standard_normal(N_VOLUMES), 4 / T_R)
    return X, bold / bold.std()


model = make_pipeline(BandPower(None, duration=4.0, step=4.0), KNeighborsRegressor(3))
splitters = {
    "shuffled K-fold": KFold(5, shuffle=True, random_state=0),
    "blocks, no gap": BlockedKFold(5, gap=0.0),
    "blocks, gap of 16 s": BlockedKFold(5),
}

# %%
# Twenty recordings, three ways to split
# --------------------------------------
# r is that of out-of-fold predictions, over all volumes together.
# ``BlockedKFold()`` takes its gap from the windows of ``X``. With ``gap=0`` it warns that training
# and test share EEG; here that is what we want to see.

rows = []
for seed in range(20):
    X, y = make_unrelated(seed)
    for name, cv in splitters.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GapWarning)
            y_pred = cross_val_predict(model, X, y, cv=cv)
        rows.append({"recording": seed, "split": name, "r": pearson_r(y, y_pred)})
r = pd.DataFrame(rows).pivot(index="recording", columns="split", values="r")[list(splitters)]
r.agg(["mean", "std", "min", "max"]).round(2)

# %%
# Why
# ---
# In shuffled folds nearly every test volume has a neighbor two seconds away in the training data.
# The windows of the two share most of their EEG, so the model recognizes the neighbor. Their BOLD
# is nearly the same because BOLD is smooth, so the answer of the neighbor is nearly right. The
# model has learned *when* the volume was acquired, and nothing about how EEG and BOLD go together.
#
# With blocks, only the volumes at the two edges of a block have such neighbors, and the gap takes
# those away as well.

X, y = make_unrelated(0)
shuffled = cross_val_predict(model, X, y, cv=splitters["shuffled K-fold"])
blocked = cross_val_predict(model, X, y, cv=splitters["blocks, gap of 16 s"])
fig, axes = plt.subplots(
    2, 2, figsize=(10, 4.4), width_ratios=[3, 1], sharey="col", layout="constrained"
)
rng = np.random.default_rng(0)
for (ax, ax_r), y_pred, name, color in (
    (axes[0], shuffled, "shuffled K-fold", "#E69F00"),
    (axes[1], blocked, "blocks, gap of 16 s", "#0072B2"),
):
    ax.plot(X.times, y, color="0.55", lw=2.2, label="measured")
    ax.plot(X.times, y_pred, color=color, lw=1.2, label="predicted")
    ax.set(ylabel="BOLD (SD)", title=f"{name}: one recording", xlim=X.times[[0, -1]])
    ax_r.axvline(0, color="0.6", lw=0.8)
    ax_r.plot(r[name], rng.uniform(-0.3, 0.3, len(r)), "o", color=color, alpha=0.7, ms=5)
    ax_r.set(xlim=(-1, 1), ylim=(-1, 1), yticks=[], title="r of 20 recordings")
axes[1, 0].set_xlabel("time (s)")
axes[1, 1].set_xlabel("Pearson's r")
handles, labels = axes[0, 0].get_legend_handles_labels()
handles.append(axes[1, 0].lines[-1])
labels = ["measured", "predicted, shuffled", "predicted, blocks"]
fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
for ax in axes.flat:
    ax.spines[["top", "right"]].set_visible(False)

# %%
# The second trap: what is common to a block
# ------------------------------------------
# A split can be clean and the score still biased. Let the BOLD drift, and let the EEG of each
# volume be noise. A fold is predicted by a model that was trained on the other blocks: where the
# test block lies above the mean, its training mean lies below. Pooled over folds, predictions that
# are nothing but training means anticorrelate with the drift.
#
# If one channel of the EEG drifts too, say because an electrode dries, the pooled r scatters
# widely. It comes out high in some recordings, and tells no more than that both changed from the
# beginning to the end.
#
# So r is centered within test blocks here: ``pearson_r(..., blocks=...)``, and
# :func:`~sklearn_beira.compare` and :func:`~sklearn_beira.null_test` always. It asks whether the
# prediction follows BOLD *within* a block.

fold = np.repeat(np.arange(5), N_VOLUMES // 5)
cv = BlockedKFold(5, gap=16.0, t_r=T_R)
rows = []
for seed in range(100):
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.standard_normal(N_VOLUMES))
    bold = drift / drift.std() + rng.standard_normal(N_VOLUMES)
    noise = rng.standard_normal((N_VOLUMES, 2))
    for name, power in (
        ("EEG is noise", noise),
        ("an electrode dries", noise + np.linspace(0, 4, N_VOLUMES)[:, None] * [1, 0]),
    ):
        y_pred = cross_val_predict(LinearRegression(), power, bold, cv=cv)
        for score, blocks in (("pooled", None), ("centered in blocks", fold)):
            rows.append({"case": name, "r is": score, "r": pearson_r(bold, y_pred, blocks=blocks)})
bias = pd.DataFrame(rows).groupby(["case", "r is"], sort=False)["r"]
bias.describe()[["mean", "std", "min", "max"]].round(2)

# %%
# What to take from it
# --------------------
# - Split in contiguous blocks, with a gap of at least window plus delay. Better, leave out whole
#   recordings or people.
# - Be suspicious of a model that gains much when folds are shuffled.
# - Centring removes the offset of each block, not a trend inside it. Two series that drift within a
#   block still correlate by chance, in both directions: that is what intervals with ``n_eff`` and
#   nulls are for (:doc:`/auto_examples/plot_5_is_it_real`).
