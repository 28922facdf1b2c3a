"""
Real EEG, real BOLD, planted coupling
=====================================

Simulated EEG is cleaner than EEG. This page uses a real EEG recording and real BOLD, **from
different people**. Nothing connects them, so every region is a true null, until a coupling of known
size is planted in four of ten regions: the band power of a few electrodes, convolved with the
hemodynamic response, is mixed into the BOLD series.

So the page can ask three questions that real data cannot answer. Are the four planted regions
predicted? Is none of the six others taken for a finding? And do the branches show the electrodes
and frequencies that were planted? **It says nothing about which brain regions EEG predicts**: the
answer was put in by hand.
"""

# %%
# The data
# --------
# The recordings are small, but are not part of the package. They are looked for in the folder that
# the environment variable ``SKLEARN_BEIRA_TEST_DATA`` names, then in ``shared/data`` beside the
# checkout. Where they are absent, a simulated run takes their place, and the page says so.

import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, compare
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.inspection import read_branches
from sklearn_beira.viz import plot_branches, plot_predictions

mne.set_log_level("warning")


def load_semireal(folder):
    """Load the EEG, the BOLD and what was planted."""
    raw = mne.io.read_raw_eeglab(folder / "real/eeglab_sample/eeglab_data.set", preload=True)
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    bold = pd.read_csv(folder / "semireal/bold.csv", index_col="time_s")
    truth = json.loads((folder / "semireal/truth.json").read_text())
    planted = {
        region: {"band": entry["band_hz"], "channels": entry["channels"]}
        for region, entry in truth["planted"].items()
    }
    return raw, bold, truth["t_r"], planted, truth["oracle_r"]


def simulate_instead():
    """Make a run of the same length with four coupled regions and two without coupling."""
    weights = np.eye(6, 10) * [[1], [1], [1], [1], [0], [0]]
    run = make_eeg_fmri(
        duration=238.0, t_r=1.89, n_rois=6, weights=weights, lead_in=0.0, random_state=0
    )
    names = np.array(run.raws[0].ch_names)
    planted = {
        run.region_names[i]: {
            "band": run.truth.bands[i],
            "channels": list(names[np.argsort(-np.abs(run.truth.patterns[i]))[:4]]),
        }
        for i in range(4)
    }
    return run.raws[0], run.bolds[0], run.t_r, planted, run.truth.noise_ceiling[0]


here = Path(globals().get("__file__", "examples/plot_3_semireal.py")).resolve().parent
data = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", here.parents[1] / "shared" / "data"))
if (data / "semireal" / "bold.csv").exists():
    print("Data: semi-real (real EEG, real BOLD of other people, planted coupling).")
    raw, bold, t_r, planted, oracle = load_semireal(data)
else:
    print("Data: SIMULATED. The semi-real recordings are not on this computer.")
    raw, bold, t_r, planted, oracle = simulate_instead()
nulls = [region for region in bold.columns if region not in planted]
print(f"{raw.times[-1]:.0f} s of EEG, {len(bold)} volumes every {t_r} s.")
print(f"A perfect predictor of the planted part would reach r = {oracle:.2f}.")
pd.DataFrame(planted).T

# %%
# Align
# -----
# There are no triggers here: the first volume starts with the EEG, and the others follow every
# ``t_r`` seconds. Where your recording has triggers, use them.

HISTORY = 20.0
X, y = align(raw, bold, t_r=t_r, tmin=-HISTORY, tmax=0.0)
print(X.alignment.T.to_string(header=False))

# %%
# Five blocks, a gap of 20 s
# --------------------------
# Both models have the settings they come with, and look back 20 s.

eeg_filter = EEGFilter(1.0, 45.0, sfreq=100.0)
models = {
    "BEIRA": Pipeline(
        [
            ("filter", eeg_filter),
            ("window", Windower(duration=HISTORY, delay=0.0)),
            ("beira", BEIRARegressor(verbose=False)),
        ]
    ),
    "ridge": Pipeline([("filter", eeg_filter), *make_band_power_ridge(HISTORY).steps]),
}
comparison = compare(models, X, y, cv=BlockedKFold(5), null="phase", verbose=False)
pooled = comparison.table.query("scope == 'pooled'")
pooled.assign(planted=pooled["region"].isin(list(planted)))[
    ["model", "region", "planted", "r", "ci_low", "ci_high", "n_eff", "p", "p_max"]
].round(3)

# %%
# Ten regions are ten chances to be lucky. ``p_max`` asks how often the *highest* of the ten is as
# high where nothing is coupled. There is one recording, so the BOLD of the draws is the measured
# one with randomized phases.

print(comparison.settings["question"])
for model, found in pooled[pooled["p_max"] <= 0.05].groupby("model")["region"]:
    print(f"{model}: p_max <= .05 in {', '.join(found)}")
largest = pooled.loc[~pooled["region"].isin(list(planted)), "r"].abs().max()
print(f"largest |r| among the {len(nulls)} nulls and both models: {largest:.2f}")

# %%
# The r of the nulls is what chance does on this many autocorrelated volumes: look at how far it
# strays from zero before you believe an r of that size in your own data. Six nulls and two models
# are twelve chances, so an interval that leaves out 0 or a p below .05 among them is no surprise:
# ``p_max`` is what counts the chances.

fig = comparison.plot(n_columns=5)
_ = fig.suptitle(f"planted: {', '.join(planted)}", fontsize="medium")

# %%
region = next(iter(planted))
fig, axes = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
for ax, name in zip(axes, (region, nulls[0]), strict=True):
    plot_predictions(
        y[name],
        {model: p[name] for model, p in comparison.predictions.items()},
        X.times,
        blocks=comparison.blocks,
        region=f"{name} ({'planted' if name in planted else 'null'})",
        ax=ax,
    )
axes[0].label_outer()

# %%
# Branches against what was planted
# ---------------------------------
# The network is fitted once to all volumes, and its most important branches are read.

model = clone(models["BEIRA"]).fit(X, y)
branches = read_branches(model, X)
fig = plot_branches(branches, region, n_branches=3)

# %%
# For each planted region: the band that carries most of its prediction, where the EEG behind the
# most important branch peaks, and which electrodes have the largest pattern. Maps are of the
# average-referenced EEG, and neighbors pick up the same sources, so the electrodes need not be the
# very ones that were used.

start, rows = model["beira"].closed_form_, {}
for name, truth in planted.items():
    column = y.columns.get_loc(name)
    best = np.argmax(branches.importance[column])
    strongest = np.argsort(-np.abs(branches.patterns[best]))[:4]
    peak = branches.frequencies[np.argmax(branches.frequency_patterns[best])]
    low, high = truth["band"]
    rows[name] = {
        "largest share": start.bands[np.argmax(start.shares[column])],
        "pattern peak (Hz)": peak,
        "planted band (Hz)": f"{low:g}–{high:g}",
        "pattern in band": low <= peak <= high,
        "strongest electrodes": ", ".join(branches.ch_names[i] for i in strongest),
        "planted electrodes": ", ".join(truth["channels"]),
    }
pd.DataFrame(rows).T

# %%
# Read this table with suspicion. Four minutes are short, and the bands are more certain than the
# maps: a region can be predicted while the strongest electrodes of its most important branch are
# not those that were planted. Where the peak lies outside the planted band, the map is no evidence
# either. The other branches of a region may have bands in which nothing was planted, too. In your
# own data nobody tells you which case it is. So look at several branches, and fit
# again to the other half of the recording: what does not come back is no finding.
