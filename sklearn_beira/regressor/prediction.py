"""Estimate standardized BOLD from EEG by a network."""

import numpy as np
import torch

from .._utils.warn import warn_user
from .batches import cut_pieces, eeg_scale, make_batches, place_eeg
from .nets import AtVolumes

# Windows that go through a network at a time.
_BATCH = 32


def check_new_eeg(model, X):
    """Refuse windows unlike those of the training, and notice EEG in another unit.

    Parameters
    ----------
    model : estimator
        Its ``_window`` describes the windows of the training, and ``eeg_scale_`` their size.
    X : EEGWindows
        EEG.
    """
    expected, found = model._window, X._describe_window()
    # A model that was fitted without knowing the rate reads windows of any.
    if expected not in (found, f"windows of {X.shape[2]} samples"):
        name = type(model).__name__
        hint = "" if X.has_sfreq else "; pass EEGWindows.from_array(X, sfreq=...)"
        raise ValueError(f"X has {found}, but {name} was fitted with {expected}{hint}.")
    if X.shape[2] == 1:  # a table of features, which have no unit
        return
    scale = eeg_scale(X[:16])  # the first windows tell
    if scale != 1.0 and not 1e-2 < scale / model.eeg_scale_ < 1e2:  # 1 if all EEG is zero
        warn_user(
            f"X has an SD of {scale:.3g}, but the training EEG had {model.eeg_scale_:.3g}; "
            f"check that X has the same unit and was cleaned like the training EEG."
        )


@torch.no_grad()
def estimate_bold(network, X, scale, architecture, device):
    """Estimate standardized BOLD from EEG.

    Parameters
    ----------
    network : nn.Module
        Trained network.
    X : EEGWindows
        EEG in V.
    scale : float
        The EEG is divided by this number.
    architecture : Architecture
        Volumes that a window estimates, and windows that are read.
    device : str
        Device of the network.

    Returns
    -------
    y : ndarray of float64, shape (n_volumes, n_rois)
        Estimates.
    """
    network.eval()
    if hasattr(network, "at"):
        return _estimate_stretches(network, X, scale, device)
    reads = {"mode": architecture.mode, "stride": architecture.stride}
    batches = make_batches(X, place_eeg(X, scale, device), **reads)
    at_volumes, estimates = AtVolumes(network), []
    for start in range(0, len(batches), _BATCH):
        batch, _ = batches.__getitems__(np.arange(start, min(start + _BATCH, len(batches))))
        estimates.append(at_volumes(**batch).cpu().numpy())
    return average_overlaps(np.concatenate(estimates), batches.rows[batches.rows >= 0], len(X))


def _estimate_stretches(network, X, scale, device):
    """Estimate from whole stretches of EEG, so that no sample is filtered twice."""
    estimates, rows = [], []
    for piece in cut_pieces(X):
        eeg = piece.scaled_eeg(scale, device)
        stops = torch.from_numpy(piece.stops).to(device)
        estimates.append(network.at(eeg, stops).cpu().numpy())
        rows.append(piece.rows)
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(estimates)[order].astype(np.float64)


def average_overlaps(estimates, rows, n_volumes):
    """Average the estimates of each volume over the windows that hold it.

    Parameters
    ----------
    estimates : ndarray, shape (n_estimates, n_rois)
        Output of the network at the volumes.
    rows : ndarray of int, shape (n_estimates,)
        Volume of each estimate.
    n_volumes : int
        Number of volumes.

    Returns
    -------
    y : ndarray of float64, shape (n_volumes, n_rois)
        Mean estimate of every volume.
    """
    total = np.zeros((n_volumes, estimates.shape[-1]))
    np.add.at(total, rows, estimates)
    return total / np.bincount(rows, minlength=n_volumes)[:, None]
