"""
BEIRA and its baselines
=======================

A network that predicts BOLD shows little before simpler models had their chance on the same
volumes. This example compares BEIRA with the linear baselines: one call, one table, one figure.

The recording is **simulated** and short. Which model wins here says nothing about your data.
"""

# %%
# The models
# ----------
# :func:`~sklearn_beira.make_baselines` makes all linear baselines that are installed. The sparse
# group lasso is left out, because it compiles itself first. All look back 20 s.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.pipeline import make_pipeline

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    EEGFilter,
    Windower,
    align,
    compare,
    make_baselines,
    make_eeg_fmri,
    paired_test,
    plot_comparison,
)

HISTORY = 20.0  # seconds of EEG that predict a volume
run = make_eeg_fmri(duration=240.0, n_channels=8, n_rois=2, random_state=0)
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)

baselines = make_baselines(duration=HISTORY)
baselines.pop("sparse_group_lasso", None)
models = {"BEIRA": make_pipeline(Windower(HISTORY), BEIRARegressor(verbose=False)), **baselines}
print(*models, sep="\n")

# %%
# One call
# --------
# All models get the same folds and the same draws of the null.

options = {"cv": BlockedKFold(3), "null": "phase", "n_surrogates": 500, "verbose": False}
comparison = compare(models, X, y, **options)
pooled = comparison.table.query("scope == 'pooled'")
pooled[["model", "region", "r", "ci_low", "ci_high", "n_eff", "p", "p_max", "fit_time"]].round(3)

# %%
# "mean" predicts the training mean, and "time_polynomial" reads only the time: their r owes
# nothing to the EEG. "alpha_hrf" has an advantage, because this simulation makes BOLD from alpha
# power and the canonical response. A dotted line marks too few effective volumes for an interval.

fig = plt.figure(figsize=(8, 4), layout="constrained")
_ = plot_comparison(comparison, ceiling=run.truth.noise_ceiling, fig=fig)

# %%
# Is one better?
# --------------
# Test differences, not overlaps of intervals: all models predict the same volumes, so their errors
# correlate. :func:`~sklearn_beira.paired_test` compares fold by fold, or subject by subject.

readers = [name for name in baselines if name not in ("mean", "time_polynomial")]
pairs = {name: paired_test(comparison, "BEIRA", name).loc["mean"] for name in readers}
pairs = pd.DataFrame(pairs).T.drop(columns="unit").astype(float)
pairs.round(3)

# %%
# Three folds of a few minutes decide little, and the wide intervals show it.
#
# The best model of a table was chosen on the test data. Choose inside a search, test on new
# recordings, or correct over models as well:

some = {name: models[name] for name in ("band_power_ridge", "alpha_hrf")}
corrected = compare(some, X, y, correct_over="all", **options)
corrected.table.query("scope == 'pooled'")[["model", "region", "r", "p", "p_max"]].round(3)
