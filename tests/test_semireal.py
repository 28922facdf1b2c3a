"""Real EEG with real BOLD of another person, and a coupling of known size planted between them."""

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, Windower, align, make_compact_beira
from sklearn_beira.baselines import make_band_power_ridge
from sklearn_beira.metrics import pearson_r
from sklearn_beira.model_selection import BlockedKFold

PLANTED = ["LCau", "RCau", "LPut", "RPut"]


@pytest.fixture(scope="module")
def semireal(shared_data):
    raw = mne.io.read_raw_eeglab(
        shared_data / "real/eeglab_sample/eeglab_data.set", preload=True, verbose="error"
    )
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    bold = pd.read_csv(shared_data / "semireal/bold.csv", index_col="time_s")
    return align(raw, bold, t_r=1.89, tmin=-16.0, tmax=0.0, verbose="error")


def out_of_fold_r(steps, X, y):
    model = Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *steps])
    y_pred = cross_val_predict(model, X, y, cv=BlockedKFold(5, gap=15.0))
    return pd.Series(pearson_r(y, y_pred, multioutput="raw_values"), index=y.columns)


def test_the_lagged_ridge_finds_the_planted_regions(semireal):
    r = out_of_fold_r(make_band_power_ridge(16.0).steps, *semireal)
    np.testing.assert_allclose(r[PLANTED], [0.6, 0.6, 0.5, 0.5], atol=0.15)


@pytest.mark.slow
def test_beira_finds_the_planted_regions_and_not_the_nulls(semireal):
    beira = make_compact_beira(random_state=0, verbose=False)
    r = out_of_fold_r([("window", Windower(16.0, 0.0)), ("beira", beira)], *semireal)
    nulls = r.drop(PLANTED)
    assert r[PLANTED].mean() >= 0.3
    assert abs(nulls.mean()) < 0.15
    assert r[PLANTED].mean() > nulls.max() + 0.1
