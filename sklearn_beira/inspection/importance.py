"""Importance of each branch for each region."""

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import normalize

from .network import Envelopes, at_regressor, estimate, owners
from .responses import differentiate


def branch_importance(model: BaseEstimator, X, *, method: str = "gradient") -> np.ndarray:
    r"""Compute how strongly each branch affects the prediction of each region.

    "gradient" is the mean of gradient times activation [1]_,

    .. math:: \mathrm{importance}_{r,k} = \operatorname{mean} \left|
              \frac{\partial \hat y_r}{\partial e_k(t)}\, e_k(t) \right|

    over windows and times, where :math:`e_k` is the envelope of branch k and :math:`\hat y_r` the
    prediction for the volume of the window. "leave_out" replaces the envelope by its mean,

    .. math:: \mathrm{importance}_{r,k} = \frac{
              \operatorname{SD}(\hat y_r - \hat y_r^{(e_k = \bar e_k)})}
              {\operatorname{SD}(\hat y_r)}

    over windows. It is 0 if the prediction does not depend on the branch, and 1 if the prediction
    changes as much as it varies. If two similar branches cancel each other, both can exceed 1.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows, mne.Epochs or ndarray of shape (n_volumes, n_channels, n_times)
        EEG that the model can predict from, preferably the training EEG.
    method : {"gradient", "leave_out"}
        Kind of importance.

    Returns
    -------
    importance : ndarray, shape (n_rois, n_filters)
        Importance; 0 for the branches of other regions. With "gradient", it is relative to the
        largest value of the region.

    References
    ----------
    .. [1] Kovalev, Mikheev, Ossadtchi (2022), arXiv 2211.02024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import BEIRARegressor, Compact, EEGWindows
    >>> from sklearn_beira.inspection import branch_importance
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 400)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> model = BEIRARegressor(Compact(n_branches=3), verbose=False).fit(X, y)
    >>> branch_importance(model, X, method="leave_out").shape
    (2, 6)
    """
    if method not in ("gradient", "leave_out"):
        raise ValueError(f"method must be 'gradient' or 'leave_out', got {method!r}.")
    batches = Envelopes(*at_regressor(model, X))
    if method == "gradient":
        return normalize(differentiate(batches).activation, norm="max")
    return leave_out(batches, np.arange(len(batches.network.branches.spatial)))


def leave_out(batches: Envelopes, into: np.ndarray) -> np.ndarray:
    """Compute the importance (n_rois, n_filters) of branches that are left out together.

    Parameters are those of :func:`contributions`.
    """
    bold, parts = contributions(batches, into)
    spread = bold.std(axis=0, dtype=float)[:, None]
    return parts.std(axis=0, dtype=float) / np.where(spread > 0, spread, 1.0)


def contributions(batches: Envelopes, into: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute what branches add to the prediction of each volume.

    Parameters
    ----------
    batches : Envelopes
        Envelopes of all windows.
    into : ndarray of int, shape (n_filters,)
        For each branch, the branch it is left out with.

    Returns
    -------
    bold : ndarray, shape (n_volumes, n_rois)
        Standardized prediction.
    parts : ndarray, shape (n_volumes, n_rois, n_filters)
        Prediction minus that with the envelopes of the branch, and of those left out with it, at
        their means; 0 for other branches and for the branches of other regions.
    """
    network, n_times, n = batches.network, batches.X.shape[2], len(batches.X)
    owner = owners(network)
    means = sum(envelopes.mean(dim=-1).double().sum(dim=0) for _, envelopes in batches)
    means = (means / n).float()[:, None]
    firsts = np.unique(into)
    # Regions that share no branches can leave out one branch each at the same time.
    turns = pd.Series(firsts).groupby(owner[firsts]).cumcount() if (owner >= 0).all() else firsts
    n_rois = len(batches.regressor.target_mean_)
    whole = np.zeros((n, n_rois), dtype=np.float32)
    parts = np.zeros((n, n_rois, len(into)), dtype=np.float32)
    with torch.no_grad():
        for rows, envelopes in batches:
            bold = estimate(network, envelopes, n_times)
            whole[rows] = bold.cpu().numpy()
            for turn in np.unique(turns):
                now = firsts[turns == turn]
                out = np.isin(into, now)
                held = envelopes.clone()
                held[:, out] = means[out]
                change = (bold - estimate(network, held, n_times)).cpu().numpy()
                for first in now:
                    rois = np.arange(n_rois) if owner[first] < 0 else owner[[first]]
                    parts[np.ix_(rows, rois, [first])] = change[:, rois, None]
    return whole, parts
