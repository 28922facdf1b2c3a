"""
Several runs, several subjects
==============================

Three people, two runs each. This page leaves out whole runs, then whole people, and then starts a
model for a new person from a model of the others.

All recordings are **simulated**. How well one person's model does for another depends here on a
number that was chosen below, so no r on this page says anything about brains.
"""

# %%
# Three people
# ------------
# The simulator makes runs of one head. People differ in where their sources are and how these reach
# the electrodes; so the EEG of each person is mixed with a random matrix close to the identity.
# Their amplifiers differ in gain as well.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, compare
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.persistence import read_metadata
from sklearn_beira.persistence.saving import load_model, save_model

PEOPLE = ["A", "B", "C"]
HISTORY = 20.0  # seconds of EEG that predict a volume
study = make_eeg_fmri(
    n_runs=6, duration=200.0, n_channels=12, n_rois=2, noise_ceiling=0.7, random_state=4
)
subjects = np.repeat(PEOPLE, 2).tolist()
rng = np.random.default_rng(0)
for person, gain in zip(PEOPLE, (1.0, 1.6, 0.7), strict=True):
    mixing = gain * (np.eye(12) + 0.3 * rng.standard_normal((12, 12)) / np.sqrt(12))
    for raw, subject in zip(study.raws, subjects, strict=True):
        if subject == person:
            raw.apply_function(lambda eeg, mixing=mixing: mixing @ eeg, channel_wise=False)

# %%
# One scale for everybody
# -----------------------
# A model has one EEG scale and one BOLD scale for all recordings it learns from. So bring people to
# the same scale first, or the loudest counts most. This uses a person's EEG and BOLD as a whole,
# test volumes included; a factor changes no r. Here BOLD has the same scale for all already.

for person in PEOPLE:
    mine = [raw for raw, subject in zip(study.raws, subjects, strict=True) if subject == person]
    spread = np.sqrt(np.mean([raw.get_data("eeg").var(axis=1).mean() for raw in mine]))
    print(f"{person}: SD of the EEG {1e6 * spread:.1f} µV")
    for raw in mine:
        raw.apply_function(lambda eeg, spread=spread: 20e-6 * eeg / spread)

# %%
# Lists in, one table out
# -----------------------
# ``X.groups`` tells the run of every volume, ``X.subjects`` the person. No window and no block
# spans two runs.

X, y = align(
    study.raws, study.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, subjects=subjects,
    verbose="error",
)  # fmt: skip
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)
X.alignment[["n_volumes", "n_onsets", "no_history", "kept"]]

# %%
beira = Pipeline([("window", Windower(HISTORY)), ("beira", BEIRARegressor(verbose=False))])
models = {"BEIRA": beira, "ridge": make_band_power_ridge()}

# %%
# One run left out
# ----------------
# Within a person, train on one run and predict the other. The filter learns nothing from the data,
# so it could be applied before.

columns = ["model", "region", "r", "ci_low", "ci_high", "n", "n_eff"]
within = {}
for person in PEOPLE:
    mine = X.subjects == person
    own = compare(models, X[mine], y[mine], cv=LeaveOneGroupOut(), null=None, verbose=False)
    within[person] = own.table.query("scope == 'pooled'")[columns]
within = pd.concat(within, names=["person"]).droplevel(1).reset_index()
within.pivot(index=["model", "region"], columns="person", values="r").round(2)

# %%
# One person left out
# -------------------
# ``groups=X.subjects`` leaves out both runs of a person. The rows "group" speak about people: the
# mean of Fisher's z over them, with a t interval. Three people make it wide.

across = compare(
    models,
    X,
    y,
    cv=LeaveOneGroupOut(),
    groups=X.subjects,
    null="swap",
    n_surrogates=500,
    verbose=False,
)
across.table.query("scope == 'group'")[columns[:-1]].round(2)

# %%
# For the p values whole runs changed places: the prediction of a run is compared with the BOLD of
# another.

print(across.settings["question"])
across.table.query("scope == 'pooled'")[["model", "region", "r", "p", "p_max"]].round(3)

