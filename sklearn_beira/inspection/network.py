"""From a fitted model to its network, and from EEG to the network's envelopes and estimates."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from ..eeg.checks import check_eeg
from ..regressor.estimator import BEIRARegressor
from ..regressor.nets import estimates_own_volume_only

# Windows that are decoded, and differentiated, at a time.
_BATCH = 16


def regressor_of(model):
    """The fitted regressor with branches that a model is, or ends in."""
    regressor = last_step(chosen(model))
    if not isinstance(regressor, BEIRARegressor):
        raise TypeError(
            f"branches are read from a BEIRARegressor, a Pipeline that ends in one or a fitted "
            f"search over these, got {type(regressor).__name__}."
        )
    check_is_fitted(regressor)
    network = regressor.network_
    if not hasattr(network, "branches"):
        raise TypeError(
            f"{type(regressor.architecture_).__name__} has no branches to read; maps and spectra "
            f"need a network like 'compact' or 'autoencoder'."
        )
    return regressor


def at_regressor(model, X):
    """The regressor, and X as it arrives there, checked as in prediction."""
    regressor, model = regressor_of(model), chosen(model)
    if hasattr(model, "steps") and len(model) > 1:
        X = model[:-1].transform(X)
    X = check_eeg(regressor, X, reset=False)
    regressor._check_window(X)
    return regressor, X


def owners(network):
    """Region that owns each branch (n_filters,); -1 for all where regions share them."""
    n_filters = len(network.branches.spatial)
    n_rois, n_branches = getattr(network, "n_rois", 0), getattr(network, "n_branches", 0)
    if n_rois * n_branches != n_filters:
        return np.full(n_filters, -1)
    return np.repeat(np.arange(n_rois), n_branches)


def weights_of(network):
    """Spatial filters (n_filters, n_channels) and FIR taps (n_filters, n_taps) as arrays."""
    return tuple(
        w.detach().cpu().numpy().astype(float)
        for w in (network.branches.spatial, network.branches.bandpass)
    )


def region_names(regressor):
    """Names of the regions, made up where fit saw none."""
    return regressor.region_names_ or [f"ROI {i}" for i in range(len(regressor.target_mean_))]


def envelope_batches(regressor, X):
    """Yield envelopes (n_windows, n_filters, n_values) of a few windows at a time."""
    network = regressor.network_.eval()
    for start in range(0, len(X), _BATCH):
        eeg = np.array(X[start : start + _BATCH], dtype=np.float32) / regressor.eeg_scale_
        with torch.no_grad():
            envelopes = network.branches(torch.from_numpy(eeg).to(regressor.device_))
        yield envelopes


def estimate(network, envelopes, n_times):
    """Standardized BOLD (n_windows, n_rois) of the windows' own volumes."""
    bold = network.decode(envelopes, n_times)
    return bold if estimates_own_volume_only(network) else bold[..., -1]


def to_one(rows):
    """Scale each row to a largest absolute value of 1."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return rows / np.where(largest > 0, largest, 1.0)
