"""What has to work on a device that is not the CPU; ``test_devices.py`` runs it in a process.

The simulated device computes as the CPU does, so that results have to be equal. Only those of the
autoencoder are not to the last bit: on the CPU its blocks run on a few windows at a time.
"""

import numpy as np
import pytest
import simulated_device
import torch
from skorch.callbacks import Callback
from small_networks import make_beira
from test_devices import SMALL, X, Y

from sklearn_beira import EEGWindows, inspection
from sklearn_beira.persistence.saving import load_model, save_model
from sklearn_beira.regressor import batches as _batches
from sklearn_beira.regressor.architectures import ARCHITECTURES
from sklearn_beira.regressor.nets.losses import LOSSES

WAITING = {"aten._linalg_eigh.default"}  # torch looks whether it converged
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=[True, False], ids=["EEG on the device", "EEG on the host"])
def resident(request, monkeypatch):
    monkeypatch.setattr(_batches, "has_room", lambda device, n_bytes: request.param)
    return request.param


def fit_both(architecture, pretrained=(None, None), data=X, **settings):
    """Fit on the CPU and on the device."""
    mode = "many_to_many" if architecture == "autoencoder" else "many_to_one"
    settings = {**SMALL, "mode": mode, **settings}
    return [
        make_beira(architecture, **settings, device=device).fit(data, Y, pretrained=one)
        for device, one in zip(("cpu", "sim"), pretrained, strict=True)
    ]


def assert_same(found, expected, architecture="compact"):
    if architecture == "autoencoder":
        np.testing.assert_allclose(found, expected, atol=2e-2 * np.std(expected))
    else:
        np.testing.assert_array_equal(found, expected)


class Watch(Callback):
    """What happens from the beginning of an epoch to the end of its last training batch."""

    def on_epoch_begin(self, net, **kwargs):
        self.context_ = simulated_device.watched()
        self.seen_ = self.context_.__enter__()

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.waits_, self.sent_ = list(self.seen_.waits), list(self.seen_.sent)

    def on_epoch_end(self, net, **kwargs):
        self.context_.__exit__(None, None, None)


# -- that the device is one ---------------------------------------------------------------------
def test_the_device_refuses_what_a_gpu_refuses():
    x = torch.ones(3).to("sim")
    with pytest.raises(RuntimeError, match="on the simulated device and on the CPU"):
        x + torch.ones(3)
    with pytest.raises((TypeError, RuntimeError)):
        x.numpy()
    with simulated_device.watched() as seen:
        assert (x + torch.tensor(1.0)).device.type == "sim"
        assert not seen.waits
        assert float(x.sum()) == 3.0
        assert x[x > 0].cpu().tolist() == [1.0] * 3
    assert seen.waits == [
        "aten._local_scalar_dense.default",
        "aten.index.Tensor",
        "aten._to_copy.default",
    ]


def test_the_device_differentiates_as_the_cpu():
    x = torch.from_numpy(RNG.standard_normal((3, 50)))
    taps = torch.from_numpy(RNG.standard_normal((3, 5)))
    gradients = []
    for device in ("cpu", "sim"):
        leaves = [t.detach().to(device).requires_grad_() for t in (x, taps)]
        spectrum = torch.fft.rfft(leaves[0], 64) * torch.fft.rfft(leaves[1], 64)
        (torch.fft.irfft(spectrum, 64)[:, 2:] ** 3).sum().backward()
        gradients.append([leaf.grad.cpu().numpy() for leaf in leaves])
    np.testing.assert_array_equal(gradients[0][0], gradients[1][0])
    np.testing.assert_array_equal(gradients[0][1], gradients[1][1])


# -- fit and prediction -------------------------------------------------------------------------
@pytest.mark.parametrize(
    "data",
    [X, EEGWindows.from_array(np.asarray(X), sfreq=100.0)],
    ids=["recordings", "epochs"],
)
def test_the_default_is_the_same_there(data):
    settings = {"max_epochs": 0, "data": data}
    cpu, device = fit_both("compact", **settings)
    assert device.network_.kernel.device.type == "sim"
    assert_same(device.predict(data), cpu.predict(data))
    again = fit_both("compact", **settings, pretrained=(cpu, device))
    assert_same(again[1].closed_form_.known, again[0].closed_form_.known)
    assert_same(again[1].predict(data), again[0].predict(data))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_is_the_same_there_and_no_step_waits(architecture, loss, resident):
    watch = Watch()
    cpu, device = fit_both(
        architecture, loss=loss, validation_fraction=0.3, validation_gap=0.0,
        skorch_params={"callbacks": [("watch", watch)]},
    )  # fmt: skip
    assert_same(device.predict(X), cpu.predict(X), architecture)
    losses = ["train_loss", "valid_loss"]
    np.testing.assert_allclose(device.history_[:, losses], cpu.history_[:, losses], rtol=1e-2)
    assert device.history_[:, "valid_loss_best"] == cpu.history_[:, "valid_loss_best"]

    watch = dict(device.net_.callbacks_)["watch"]
    assert set(watch.waits_) == (WAITING if loss == "riemannian" else set())
    n_windows = sum(device.history_[-1, "batches", :, "train_batch_size"])
    n_sent = sum(len(t) for t in watch.sent_ if t.shape[1:] == X.shape[1:])
    assert n_sent == (0 if resident else n_windows)


@pytest.mark.parametrize("architecture", ["autoencoder", "eegnet"])
def test_training_goes_on_from_another_model_there(architecture):
    models = fit_both(architecture)
    cpu, device = fit_both(architecture, pretrained=models)
    assert_same(device.predict(X), cpu.predict(X), architecture)


def test_windows_that_do_not_overlap_are_the_same_there(resident):
    cpu, device = fit_both("autoencoder", stride="window")
    assert_same(device.predict(X), cpu.predict(X), "autoencoder")


# -- what is read from a model ------------------------------------------------------------------
@pytest.mark.parametrize("architecture", ["compact", "autoencoder"])
def test_branches_are_read_the_same_there(architecture):
    models = fit_both(architecture, max_epochs=0 if architecture == "compact" else 2)
    cpu, device = (inspection.read_branches(model, X) for model in models)
    for name, values in cpu.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            np.testing.assert_allclose(device[name], values, rtol=2e-2, atol=1e-2, err_msg=name)
    for method in ("gradient", "leave_out"):
        importance = [inspection.branch_importance(model, X, method=method) for model in models]
        np.testing.assert_allclose(importance[1], importance[0], rtol=2e-2, atol=1e-3)
    found = [inspection.branch_envelopes(model, X).envelopes for model in models]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("there", [True, False], ids=["there", "not there"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_computes_on_its_device_where_there_is_one(architecture, there, tmp_path):
    device = fit_both(architecture)[1]
    expected = device.predict(X)
    if not there:  # nor anywhere else
        device.device = device.device_ = "no_such_device"
    save_model(device, tmp_path / "model.beira")
    loaded = load_model(tmp_path / "model.beira")
    assert (loaded.device, loaded.device_) == (("sim", "sim") if there else ("auto", "cpu"))
    assert next(loaded.network_.parameters()).device.type == ("sim" if there else "cpu")
    assert_same(loaded.predict(X), expected, architecture)
