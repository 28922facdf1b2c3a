"""Saving and loading: the same predictions, nothing executed, nothing half-written."""

import copy
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import joblib
import mne
import numpy as np
import pytest
import sklearn
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from small_networks import make_beira
from torch import nn

from sklearn_beira import (
    BEIRARegressor,
    Compact,
    CustomNetwork,
    EEGFilter,
    Windower,
    align,
    make_paper_beira,
)
from sklearn_beira.baselines.makers import make_baselines, make_brainwavelinker, make_eegnet
from sklearn_beira.baselines.ridge import BlockedRidgeCV
from sklearn_beira.datasets import make_eeg_fmri
from sklearn_beira.exceptions import ModelFileError
from sklearn_beira.persistence import export_network, read_metadata
from sklearn_beira.persistence.decode import Decoder
from sklearn_beira.persistence.encode import Encoder
from sklearn_beira.persistence.file import ModelFile, parse_json, to_bytes
from sklearn_beira.persistence.saving import load_model, save_model

NET = {"n_branches": 2, "verbose": False, "random_state": 0}
SMALL = {"encoder_width": 16, "decoder_width": 4, "kernel_sizes": (3, 5), "pool_sizes": (8,)}


def make_models():
    models = make_baselines("all", duration=10.0)
    bands = {"alpha": (8, 12), "beta": (16, 24)}
    models["compact"] = make_pipeline(make_beira(**NET, bands=bands))
    tuned = make_beira(**NET, bands=bands, max_epochs=2, validation_fraction=0.2)
    models["fine_tuned"] = make_pipeline(tuned)
    paper = make_paper_beira(**NET, **SMALL, max_epochs=2)
    models["autoencoder"] = make_pipeline(Windower(2.56), paper)
    models["eegnet"] = make_eegnet(10.0, max_epochs=2, random_state=0)
    models["brainwavelinker"] = make_brainwavelinker(10.0, max_epochs=2, random_state=0)
    return {n: Pipeline([("filter", EEGFilter(1, 45)), *m.steps]) for n, m in models.items()}


SLOW = "sparse_group_lasso"  # half a minute for its solver to compile
NAMES = [n for n in make_models() if n != SLOW]
NETS = ["compact", "fine_tuned", "autoencoder", "eegnet", "brainwavelinker"]


@pytest.fixture(scope="module")
def data():
    study = make_eeg_fmri(n_runs=1, duration=120.0, n_channels=6, n_rois=2, random_state=0)
    return align(study.raws, study.bolds, trigger="mri", tmin=-16, tmax=0, verbose="error")


@pytest.fixture(scope="module")
def fitted(data):
    """Fit a model by name, once."""
    made, models = {}, make_models()

    def fit(name):
        if name not in made:
            made[name] = models[name].fit(*data)
        return made[name]

    return fit


@pytest.fixture(scope="module")
def ridge():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.standard_normal((50, 2))
    return make_pipeline(StandardScaler(), BlockedRidgeCV()).fit(X, y), X


class LogPowerNet(nn.Module):
    own_volume_only = True

    def __init__(self, n_channels, n_rois, n_times, *, segment=100, n_filters=8):
        super().__init__()
        self.segment = segment
        self.spatial = nn.Linear(n_channels, n_filters, bias=False)
        self.readout = nn.LazyLinear(n_rois)

    def forward(self, eeg):
        x = self.spatial(eeg.transpose(1, 2)).transpose(1, 2)
        power = x[..., x.shape[-1] % self.segment :].unflatten(-1, (-1, self.segment))
        return self.readout(torch.log(power.square().mean(dim=-1) + 1e-4).flatten(1))


class Counting(nn.Module):
    """Not a function of its input, which no program can be."""

    own_volume_only = True

    def __init__(self, n_channels, n_rois):
        super().__init__()
        self.n_rois, self.n_calls = n_rois, 0
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, eeg):
        self.n_calls += 1
        return (eeg.mean() * self.weight + self.n_calls).expand(len(eeg), self.n_rois)