# %%
persons = across.table.query("scope == 'subject'")
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
styles = {"BEIRA": ("#0072B2", "o"), "ridge": ("#E69F00", "s")}
for ax, region in zip(axes, y.columns, strict=True):
    for shift, (model, (color, marker)) in zip((-0.15, 0.15), styles.items(), strict=True):
        own = within.query("model == @model and region == @region").set_index("person")["r"]
        others = persons.query("model == @model and region == @region").set_index("label")["r"]
        at = np.arange(len(PEOPLE)) + shift
        ax.plot(at - 0.05, own[PEOPLE], marker, color=color, label=f"{model}, own other run")
        ax.plot(
            at + 0.05, others[PEOPLE], marker, mfc="white", mec=color,
            label=f"{model}, other people",
        )  # fmt: skip
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_xticks(range(len(PEOPLE)), [f"person {person}" for person in PEOPLE])
    ax.set(title=region, xlim=(-0.5, len(PEOPLE) - 0.5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("Pearson's r")
handles, labels = axes[0].get_legend_handles_labels()
_ = fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)

# %%
# The other people bring four runs, the person's own other run is one: it is no surprise here that a
# model of others does as well. People in life differ by more than a mixture of their electrodes.
#
# A new person
# ------------
# Person C comes with a few minutes of their own. ``fit(..., pretrained=others)`` starts from the
# model of A and B: its prediction is weighed by the evidence, and the minutes of C add what it does
# not explain. The second run of C is the test and takes no part in anything before.

data = Windower(HISTORY).fit_transform(X)
others = clone(beira[-1]).fit(data[X.subjects != "C"], y[X.subjects != "C"])

# %%
# The model of the others can come from another laboratory. A saved model holds weights, and no EEG,
# no BOLD and no code (:doc:`/user_guide/saving`).

file = Path(tempfile.mkdtemp()) / "others.safetensors"
save_model(others, file)
facts = read_metadata(file)
print(f"{file.stat().st_size / 1e3:.0f} kB; regions: {facts['regions']}")
others = load_model(file)

# %%
# r on the second run of C, after some minutes of the first.

run_1, run_2 = (X.groups == 4), (X.groups == 5)


def score(model):
    """r on the second run of C, mean over regions."""
    return pearson_r(y[run_2], model.predict(data[run_2]))


rows, known = {}, {}
for minutes in (0.5, 1.0, 1.5, 2.5):
    first = run_1 & (X.times < HISTORY + 60 * minutes)
    alone = clone(beira[-1]).fit(data[first], y[first])
    started = clone(beira[-1]).fit(data[first], y[first], pretrained=others)
    rows[minutes] = {"volumes": first.sum(), "alone": score(alone), "init": score(started)}
    known[minutes] = started.closed_form_.known
rows = pd.DataFrame(rows).T.rename_axis("minutes of C").astype({"volumes": int})
print(f"model of A and B, no minute of C: r = {score(others):.2f}")
rows.round(2)

# %%
# ``closed_form_.known`` is the weight that the prediction of the others got, per region: 1 takes it
# as it is.

pd.DataFrame(known, index=y.columns).T.rename_axis("minutes of C").round(2)

# %%
# sphinx_gallery_thumbnail_number = 1
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.axhline(score(others), color="0.4", ls="--", label="model of A and B as it is")
ax.plot(rows.index, rows["init"], "o-", color="#0072B2", label="fine-tuned on minutes of C")
ax.plot(rows.index, rows["alone"], "s-", color="#E69F00", label="minutes of C alone")
ax.set(xlabel="EEG and BOLD of C (min)", ylabel="Pearson's r on the other run of C")
ax.legend(frameon=False, loc="lower right")
ax.spines[["top", "right"]].set_visible(False)

# %%
# The model of the others is hard to beat with so few minutes, and going on from it keeps what it
# knows. One person on one run is one draw of chance: ``python benchmarks/subjects.py`` repeats this
# over people and over how much they differ. In a pipeline, say
# ``fit(X, y, beira__pretrained=others)``, where "beira" is the name of the last step.
