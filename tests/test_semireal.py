"""Real EEG with real BOLD of another person, and a coupling of known size planted between them."""

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, compare, null_test
from sklearn_beira.baselines.makers import make_band_power_ridge

PLANTED = ["LCau", "RCau", "LPut", "RPut"]


@pytest.fixture(scope="module")
def recording(shared_data):
    raw = mne.io.read_raw_eeglab(
        shared_data / "real/eeglab_sample/eeglab_data.set", preload=True, verbose="error"
    )
    raw.set_channel_types({"EOG1": "eog", "EOG2": "eog"})
    return raw, pd.read_csv(shared_data / "semireal/bold.csv", index_col="time_s")


@pytest.fixture(scope="module")
def semireal(recording):
    """With the history that the baselines use."""
    return align(*recording, t_r=1.89, tmin=-16.0, tmax=0.0, verbose="error")


@pytest.fixture(scope="module")
def beira_study(recording):
    """With windows of 20 s, over which the response fades away."""
    X, y = align(*recording, t_r=1.89, tmin=-20.0, tmax=0.0, verbose="error")
    steps = [("window", Windower(20.0)), ("beira", BEIRARegressor(verbose=False))]
    return Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *steps]), X, y


def out_of_fold_r(steps, X, y):
    model = Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *steps])
    table = compare(model, X, y, null=None, verbose=False).table
    return table.query("scope == 'pooled'").set_index("region")["r"]


def test_the_lagged_ridge_finds_the_planted_regions(semireal):
    r = out_of_fold_r(make_band_power_ridge(16.0).steps, *semireal)
    np.testing.assert_allclose(r[PLANTED], [0.6, 0.6, 0.5, 0.5], atol=0.15)


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("null", ["auto", "circular"])
def test_the_planted_regions_are_significant_and_the_nulls_are_not(semireal, null, refit):
    ridge = Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *make_band_power_ridge(16.0).steps])
    result = null_test(ridge, *semireal, null=null, refit=refit, verbose=False)
    p_max = result.table["p_max"]
    assert (p_max[PLANTED] <= 0.05).all()
    assert (p_max.drop(PLANTED) > 0.05).all()


def test_other_peoples_bold_of_other_scans_gives_the_same_findings(semireal, shared_data):
    """Swaps: whole stretches of real BOLD of people who are neither in the EEG nor in the BOLD."""
    X, y = semireal
    scans = [
        pd.read_csv(path).drop(columns=["time_s"]).to_numpy()
        for path in sorted((shared_data / "real/vu_bold").glob("*.csv"))
    ]
    # Eight series a scan stand in for the first eight regions.
    ridge = Pipeline([("filter", EEGFilter(1, 45, sfreq=100)), *make_band_power_ridge(16.0).steps])
    result = null_test(ridge, X, y.iloc[:, :8], other_bold=scans, verbose=False)
    assert result.null == "swap"
    assert (result.table.loc[PLANTED, "p_max"] <= 0.05).all()
    assert (result.table["p_max"].drop(PLANTED) > 0.05).all()


@pytest.fixture(scope="module")
def pooled(beira_study):
    """Out-of-fold scores of the default beside the ridge."""
    beira, X, y = beira_study
    ridge = Pipeline([beira.steps[0], *make_band_power_ridge(20.0).steps])
    table = compare({"beira": beira, "ridge": ridge}, X, y, verbose=False).table
    return table.query("scope == 'pooled'").set_index(["model", "region"])


def test_the_default_beira_finds_the_planted_regions_and_not_the_nulls(pooled):
    r, p_max = pooled.loc["beira", "r"], pooled.loc["beira", "p_max"]
    assert r[PLANTED].mean() >= 0.60
    assert r[PLANTED].min() >= 0.45
    assert abs(r.drop(PLANTED).mean()) < 0.15
    assert (p_max[PLANTED] <= 0.05).all()
    assert (p_max.drop(PLANTED) > 0.05).all()


def test_the_default_beira_is_ahead_of_the_lagged_ridge(pooled):
    r = pooled["r"].unstack("model").loc[PLANTED].mean()
    assert r["beira"] > r["ridge"] + 0.05
