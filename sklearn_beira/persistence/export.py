"""The network of a fitted BEIRARegressor as a program of torch, which needs no sklearn_beira."""

import copy
import tempfile
import warnings
from numbers import Integral
from pathlib import Path

import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..regressor.estimator import BEIRARegressor
from .file import check_path, write_atomically


class ScaledNetwork(nn.Module):
    """A network with the scaling around it: EEG in V in, BOLD in the unit of the training out.

    Parameters
    ----------
    model : BEIRARegressor
        Fitted.
    """

    def __init__(self, model):
        super().__init__()
        self.network = copy.deepcopy(model.network_).requires_grad_(False)
        self.register_buffer("eeg_scale", torch.tensor(model.eeg_scale_, dtype=torch.float32))
        for name in ("target_mean", "target_scale"):
            self.register_buffer(name, torch.from_numpy(getattr(model, f"{name}_").copy()))

    def forward(self, eeg):
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois[, n_times])."""
        bold = self.network(eeg / self.eeg_scale).to(self.target_scale.dtype)
        shape = [1, -1] + [1] * (bold.ndim - 2)
        return bold * self.target_scale.reshape(shape) + self.target_mean.reshape(shape)


def export_network(model, path, *, n_windows=1):
    """Export the network of a model as a program of ``torch.export``, scaling included.

    ``torch.export.load(path).module()`` maps float32 EEG in V, as the model's last step gets it, of
    shape ``(n_windows, n_channels, n_times)``, to float64 BOLD ``(n_windows, n_rois)``; for
    networks that estimate every sample ``(n_windows, n_rois, n_times)``, where the last sample
    stands for the volume of the window. It needs torch, but not this package. It runs on the device
    that the model was trained on, and takes EEG that lies there.

    Parameters
    ----------
    model : BEIRARegressor
        Fitted.
    path : path-like
        The file, ``.pt2`` by custom. An old one is replaced when the new one is complete.
    n_windows : int
        Windows that the program maps at a time. The number is fixed: the networks choose how to
        compute by it.

    Raises
    ------
    TypeError
        If the model is no BEIRARegressor, or the path no path.
    ValueError
        If the model is not fitted, ``n_windows`` is not at least 1, or the file cannot be written.
    RuntimeError
        If the network cannot be exported, or if the outputs of the saved program are not those of
        the network to the last bit. Nothing is written then.

    See Also
    --------
    save_model : Save a whole model, to be loaded as an estimator.

    Notes
    -----
    Load programs only from people you trust: the format of ``torch.export`` is not made for files
    of strangers.
    """
    path = check_path(path)
    if not isinstance(model, BEIRARegressor):
        raise TypeError(
            f"model must be a BEIRARegressor, got {type(model).__name__}; of a pipeline, give its "
            f"last step."
        )
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise ValueError("BEIRARegressor is not fitted; fit it, then export it.") from None
    if isinstance(n_windows, bool) or not isinstance(n_windows, Integral) or n_windows < 1:
        raise ValueError(f"n_windows must be a whole number of at least 1, got {n_windows!r}.")
    shape = n_windows, model.n_features_in_, model._n_times
    scaled = ScaledNetwork(model).to(model.device_).eval()
    n_threads = torch.get_num_threads()
    try:
        # The tracer follows no other threads.
        torch.set_num_threads(1)
        content = _export(scaled, _draw(shape, model))
    finally:
        torch.set_num_threads(n_threads)
    write_atomically(path, lambda file: file.write(content))


@torch.no_grad()
def _export(scaled, eeg):
    """Bytes of the program, once it is loaded again and agrees."""
    # Before it is traced: networks compute constants on their first call, and keep them.
    expected = scaled(eeg)
    try:
        program = torch.export.export(scaled, (eeg,))
    except Exception as error:  # of the tracer, which has no class of its own for all it cannot do
        name = type(scaled.network).__name__
        raise RuntimeError(f"{name} cannot be exported by torch.export ({error}).") from error
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "network.pt2"
        torch.export.save(program, saved)
        with warnings.catch_warnings():
            # torch 2.11 says so of what it has just read itself.
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            found = torch.export.load(saved).module()(eeg)
        if not torch.equal(found, expected):
            raise RuntimeError(
                f"the exported program differs from the network by up to "
                f"{float((found - expected).abs().max()):.3g}; nothing was written."
            )
        return saved.read_bytes()


def _draw(shape, model):
    """EEG-like noise, without moving the caller's random numbers."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(shape, generator=generator) * model.eeg_scale_).to(model.device_)