class Doubling(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.factor_ = 2.0
        return self

    def transform(self, X):
        return X * self.factor_


# -- what comes back ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*NAMES, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_a_loaded_model_predicts_the_same_to_the_last_bit(name, fitted, data, tmp_path):
    model, (X, _) = fitted(name), data
    save_model(model, tmp_path / "m")
    before = torch.get_rng_state()
    loaded = load_model(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X), strict=True)
    assert repr(loaded) == repr(model)
    assert repr(clone(loaded)) == repr(clone(model))
    joblib.dump(model, tmp_path / "m.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "m.joblib").predict(X), model.predict(X))


OTHER_PROCESS = """
    import json, resource, sys, joblib, numpy as np, torch
    from pathlib import Path
    from sklearn_beira.exceptions import ModelFileError
    from sklearn_beira.persistence import load_model
    folder = Path(sys.argv[1])
    torch.set_num_threads(2)
    X = joblib.load(folder / "X")
    files = sorted((folder / "models").iterdir())
    np.savez(folder / "predictions.npz", **{f.name: load_model(f).predict(X) for f in files})
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)
    errors = {}
    for file in (folder / "hostile").iterdir():
        try:
            load_model(file)
        except ModelFileError as error:
            errors[file.name] = str(error)
    print(json.dumps(errors))
"""


PCA = {"$object": {"class": "PCA", "params": {}, "attributes": {}}}
GREEDY = {
    "strings": lambda: [{"$strings": [[1], 2**26, ["a"]]}] * 12,
    "dicts": lambda: [{"": {}}] * 2**18,
    "objects": lambda: [PCA] * 2**16,
    "texts": lambda: "\N{BRAIN}" + "a" * 2**25,
}


@pytest.fixture(scope="module")
def other_process(fitted, data, tmp_path_factory):
    """Load all models, and then large hostile files in little memory, in one other process."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "models").mkdir()
    (folder / "hostile").mkdir()
    joblib.dump(data[0], folder / "X")
    for name in NAMES:
        save_model(fitted(name), folder / "models" / name)
    for size in (10**5, 10**6, 10**7):
        path = folder / "hostile" / f"branches{size}"
        path.write_bytes((folder / "models" / "compact").read_bytes())
        forge(path, set_size("n_branches", size))
    for name, value in GREEDY.items():
        path = folder / "hostile" / name
        path.write_bytes((folder / "models" / "compact").read_bytes())
        forge(path, set_attribute("x_", value()))
    with open(folder / "hostile" / "sparse", "wb") as file:  # one array of 1.9 GB, all holes
        n = 19 * 10**8
        file.write(header({"a": entry(0, n, [n // 4])}))
        file.truncate(file.tell() + n)
    errors = json.loads(run_script(OTHER_PROCESS, folder))
    with np.load(folder / "predictions.npz") as found:
        return dict(found), errors


def test_another_process_with_two_threads_predicts_the_same_to_the_last_bit(
    other_process, fitted, data
):
    found, _ = other_process
    assert sorted(found) == sorted(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(found[name], fitted(name).predict(data[0]), name)


@pytest.mark.parametrize("fit", [LinearRegression(), TransformedTargetRegressor(Ridge())])
def test_estimators_of_scikit_learn_come_back(fit, ridge, tmp_path):
    _, X = ridge
    model = make_pipeline(FunctionTransformer(np.log1p), fit).fit(X**2, X[:, :2])
    save_model(model, tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(X**2), model.predict(X**2))


def test_of_a_search_the_best_estimator_is_saved(ridge, tmp_path):
    _, X = ridge
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=3).fit(X, X[:, :2])
    save_model(search, tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(X), search.predict(X))
    assert read_metadata(tmp_path / "m")["search"]["best_params"] == repr(search.best_params_)
    # Beside the fitted search, this keeps the one it was given.
    inner = GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=KFold(3))
    model = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, X[:, :2])
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.regressor.cv.n_splits == 3


def test_a_loaded_network_can_be_fitted_again_and_be_a_start(fitted, data, tmp_path):
    model, (X, y) = fitted("compact"), data
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    again = clone(loaded).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    X = EEGFilter(1, 45).fit_transform(X)
    starts = [clone(model[-1]).fit(X, y, pretrained=m[-1]).predict(X) for m in (model, loaded)]
    np.testing.assert_array_equal(*starts)


def test_the_history_comes_back_without_its_batches(fitted, tmp_path):
    model = fitted("fine_tuned")
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    kept = [{k: v for k, v in e.items() if k != "batches"} for e in model[-1].history_]
    assert list(loaded[-1].history_) == kept
    assert loaded[-1].history_[:, "valid_loss"] == model[-1].history_[:, "valid_loss"]


def test_facts_can_be_read_without_loading(fitted, tmp_path):
    save_model(fitted("fine_tuned"), tmp_path / "m")
    facts = read_metadata(tmp_path / "m")
    assert facts["channels"] == ["Fp1", "Fp2", "F3", "F4", "C3", "C4"]
    assert facts["regions"] == ["Left Caudate", "Right Caudate"]
    assert facts["steps"]["filter"] == "EEGFilter(h_freq=45, l_freq=1)"
    assert facts["seeds"] == {"beiraregressor__random_state": "0"}
    assert facts["versions"]["torch"] == version("torch")


def test_the_file_is_what_safetensors_reads(fitted, tmp_path):
    model = fitted("compact")
    save_model(model, tmp_path / "m")
    with safe_open(tmp_path / "m", "numpy") as file:
        kernel = file.get_tensor("model.steps.1.1.network.kernel")
        assert json.loads(file.metadata()["sklearn_beira"])["schema"] == 2
    expected = model[-1].network_.kernel.detach().cpu().numpy()
    np.testing.assert_array_equal(kernel, expected)


# -- files of older versions ----------------------------------------------------------------------
OLD = Path(__file__).parent / "data" / "models"


@pytest.fixture(scope="module")
def old_windows():
    """EEG of the models in ``data/models``: alpha and beta power that drive a region each."""
    rng = np.random.RandomState(0)  # NumPy keeps its numbers as they are
    time = np.arange(12000) / 100.0
    alpha = 1 + 0.9 * np.sin(2 * np.pi * 0.03 * time) * np.sin(2 * np.pi * 0.011 * time)
    beta = 1 + 0.9 * np.sin(2 * np.pi * 0.043 * time) * np.cos(2 * np.pi * 0.017 * time)
    sources = [alpha * np.sin(2 * np.pi * 10 * time), beta * np.sin(2 * np.pi * 20 * time)]
    mixing = np.array([[0.1, 1.0], [0.2, 0.7], [1.0, 0.1], [0.8, 0.3]])
    eeg = 1e-5 * (2 * mixing @ sources + rng.standard_normal((4, 12000)))
    info = mne.create_info(["C3", "C4", "O1", "O2"], 100.0, "eeg")
    raw = mne.io.RawArray(eeg, info, verbose="error")
    X, _ = align(raw, np.arange(120.0).reshape(60, 2), t_r=2.0, tmin=-24, tmax=0, verbose="error")
    return X


@pytest.mark.filterwarnings("ignore:the model was saved with")
@pytest.mark.parametrize("name", sorted(path.stem for path in OLD.glob("*.safetensors")))
def test_a_file_of_the_first_format_predicts_what_it_predicted(name, old_windows):
    saved = read_metadata(OLD / f"{name}.safetensors")["versions"]["scikit-learn"]
    if [int(n) for n in saved.split(".")[:2]] > [
        int(n) for n in sklearn.__version__.split(".")[:2]
    ]:
        pytest.skip("saved with a newer scikit-learn, whose parameters this one does not know")
    with np.load(OLD / "predictions.npz") as saved:
        expected = saved[name]
    X = old_windows
    if name == "array":  # saved before arrays had a rate
        X = np.asarray(X)[:, :, -1000:]
    model = load_model(OLD / f"{name}.safetensors", classes={"LogPower": LogPowerNet})
    found = model.predict(X)[::2]  # those that are in the file
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.std())
    assert repr(clone(model)) == repr(model)


@pytest.mark.filterwarnings("ignore:the model was saved with")
def test_settings_of_the_first_format_find_their_places():
    model = load_model(OLD / "compact.safetensors")[-1]
    assert model.architecture.get_params() == {
        "n_branches": 2, "n_taps": 51, "segment": 25, "bands": {"alpha": (8, 12), "beta": (16, 24)},
    }  # fmt: skip
    assert model.training.lr == 1e-3
    assert model.training.skorch_params == {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.5,
    }
    assert len(model.history_) == 2
    assert list(model.closed_form_.bands) == ["alpha", "beta"]
    model = load_model(OLD / "default.safetensors")[-1]
    assert model.training is None
    assert not hasattr(model, "history_")
    model = load_model(OLD / "own_network.safetensors", classes={"LogPower": LogPowerNet})[-1]
    assert model.architecture.network is LogPowerNet
    assert model.architecture.params == {"segment": 50, "n_filters": 3}


def forge_old(params):
    def change(content, arrays):
        node(content, 2)["params"].update(params)

    return change


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"architecture": "resnet"}, "unknown architecture 'resnet'"),
        ({"architecture": ["compact"]}, "invalid architecture"),
        ({"architecture": {"$class": 3}}, "invalid architecture"),
        ({"architecture": {"$class": "os.system"}}, "names the class 'os.system'"),
        ({"network_params": [1]}, "parameters of a network without names"),
        ({"network_params": {"depth": 1}}, "Compact has no parameter 'depth'"),
        ({"depth": 1}, "BEIRARegressor has no parameter 'depth'"),
        ({"net_params": {"callbacks": []}}, "which no saved model does"),
        ({"n_branches": 10**6}, "the parameters ask for"),
        ({"lr": "fast"}, "'lr' parameter of Training must be"),
    ],
)
def test_a_forged_file_of_the_first_format_is_refused(params, message, tmp_path):
    (tmp_path / "m").write_bytes((OLD / "compact.safetensors").read_bytes())
    forge(tmp_path / "m", forge_old(params))
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path / "m")


# -- values ---------------------------------------------------------------------------------------
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.floats()
    | st.text()
    | hnp.arrays(
        hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes(sizes=(16, 32, 64)),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    )
    | hnp.arrays(hnp.unicode_string_dtypes(), hnp.array_shapes(max_dims=2, max_side=3))
    | hnp.floating_dtypes(sizes=(16, 32, 64), endianness="<").flatmap(hnp.from_dtype),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_values_survive_with_their_types(value):
    encoder = Encoder({})
    text = json.dumps(encoder.encode(value), allow_nan=False)
    decoder = Decoder(Arrays(encoder.arrays), {})
    assert_same(decoder.decode(parse_json(text, "text")), value)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_arrays_keep_their_layout_in_memory(axes):
    array = np.arange(24.0).reshape(2, 3, 4).transpose(axes)
    encoder = Encoder({})
    tree = encoder.encode(array)
    found = Decoder(Arrays(encoder.arrays), {}).decode(tree)
    np.testing.assert_array_equal(found, array)
    assert found.strides == array.strides


class Arrays:
    """Arrays in memory, as the decoder reads them from a file."""

    def __init__(self, values):
        self.values = values
        self.arrays = {name: (a.dtype, a.shape) for name, a in values.items()}

    def read(self, name):
        return self.values[name]

    def spend(self, n_bytes):
        """Values of tests are small."""


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for f, e in zip(found, expected, strict=True):
            assert_same(f, e)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected or (found != found and expected != expected)


# -- networks and estimators of the user ----------------------------------------------------------
def test_a_network_of_the_user_is_saved_and_loaded_by_name(data, tmp_path):
    X, y = data
    X = Windower(10.0).fit_transform(EEGFilter(1, 45).fit_transform(X))
    network = CustomNetwork(LogPowerNet, {"n_filters": 3, "segment": 50})
    model = make_beira(network, max_epochs=1, **NET).fit(X, y)
    with pytest.raises(ValueError, match=r"architecture\.network cannot be saved.*LogPowerNet"):
        save_model(model, tmp_path / "m")
    mine = {"mine": LogPowerNet}
    save_model(model, tmp_path / "m", classes=mine)
    np.testing.assert_array_equal(
        load_model(tmp_path / "m", classes=mine).predict(X), model.predict(X)
    )
    with pytest.raises(ModelFileError, match="names the class 'mine', which is not on the list"):
        load_model(tmp_path / "m")


def test_a_transformer_of_the_user_is_saved_and_loaded_by_name(ridge, tmp_path):
    _, X = ridge
    model = make_pipeline(Doubling(), Ridge()).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r'model\.steps\.0\.1 .*pass classes=\{"Doubling"'):
        save_model(model, tmp_path / "m")
    save_model(model, tmp_path / "m", classes={"Doubling": Doubling})
    loaded = load_model(tmp_path / "m", classes={"Doubling": Doubling})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("classes", [[Doubling], {"print": print}, {"dict": dict}, {1: Doubling}])
def test_classes_that_are_none_are_refused(classes, ridge, tmp_path):
    with pytest.raises(TypeError, match="classes must be a dict of names to classes"):
        save_model(ridge[0], tmp_path / "m", classes=classes)


def test_a_class_may_not_take_a_known_name(ridge, tmp_path):
    with pytest.raises(ValueError, match="classes may not hold Ridge"):
        load_model(tmp_path / "m", classes={"Ridge": Doubling})


# -- what is not saved ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"random_state": np.random.RandomState(0)}, "integer as random_state"),
        (
            {"training__skorch_params": {"callbacks": []}},
            r"skorch_params\['callbacks'\] cannot be saved",
        ),
        ({"architecture__bands": {1: 2}}, "keys that are not strings"),
        ({"architecture__bands": {"$a": 2}}, "begins with a dollar sign"),
        ({"architecture__n_taps": 2.5}, "could not be loaded"),
        ({"training__loss": {"mse": np.array([1j])}}, "array of type complex128"),
        ({"training__loss": {"mse": np.array([None])}}, "array of Python objects"),
        ({"training__loss": {"mse": print}}, "not on the list of functions"),
        ({"training__loss": {"mse": 2**70}}, r"it is a builtins\.int"),
        (
            {"architecture_": Compact(n_branches=3)},
            "could not be loaded.*the parameters ask for.*fit again",
        ),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(params, message, fitted, tmp_path):
    model = joblib.load(dumped(fitted("fine_tuned"), tmp_path))[-1]
    for name, value in params.items():
        if name.endswith("_"):
            setattr(model, name, value)
        else:
            model.set_params(**{name: value})
    with pytest.raises(ValueError, match=message):
        save_model(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_optimizer_is_saved_by_name(data, tmp_path):
    X = Windower(4.0).fit_transform(data[0])
    params = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5}
    model = make_beira("eegnet", max_epochs=1, skorch_params=params, n_taps=5, **NET)
    save_model(model.fit(X, data[1]), tmp_path / "m")
    assert load_model(tmp_path / "m").training.skorch_params == params


def test_how_this_machine_computes_is_not_saved(ridge, fitted, tmp_path):
    _, X = ridge
    model = Pipeline([("ridge", LinearRegression(n_jobs=2))], memory=str(tmp_path / "cache"))
    save_model(model.fit(X, X), tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.memory is None
    assert loaded[-1].n_jobs is None
    assert str(tmp_path).encode() not in (tmp_path / "m").read_bytes()
    model = joblib.load(dumped(fitted("fine_tuned"), tmp_path))
    model[-1].set_params(training__checkpoint=tmp_path)
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m")[-1].training.checkpoint is None


class Reader(TransformerMixin, BaseEstimator):
    def __init__(self, cache_dir=None):
        self.cache_dir = cache_dir

    def fit(self, X, y=None):
        self.scale_ = 1.0
        return self

    def transform(self, X):
        return X


def test_a_file_does_not_say_where_its_reader_writes(data, tmp_path):
    X, y = data
    model = Pipeline([("filter", EEGFilter(folder=tmp_path / "mine")), ("reader", Reader("mine"))])
    model.steps.append(("net", make_beira(**NET)))
    save_model(model.fit(X, y), tmp_path / "m", classes={"Reader": Reader})
    assert load_model(tmp_path / "m", classes={"Reader": Reader})[0].folder is None

    def change(content, arrays):
        node(content)["params"]["memory"] = str(tmp_path / "theirs")
        node(content, 0)["params"].update(folder=str(tmp_path / "theirs"), n_jobs=1000)
        node(content, 1)["params"]["cache_dir"] = str(tmp_path / "theirs")
        node(content, 1)["attributes"]["path_"] = str(tmp_path / "theirs")

    forge(tmp_path / "m", change)
    message = "sets memory of Pipeline, folder of EEGFilter, n_jobs of EEGFilter, cache_dir of Rea"
    with pytest.warns(UserWarning, match=message):
        loaded = load_model(tmp_path / "m", classes={"Reader": Reader})
    assert (loaded.memory, loaded[0].folder, loaded[0].n_jobs) == (None, None, None)
    assert loaded[1].cache_dir is None
    assert not hasattr(loaded[1], "path_")
    loaded.fit(X, y).predict(X)
    assert not (tmp_path / "theirs").exists()


def test_a_folder_among_the_parameters_of_a_network_is_left_out(data, tmp_path):
    architecture = CustomNetwork(LogPowerNet, {"segment": 50})
    model = make_beira(architecture, **{**NET, "max_epochs": 1}).fit(*data)
    save_model(model, tmp_path / "m", classes={"LogPower": LogPowerNet})

    def change(content, arrays):
        params = content["model"]["$object"]["attributes"]["architecture_"]["$object"]["params"]
        params["params"]["weights_path"] = "/etc/passwd"

    forge(tmp_path / "m", change)
    with pytest.warns(UserWarning, match="sets weights_path of a dict"):
        loaded = load_model(tmp_path / "m", classes={"LogPower": LogPowerNet})
    assert loaded.architecture_.params == {"segment": 50}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda steps: steps.clear(), "has invalid steps"),
        (lambda steps: steps[0]["$tuple"].__setitem__(0, 3), "has invalid steps"),
        (lambda steps: steps[0]["$tuple"].__setitem__(1, 3), "has invalid steps"),
        (
            lambda steps: steps[1]["$tuple"].__setitem__(0, "standardscaler"),
            "two steps of one name",
        ),
    ],
)
def test_a_pipeline_with_other_steps_than_estimators_is_refused(ridge, tmp_path, change, message):
    model, _ = ridge
    save_model(model, tmp_path / "m")
    forge(tmp_path / "m", lambda content, arrays: change(node(content)["params"]["steps"]))
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path / "m")


def test_a_union_with_a_dropped_part_is_saved(ridge, tmp_path):
    _, X = ridge
    union = FeatureUnion([("scaled", StandardScaler()), ("left out", "drop")])
    model = Pipeline([("union", union), ("ridge", Ridge())]).fit(X, X[:, 0])
    save_model(model, tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(X), model.predict(X))


def test_the_grid_of_a_search_sets_nothing_of_its_reader(ridge, tmp_path):
    _, X = ridge
    # To a search, keys of a dict are parameters; from a folder, the next fit would unpickle.
    grid = {"memory": [str(tmp_path / "theirs")], "outputs__n_jobs": [1000]}
    steps = [("scaler", StandardScaler()), ("outputs", MultiOutputRegressor(Ridge()))]
    search = GridSearchCV(Pipeline(steps), {"outputs__estimator__alpha": [1.0, 10.0]}, cv=KFold(3))
    model = TransformedTargetRegressor(search, transformer=StandardScaler()).fit(X, X[:, :2])
    save_model(model, tmp_path / "m")
    search = ("params", "regressor", "$object", "params", "param_grid")

    def change(content, arrays):
        tree = node(content)
        for key in search:
            tree = tree[key]
        tree.update(grid)

    forge(tmp_path / "m", change)
    with pytest.warns(UserWarning, match="sets memory of a dict, outputs__n_jobs of a dict"):
        loaded = load_model(tmp_path / "m")
    assert loaded.regressor.param_grid == {"outputs__estimator__alpha": [1.0, 10.0]}
    loaded.fit(X, X[:, :2])
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("read", [load_model, read_metadata])
@pytest.mark.parametrize("path", ["~nobody_at_home/m", "m" * 300, "m" * 5000, "a\0b"], ids=len)
def test_a_path_of_no_file_is_refused_as_documented(read, path):
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        read(path)


def test_metadata_have_the_limits_of_models(ridge, tmp_path):
    save_model(ridge[0], tmp_path / "m")
    with pytest.raises(ModelFileError, match="more than max_bytes=100"):
        read_metadata(tmp_path / "m", max_bytes=100)
    forge(tmp_path / "m", lambda content, arrays: f"[{'0,' * 2**20}0]")
    with pytest.raises(ModelFileError, match="asks for more than"):
        read_metadata(tmp_path / "m")


def test_no_control_character_of_a_file_reaches_the_terminal(network_file):
    forge(network_file, rename_class("\x1b[2J\u202eRidge"))
    with pytest.raises(ModelFileError) as error:
        load_model(network_file)
    assert str(error.value).isprintable()


def test_a_model_that_is_not_fitted_or_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="BlockedRidgeCV is not fitted"):
        save_model(BlockedRidgeCV(), tmp_path / "m")
    with pytest.raises(TypeError, match="must be a fitted estimator, got dict"):
        save_model({}, tmp_path / "m")
    with pytest.raises(TypeError, match="path must be a path, got int"):
        load_model(3)
    with pytest.raises(ValueError, match=r"path '\.' is a folder; give the name of a file in it"):
        load_model("")


# -- hostile files --------------------------------------------------------------------------------
def dumped(model, folder):
    joblib.dump(model, folder / "copy.joblib")
    return folder / "copy.joblib"


def content_of(path):
    """Text and arrays of a file."""
    with safe_open(path, "numpy") as file:
        names = file.keys()
        arrays = {name: file.get_tensor(name) for name in names}
        return json.loads(file.metadata()["sklearn_beira"]), arrays


def forge(path, change):
    """Change text and arrays, and sign the file again."""
    content, arrays = content_of(path)
    text = change(content, arrays) or json.dumps(content)
    path.write_bytes(to_bytes(text, arrays))


def node(content, *steps):
    """The object of a model, or of one of its steps."""
    tree = content["model"]
    for step in steps:
        tree = tree["$object"]["params"]["steps"][step]["$tuple"][1]
    return tree["$object"]


@pytest.fixture
def network_file(fitted, tmp_path):
    save_model(fitted("compact"), tmp_path / "m")
    return tmp_path / "m"


def set_param(name, value):
    def change(content, arrays):
        node(content, 1)["params"][name] = value

    return change


def set_size(name, value, architecture="Compact"):
    def change(content, arrays):
        found = node(content, 1)["attributes"]["architecture_"]["$object"]
        found["class"] = architecture
        found["params"] = {**(found["params"] if architecture == "Compact" else {}), name: value}

    return change


def add_layers(content, arrays):
    set_size("kernel_sizes", [3] * 10**4, architecture="Autoencoder")(content, arrays)
    architecture = node(content, 1)["attributes"]["architecture_"]["$object"]
    architecture["params"]["pool_sizes"] = [1] * (10**4 - 1)


def training(**params):
    return {"$object": {"class": "Training", "params": params, "attributes": {}}}


def set_training(**params):
    return set_param("training", training(**params))


def set_attribute(name, value):
    def change(content, arrays):
        node(content, 1)["attributes"][name] = value

    return change


def set_network(name, value):
    def change(content, arrays):
        node(content, 1)["network"][name] = value

    return change


def rename_class(name):
    def change(content, arrays):
        node(content)["class"] = name

    return change


def cut_weights(content, arrays):
    name = "model.steps.1.1.network.kernel"
    arrays[name] = arrays[name][:1].copy()


def double_weights(content, arrays):
    name = "model.steps.1.1.network.kernel"
    arrays[name] = arrays[name].astype(np.float64)


def drop_weights(content, arrays):
    del node(content, 1)["network"]["weights"]["bias"]


def add_array(content, arrays):
    arrays["more"] = np.zeros(3)


def use_twice(content, arrays):
    attributes = node(content, 1)["attributes"]
    attributes["target_scale_"] = attributes["target_mean_"]


def lose_shape(content, arrays):
    arrays["model.steps.1.1.target_mean_"] = np.zeros((2, 1))
    node(content, 1)["attributes"]["target_mean_"]["$array"][1] = [0, 1]


HOSTILE = {
    "a class of no list": (rename_class("os.system"), "names the class 'os.system'"),
    "a class of another module": (rename_class("ROIExtractor"), "names the class 'ROIExtractor'"),
    "a class that is none": (rename_class(["Ridge"]), "by another type than a string"),
    "a splitter for a model": (rename_class("KFold"), "KFold has no parameter"),
    "weights of another shape": (cut_weights, "the parameters ask for"),
    "weights of another type": (double_weights, "float64.*the parameters ask for"),
    "weights missing": (drop_weights, "weights 'bias' are too many or missing"),
    "an array that is not used": (add_array, "arrays that are not part of the model"),
    "an array used twice": (use_twice, "refers to the array .* twice"),
    "regions of another shape": (lose_shape, "no mean and standard deviation each"),
    "a million branches": (set_size("n_branches", 10**6), "the parameters ask for"),
    "more branches than there are numbers": (set_size("n_branches", 2**40), "a size of"),
    "a huge window": (set_network("n_times", 10**7), "the parameters ask for"),
    "a window of no size": (set_network("n_times", "all"), "without window and weights"),
    "a kernel of a million": (set_size("n_taps", 10**6 + 1), "shorter than an FIR filter"),
    "a network of a class": (set_param("architecture", {"$class": "Ridge"}), "names the class"),
    "a callback": (set_training(skorch_params={"callbacks": []}), "which no saved model does"),
    "workers of a net that is not there": (
        lambda content, arrays: node(content, 1)["attributes"].update(
            x_=training(skorch_params={"iterator_train__num_workers": 4000})
        ),
        "which no saved model does",
    ),
    "a function of no list": (set_training(loss={"$function": "os.system"}), "the function"),
    "no scale": (set_attribute("eeg_scale_", {"$float": "NaN"}), "invalid number"),
    "a method replaced": (set_attribute("predict", 1), "no attribute 'predict' to set"),
    "a class replaced": (set_attribute("__class__", 1), "no attribute '__class__' to set"),
    "a parameter of no name": (set_param("__init__", 1), "no parameter '__init__'"),
    "a wrong parameter": (set_training(lr="fast"), "'lr' parameter of Training must be"),
    "an architecture that is none": (set_attribute("architecture_", 3), "architecture is a int"),
    "a kind of value unknown": (set_size("bands", {"$code": "1"}), "unknown kind"),
    "an array elsewhere": (set_size("bands", {"$array": ["../../x", []]}), "does not hold"),
    "axes of no array": (set_attribute("eeg_scale_", {"$array": [3, 4]}), "does not hold"),
    "a scalar of objects": (set_attribute("eeg_scale_", {"$scalar": ["object", 1]}), "no type"),
    "a text array too large": (
        set_size("bands", {"$strings": [[2**40, 2**40], 1, []]}),
        "another shape than it says",
    ),
    "blocks without end": (
        set_size("n_blocks", 10**6, architecture="BrainWaveLinker"),
        "more blocks than weights",
    ),
    "a newer version": (
        lambda content, arrays: content.update(schema=3),
        "has version 3 of the format, this sklearn_beira reads up to 2; install a newer",
    ),
    "no version": (lambda content, arrays: content.update(schema="1"), "say its version"),
    "no facts": (lambda content, arrays: content.pop("facts") and None, "no model and metadata"),
    "another root": (lambda content, arrays: content.update(model=[1]), "holds a list, not a"),
    "no dict": (lambda content, arrays: "[]", "does not say its version"),
    "nesting": (lambda content, arrays: "[" * 10**5, "nested too deeply"),
    "nesting of values": (
        lambda content, arrays: json.dumps(content).replace('"auto"', "[" * 70 + "]" * 70),
        "nested too deeply",
    ),
    "a key twice": (lambda content, arrays: '{"schema": 1, "schema": 1}', "key stands there twice"),
    "NaN": (lambda content, arrays: '{"schema": NaN}', "NaN is no JSON"),
    "a number too large": (lambda content, arrays: '{"schema": 1e999}', "not finite"),
    "a long number": (lambda content, arrays: f'{{"schema": {"9" * 5000}}}', "64 bits"),
    "too many values": (lambda content, arrays: f"[{'0,' * 2**20}0]", "asks for more than"),
    "strings of a great width": (
        set_attribute("x_", [{"$strings": [[1], 2**20, ["a"]]}] * 40),
        "asks for more than",
    ),
    "too many objects": (
        set_attribute("x_", [PCA] * 2**16),
        "asks for more than",
    ),
    "too many layers": (add_layers, "asks for more than"),
    "a parameter as an attribute": (set_attribute("device", "cpu"), "no attribute 'device' to set"),
    "a folder as an attribute": (
        lambda content, arrays: node(content)["attributes"].update(memory="/tmp"),
        "no attribute 'memory' to set",
    ),
    "text that is none": (lambda content, arrays: "{", "not the JSON that was saved"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_forged_file_is_refused(what, network_file):
    change, message = HOSTILE[what]
    forge(network_file, change)
    with pytest.raises(ModelFileError, match=message):
        load_model(network_file)


def header(entries, data=b"", length=None):
    text = json.dumps({"__metadata__": {"sklearn_beira": "{}", "blake2b": ""}, **entries})
    text = text.replace('"TWICE"', '"a"').encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start, stop, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


RAW = {
    "empty": (b"", "no safetensors file"),
    "short": (b"\x01\x00", "no safetensors file"),
    "a header of 2**63 bytes": (header({}, length=2**63), "header does not fit"),
    "a header past the end": (header({}, length=10**6), "header does not fit"),
    "no JSON": (struct.pack("<Q", 4) + b"abcd", "not the JSON"),
    "no Unicode": (struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc", "not the JSON"),
    "a list": (struct.pack("<Q", 2) + b"[]", "no model of sklearn_beira"),
    "another safetensors file": (struct.pack("<Q", 2) + b"{}", "no model of sklearn_beira"),
    "an array twice": (
        header({"a": entry(0, 4), "TWICE": entry(0, 4)}, bytes(4)),
        "key stands there twice",
    ),
    "arrays that overlap": (header({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)), "overlaps"),
    "a hole": (header({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "leaves a hole"),
    "a size of another shape": (header({"a": entry(0, 8)}, bytes(8)), "where its size says"),
    "a huge array": (header({"a": entry(0, 2**62, [2**60])}), "too large"),
    "an array past the end": (header({"a": entry(0, 2**42, [2**40])}), "is truncated"),
    "something appended": (header({"a": entry(0, 4)}, bytes(9)), "something appended"),
    "a negative shape": (header({"a": entry(0, 4, [-1, -1])}, bytes(4)), "negative size"),
    "a shape of texts": (header({"a": entry(0, 4, ["1"])}, bytes(4)), "no usable shape"),
    "a truth value for a size": (header({"a": entry(0, 4, [True])}, bytes(4)), "usable shape"),
    "an unknown type": (header({"a": entry(0, 4, [1], "O")}, bytes(4)), "no type that is saved"),
    "no offsets": (header({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)), "has no place"),
    "a number for an array": (header({"a": 3}), "has no place"),
    "no checksum": (header({"a": entry(0, 4)}, bytes(4)), "checksum differs"),
    "a pickle": (pickle.dumps({"a": 1}), "header does not fit"),
}


@pytest.mark.parametrize("what", RAW)
def test_a_file_that_is_no_model_is_refused(what, tmp_path):
    content, message = RAW[what]
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path / "m")


def test_every_truncation_and_every_changed_byte_is_refused(ridge, tmp_path):
    save_model(ridge[0], tmp_path / "m")
    whole = (tmp_path / "m").read_bytes()
    changed = [whole[:n] for n in range(len(whole))]
    changed += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    for content in changed:
        with pytest.raises(ModelFileError):
            ModelFile(io.BytesIO(content), 2**20)


def test_truth_values_of_other_bytes_are_refused(tmp_path, ridge):
    content = {"$object": {"class": "Ridge", "params": {}, "attributes": {"x_": 0}}}
    content["$object"]["attributes"]["x_"] = {"$array": ["a", [0]]}
    text = json.dumps({"schema": 2, "facts": {}, "model": content})
    array = np.array([2], np.uint8).view(bool)
    (tmp_path / "m").write_bytes(to_bytes(text, {"a": array}))
    with pytest.raises(ModelFileError, match="invalid truth values"):
        load_model(tmp_path / "m")


def test_a_file_larger_than_allowed_is_refused_unread(ridge, tmp_path):
    with open(tmp_path / "m", "wb") as file:
        file.truncate(2**31 + 1)  # sparse
    with pytest.raises(ModelFileError, match="more than max_bytes=2147483648"):
        load_model(tmp_path / "m")
    save_model(ridge[0], tmp_path / "m")
    with pytest.raises(ModelFileError, match="more than max_bytes=100; if you trust it"):
        load_model(tmp_path / "m", max_bytes=100)


def test_a_folder_a_pipe_or_nothing_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing"):
        with pytest.raises(ModelFileError, match="does not exist or is not a file"):
            load_model(path)


def test_hostile_sizes_are_refused_in_little_memory(other_process):
    _, errors = other_process
    branches = ["branches100000", "branches1000000", "branches10000000"]
    assert sorted(errors) == sorted([*branches, *GREEDY, "sparse"])
    for name, error in errors.items():
        assert "alloc" not in error
        assert ("asks for more than 134217728 bytes of memory" in error) == (name in GREEDY)


def test_loading_executes_imports_and_unpickles_nothing(fitted, tmp_path):
    names = ["compact", "tangent_space_ridge", "autoencoder"]
    for name in names:
        save_model(fitted(name), tmp_path / name)
        load_model(tmp_path / name)
    seen, listening = [], [True]
    watched = ("import", "exec", "compile", "pickle", "os.system", "subprocess", "ctypes", "socket")

    def listen(event, args):
        if listening[0] and event.startswith(watched):
            seen.append((event, args))

    sys.addaudithook(listen)
    try:
        for name in names:
            load_model(tmp_path / name)
        at_load = list(seen)
        pickle.loads(pickle.dumps(Path()))
    finally:
        listening[0] = False
    assert not at_load
    assert seen  # the hook does hear of a pickle


def test_a_model_from_cuda_loads_on_the_cpu_where_there_is_none(network_file, data, fitted):
    missing = f"cuda:{torch.cuda.device_count()}"
    forge(network_file, set_attribute("device_", missing))
    forge(network_file, set_param("device", missing))
    loaded = load_model(network_file)
    assert loaded[-1].device_ == "cpu"
    assert loaded[-1].device == "auto"  # so that it can be fitted here
    model = fitted("compact")
    tolerance = 0.0 if model[-1].device_ == "cpu" else 1e-4
    found, expected = loaded.predict(data[0]), model.predict(data[0])
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_another_version_of_scikit_learn_is_warned_of(network_file):
    def change(content, arrays):
        content["facts"]["versions"]["scikit-learn"] = "0.1"

    forge(network_file, change)
    with pytest.warns(UserWarning, match=r"saved with scikit-learn 0\.1, but this is") as caught:
        load_model(network_file)
    assert caught[0].filename == __file__


# -- writing --------------------------------------------------------------------------------------
def test_what_cannot_be_written_is_said_and_leaves_nothing(ridge, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in ("missing/m", "folder", "file/m"):
        with pytest.raises(ValueError, match=r"cannot be written to .*; check the folder"):
            save_model(ridge[0], tmp_path / path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_model(ridge, tmp_path):
    save_model(ridge[0], tmp_path / "m")
    large = BlockedRidgeCV().fit(np.eye(4), np.ones((4, 3000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(ValueError, match=r"\(File too large\); check the folder"):
            save_model(large, tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    X = ridge[1]
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(X), ridge[0].predict(X))


KILLS = """
    import os, random, signal, sys, time
    import numpy as np
    from sklearn_beira.baselines import BlockedRidgeCV
    from sklearn_beira.persistence import load_model, save_model

    path, n_kills = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 20))
    models = [BlockedRidgeCV().fit(X, rng.standard_normal((30, 20000))) for _ in range(2)]
    predictions = [model.predict(X) for model in models]
    start = time.perf_counter()
    save_model(models[0], path)
    cost = time.perf_counter() - start
    random.seed(0)
    for _ in range(n_kills):
        child = os.fork()
        if not child:
            while True:
                for model in models:
                    save_model(model, path)
        time.sleep(random.uniform(0, 4 * cost))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = load_model(path).predict(X)
        assert any(np.array_equal(found, expected) for expected in predictions)
    print(len(os.listdir(os.path.dirname(path))) - 1)
