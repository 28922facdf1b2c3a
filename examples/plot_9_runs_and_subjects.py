"""
Several runs, several subjects
==============================

Three people, two runs each: leave out runs, leave out people, and start a model for a new person
from a model of the others. All recordings are **simulated**, and how much people differ was chosen
below. No r says anything about brains.
"""

# %%
# Three people
# ------------
# The simulator makes runs of one head. To make people, the EEG of each is mixed with a random
# matrix close to the identity. Amplifiers differ in gain as well.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
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
    compare,
    load_model,
    make_band_power_ridge,
    make_eeg_fmri,
    pearson_r,
    read_metadata,
    save_model,
)

HISTORY = 20.0  # seconds of EEG that predict a volume
PEOPLE = ["A", "B", "C"]
study = make_eeg_fmri(
    n_runs=6, duration=200.0, n_channels=12, n_rois=2, noise_ceiling=0.7, random_state=4
)
rng = np.random.default_rng(0)
for person, gain in enumerate((1.0, 1.6, 0.7)):
    mixing = gain * (np.eye(12) + 0.3 * rng.standard_normal((12, 12)) / np.sqrt(12))
    for raw in study.raws[2 * person : 2 * person + 2]:
        raw.apply_function(lambda eeg, mixing=mixing: mixing @ eeg, channel_wise=False)

# %%
# One scale for everybody
# -----------------------
# A model has one EEG scale for all recordings, so bring people to the same scale first. This uses
# the EEG of test volumes, but a factor changes no r. BOLD has the same scale for all here.

for person in range(3):
    mine = study.raws[2 * person : 2 * person + 2]
    spread = np.sqrt(np.mean([raw.get_data("eeg").var(axis=1).mean() for raw in mine]))
    for raw in mine:
        raw.apply_function(lambda eeg, spread=spread: 20e-6 * eeg / spread)

# %%
# Lists in, one table out
# -----------------------
# ``X.groups`` holds the run of every volume, ``X.subjects`` the person. No window and no block
# spans two runs.

subjects = np.repeat(PEOPLE, 2).tolist()
X, y = align(
    study.raws,
    study.bolds,
    trigger="mri",
    tmin=-HISTORY,
    tmax=0.0,
    subjects=subjects,
    verbose="error",
)
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)
beira = make_pipeline(Windower(HISTORY), BEIRARegressor(verbose=False))
models = {"BEIRA": beira, "ridge": make_band_power_ridge(HISTORY)}

# %%
# One run left out
# ----------------
# Within a person, train on one run and predict the other.

within = {}
for person in PEOPLE:
    mine = X.subjects == person
    one = compare(models, X[mine], y[mine], cv=LeaveOneGroupOut(), null=None, verbose=False)
    within[person] = one.table.query("scope == 'pooled'").set_index(["model", "region"])["r"]
pd.DataFrame(within).round(2)

# %%
# One person left out
# -------------------
# ``groups=X.subjects`` leaves out both runs of a person. Rows of scope "group" speak about people:
# the mean of Fisher's z with a t interval, wide for three people. For p, runs exchange their BOLD.

across = compare(models, X, y, cv=LeaveOneGroupOut(), groups=X.subjects, null="swap", verbose=False)
group = across.table.query("scope == 'group'")
group[["model", "region", "r", "ci_low", "ci_high", "n"]].round(2)

# %%
people = across.table.query("scope == 'subject'")
people = people.pivot(index=["model", "region"], columns="label", values="r")
pooled = across.table.query("scope == 'pooled'").set_index(["model", "region"])
people.join(pooled[["p", "p_max"]]).round(3)

# %%
# Other people bring four runs and the own other run is one, so a model of others does as well
# here. Real people differ by more than a mixture of their electrodes.
#
# A new person
# ------------
# Person C has a few minutes of their own. ``fit(..., pretrained=others)`` weighs the prediction of
# the model of A and B by the evidence, and learns from C what it does not explain. The second run
# of C is the test. A saved model holds weights and no EEG or BOLD, so it may come from another
# laboratory.

data = Windower(HISTORY).fit_transform(X)
others = clone(beira[-1]).fit(data[X.subjects != "C"], y[X.subjects != "C"])
file = Path(tempfile.mkdtemp()) / "others.safetensors"
save_model(others, file)
print(f"{file.stat().st_size / 1e3:.0f} kB; regions: {read_metadata(file)['regions']}")
others = load_model(file)

run_1, run_2 = (X.groups == 4), (X.groups == 5)
rows = {}
for minutes in (0.5, 1.0, 1.5, 2.5):
    first = run_1 & (X.times < HISTORY + 60 * minutes)
    alone = clone(beira[-1]).fit(data[first], y[first])
    started = clone(beira[-1]).fit(data[first], y[first], pretrained=others)
    fitted = {"others": others, "pretrained": started, "alone": alone}
    rows[minutes] = {
        name: pearson_r(y[run_2], m.predict(data[run_2])) for name, m in fitted.items()
    }
rows = pd.DataFrame(rows).T.rename_axis("minutes of C")
rows.round(2)

# %%
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
rows.plot(ax=ax, style=["k--", "o-", "s-"], ylabel="Pearson's r on the other run of C")
ax.spines[["top", "right"]].set_visible(False)

# %%
# The model of the others is hard to beat with so few minutes. ``closed_form_.known`` is the weight
# that its prediction received. One person is one draw of chance: ``python benchmarks/subjects.py``
# repeats this over people. In a pipeline whose last step is "beira", use ``fit(X, y,
# beira__pretrained=others)``.
