"""Draw the figure of the README: simulated run, default BEIRA, five blocks with a gap.

Run: python docs/images/make_readme.py      (about a minute)
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import mne
import numpy as np
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

# The first region follows alpha, theta (against BOLD) and beta; the second alpha of another place.
weights = np.zeros((2, 6))
weights[0, :3], weights[1, 3] = (1.0, -0.8, 0.7), 1.0
bands = [(8, 12), (4, 7), (18, 23)]
study = make_eeg_fmri(
    duration=600.0, n_rois=2, weights=weights, bands=bands, random_state=0
)  # fmt: skip
X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, tmax=0.0)
eeg_filter = EEGFilter(1, 45, sfreq=100)
models = {
    "BEIRA": make_pipeline(eeg_filter, Windower(20.0), BEIRARegressor(verbose=False)),
    "ridge": make_pipeline(eeg_filter, make_band_power_ridge(20.0)),
}
cv = BlockedKFold(5)
comparison = compare(models, X, y, cv=cv, null=None, verbose=False)
branches = read_branches(models["BEIRA"].fit(X, y), X, y, cv=cv)

region, truth = y.columns[0], study.truth
fig = plt.figure(figsize=(10, 8), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[2.3, 1])
found, planted = top.subfigures(1, 2, width_ratios=[5, 1])
plot_branches(branches, region, n_branches=3, fig=found)
# The planted source beside the branch that shows it.
order = np.argsort(-branches.held_out[0])[:3]
for ax, branch in zip(planted.subplots(3, 1), order, strict=True):
    cosines = np.abs(truth.patterns[:3] @ branches.patterns[branch])
    source = int(np.argmax(cosines / np.linalg.norm(truth.patterns[:3], axis=1)))
    pattern = truth.patterns[source] / np.abs(truth.patterns[source]).max()
    sign = np.sign(pattern[np.abs(pattern).argmax()])
    mne.viz.plot_topomap(
        sign * pattern, branches.info, axes=ax, show=False, cmap="RdBu_r", vlim=(-1, 1),
        contours=np.linspace(-0.75, 0.75, 7),
    )  # fmt: skip
    low, high = truth.bands[source]
    effect = "+" if truth.weights[0, source] > 0 else "−"
    ax.set_title(f"{low:g} to {high:g} Hz, BOLD {effect}", fontsize="small")
planted.suptitle("planted", fontsize="medium", fontweight="bold")
planted.supxlabel(" \n \n", fontsize="medium")  # as high as the legend of the branches
plot_predictions(comparison, region, fig=bottom)
bottom.suptitle("predictions of held-out volumes")
fig.savefig(Path(__file__).with_name("readme.png"), dpi=110)
