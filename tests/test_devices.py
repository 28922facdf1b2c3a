"""Training on a device: data that lie there are the same, and no step waits for it.

A meta tensor has a shape and no numbers, so that whatever asks for one fails, as does a sum of
tensors on two devices: an epoch that runs there would never wait for a GPU. ``simulated_device.py``
is a device with numbers, on which ``on_simulated_device.py`` runs whole fits. What needs the
numbers of a GPU is skipped where there is none.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from small_networks import SIZES, make_beira
from torch.utils import backend_registration

from sklearn_beira import EEGWindows
from sklearn_beira.regressor.architectures import ARCHITECTURES
from sklearn_beira.regressor.batches import (
    DeviceWindows,
    HostWindows,
    VolumeBatches,
    count_samples,
    place_eeg,
    volumes_in_windows,
)
from sklearn_beira.regressor.nets import AtVolumes
from sklearn_beira.regressor.nets.devices import has_room, send
from sklearn_beira.regressor.nets.losses import LOSSES
from sklearn_beira.regressor.skorch_net import make_net

SFREQ, SCALE = 100.0, 1e-5
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def make_windows(dtype=np.float64):
    """Two recordings, volumes out of order, one twice, and a stretch that no window covers."""
    rng = np.random.default_rng(0)
    recordings = [SCALE * rng.standard_normal((3, n)).astype(dtype) for n in (6000, 3000)]
    onsets = np.r_[np.arange(6.0, 28.0, 1.95), np.arange(45.0, 59.0, 1.95), 6.0, 12.0, 12.0, 8.0]
    recording = np.r_[np.zeros(len(onsets) - 4, int), 1, 1, 1, 1]
    info = mne.create_info(3, SFREQ, "eeg")
    return EEGWindows(recordings, recording, onsets, info, tmin=-5.12, tmax=0.0)


X = make_windows()
Y = np.random.default_rng(1).standard_normal((len(X), 2))
INPUTS = {
    "recordings": X,
    "float32": make_windows(np.float32),
    "epochs": EEGWindows.from_array(np.asarray(X)),
}
SMALL = {
    **SIZES,
    "max_epochs": 2,
    "batch_size": 4,
    "lr": 1e-3,
    "verbose": False,
    "random_state": 0,
}


class BatchCounter(Callback):
    def on_train_begin(self, net, **kwargs):
        self.n_batches_ = 0

    def on_batch_end(self, net, **kwargs):
        self.n_batches_ += 1


# -- where the EEG lies -------------------------------------------------------------------------
@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS)
def test_windows_cut_on_the_device_are_those_of_the_host_bit_for_bit(data):
    rng = np.random.default_rng(2)
    host, device = HostWindows(data, SCALE, "cpu"), DeviceWindows(data, SCALE, "cpu")
    some = rng.permutation(len(data))[:9]
    for indices in (np.arange(len(data)), some, np.array([3, 3]), np.array([], dtype=int)):
        assert torch.equal(host(indices), device(indices))
    assert device(some).dtype == torch.float32


def test_a_device_holds_a_sample_once_and_none_that_is_not_read():
    n_read = sum(stop - start for _, start, stop in X.stretches())
    assert DeviceWindows(X, SCALE, "cpu").eeg.shape == (3, n_read) == (3, count_samples(X))
    assert n_read < 0.8 * sum(recording.shape[1] for recording in X.recordings)


def test_without_memory_of_its_own_a_device_gets_no_copy():
    assert not has_room("cpu", 1)
    assert isinstance(place_eeg(X, SCALE, "cpu"), HostWindows)


@pytest.mark.parametrize("mode", ["many_to_one", "many_to_many"])
def test_a_batch_holds_the_volumes_of_its_windows_and_nothing_else(mode):
    rows, samples = volumes_in_windows(X, mode)
    batches = VolumeBatches(HostWindows(X, SCALE, "cpu"), rows, samples, Y)
    indices = [4, 0, len(X) - 1]
    batch, y = batches.__getitems__(indices)
    estimated = list(zip(batch["window"].tolist(), batch["sample"].tolist(), strict=True))
    expected = [
        (window, sample, row)
        for window, i in enumerate(indices)
        for row, sample in zip(rows[i], samples[i], strict=True)
        if row >= 0
    ]
    assert estimated == [(window, sample) for window, sample, _ in expected]
    np.testing.assert_array_equal(y, Y[[row for _, _, row in expected]].astype(np.float32))
    assert len(expected) == 3 if mode == "many_to_one" else len(expected) > 3


# -- no step waits ------------------------------------------------------------------------------
@pytest.mark.parametrize("windows", [HostWindows, DeviceWindows])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_epoch_asks_the_device_for_nothing_before_its_end(architecture, loss, windows):
    mode = "many_to_many" if architecture == "autoencoder" else "many_to_one"
    counter = BatchCounter()
    settings = {**SMALL, "mode": mode, "loss": loss, "skorch_params": {"callbacks": [counter]}}
    model = make_beira(architecture, **settings)
    module = AtVolumes(model.architecture.make_network(3, 2, X.shape[2]))
    rows, samples = volumes_in_windows(X, mode)
    batches = VolumeBatches(windows(X, SCALE, "meta"), rows, samples, Y)
    net = make_net(module, model.training, batch_size=4, device="meta", verbose=False).initialize()
    for step, training in ((net.train_step, True), (net.validation_step, False)):
        counter.on_train_begin(net)
        net.history_.new_epoch()
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
            net.run_single_epoch(net.get_iterator(batches), training, "any", step)
        assert counter.n_batches_ == -(-len(X) // 4)


def test_losses_of_batches_are_in_the_history_also_of_an_epoch_that_was_interrupted():
    class Interrupt(Callback):
        def on_batch_end(self, net, training, **kwargs):
            batches = net.history[-1]["batches"]
            if training and len(net.history) == 2 and len(batches) == 3:
                raise KeyboardInterrupt

    model = make_beira("eegnet", **SMALL, skorch_params={"callbacks": [Interrupt()]}).fit(X, Y)
    whole, part = model.history_[:, "batches"]
    assert len(whole) == -(-len(X) // 4)
    assert len(part) == 3
    losses = [batch["train_loss"] for batch in whole]
    sizes = [batch["train_batch_size"] for batch in whole]
    assert model.history_[0, "train_loss"] == pytest.approx(np.average(losses, weights=sizes))
    assert np.isfinite([batch["train_loss"] for batch in part]).all()


def test_batches_may_be_loaded_in_other_processes():
    plain = make_beira("eegnet", **SMALL).fit(X, Y)
    workers = {"iterator_train__num_workers": 1}
    loaded = make_beira("eegnet", **SMALL, skorch_params=workers).fit(X, Y)
    np.testing.assert_array_equal(plain.predict(X), loaded.predict(X))


# -- on a device with numbers that is no GPU ----------------------------------------------------
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this version of torch has no devices in Python",
)
def test_a_simulated_device_and_the_cpu_agree():
    # In a process of its own: torch cannot forget a device.
    checks = Path(__file__).with_name("on_simulated_device.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", checks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr


# -- with the numbers of a GPU ------------------------------------------------------------------
class NoWaiting(Callback):
    """From the end of the first batch to that of the last, waiting for the GPU is an error."""

    def on_batch_end(self, net, training, **kwargs):
        n_batches = len(net.history[-1]["batches"])
        last = n_batches == -(-len(X) // 4)
        set_sync_debug_mode("default" if last else "error")


class ReadLoss(Callback):
    """Wait for the loss of every step."""

    def on_batch_end(self, net, training, loss, **kwargs):
        loss.item()


def set_sync_debug_mode(mode):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype", UserWarning)
        torch.cuda.set_sync_debug_mode(mode)


@pytest.fixture
def no_waiting():
    yield NoWaiting()
    set_sync_debug_mode("default")


@needs_cuda
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cuda_and_the_cpu_agree(architecture):
    mode = "many_to_many" if architecture == "autoencoder" else "many_to_one"
    epochs = 0 if architecture == "compact" else 2
    settings = {**SMALL, "mode": mode, "max_epochs": epochs, "dropout": 0.0}
    model = make_beira(architecture, **settings)
    cpu = clone(model).set_params(device="cpu").fit(X, Y)
    gpu = clone(model).set_params(device="cuda").fit(X, Y)
    assert gpu.device_ == "cuda"
    np.testing.assert_allclose(gpu.predict(X), cpu.predict(X), rtol=1e-2, atol=1e-3)


@needs_cuda
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_products_of_few_digits_are_near(architecture):
    mode = "many_to_many" if architecture == "autoencoder" else "many_to_one"
    epochs = 0 if architecture == "compact" else 2
    settings = {**SMALL, "mode": mode, "max_epochs": epochs, "device": "cuda"}
    exact = make_beira(architecture, **settings).fit(X, Y).predict(X)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        near = make_beira(architecture, **settings).fit(X, Y).predict(X)
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(near, exact, atol=0.1 * exact.std())


@needs_cuda
@pytest.mark.parametrize("architecture", ["autoencoder", "brainwavelinker", "eegnet"])
def test_no_step_waits_for_cuda(architecture, no_waiting):
    mode = "many_to_many" if architecture == "autoencoder" else "many_to_one"
    settings = {
        **SMALL,
        "mode": mode,
        "device": "cuda",
        "skorch_params": {"callbacks": [no_waiting]},
    }
    assert np.isfinite(make_beira(architecture, **settings).fit(X, Y).predict(X)).all()


@needs_cuda
def test_a_step_that_waits_for_cuda_would_be_noticed(no_waiting):
    callbacks = {"callbacks": [no_waiting, ReadLoss()]}
    model = make_beira("eegnet", **SMALL, device="cuda", skorch_params=callbacks)
    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        model.fit(X, Y)


@needs_cuda
def test_eeg_that_fits_lies_on_cuda():
    assert has_room("cuda", 1000)
    assert not has_room("cuda", 10**15)
    windows = place_eeg(X, SCALE, "cuda")
    assert isinstance(windows, DeviceWindows)
    indices = np.arange(len(X))
    assert torch.equal(windows(indices).cpu(), HostWindows(X, SCALE, "cpu")(indices))
    assert send(torch.arange(3), "cuda").tolist() == [0, 1, 2]
