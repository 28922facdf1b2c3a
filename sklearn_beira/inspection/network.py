"""From a fitted model to its network, and from EEG to the network's envelopes and estimates."""

from numbers import Real

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from ..eeg.checks import check_eeg
from ..eeg.filters import Windower
from ..eeg.windows import EEGWindows
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
    network = regressor.net_.module_.network
    if not hasattr(network, "branches"):
        raise TypeError(
            f"{type(network).__name__} has no branches to read; maps and spectra need a network "
            f"like 'compact' or 'autoencoder'."
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


def sampling_rate(estimator, X, sfreq):
    """Sampling rate in Hz of EEG at an estimator; ``sfreq`` may say that of a plain array."""
    known = X.sfreq if isinstance(X, EEGWindows) else getattr(estimator, "array_sfreq", None)
    if sfreq is None:
        if known is None:
            raise ValueError(
                "X is a plain array, whose sampling rate is not known; give sfreq in Hz."
            )
        return float(known)
    if not isinstance(sfreq, Real) or not 0 < sfreq < np.inf:
        raise ValueError(f"sfreq must be a number above 0, in Hz, got {sfreq!r}.")
    if known is not None and not np.isclose(sfreq, known):
        raise ValueError(
            f"sfreq={sfreq:g} Hz, but the EEG has {known:g} Hz where it is read; leave sfreq out."
        )
    return float(sfreq)


def delay_of(model, X):
    """Time in s from the end of the windows at the regressor to the volume."""
    if isinstance(X, EEGWindows):
        return -X.tmax
    # An array does not know what was cut off its end.
    steps = [step for _, step in getattr(model, "steps", [])]
    return float(sum(step.delay for step in steps if isinstance(step, Windower)))


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
    network = regressor.net_.module_.network.eval()
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
