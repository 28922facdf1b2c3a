"""The whole pipeline over a three-run study, the way scikit-learn users drive it."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline
from small_networks import SIZES, make_beira

from sklearn_beira import BEIRARegressor, EEGFilter, Windower, align, predict_frame
from sklearn_beira.baselines.makers import make_band_power_ridge, make_spoc_ridge
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.evaluation.metrics import pearson_r_scorer
from sklearn_beira.evaluation.splitters import BlockedKFold


@pytest.fixture(scope="module")
def study():
    data = make_eeg_fmri(3, duration=90.0, n_channels=8, n_rois=2, random_state=0)
    return align(data.raws, data.bolds, trigger="mri", tmin=-14, tmax=2, verbose="error")


PAPER = {
    "architecture": "autoencoder",
    **SIZES,
    "mode": "many_to_many",
    "max_epochs": 2,
    "validation_fraction": 0.2,
    "validation_gap": 0.0,
    "random_state": 0,
}


@pytest.fixture(params=[{}, PAPER], ids=["default", "paper"])
def model(request):
    beira = make_beira(**request.param, verbose=False)
    return Pipeline(
        [("filter", EEGFilter(1, 45, sfreq=100)), ("window", Windower(8.0, 2.0)), ("beira", beira)]
    )


GRID = {
    "filter__h_freq": [30.0, 45.0],
    "window__delay": [-2.0, 4.0],
    "beira__architecture__n_branches": [2, 3],
}


def test_grid_search_over_every_step_gives_the_same_numbers_whatever_n_jobs(
    study, model, set_num_threads
):
    X, y = study
    set_num_threads(1)  # as the processes have
    results = []
    for n_jobs in (1, 2):
        search = GridSearchCV(
            model, GRID, cv=BlockedKFold(2, gap=16.0), scoring=pearson_r_scorer, n_jobs=n_jobs
        )
        search.fit(X, y)
        results.append((search.cv_results_["mean_test_score"], search.predict(X)))
    (scores, y_pred), (scores_2, y_pred_2) = results
    np.testing.assert_array_equal(scores, scores_2)
    np.testing.assert_array_equal(y_pred, y_pred_2)
    assert y_pred.shape == y.shape
    assert len(np.unique(scores)) == 8  # every parameter makes a difference


def test_leave_one_run_out_predicts_every_volume_once(study, model):
    X, y = study
    y_pred = cross_val_predict(model, X, y, cv=LeaveOneGroupOut(), groups=X.groups)
    for k in range(3):
        train, test = X.groups != k, X.groups == k
        alone = clone(model).fit(X[train], y[train]).predict(X[test])
        np.testing.assert_array_equal(y_pred[test], alone)


def test_pipeline_memory_changes_nothing_but_the_work(study, model, tmp_path, monkeypatch):
    X, y = study
    plain = clone(model).fit(X, y).predict(X)
    from sklearn_beira.eeg import cache, filtering as preprocessing

    calls = []
    original = preprocessing._filter_raw
    monkeypatch.setattr(
        preprocessing, "_filter_raw", lambda *a, **k: (calls.append(1), original(*a, **k))
    )
    cached = clone(model).set_params(memory=joblib.Memory(tmp_path, mmap_mode="r", verbose=0))
    for _ in range(2):
        cache.results.clear()
        np.testing.assert_array_equal(clone(cached).fit(X, y).predict(X), plain)
    # fit of the second round came from the disk: filtered anew only for its predict
    assert len(calls) <= 3 * 3


def test_clone_and_pickle_of_a_fitted_pipeline(study, model):
    X, y = study
    model.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert not hasattr(clone(model)[-1], "net_")


def test_scikit_learn_tools_take_the_ridge_pipeline(study):
    X, y = study
    ridge = make_band_power_ridge(12.0)
    cv = BlockedKFold(2, gap=16.0)
    result = cross_validate(ridge, X, y, cv=cv, scoring=["r2", "neg_mean_squared_error"], n_jobs=2)
    assert np.isfinite(result["test_r2"]).all()
    sizes, _, scores = learning_curve(ridge, X, y, cv=cv, train_sizes=[0.5, 1.0])
    assert scores.shape == (2, 2)
    assert sizes[0] < sizes[1]


def test_prediction_of_a_subset_needs_only_the_subset_in_many_to_one(study, model):
    X, y = study
    if "beira__architecture__mode" in model.get_params():
        model.set_params(beira__architecture__mode="many_to_one")
    model.fit(X, y)
    rows = np.arange(5, 60, 7)
    y_pred = model.predict(X)
    atol = 1e-5 * y_pred.std()
    np.testing.assert_allclose(model.predict(X[rows]), y_pred[rows], rtol=1e-5, atol=atol)


def test_predictions_can_be_a_table_with_regions_and_times(make_study):
    study, timing = make_study(n_runs=2), {"trigger": "mri", "tmin": -8.0, "verbose": "error"}
    X, y = align(study.raws, study.bolds, **timing)
    alone = align(study.raws, **timing)
    ridge = make_band_power_ridge(8.0)
    steps = {"filter": EEGFilter(1, 40, sfreq=100), "window": Windower(8.0)}
    beira = Pipeline([*steps.items(), ("beira", BEIRARegressor(verbose=False))])
    for model, regions in ((ridge, y.columns), (beira, None), (make_spoc_ridge(8.0), None)):
        fitted = clone(model).set_output(transform="pandas").fit(X, y)
        found = predict_frame(fitted, alone, regions)
        assert list(found) == list(y)
        np.testing.assert_array_equal(found, clone(model).fit(X, y).predict(X))
        np.testing.assert_array_equal(found.index.droplevel("time_s"), y.index)
        np.testing.assert_array_equal(found.index.get_level_values("time_s"), X.times)
    assert list(predict_frame(ridge.fit(X, y), alone)) == ["ROI 0", "ROI 1"]
    table = np.asarray(X)[:, 0]
    assert predict_frame(Ridge().fit(table, y), table).index.names == [None]
