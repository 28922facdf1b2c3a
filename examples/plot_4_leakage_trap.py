"""
The leakage trap
================

Here EEG and BOLD come from two random number generators that know nothing of each other. A common
way of cross-validating finds a strong correlation all the same. This example shows why, and what
:class:`~sklearn_beira.BlockedKFold` does about it. All data are **simulated**.
"""

# %%
# Unrelated EEG and BOLD
# ----------------------
# Both are smooth, as in a scanner. A flexible model predicts each volume from the power of the 16
# s of EEG before it: the mean BOLD of the three training volumes with the most similar EEG.

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

from sklearn_beira import BandPower, BlockedKFold, EEGWindows, GapWarning, pearson_r

T_R, SFREQ, HISTORY, N_VOLUMES = 2.0, 20.0, 16.0, 300


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
# Three ways to split
# -------------------
# r of out-of-fold predictions in twenty recordings. ``BlockedKFold()`` takes its gap from the
# windows of ``X``. With ``gap=0`` it warns that training and test share EEG, which we want to see
# here.

warnings.simplefilter("ignore", GapWarning)
rows, predicted = [], {}
for seed in reversed(range(20)):
    X, y = make_unrelated(seed)
    for name, cv in splitters.items():
        predicted[name] = cross_val_predict(model, X, y, cv=cv)
        rows.append({"recording": seed, "split": name, "r": pearson_r(y, predicted[name])})
r = pd.DataFrame(rows).pivot(index="recording", columns="split", values="r")[list(splitters)]
r.agg(["mean", "std", "min", "max"]).round(2)

# %%
# In shuffled folds, nearly every test volume has a neighbor two seconds away in the training data.
# Their windows share most EEG, so the model recognizes the neighbor. Their BOLD is nearly the
# same, so the answer is nearly right. The model has learned *when* the volume was acquired. With
# blocks, only volumes at the edges have such neighbors, and the gap removes those.

fig, axes = plt.subplots(2, 1, figsize=(9, 4.4), sharex=True, layout="constrained")
for ax, name in zip(axes, ("shuffled K-fold", "blocks, gap of 16 s"), strict=True):
    ax.plot(X.times, y, color="0.55", lw=2.2, label="measured")
    ax.plot(X.times, predicted[name], color="#0072B2", lw=1.2, label="predicted")
    ax.set(ylabel="BOLD (SD)", title=f"{name}: r = {r.loc[0, name]:.2f}", xlim=X.times[[0, -1]])
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1.0, 1.25))
_ = axes[1].set_xlabel("time (s)")

# %%
# The offset of a block
# ---------------------
# A split can be clean and the score still biased. Let BOLD drift and the EEG be noise. If a test
# block lies high, its training mean lies low: pooled over folds, predictions anticorrelate with
# the drift. If one EEG channel drifts as well, because an electrode dries, the pooled r scatters
# widely.
#
# So r is centered within test blocks: ``pearson_r(..., blocks=...)``, and always in
# :func:`~sklearn_beira.compare` and :func:`~sklearn_beira.null_test`.

fold = np.repeat(np.arange(5), N_VOLUMES // 5)
cv = BlockedKFold(5, gap=16.0, t_r=T_R)
rows = []
for seed in range(100):
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.standard_normal(N_VOLUMES))
    bold = drift / drift.std() + rng.standard_normal(N_VOLUMES)
    noise = rng.standard_normal((N_VOLUMES, 2))
    dries = noise + np.linspace(0, 4, N_VOLUMES)[:, None] * [1, 0]
    for name, power in (("EEG is noise", noise), ("an electrode dries", dries)):
        y_pred = cross_val_predict(LinearRegression(), power, bold, cv=cv)
        for score, blocks in (("pooled", None), ("centered in blocks", fold)):
            rows.append({"case": name, "r is": score, "r": pearson_r(bold, y_pred, blocks=blocks)})
bias = pd.DataFrame(rows).groupby(["case", "r is"], sort=False)["r"]
bias.describe()[["mean", "std", "min", "max"]].round(2)

# %%
# - Split in contiguous blocks, with a gap of window plus delay. Better, leave out recordings or
#   people.
# - Distrust a model that gains much from shuffled folds.
# - Centering removes the offset of a block, not a trend inside it. Two drifting series still
#   correlate by chance: intervals with ``n_eff`` and nulls account for that
#   (:doc:`/auto_examples/plot_5_is_it_real`).
