"""
A network of your own
=====================

:class:`~sklearn_beira.BEIRARegressor` trains any torch module. Filters, windows, scaling, folds,
search and nulls stay the same. :doc:`/user_guide/your_own_network` has the rules. This example
compares a small network of log power with a ridge and the default model.

The recording is **simulated** and short: which model wins says nothing about your data.
"""

# %%
# The module
# ----------
# It maps EEG ``(n_windows, n_channels, n_times)``, scaled to a standard deviation of 1, to scaled
# BOLD ``(n_windows, n_rois)``. ``own_volume_only`` says that a window estimates only the volume at
# its end.

import matplotlib.pyplot as plt
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_beira import (
    BEIRARegressor,
    BlockedKFold,
    CustomNetwork,
    EEGFilter,
    Training,
    Windower,
    align,
    compare,
    make_band_power_ridge,
    make_eeg_fmri,
    plot_training,
)


class LogPowerNet(nn.Module):
    """Log power of spatially filtered EEG in segments, read linearly."""

    own_volume_only = True

    def __init__(self, n_channels, n_rois, n_times, *, segment=100, n_filters=8, dropout=0.3):
        super().__init__()
        self.segment = segment
        self.spatial = nn.Linear(n_channels, n_filters, bias=False)
        self.norm = nn.BatchNorm1d(n_filters)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(n_filters * (n_times // segment), n_rois)

    def forward(self, eeg):
        x = self.spatial(eeg.transpose(1, 2)).transpose(1, 2)
        x = x[..., x.shape[-1] % self.segment :]
        power = x.unflatten(-1, (-1, self.segment)).square().mean(dim=-1)
        return self.readout(self.dropout(self.norm(torch.log(power + 1e-4))).flatten(1))


# %%
# In the regressor
# ----------------
# ``CustomNetwork`` holds the class and its parameters, ``Training`` how it is trained: here with
# strong weight decay, because there are few volumes. The last fifth of the training volumes
# selects the epoch.

HISTORY = 16.0  # seconds of EEG that predict a volume
run = make_eeg_fmri(duration=480.0, n_channels=8, n_rois=2, random_state=0)
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)
net = BEIRARegressor(
    CustomNetwork(LogPowerNet, {"n_filters": 8, "segment": 100}),
    training=Training(
        max_epochs=60,
        batch_size=64,
        lr=1e-2,
        weight_decay=0.3,
        validation_fraction=0.2,
        patience=15,
    ),
    random_state=0,
    verbose=False,
)
model = make_pipeline(Windower(HISTORY), net)
model

# %%
# Does it learn?
# --------------
# The loss is the squared error of BOLD scaled to SD 1. At 1 the network is as good as the mean.

fitted = clone(model).fit(X, y)
ax = plot_training(fitted)

# %%
# Against baselines
# -----------------
# The same folds, volumes and null. Each fold trains the network anew.

models = {
    "LogPowerNet": model,
    "BEIRA": make_pipeline(Windower(HISTORY), BEIRARegressor(verbose=False)),
    "ridge": make_band_power_ridge(HISTORY),
}
comparison = compare(
    models, X, y, cv=BlockedKFold(3), null="phase", n_surrogates=500, verbose=False
)
comparison.summary(ceiling=run.truth.noise_ceiling)

# %%
# sphinx_gallery_thumbnail_number = 2
fig = plt.figure(figsize=(8, 2.4), layout="constrained")
_ = comparison.plot(ceiling=run.truth.noise_ceiling, fig=fig)

# %%
# Search parameters like any other, by nested names: ``training__lr``, ``architecture__params``.
# For workers (``n_jobs``) and for saving, put the class into a module that can be imported. Scalp
# maps need a network with branches: :doc:`/user_guide/your_own_network`.
