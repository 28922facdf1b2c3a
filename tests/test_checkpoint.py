"""Fits that are killed go on where they were, and end with the weights of an unbroken one."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_networks import SIZES, make_beira

from sklearn_beira import EEGWindows
from sklearn_beira.evaluation.splitters import BlockedKFold
from sklearn_beira.regressor import checkpoint as _checkpoint

SETTINGS = {
    "architecture": "autoencoder",
    "mode": "many_to_one",
    **SIZES,
    "validation_fraction": 0.2,
    "patience": None,
    "max_epochs": 12,
    "lr": 1e-2,
    "random_state": 0,
    "device": "cpu",
    "verbose": False,
}


def make_data(n=40):
    rng = np.random.default_rng(0)
    X = 1e-5 * rng.standard_normal((n, 3, 64)).astype(np.float32)
    return EEGWindows.from_array(X, sfreq=100.0), rng.standard_normal((n, 2))


def weights(model):
    state = model.network_.state_dict()
    return {name: tensor.numpy() for name, tensor in state.items()}


def assert_equal(model, other):
    for name, expected in weights(model).items():
        np.testing.assert_array_equal(weights(other)[name], expected, err_msg=name)
    losses = ["train_loss", "valid_loss"] if model.training.validation_fraction else ["train_loss"]
    for column in losses:
        found, expected = (m.history_[:, column] for m in (other, model))
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(_checkpoint, "EVERY", 0.0)


class Stop(Exception):
    pass


def fit_until(epoch, monkeypatch, **settings):
    """A fit that dies when an epoch is done but not yet on disk."""
    write = _checkpoint.Checkpoint.on_epoch_end

    def on_epoch_end(self, net, **kwargs):
        if len(net.history_) == epoch:
            raise Stop
        write(self, net, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.Checkpoint, "on_epoch_end", on_epoch_end)
        with pytest.raises(Stop):
            make_beira(**{**SETTINGS, **settings}).fit(*make_data())


@pytest.mark.parametrize("epoch", [1, 2, 7, 12])
def test_a_fit_that_died_ends_like_an_unbroken_one(epoch, monkeypatch, tmp_path):
    X, y = make_data()
    unbroken = make_beira(**SETTINGS).fit(X, y)
    fit_until(epoch, monkeypatch, checkpoint=tmp_path)
    model = make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y)
    assert len(model.history_) == 12
    assert_equal(unbroken, model)
    np.testing.assert_array_equal(unbroken.predict(X), model.predict(X))


@pytest.mark.parametrize("settings", [
    {"patience": 2, "max_epochs": 40},
    {"validation_fraction": 0.0, "dropout": 0.5},
    {"architecture": "compact", "segment": 10, "max_epochs": 4},
], ids=["early stopping", "dropout", "fine-tuning"])  # fmt: skip
def test_what_early_stopping_and_dropout_remember_is_continued(settings, monkeypatch, tmp_path):
    X, y = make_data()
    settings = {**SETTINGS, **settings}
    unbroken = make_beira(**settings).fit(X, y)
    fit_until(3, monkeypatch, **settings, checkpoint=tmp_path)
    assert_equal(unbroken, make_beira(**settings, checkpoint=tmp_path).fit(X, y))


def test_a_fit_that_was_done_is_not_repeated(tmp_path, monkeypatch):
    X, y = make_data()
    model = make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y)

    def never(*args, **kwargs):
        raise Stop

    monkeypatch.setattr(_checkpoint.Checkpoint, "on_epoch_end", never)
    assert_equal(model, make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y))
    with pytest.raises(Stop):
        make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y + 1e-9)


def test_other_data_and_other_parameters_begin_anew(tmp_path):
    X, y = make_data()
    expected = make_beira(**SETTINGS).fit(X, y)
    make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y[:, ::-1].copy())
    make_beira(**{**SETTINGS, "lr": 1e-3}, checkpoint=tmp_path).fit(X, y)
    assert_equal(expected, make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y))
    assert len(list(tmp_path.iterdir())) == 3


def test_folds_of_a_cross_validation_share_a_folder(tmp_path):
    X, y = make_data(60)
    for train, _ in BlockedKFold(3, gap=0).split(X):
        expected = make_beira(**SETTINGS).fit(X[train], y[train])
        make_beira(**SETTINGS, checkpoint=tmp_path).fit(X[train], y[train])
        found = make_beira(**SETTINGS, checkpoint=tmp_path).fit(X[train], y[train])
        assert_equal(expected, found)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_state_is_said_and_training_begins_anew(tmp_path):
    X, y = make_data()
    model = make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # in a weight, where torch would not notice it
    for content in (b"", whole[: len(whole) // 2], b"\x80\x02cos\nsystem\n(S'true'\ntR.", flipped):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="is damaged; training begins anew"):
            assert_equal(model, make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y))


def test_a_full_disk_costs_no_training(tmp_path, monkeypatch):
    X, y = make_data()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="cannot be written .*No space left.* training goes on"):
        model = make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y)
    assert_equal(make_beira(**SETTINGS).fit(X, y), model)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"checkpoint folder .* cannot be written to"):
        make_beira(**SETTINGS, checkpoint=tmp_path / "file" / "folder").fit(*make_data())


def test_callbacks_of_the_user_are_refused_beside_a_checkpoint(tmp_path):
    model = make_beira(**SETTINGS, skorch_params={"callbacks": []}, checkpoint=tmp_path)
    model.fit(*make_data())
    model.set_params(training__skorch_params={"callbacks": [("progress", None)]})
    with pytest.raises(ValueError, match="leave out one of the two"):
        model.fit(*make_data())


def test_a_fitted_model_holds_no_state(tmp_path):
    X, y = make_data()
    plain = make_beira(**SETTINGS).fit(X, y)
    make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y)
    model = make_beira(**SETTINGS, checkpoint=tmp_path).fit(X, y)
    assert len(pickle.dumps(model)) < len(pickle.dumps(plain)) + 3000


# Run in an interpreter of its own: a process that has not computed yet can be forked.
SCRIPT = """
import os, random, signal, sys, time
from small_networks import make_beira
from sklearn_beira.regressor import checkpoint as _checkpoint
from test_checkpoint import SETTINGS, make_data

_checkpoint.EVERY = 0.0
folder, n_kills = sys.argv[1], int(sys.argv[2])
model = make_beira(**{**SETTINGS, "max_epochs": 150}, checkpoint=folder)
random.seed(n_kills)
for i in range(n_kills + 1):
    child = os.fork()
    if not child:
        model.fit(*make_data())
        os._exit(0)
    if i < n_kills:
        time.sleep(random.uniform(0.0, 0.6))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
print(status)
"""


def kill_and_go_on(folder, n_kills):
    """Run a fit in processes that are killed at random moments, then one that is left alone."""
    command = [sys.executable, "-c", SCRIPT, str(folder), str(n_kills)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, env=env, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.parametrize("n_kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_processes_lose_nothing(n_kills, tmp_path):
    X, y = make_data()
    expected = make_beira(**{**SETTINGS, "max_epochs": 150}).fit(X, y)
    kill_and_go_on(tmp_path, n_kills)
    found = make_beira(**{**SETTINGS, "max_epochs": 150}, checkpoint=tmp_path).fit(X, y)
    assert_equal(expected, found)
