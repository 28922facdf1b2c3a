"""
Rehearse a live session
=======================

Calibrate a model in the scanner, save it, and let it predict BOLD in a later session, while EEG is
recorded. There is no amplifier here: a player sends a recording at real speed, and the session does
not know the difference. Run this script in a terminal; it takes about a minute and needs
``.venv/bin/pip install -c constraints.txt ".[realtime]"`` in the clone. Data are **simulated**: r
says nothing about brains.
"""

# %%
# Ten minutes in the scanner
# --------------------------
# ``causal=True`` makes a filter that needs no later EEG.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from mne_lsl.lsl import local_clock
from mne_lsl.player import PlayerLSL
from sklearn.pipeline import Pipeline

from sklearn_beira import (
    BEIRARegressor,
    EEGFilter,
    Windower,
    align,
    load_model,
    load_table,
    make_eeg_fmri,
    pearson_r,
    run_live,
    save_model,
)

HISTORY = 20.0  # seconds of EEG that predict a volume
study = make_eeg_fmri(n_runs=2, duration=600.0, n_channels=16, n_rois=2, random_state=0)
X, y = align(study.raws[0], study.bolds[0], trigger="mri", tmin=-HISTORY, verbose="error")
steps = [EEGFilter(causal=True), Windower(HISTORY), BEIRARegressor(verbose=False)]
model = Pipeline(list(zip(["filter", "window", "beira"], steps, strict=True))).fit(X, y)

folder = Path(tempfile.mkdtemp())
save_model(model, folder / "model.safetensors")

# %%
# A later session
# ---------------
# The player sends the second run from its start, with a time stamp for each sample. Its name is
# unique, so that no other stream in the network is taken for it. ``run_live`` waits for the stream,
# finds the channels by name and ends by itself. In a terminal, the same is ``python -m
# sklearn_beira live model.safetensors --stream NAME --step 0.5 --minutes 0.8 --log session.tsv``.

later = study.raws[1].copy().pick("eeg")
stream = f"rehearsal {os.getpid()}"
player = PlayerLSL(later, chunk_size=7, name=stream, source_id=stream).start()
start = local_clock()  # of the recording
try:
    facts = run_live(
        load_model(folder / "model.safetensors"),
        stream,
        name=f"{stream} BOLD",
        step=0.5,
        minutes=0.8,
        log=folder / "session.tsv",
    )
finally:
    player.stop()
print(f"{facts.n_predictions} predictions; {facts.n_lost} of {facts.n_samples} samples were lost.")

# %%
# Live and afterwards
# -------------------
# The log holds the moment of each prediction on the clock of the streams. The saved recording gives
# the same predictions, up to the start of the filter: the session began in its midst.

log = load_table(folder / "session.tsv")
moments = log["time_s"] - start
regions = model["beira"].region_names_
live = log[regions].to_numpy()
windows = align(later, volume_times=moments, tmin=-HISTORY, verbose="error")
offline = model.predict(windows)
print(f"r of live and offline predictions: {pearson_r(offline, live):.4f}")

# %%
# Measured BOLD is there when the images are. With the times of the volumes on the clock of the log,
# r takes three lines. Half a minute says next to nothing; a session of ten minutes would.

onsets, bold = study.volume_times[1], study.bolds[1]
inside = (onsets >= moments.min()) & (onsets <= moments.max())
predicted = np.column_stack([np.interp(onsets[inside], moments, log[name]) for name in regions])
r = pearson_r(bold[inside], predicted)
print(f"r of predicted and measured BOLD: {r:.2f}, of {inside.sum()} volumes only")

fig, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
for k, (ax, region) in enumerate(zip(axes, regions, strict=True)):
    ax.plot(moments, offline[:, k], "0.6", linewidth=5, label="predicted afterwards")
    ax.plot(moments, live[:, k], "C0", label="predicted live")
    ax.plot(onsets[inside], bold.loc[inside, region], "k.", label="measured")
    ax.set(title=region, ylabel="BOLD")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
axes[1].set_xlabel("time in the recording (s)")
fig.savefig(folder / "session.png")
print(f"Figure and log are in {folder}.")
plt.show()
