"""How much each branch matters to each region."""

import numpy as np
import torch

from .network import at_regressor, envelope_batches, estimate, owners, to_one
from .responses import differentiate


def branch_importance(model, X, *, method="gradient"):
    r"""Compute how much each branch moves the prediction of each region.

    "gradient" is the mean of gradient times activation [1]_,

    .. math:: \mathrm{importance}_{r,k} = \operatorname{mean} \left|
              \frac{\partial \hat y_r}{\partial e_k(t)}\, e_k(t) \right|

    over windows and times, where :math:`e_k` is the envelope of branch k and :math:`\hat y_r` the
    estimate of the window's own volume. "leave_out" holds the envelope at its mean,

    .. math:: \mathrm{importance}_{r,k} = \frac{
              \operatorname{SD}(\hat y_r - \hat y_r^{(e_k = \bar e_k)})}
              {\operatorname{SD}(\hat y_r)}

    over windows: 0 says that the branch is not needed, 1 that the prediction changes as much
    without it as it varies at all. Two branches that say the same may both have more than 1, when
    they cancel; where they add, the values of all branches sum to more than 1.

    Parameters
    ----------
    model : BEIRARegressor, Pipeline that ends in one, or search over these
        Fitted model.
    X : EEGWindows or ndarray of shape (n_samples, n_channels, n_times)
        EEG that the model can predict from, best the training EEG.
    method : {"gradient", "leave_out"}
        Which of the two.

    Returns
    -------
    importance : ndarray, shape (n_rois, n_filters)
        "gradient": relative to the region's largest. 0 for the branches of other regions.

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
        return to_one(differentiate(regressor, X).activation)
    return _leave_out(regressor, X)


def _leave_out(regressor, X):
    network, n_times = regressor.network_, X.shape[2]
    owner, n_rois = owners(network), len(regressor.target_mean_)
    means = sum(
        envelopes.mean(dim=-1).double().sum(dim=0) for envelopes in envelope_batches(regressor, X)
    )
    means = (means / len(X)).float()[:, None]
    # What is left out at a time: one branch, or one of every region, which reads no other's.
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
