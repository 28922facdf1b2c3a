"""Ctrl-C stops: nothing that it ended is scored, kept or taken for finished."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from small_networks import make_beira

from sklearn_beira import BlockedKFold, EEGWindows, compare, null_test, paper_protocol
from sklearn_beira._utils.interrupts import interrupts
from sklearn_beira.cli import job, main
from sklearn_beira.regressor import checkpoint as _checkpoint

SETTINGS = {"max_epochs": 6, "lr": 1e-2, "device": "cpu", "verbose": False, "random_state": 0}
CV = BlockedKFold(3, gap=0, t_r=2.0)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


class PressCtrlC(Callback):
    """Press Ctrl-C when the given epoch of the given training begins, counted in this process."""

    trainings = 0

    def __init__(self, epoch=3, training=1):
        self.epoch, self.training = epoch, training

    def on_train_begin(self, net, **kwargs):
        PressCtrlC.trainings += 1

    def on_epoch_begin(self, net, **kwargs):
        if (len(net.history), PressCtrlC.trainings) == (self.epoch, self.training):
            press_ctrl_c()


@pytest.fixture(autouse=True)
def no_training_yet(monkeypatch):
    monkeypatch.setattr(PressCtrlC, "trainings", 0)


@pytest.fixture(autouse=True)
def ctrl_c_arrives():
    """Shells let programs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = 1e-5 * rng.standard_normal((60, 3, 64)).astype(np.float32)
    return EEGWindows.from_array(X, sfreq=100.0), rng.standard_normal((60, 2))


def make_net(*callbacks, **settings):
    skorch_params = {"callbacks": list(callbacks)} if callbacks else None
    return make_beira("eegnet", **{**SETTINGS, "skorch_params": skorch_params, **settings})


def test_an_interrupted_fit_raises_and_keeps_the_best_weights_so_far(data):
    X, y = data
    settings = {"validation_fraction": 0.2, "validation_gap": 0.0, "patience": None}
    model = make_net(PressCtrlC(), **settings)
    with pytest.raises(KeyboardInterrupt, match="keeps the best weights so far"):
        model.fit(X, y)
    assert model.interrupted_
    assert len(model.history_) == 3
    assert np.isfinite(model.predict(X)).all()
    whole = make_net(**settings).fit(X, y)
    assert not whole.interrupted_
    assert whole.history_[:2, "valid_loss"] == model.history_[:2, "valid_loss"]


def test_a_fit_may_be_interrupted_before_its_first_epoch(data):
    class AtOnce(Callback):
        def on_train_begin(self, net, **kwargs):
            press_ctrl_c()

    class InLoop(AtOnce):
        def on_train_begin(self, net, **kwargs):
            net.get_iterator = lambda *args, **kwargs: press_ctrl_c()

    for callback in (AtOnce(), InLoop()):
        with pytest.raises(KeyboardInterrupt):
            make_net(callback, validation_fraction=0.2, validation_gap=0.0).fit(*data)


def test_a_callback_that_ends_the_training_is_no_ctrl_c(data):
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt  # as skorch asks for

    model = make_net(Stop()).fit(*data)
    assert len(model.history_) == 1
    assert not model.interrupted_


CALLS = {
    "compare": lambda model, X, y, folder: compare(model, X, y, null=None, cache=folder),
    "refit": lambda model, X, y, folder: null_test(
        model, X, y, cv=CV, refit=True, n_surrogates=3, cache=folder, verbose=False
    ),
    "search": lambda model, X, y, folder: GridSearchCV(
        model, {"training__lr": [1e-2, 1e-3]}, cv=CV, error_score=0.0
    ).fit(X, y),
    "published evaluation": lambda model, X, y, folder: paper_protocol(
        model, X, y, cv=CV, t_r=2.0, test_duration=20.0, verbose=False
    ),
}
CALLS["compare"] = lambda model, X, y, folder: compare(
    {"net": model, "mean": DummyRegressor()}, X, y, cv=CV, null=None, cache=folder, verbose=False
)


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.filterwarnings("ignore::sklearn_beira.exceptions.GapWarning")
def test_ctrl_c_ends_whatever_trains_networks(what, data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        CALLS[what](make_net(PressCtrlC(training=2)), *data, tmp_path)
    assert PressCtrlC.trainings == 2
    assert len(list(tmp_path.iterdir())) == (what in ("compare", "refit"))  # the first training


@pytest.mark.filterwarnings("ignore::sklearn_beira.exceptions.GapWarning")
def test_a_comparison_that_was_interrupted_ends_like_an_unbroken_one(data, tmp_path):
    options = {"cv": CV, "null": None, "verbose": False}
    truth = compare(make_net(PressCtrlC(epoch=0)), *data, **options).table
    with pytest.raises(KeyboardInterrupt):
        compare(make_net(PressCtrlC(training=5)), *data, cache=tmp_path, **options)
    model = make_net(PressCtrlC(training=5))  # which comes no more
    again = compare(model, *data, cache=tmp_path, **options).table
    assert PressCtrlC.trainings == 3 + 2 + 2
    np.testing.assert_array_equal(again["r"], truth["r"])


class Stubborn(RegressorMixin, BaseEstimator):
    """It takes Ctrl-C for the end of its training, or trips over it."""

    def __init__(self, trips=False):
        self.trips = trips

    def fit(self, X, y):
        try:
            press_ctrl_c()
            time.sleep(60)
        except KeyboardInterrupt:
            if self.trips:
                raise ValueError("no batch") from None
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.zeros((len(X), 2))


@pytest.mark.parametrize("trips", [False, True])
def test_no_model_can_swallow_ctrl_c_in_a_comparison(trips, tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 3))
    with pytest.raises(KeyboardInterrupt):
        compare(Stubborn(trips), X, X[:, :2], cv=CV, null=None, cache=tmp_path, verbose=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epoch", [1, 4, 6])
def test_a_checkpoint_takes_no_interrupted_epoch_for_a_finished_one(
    epoch, data, monkeypatch, tmp_path
):
    monkeypatch.setattr(_checkpoint, "EVERY", 0.0)
    unbroken = make_net().fit(*data)
    write = _checkpoint.Checkpoint.on_epoch_begin

    def on_epoch_begin(self, net, **kwargs):
        write(self, net, **kwargs)
        if len(net.history) == epoch:
            press_ctrl_c()

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.Checkpoint, "on_epoch_begin", on_epoch_begin)
        with pytest.raises(KeyboardInterrupt):
            make_net(checkpoint=tmp_path).fit(*data)
    model = make_net(checkpoint=tmp_path).fit(*data)
    assert len(model.history_) == 6
    np.testing.assert_array_equal(model.predict(data[0]), unbroken.predict(data[0]))


def test_the_command_stops_with_the_status_of_ctrl_c(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "compare", lambda *args, **kwargs: press_ctrl_c())
    assert main([]) == 130
    assert "stopped: no report was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_interrupts_are_noted_in_the_main_thread_only_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts() as came:  # noqa: PT012
        press_ctrl_c()
        time.sleep(60)
    assert came == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before
    found = []

    def work():
        with interrupts() as came:
            found.append((came, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [([], before)]
