"""Export the network of a BEIRARegressor as a program of torch, which needs no sklearn_beira."""

import copy
import os
import tempfile
import warnings
from numbers import Integral
from pathlib import Path

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..regressor import BEIRARegressor
from .file import check_path, write_file


class ScaledNetwork(nn.Module):
    """The network of a model with its scaling: EEG in V in, BOLD in the unit of the training out.

    Parameters
    ----------
    model : BEIRARegressor
        Fitted.
    """

    def __init__(self, model: BEIRARegressor):
        super().__init__()
        self.network = copy.deepcopy(model.network_).requires_grad_(False)
        self.register_buffer("eeg_scale", torch.tensor(model.eeg_scale_, dtype=torch.float32))
        for name in ("target_mean", "target_scale"):
            self.register_buffer(name, torch.from_numpy(getattr(model, f"{name}_").copy()))

    def forward(self, eeg: torch.Tensor) -> torch.Tensor:
        """Map EEG (n_windows, n_channels, n_times) to BOLD (n_windows, n_rois[, n_times])."""
        bold = self.network(eeg / self.eeg_scale).to(self.target_scale.dtype)
        shape = [1, -1] + [1] * (bold.ndim - 2)
        return bold * self.target_scale.reshape(shape) + self.target_mean.reshape(shape)


def export_network(model: BEIRARegressor, path: str | os.PathLike, *, n_windows: int = 1) -> None:
    """Export the network of a model, with its scaling, as a program of ``torch.export``.

    The program, ``torch.export.load(path).module()``, needs torch but not this package. It maps
    float32 EEG in V of shape ``(n_windows, n_channels, n_times)``, as the last step of a pipeline
    gets it, to float64 BOLD ``(n_windows, n_rois)``. For networks that estimate BOLD at every
    sample, the output is ``(n_windows, n_rois, n_times)``, and the last sample is the volume of the
    window. The program runs on the device of the training.

    Parameters
    ----------
    model : BEIRARegressor
        Fitted model.
    path : path-like
        File to write, with the usual suffix ``.pt2``. An existing file is replaced once the new one
        is complete.
    n_windows : int
        Number of windows that the program maps at a time. It is fixed, because the networks choose
        their algorithms by it.

    Raises
    ------
    TypeError
        If the model is not a BEIRARegressor, or the path not a path.
    ValueError
        If the model is not fitted, ``n_windows`` is less than 1, or the file cannot be written.
    RuntimeError
        If the network cannot be exported, or if the outputs of the program are not exactly those of
        the network. Nothing is written then.

    See Also
    --------
    save_model : Save a whole model, which can be loaded as an estimator.

    Notes
    -----
    Load programs only from people you trust: the format of ``torch.export`` is not made for
    untrusted files.
    """
    path = check_path(path)
    if not isinstance(model, BEIRARegressor):
        raise TypeError(
            f"model must be a BEIRARegressor, got {type(model).__name__}; of a pipeline, pass the "
            f"last step."
        )
    check_is_fitted(model, msg="%(name)s is not fitted; fit it, then export it.")
    if isinstance(n_windows, bool) or not isinstance(n_windows, Integral) or n_windows < 1:
        raise ValueError(f"n_windows must be an integer of at least 1, got {n_windows!r}.")
    shape = n_windows, model.n_features_in_, model._n_times
    # EEG-like noise from a generator of its own, which leaves the caller's random numbers alone.
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    eeg = (noise * model.eeg_scale_).to(model.device_)
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # the tracer does not follow other threads
        content = _export(ScaledNetwork(model).to(model.device_).eval(), eeg)
    finally:
        torch.set_num_threads(n_threads)
    write_file(path, content)


@torch.no_grad()
def _export(scaled, eeg):
    """Return the bytes of the program, once it is loaded again and its outputs agree."""
    expected = scaled(eeg)  # before tracing: networks compute constants in their first call
    try:
        program = torch.export.export(scaled, (eeg,), strict=False)
    except Exception as error:  # the tracer raises errors of many kinds
        name = type(scaled.network).__name__
        raise RuntimeError(f"{name} cannot be exported by torch.export ({error}).") from error
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "network.pt2"
        torch.export.save(program, saved)
        with warnings.catch_warnings():
            # torch 2.11 warns of the buffer that it has just read itself.
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            found = torch.export.load(saved).module()(eeg)
        if not torch.equal(found, expected):
            raise RuntimeError(
                f"the exported program differs from the network by up to "
                f"{float((found - expected).abs().max()):.3g}; nothing was written."
            )
        return saved.read_bytes()
