"""
A network of your own
=====================

:class:`~sklearn_beira.CustomNetwork` takes your torch module. Filters, windows, scaling, folds,
search and nulls stay what they are. :doc:`/user_guide/your_own_network` has the rules, this page a
small network that reads log power, beside a ridge and the default model.

The recording is **simulated** and short: which model wins here says nothing about your data.
"""

# %%
# The module
# ----------
# It maps EEG ``(n_windows, n_channels, n_times)``, scaled to a standard deviation of 1, to BOLD
# ``(n_windows, n_rois)``, scaled as well. ``own_volume_only`` says that a window estimates the
# volume at its end and no other. ``n_times`` is given because the signature asks for it.

import matplotlib.pyplot as plt
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from torch import nn

from sklearn_beira import (
    BEIRARegressor,
    CustomNetwork,
    EEGFilter,
    Training,
    Windower,
    align,
    compare,
)
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.viz import plot_training


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
# :class:`~sklearn_beira.CustomNetwork` holds the class and its parameters,
# :class:`~sklearn_beira.Training` says how it is trained: with strong weight decay, as there are
# few volumes.

HISTORY = 16.0  # seconds of EEG that predict a volume
run = make_eeg_fmri(duration=480.0, n_channels=8, n_rois=2, random_state=0)
X, y = align(run.raws, run.bolds, trigger="mri", tmin=-HISTORY, tmax=0.0, verbose="error")
X = EEGFilter(1.0, 45.0, sfreq=100.0).fit_transform(X)
training = Training(
    max_epochs=60, batch_size=64, lr=1e-2, weight_decay=0.3, validation_fraction=0.2, patience=15
)
net = BEIRARegressor(
    CustomNetwork(LogPowerNet, {"n_filters": 8, "segment": 100, "dropout": 0.3}),
    training=training,
    random_state=0,
    verbose=False,
)
model = Pipeline([("window", Windower(HISTORY)), ("net", net)])
model

# %%
# Does it learn?
# --------------
# The last fifth of the training volumes decides which epoch's weights are kept, with a gap between
# it and the rest. The loss is the squared error of BOLD scaled to SD 1: at 1 the network is as good
# as the mean.

fitted = clone(model).fit(X, y)
ax = plot_training(fitted)

# %%
# Against its rivals
# ------------------
# The same folds, the same volumes, the same null. Each fold trains the network anew and keeps its
# own part of the training volumes apart.

models = {
    "LogPowerNet": model,
    "BEIRA": Pipeline([("window", Windower(HISTORY)), ("beira", BEIRARegressor(verbose=False))]),
    "ridge": make_band_power_ridge(HISTORY),
}
comparison = compare(
    models, X, y, cv=BlockedKFold(3), null="phase", n_surrogates=500, verbose=False
)
print(f"Pearson's r over {len(y)} volumes, predicted out of fold")
comparison.summary(ceiling=run.truth.noise_ceiling)

# %%
# sphinx_gallery_thumbnail_number = 2
fig = plt.figure(figsize=(8, 2.4), layout="constrained")
_ = comparison.plot(ceiling=run.truth.noise_ceiling, fig=fig)

# %%
# Parameters can be searched like any other: ``net__training__lr``, ``net__training__max_epochs``,
# or ``net__architecture__params`` as a whole, ``[{"n_filters": 4}, {"n_filters": 8}]``.
#
# For workers (``n_jobs``) and for saving, the class has to live in a module that they can import;
# a class written in a notebook cell cannot be found there. Scalp maps need a network with branches:
# see :doc:`/user_guide/your_own_network`.
