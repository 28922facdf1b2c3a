"""Importance of each branch for each region."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import normalize

from .network import at_regressor, envelope_batches, estimate, owners
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
    regressor, X = at_regressor(model, X)
    if method == "gradient":
        return normalize(differentiate(regressor, X).activation, norm="max")
    return _leave_out(regressor, X)


def _leave_out(regressor, X):
    network, n_times = regressor.network_, X.shape[2]
    owner, n_rois = owners(network), len(regressor.target_mean_)
    means = sum(
        envelopes.mean(dim=-1).double().sum(dim=0) for envelopes in envelope_batches(regressor, X)
    )
    means = (means / len(X)).float()[:, None]
    # Regions that share no branches can leave out one branch each at the same time.
    sets = np.arange(len(owner))[:, None]
    if (owner >= 0).all():
        sets = sets.reshape(n_rois, -1).T
    whole, changes = [], []
    with torch.no_grad():
        for envelopes in envelope_batches(regressor, X):
            bold = estimate(network, envelopes, n_times)
            rows = []
            for out in sets:
                held = envelopes.clone()
                held[:, out] = means[out]
                rows.append(bold - estimate(network, held, n_times))
            whole.append(bold.cpu().numpy())
            changes.append(torch.stack(rows, dim=1).cpu().numpy())
    spread = np.concatenate(whole).std(axis=0, dtype=float)
    moved = np.concatenate(changes).std(axis=0, dtype=float) / np.where(spread > 0, spread, 1.0)
    if (owner < 0).any():
        return moved.T
    importance = np.zeros((n_rois, len(owner)))
    importance[owner, np.arange(len(owner))] = moved.T.ravel()
    return importance
