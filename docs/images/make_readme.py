"""Draw the figure of the README: simulated run, default BEIRA, five blocks with a gap.

Run: python docs/images/make_readme.py      (about a minute)
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
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

study = make_eeg_fmri(duration=600.0, random_state=0)
X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, tmax=0.0)
eeg_filter = EEGFilter(1, 45, sfreq=100)
models = {
    "BEIRA": make_pipeline(eeg_filter, Windower(20.0), BEIRARegressor(verbose=False)),
    "ridge": make_pipeline(eeg_filter, make_band_power_ridge(20.0)),
}
comparison = compare(models, X, y, cv=BlockedKFold(5), null=None, verbose=False)
branches = read_branches(models["BEIRA"].fit(X, y), X)

region = "Left Putamen"
fig = plt.figure(figsize=(9, 7.6), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[2.3, 1])
plot_branches(branches, region, n_branches=3, fig=top)
plot_predictions(comparison, region, fig=bottom)
bottom.suptitle("predictions of held-out volumes")
fig.savefig(Path(__file__).with_name("readme.png"), dpi=110)