"""


@pytest.mark.slow
def test_fifty_kills_while_saving_leave_a_whole_model(tmp_path):
    n_interrupted = int(run_script(KILLS, tmp_path / "m", 50))
    assert n_interrupted > 0  # temporary files: kills that came in the middle of a save


def run_script(script, *args):
    """Run a script in a process of its own and return what it printed."""
    lines = script.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    code = "\n".join(line[indent:] for line in lines)
    # Old releases of Matplotlib call what new ones of its dependencies deprecate.
    options = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *options, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- export ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETS)
def test_an_exported_network_predicts_what_the_model_predicts(name, fitted, data, tmp_path):
    *before, model = [step for _, step in fitted(name).steps]
    X = make_pipeline(*before).transform(data[0])[:6]
    before = torch.get_rng_state()
    export_network(model, tmp_path / "net.pt2", n_windows=6)
    assert torch.equal(torch.get_rng_state(), before)
    program = torch.export.load(tmp_path / "net.pt2").module()
    windows = np.asarray(X, dtype=np.float32)
    found = program(torch.from_numpy(windows).to(model.device_)).cpu().numpy()
    if found.ndim == 3:
        found = found[:, :, -1]
    alone = copy.deepcopy(model)
    alone.architecture_.mode = "many_to_one"
    alone = alone.predict(X)
    np.testing.assert_allclose(found, alone, rtol=1e-6, atol=1e-6)


def test_a_program_that_differs_from_its_network_is_not_written(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3, 50)), rng.standard_normal((20, 2))
    model = make_beira(CustomNetwork(Counting), max_epochs=1, **NET).fit(X, y)
    with pytest.raises(RuntimeError, match="exported program differs from the network by up to"):
        export_network(model, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_only_a_fitted_regressor_is_exported(fitted, tmp_path):
    with pytest.raises(TypeError, match="got Pipeline; of a pipeline, pass the last step"):
        export_network(fitted("compact"), tmp_path / "net.pt2")
    with pytest.raises(ValueError, match="not fitted"):
        export_network(BEIRARegressor(), tmp_path / "net.pt2")
    with pytest.raises(ValueError, match="n_windows must be an integer of at least 1, got 0"):
        export_network(fitted("compact")[-1], tmp_path / "net.pt2", n_windows=0)
