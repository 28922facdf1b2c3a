"""The network of a fitted model, and its envelopes and estimates."""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from ..eeg.checks import check_eeg
from ..eeg.windows import EEGWindows
from ..regressor.estimator import BEIRARegressor
from ..regressor.nets import estimates_own_volume_only

# Windows that are decoded or differentiated at a time.
_BATCH = 16


def regressor_of(model: BaseEstimator) -> BEIRARegressor:
    """Return the regressor with branches in a fitted model."""
    regressor = last_step(chosen(model))
    if not isinstance(regressor, BEIRARegressor):
        raise TypeError(
            f"model must be a BEIRARegressor, a Pipeline that ends in one or a fitted search over "
            f"these, got {type(regressor).__name__}."
        )
    check_is_fitted(regressor)
    network = regressor.network_
    if not hasattr(network, "branches"):
        raise TypeError(
            f"{type(regressor.architecture_).__name__} has no branches to read; use Compact, "
            f"Autoencoder or a network with branches."
        )
    return regressor


def at_regressor(model: BaseEstimator, X) -> tuple[BEIRARegressor, EEGWindows]:
    """Return the regressor in a fitted model, and X as it arrives there."""
    regressor, model = regressor_of(model), chosen(model)
    if hasattr(model, "steps") and len(model) > 1:
        X = model[:-1].transform(X)
    X = check_eeg(regressor, X, reset=False)
    regressor._check_window(X)
    return regressor, X


def owners(network: torch.nn.Module) -> np.ndarray:
    """Return the region of each branch (n_filters,), or -1 if regions share branches."""
    n_filters = len(network.branches.spatial)
    n_rois, n_branches = getattr(network, "n_rois", 0), getattr(network, "n_branches", 0)
    if n_rois * n_branches != n_filters:
        return np.full(n_filters, -1)
    return np.repeat(np.arange(n_rois), n_branches)


def weights_of(network: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Return spatial filters (n_filters, n_channels) and FIR filters (n_filters, n_taps)."""
    return tuple(
        w.detach().cpu().numpy().astype(float)
        for w in (network.branches.spatial, network.branches.bandpass)
    )


def region_names(regressor: BEIRARegressor) -> list[str]:
    """Return the names of the regions, or numbered names if the BOLD had none."""
    return regressor.region_names_ or [f"ROI {i}" for i in range(len(regressor.target_mean_))]


def envelope_batches(regressor: BEIRARegressor, X: EEGWindows) -> Iterator[torch.Tensor]:
    """Yield envelopes (n_windows, n_filters, n_values) of a few windows at a time."""
    network = regressor.network_.eval()
    for start in range(0, len(X), _BATCH):
        eeg = np.array(X[start : start + _BATCH], dtype=np.float32) / regressor.eeg_scale_
        with torch.no_grad():
            envelopes = network.branches(torch.from_numpy(eeg).to(regressor.device_))
        yield envelopes


def estimate(network: torch.nn.Module, envelopes: torch.Tensor, n_times: int) -> torch.Tensor:
    """Compute the standardized BOLD (n_windows, n_rois) of the volumes of windows."""
    bold = network.decode(envelopes, n_times)
    return bold if estimates_own_volume_only(network) else bold[..., -1]
