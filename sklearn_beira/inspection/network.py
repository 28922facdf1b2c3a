"""The network of a fitted model, and its envelopes and estimates."""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from .._utils.regions import numbered
from ..eeg.checks import check_eeg
from ..eeg.windows import EEGWindows
from ..regressor.batches import cut_pieces
from ..regressor.estimator import BEIRARegressor
from ..regressor.nets import estimates_own_volume_only
from ..regressor.prediction import check_new_eeg

# Windows that are decoded or differentiated at a time, and bytes of envelopes that are kept.
_BATCH, _KEPT = 16, 2**28


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
    check_new_eeg(regressor, X)
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
    return to_array(network.branches.spatial), to_array(network.branches.bandpass)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return the numbers of a tensor in float64."""
    return tensor.detach().cpu().numpy().astype(float)


def region_names(regressor: BEIRARegressor) -> list[str]:
    """Return the names of the regions, or numbered names if the BOLD had none."""
    return regressor.region_names_ or numbered(len(regressor.target_mean_))


class Envelopes:
    """Envelopes of a network in windows, a few windows at a time; small ones are computed once.

    Parameters
    ----------
    regressor : BEIRARegressor
        Fitted regressor.
    X : EEGWindows
        Windows as the regressor reads them.
    """

    def __init__(self, regressor: BEIRARegressor, X: EEGWindows):
        self.regressor, self.X = regressor, X
        self.network = regressor.network_.eval()
        self._kept = None

    def __iter__(self) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield rows of X (n_windows,) and their envelopes (n_windows, n_filters, n_values)."""
        if self._kept is not None:
            yield from self._kept
            return
        kept, n_bytes = [], 0
        for rows, envelopes in self._compute():
            n_bytes += envelopes.nbytes
            kept = [*kept, (rows, envelopes)] if n_bytes <= _KEPT else []
            yield rows, envelopes
        self._kept = kept or None

    @torch.no_grad()
    def _compute(self):
        network, scale, device = self.network, self.regressor.eeg_scale_, self.regressor.device_
        if hasattr(network, "segment_stops"):  # whole stretches, so that no EEG is filtered twice
            for piece in cut_pieces(self.X):
                stops = network.segment_stops(torch.from_numpy(piece.stops).to(device))
                yield piece.rows, network.branches.at(piece.scaled_eeg(scale, device), stops)
            return
        for start in range(0, len(self.X), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(self.X)))
            eeg = np.array(self.X[rows], dtype=np.float32) / scale
            yield rows, network.branches(torch.from_numpy(eeg).to(device))


def estimate(network: torch.nn.Module, envelopes: torch.Tensor, n_times: int) -> torch.Tensor:
    """Compute the standardized BOLD (n_windows, n_rois) of the volumes of windows."""
    bold = network.decode(envelopes, n_times)
    return bold if estimates_own_volume_only(network) else bold[..., -1]
