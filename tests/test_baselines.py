"""Every baseline finds what is planted, nothing else, and behaves as an estimator."""

import sys

import mne
import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import Pipeline

from sklearn_beira import EEGFilter, EEGWindows, align
from sklearn_beira.baselines import makers as baselines
from sklearn_beira.evaluation.metrics import pearson_r
from sklearn_beira.evaluation.splitters import BlockedKFold

BANDS = {"alpha": (8.0, 12.0), "beta": (18.0, 26.0)}

# Every maker in sizes for small tests: parameters, and a grid over one of them.
MODELS = {
    "mean": ({}, {"mean__strategy": ["mean", "median"]}),
    "time_polynomial": ({}, {"time__degree": [1, 2]}),
    "alpha_hrf": ({"channels": None}, {"window__duration": [12.0, 16.0]}),
    "band_power_ridge": ({"bands": BANDS}, {"power__step": [2.0, 4.0]}),
    "eeg_fingerprint": ({"bands": BANDS}, {"fingerprint__step": [2.0, 4.0]}),
    "spoc_ridge": ({"bands": BANDS, "n_components": 2}, {"spoc__n_components": [1, 2]}),
    "pls": ({"bands": BANDS, "n_components": 3}, {"pls__n_components": [1, 3]}),
    "sparse_group_lasso": ({"bands": BANDS}, {"lasso__l1_ratio": [0.1, 0.9]}),
    "tangent_space_ridge": (
        {"bands": BANDS, "n_components": 4},
        {"tangent__metric": ["riemann", "logeuclid"]},
    ),
    "banded_ridge": ({"bands": BANDS, "n_iter": 3}, {"ridge__n_iter": [1, 3]}),
    "brainwavelinker": (
        {"max_epochs": 2, "random_state": 0},
        {"net__training__max_epochs": [1, 2]},
    ),
    "eegnet": ({"max_epochs": 2, "random_state": 0}, {"net__training__max_epochs": [1, 2]}),
}
# How long the networks train where they have to find something.
EPOCHS = {"brainwavelinker": 40, "eegnet": 12}
EXTRAS = {
    "sparse_group_lasso": "skglm",
    "tangent_space_ridge": "pyriemann",
    "banded_ridge": "himalaya",
}
BLIND = ("mean", "time_polynomial")


def model_names(*but, in_earnest=False):
    """Name the baselines for a test; the solver of one takes long to compile, networks to train."""
    slow = {"sparse_group_lasso", *(EPOCHS if in_earnest else ())}
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in slow else [], id=name)
        for name in MODELS
        if name not in but
    ]


def make(name, *, in_earnest=False):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    model = getattr(baselines, f"make_{name}")(**MODELS[name][0])
    if name == "sparse_group_lasso":
        model.set_params(lasso__n_alphas=5, lasso__n_splits=3)
    if in_earnest and name in EPOCHS:
        model.set_params(net__training__max_epochs=EPOCHS[name])
    return model


@pytest.fixture(scope="module")
def data(make_study):
    """Two runs of 6 channels in which alpha drives one region and beta the other."""
    study = make_study(
        n_runs=2,
        duration=300.0,
        sfreq=64.0,
        bands=((8, 12), (18, 26)),
        weights=np.array([[1.0, 0.0], [0.0, -1.0]]),
        eeg_snr=8.0,
        noise_ceiling=0.95,
        drift=0.0,
    )
    X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, tmax=0.0, verbose="error")
    return X, np.asarray(y)


def out_of_run(model, X, y):
    return cross_val_predict(model, X, y, cv=LeaveOneGroupOut(), groups=X.groups)


# -- what they find -----------------------------------------------------------------------------
@pytest.mark.parametrize("name", model_names(in_earnest=True))
def test_the_planted_coupling_is_found_by_those_who_look_at_eeg(data, name):
    X, y = data
    r = pearson_r(y, out_of_run(make(name, in_earnest=True), X, y), multioutput="raw_values")
    if name in BLIND:
        assert np.abs(r).max() < 0.35
    elif name == "alpha_hrf":
        assert r[0] > 0.4
    else:  # what BrainWaveLinker learns differs between processors
        assert r.min() > (0.3 if name == "brainwavelinker" else 0.4)


@pytest.mark.parametrize("setting", ["pandas", "polars"])
@pytest.mark.parametrize("name", model_names(*EPOCHS))
def test_a_global_setting_for_tables_changes_no_prediction(data, name, setting):
    pytest.importorskip(setting)
    X, y = data[0][:60], data[1][:60]
    expected = make(name).fit(X, y).predict(X)
    with config_context(transform_output=setting):
        found = make(name).fit(X, y).predict(X)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", model_names(*BLIND, in_earnest=True))
def test_what_has_nothing_to_do_with_the_eeg_is_not_found(data, name):
    X, y = data
    noise = np.random.default_rng(1).standard_normal((len(y), 4))
    noise = lfilter([1.0], [1.0, -0.5], noise, axis=0)
    r = pearson_r(
        noise, out_of_run(make(name, in_earnest=True), X, noise), multioutput="raw_values"
    )
    assert np.abs(r.mean()) < 0.2
    assert np.abs(r).max() < 0.35


