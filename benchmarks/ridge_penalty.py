"""How should the lagged ridge choose its penalty? Leave-one-out, blocks with a gap, or not at all.

Simulated recordings (make_eeg_fmri, noise ceiling .7, 30 channels, 8 regions) of 4, 5 and 10
minutes; log band power in six bands at eight lags (1,440 features); five outer blocks with a gap of
16 s. Mean r within test blocks over regions and seeds. Simulated figures are no claim about brains.

Run: python benchmarks/ridge_penalty.py [N_SEEDS]
"""

import sys

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, align, compare
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.datasets import make_eeg_fmri

ALPHAS = np.logspace(0, 6, 25)
CHOICES = {
    "leave one out": RidgeCV(ALPHAS, alpha_per_target=True),
    "5 blocks, gap 8": BlockedRidgeCV(ALPHAS),
    "5 blocks, gap 0": BlockedRidgeCV(ALPHAS, gap=0),
    "20 blocks, gap 8": BlockedRidgeCV(ALPHAS, n_splits=20),
    "30 blocks, gap 0": BlockedRidgeCV(ALPHAS, n_splits=30, gap=0),
    "alpha 100": Ridge(1e2),
    "alpha 1,000": Ridge(1e3),
    "alpha 10,000": Ridge(1e4),
}


def main(n_seeds):
    rows = []
    for duration in (240.0, 300.0, 600.0):
        for seed in range(100, 100 + n_seeds):
            study = make_eeg_fmri(duration=duration, noise_ceiling=0.7, random_state=seed)
            X, y = align(study.raws, study.bolds, trigger="mri", tmin=-16, tmax=0, verbose="error")
            X = EEGFilter(1, 45, sfreq=100).fit_transform(X)
            models = {
                name: Pipeline([*make_band_power_ridge(16.0).steps[:-1], ("ridge", ridge)])
                for name, ridge in CHOICES.items()
            }
            table = compare(models, X, y, null=None, verbose=False).table
            r = table[table["scope"] == "pooled"].groupby("model")["r"].mean()
            rows.append(r.rename((f"{duration / 60:g} min", seed)))
    r = pd.DataFrame(rows).rename_axis(index=["recording", "seed"])
    r.index = pd.MultiIndex.from_tuples(r.index, names=["recording", "seed"])
    order = list(CHOICES)
    print(f"mean r of 8 regions over {n_seeds} seeds (standard error)")
    mean, error = r.groupby("recording").mean()[order].T, r.groupby("recording").sem()[order].T
    text = mean.map("{:.3f}".format) + error.map(" ({:.3f})".format)
    print(text[["4 min", "5 min", "10 min"]].to_string())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
