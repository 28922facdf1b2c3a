"""The same seed gives the same numbers, in any number of processes, cached or not."""

import copy
import json
import pickle
from importlib.metadata import version

import joblib
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small_networks import make_beira
from threadpoolctl import threadpool_limits

from sklearn_beira import EEGFilter, Windower, __version__, align, compare
from sklearn_beira.baselines.makers import make_band_power_ridge
from sklearn_beira.evaluation.splitters import BlockedKFold

# Sockets that distributed leaves to the garbage collector are not what is tested here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPTIONS = {"cv": BlockedKFold(2), "n_surrogates": 5, "null": "phase", "verbose": False}


@pytest.fixture(scope="module")
def study(make_study):
    data = make_study(duration=150.0)
    return align(data.raws, data.bolds, trigger="mri", tmin=-12.0, tmax=0.0, verbose="error")


def make_models(memory=None, seed=0):
    """A network whose training draws numbers, and a linear model."""
    steps = [("filter", EEGFilter(1, 40, sfreq=100)), ("window", Windower(12.0))]
    network = make_beira(
        "eegnet", n_taps=25, max_epochs=2, batch_size=8, random_state=seed, verbose=False
    )
    ridge = make_band_power_ridge(12.0, bands={"alpha": (8.0, 12.0)}).steps
    return {
        "network": Pipeline([*steps, ("beira", network)], memory=memory),
        "ridge": Pipeline([*steps[:1], *ridge], memory=memory),
    }


@pytest.fixture(scope="module")
def predictions(study):
    """What is expected of every way to compute it."""
    return predict(*study)


def predict(X, y, models=None, **options):
    # Threads sum in another order: each process gets one.
    with threadpool_limits(1):
        return compare(models or make_models(), X, y, **OPTIONS, **options).predictions


def check_same(found, expected):
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_another_seed_gives_other_numbers(study, predictions):
    found = predict(*study, make_models(seed=1))
    assert np.abs(found["network"] - predictions["network"]).to_numpy().max() > 1e-3
    np.testing.assert_array_equal(found["ridge"], predictions["ridge"])


def test_once_more_and_after_copies_the_numbers_are_the_same(study, predictions):
    X, y = study
    check_same(predict(X, y), predictions)
    for change in (clone, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        models = {name: change(model) for name, model in make_models().items()}
        X_twin = X if change is clone else change(X)
        check_same(predict(X_twin, y, models), predictions)


def test_a_model_predicts_the_same_once_it_has_been_pickled(study):
    X, y = study
    for model in make_models().values():
        fitted = model.fit(X, y)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_processes_of_loky_give_the_same(study, predictions):
    with parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        check_same(predict(*study), predictions)
    check_same(predict(*study, n_jobs=1), predictions)


def test_workers_of_dask_give_the_same(study, predictions, dask_client):
    with parallel_config("dask"):
        check_same(predict(*study), predictions)


def test_pipelines_with_memory_and_recordings_in_files_give_the_same(study, predictions, tmp_path):
    X, y = study
    memory = joblib.Memory(tmp_path / "memory", verbose=0)
    for _ in range(2):  # the second time, all is found
        check_same(predict(X, y, make_models(memory)), predictions)
    check_same(predict(X.to_folder(tmp_path / "eeg"), y, make_models()), predictions)
    for _ in range(2):
        models = make_models()
        for model in models.values():
            model.set_params(filter__folder=tmp_path / "filtered")
        check_same(predict(X, y, models), predictions)
    assert len(list((tmp_path / "filtered").iterdir())) == 1  # filtered once


def test_a_table_names_the_versions_and_seeds_that_it_needs_to_be_made_again(study):
    X, y = study
    models = make_models(seed=7)
    models["search"] = GridSearchCV(
        models["network"], {"beira__training__lr": [1e-3]}, cv=BlockedKFold(2)
    )
    options = {**OPTIONS, "random_state": 3}
    comparison = compare({"ridge": models["ridge"]}, X, y, **options)
    settings = comparison.settings
    assert settings["random_state"] == "3"
    assert settings["n_surrogates"] == 5
    assert settings["seeds"] == {"ridge": {}}
    assert comparison.versions["sklearn-beira"] == __version__
    for name in ("scikit-learn", "numpy", "scipy", "torch", "skorch", "mne"):
        assert comparison.versions[name] == version(name)
    found = compare(models, X, y, **{**options, "null": None}).settings
    assert found["seeds"]["network"] == {"beira__random_state": "7"}
    assert found["seeds"]["search"] == {"estimator__beira__random_state": "7"}
    json.dumps(found)  # what can be stored beside any table
