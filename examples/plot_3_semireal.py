"""
Real EEG, real BOLD, planted coupling
=====================================

Simulated EEG is cleaner than EEG. This example uses real EEG and real BOLD **of different
people**. Nothing connects them, so every region is a true null, until a coupling of known size is
planted in four of ten regions: band power of a few electrodes, convolved with the hemodynamic
response, is added to the BOLD.

Are the planted regions predicted, and no others? Do the branches show the planted electrodes and
frequencies? **The example says nothing about which regions EEG predicts.**
"""

# %%
# The data
# --------
# The recordings are not part of the package. The example reads the folder named by the environment
# variable ``SKLEARN_BEIRA_TEST_DATA``, or ``shared/data`` beside the checkout. Without them it
# simulates a run.

import json
import os
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    EEGFilter,
    Windower,
    align,
    compare,
    make_band_power_ridge,
    make_eeg_fmri,
    plot_branches,
    plot_predictions,
    read_branches,
)

mne.set_log_level("warning")
here = Path(globals().get("__file__", "examples/plot_3_semireal.py")).resolve().parent
data = Path(os.environ.get("SKLEARN_BEIRA_TEST_DATA", here.parents[1] / "shared" / "data"))
if (data / "semireal" / "bold.csv").exists():
    print("Data: semi-real (real EEG, real BOLD of other people, planted coupling).")
    raw = mne.io.read_raw_eeglab(data / "real/eeglab_sample/eeglab_data.set", preload=True)
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    bold = pd.read_csv(data / "semireal/bold.csv", index_col="time_s")
    truth = json.loads((data / "semireal/truth.json").read_text())
    t_r = truth["t_r"]
    bands = {region: entry["band_hz"] for region, entry in truth["planted"].items()}
    channels = {region: entry["channels"] for region, entry in truth["planted"].items()}
else:
    print("Data: SIMULATED. The semi-real recordings are not on this computer.")
    weights = np.eye(6, 10) * [[1], [1], [1], [1], [0], [0]]  # two regions without coupling
    run = make_eeg_fmri(
        duration=238.0, t_r=1.89, n_rois=6, weights=weights, lead_in=0.0, random_state=0
    )
    raw, bold, t_r = run.raws[0], run.bolds[0], run.t_r
    bands = dict(zip(run.region_names[:4], run.truth.bands[:4], strict=True))
    strongest = np.argsort(-np.abs(run.truth.patterns[:4]), axis=1)[:, :4]
    channels = {name: np.array(raw.ch_names)[i] for name, i in zip(bands, strongest, strict=True)}
print(
    f"{raw.times[-1]:.0f} s of EEG, {len(bold)} volumes every {t_r} s; planted: {', '.join(bands)}"
)

# %%
# Compare
# -------
# There are no triggers: the first volume starts with the EEG, and the others follow every ``t_r``
# seconds.

HISTORY = 20.0  # seconds of EEG that predict a volume
X, y = align(raw, bold, t_r=t_r, tmin=-HISTORY, tmax=0.0)
eeg_filter = EEGFilter(1.0, 45.0, sfreq=100.0)
models = {
    "BEIRA": make_pipeline(eeg_filter, Windower(HISTORY), BEIRARegressor(verbose=False)),
    "ridge": make_pipeline(eeg_filter, make_band_power_ridge(HISTORY)),
}
cv = BlockedKFold(5)
comparison = compare(models, X, y, cv=cv, null="phase", verbose=False)
pooled = comparison.table.query("scope == 'pooled'")
pooled = pooled.assign(planted=pooled["region"].isin(list(bands)))
pooled[["model", "region", "planted", "r", "ci_low", "ci_high", "n_eff", "p", "p_max"]].round(3)

# %%
# The r of the null regions is what chance does on so many autocorrelated volumes. With six null
# regions and two models, an interval without 0 or a p below .05 is no surprise. ``p_max`` corrects
# for that.

print(f"largest |r| of a null region: {pooled.loc[~pooled['planted'], 'r'].abs().max():.2f}")
fig = comparison.plot(n_columns=5)

# %%
region = next(iter(bands))
fig = plot_predictions(comparison, region)

# %%
# Branches and planted truth
# --------------------------

model = models["BEIRA"].fit(X, y)
branches = read_branches(model, X, y, cv=cv)
fig = plot_branches(branches, region, n_branches=3)

# %%
# For each planted region: the peak of the most important branch, and its strongest electrodes.
# Maps are average-referenced and neighbors see the same sources, so electrodes need not be
# identical.

rows = {}
for name, band in bands.items():
    best = branches.importance[y.columns.get_loc(name)].argmax()
    strongest = np.argsort(-np.abs(branches.patterns[best]))[:4]
    rows[name] = {
        "peak (Hz)": branches.frequencies[branches.frequency_patterns[best].argmax()],
        "planted band (Hz)": f"{band[0]:g}–{band[1]:g}",
        "strongest electrodes": ", ".join(branches.ch_names[i] for i in strongest),
        "planted electrodes": ", ".join(channels[name]),
    }
pd.DataFrame(rows).T

# %%
# Read this table with caution. Bands are more reliable than maps: a region can be predicted
# although the strongest electrodes are not the planted ones. In your own data you cannot check
# this. Look at several branches, and fit the other half of the recording as well.
