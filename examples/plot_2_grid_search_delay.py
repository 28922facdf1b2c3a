"""
Search for the delay, and let the search fail
=============================================

How long before a volume lies the EEG that predicts it? A grid search answers, and is a test of the
data at the same time: EEG *after* the volume cannot cause it. If the best delay is negative, EEG
and BOLD are misaligned, or the test leaks.

The recording is **simulated**, with the canonical hemodynamic response. The curves below say
nothing about brains. A ridge on band power keeps the page fast; the search is the same for BEIRA.
"""

# %%
# History and future
# ------------------
# The search looks at windows of 4 s that end up to 16 s before the volume, or up to 8 s after its
# onset. ``tmin`` and ``tmax`` keep that much EEG around each volume, so that every grid point is
# scored on the same volumes.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, align
from sklearn_beira.baselines import make_band_power_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.metrics import pearson_r, pearson_r_scorer
from sklearn_beira.model_selection import BlockedKFold

run = make_eeg_fmri(duration=480.0, n_channels=16, n_rois=2, random_state=0)
DURATION = 4.0
delays = np.arange(-8.0, 17.0, 4.0)
tmin, tmax = -(delays.max() + DURATION), -delays.min()
X, y = align(run.raws, run.bolds, trigger="mri", tmin=tmin, tmax=tmax, verbose="error")
X