def test_a_drift_is_found_by_the_polynomial_and_does_not_explode_beyond_the_training(data):
    X, _ = data
    rows = X.groups == 0
    X, time = X[rows], X.times[rows]
    y = np.column_stack([time, (time - 150) ** 2, -time]) / 100
    noisy = y + np.random.default_rng(0).standard_normal(y.shape) * 0.1
    model = make("time_polynomial")
    found = cross_val_predict(model, X, noisy, cv=BlockedKFold(5, gap=20.0))
    assert pearson_r(y, found) > 0.8
    head = time < 150
    far = model.set_params(time__degree=7).fit(X[head], noisy[head]).predict(X[~head])
    low, high = noisy[head].min(axis=0), noisy[head].max(axis=0)
    assert (far > low - 0.2 * (high - low)).all()
    assert (far < high + 0.2 * (high - low)).all()


def test_the_mean_is_that_of_the_training(data):
    X, y = data
    predicted = make("mean").fit(X[:50], y[:50]).predict(X[50:])
    np.testing.assert_allclose(predicted, np.tile(np.mean(y[:50], axis=0), (len(y) - 50, 1)))


# -- how they behave ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", model_names())
def test_a_clone_predicts_the_same_and_a_refit_forgets(data, name):
    X, y = data
    first, second = np.flatnonzero(X.groups == 0), np.flatnonzero(X.groups == 1)
    model = make(name).fit(X[first], y[first, 0])
    model.fit(X[second], y[second])
    once = clone(model).fit(X[second], y[second])
    np.testing.assert_array_equal(model.predict(X[first]), once.predict(X[first]))


@pytest.mark.parametrize("name", model_names())
def test_a_parameter_can_be_searched_behind_a_filter(data, name):
    X, y = data
    model = Pipeline([("filter", EEGFilter(1.0, 28.0, sfreq=None)), *make(name).steps])
    search = GridSearchCV(model, MODELS[name][1], cv=BlockedKFold(2, gap=20.0), error_score="raise")
    search.fit(X[:130], y[:130])
    assert len(search.cv_results_["params"]) == 2
    assert search.predict(X[130:]).shape == (len(y) - 130, 2)


@pytest.mark.parametrize("name", model_names())
def test_one_region_in_one_out_and_tables_as_arrays(data, name):
    X, y = data
    X, y = X[:100], y[:100]
    index = pd.MultiIndex.from_arrays([X.groups, X.volumes], names=["recording", "volume"])
    table = pd.DataFrame(y, index, columns=["left", "right"])
    model = make(name)
    both = model.fit(X, table).predict(X)
    assert both.shape == y.shape
    assert both.dtype == np.float64
    np.testing.assert_array_equal(both, clone(model).fit(X, y).predict(X))
    one = clone(model).fit(X, y[:, 0]).predict(X)
    assert one.shape == (100,)
    if name not in ("pls", *EPOCHS):  # whose regions share components or filters
        np.testing.assert_allclose(one, both[:, 0], rtol=1e-6, atol=1e-8 * np.abs(y).max())


@pytest.mark.parametrize("name", model_names("mean"))
def test_other_channels_are_refused(data, name):
    X, y = data
    model = make(name).fit(X[:100], y[:100])
    fewer = X.with_recordings(
        [r[:-1] for r in X.recordings],
        mne.pick_info(X.info, np.arange(X.shape[1] - 1)),
        [f"{token} less" for token in X.tokens],
    )
    with pytest.raises(ValueError, match=rf"X has other channels .*missing: \['{X.ch_names[-1]}'"):
        model.predict(fewer[100:])


@pytest.mark.parametrize("name", model_names(*BLIND))
def test_ready_cut_windows_do_as_well_where_their_rate_is_given(data, name):
    X, y = data
    X, y = np.asarray(X[:60]), y[:60]
    model = make(name)
    with pytest.raises(
        ValueError, match=r"plain array, whose sampling rate .* EEGWindows.from_array"
    ):
        model.fit(X, y)
    X = EEGWindows.from_array(X, sfreq=64.0)
    assert model.fit(X, y).predict(X).shape == y.shape


def test_a_polynomial_of_time_needs_a_time(data):
    X, y = data
    with pytest.raises(ValueError, match="length of the recordings is unknown; pass the EEGWin"):
        make("time_polynomial").fit(np.asarray(X[:10]), y[:10])


# -- extras -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_extra_is_named(data, name, monkeypatch):
    X, y = data
    for module in [m for m in sys.modules if m.split(".")[0] == EXTRAS[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, EXTRAS[name], None)
    model = getattr(baselines, f"make_{name}")()
    with pytest.raises(ImportError, match=r'pip install "sklearn-beira\[baselines\]"'):
        model.fit(X, y)
    assert name not in baselines.make_baselines()
    with pytest.raises(ImportError, match=rf"{name} needs {EXTRAS[name]}: pip install"):
        baselines.make_baselines("all")


def test_baselines_are_made_by_name():
    assert set(baselines.make_baselines("none")) == set(MODELS) - set(EXTRAS) - set(EPOCHS)
    for name, model in baselines.make_baselines("none", duration=12.0).items():
        assert isinstance(model, Pipeline)
        if name not in BLIND:
            assert model.get_params()["window__duration"] == 12.0
    with pytest.raises(ValueError, match="extras must be 'installed', 'all' or 'none', got 'some'"):
        baselines.make_baselines("some")


def test_all_baselines_can_be_made_where_the_extras_are_installed():
    for package in EXTRAS.values():
        pytest.importorskip(package)
    linear = set(MODELS) - set(EPOCHS)
    assert set(baselines.make_baselines("all")) == set(baselines.make_baselines()) == linear
