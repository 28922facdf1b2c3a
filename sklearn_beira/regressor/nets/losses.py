"""Losses between predicted and measured BOLD, and weighted sums of them.

Each loss takes ``y_pred`` and ``y_true`` of shape ``(n_volumes, n_rois)`` and returns a scalar that
is smaller for better predictions.
"""

import torch
from torch import nn

_EPS = 1e-6


def mse(y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
    """Mean squared error.

    Examples
    --------
    >>> import torch
    >>> from sklearn_beira.regressor.nets.losses import mse
    >>> y_true = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    >>> mse(y_true + 1.0, y_true).item()
    1.0
    """
    return nn.functional.mse_loss(y_pred, y_true)


def mae(y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
    """Mean absolute error.

    Examples
    --------
    >>> import torch
    >>> from sklearn_beira.regressor.nets.losses import mae
    >>> y_true = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    >>> mae(y_true - 2.0, y_true).item()
    2.0
    """
    return nn.functional.l1_loss(y_pred, y_true)


def correlation(y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
    """Minus the Pearson correlation over volumes, averaged over regions; in [-1, 1].

    Examples
    --------
    >>> import torch
    >>> from sklearn_beira.regressor.nets.losses import correlation
    >>> y_true = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    >>> round(correlation(3.0 * y_true + 1.0, y_true).item(), 3)
    -1.0
    """
    y_pred = y_pred - y_pred.mean(dim=0)
    y_true = y_true - y_true.mean(dim=0)
    scale = (y_pred.square().sum(dim=0) + _EPS) * (y_true.square().sum(dim=0) + _EPS)
    return -((y_pred * y_true).sum(dim=0) / scale.sqrt()).mean()


def riemannian(y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
    r"""Affine-invariant distance between the region covariances of prediction and truth.

    .. math:: d(A, B) = \| \log(A^{-1/2} B A^{-1/2}) \|_F

    It depends on how regions vary together, not on single volumes; combine it with another loss.

    References
    ----------
    Pennec, Fillard, Ayache (2006), A Riemannian framework for tensor computing, IJCV 66.

    Examples
    --------
    >>> import torch
    >>> from sklearn_beira.regressor.nets.losses import riemannian
    >>> y_true = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    >>> round(riemannian(y_true + 1.0, y_true).item(), 2)  # a constant has no covariance
    0.0
    >>> round(riemannian(2.0 * y_true, y_true).item(), 2)
    1.95
    """
    a, b = _covariance(y_true), _covariance(y_pred)
    factor = torch.linalg.cholesky_ex(a).L  # positive definite, so no error needs a check
    half = torch.linalg.solve_triangular(factor, b, upper=False)
    whitened = torch.linalg.solve_triangular(factor, half.mT, upper=False)
    eigenvalues = torch.linalg.eigvalsh((whitened + whitened.mT) / 2)
    return (eigenvalues.clamp_min(_EPS).log().square().sum() + _EPS).sqrt()


def _covariance(y):
    y = y - y.mean(dim=0)
    n, n_rois = y.shape
    # The ridge keeps the matrix positive definite if a batch has fewer volumes than regions.
    return y.mT @ y / max(n - 1, 1) + 1e-2 * torch.eye(n_rois, dtype=y.dtype, device=y.device)


#: Losses by the name that ``Training(loss=...)`` takes.
LOSSES = {"mse": mse, "mae": mae, "correlation": correlation, "riemannian": riemannian}


class WeightedLoss(nn.Module):
    """Sum of weighted losses.

    Parameters
    ----------
    weights : dict of str to float
        Weight of each loss by its name.

    Examples
    --------
    >>> import torch
    >>> from sklearn_beira import LOSSES, WeightedLoss
    >>> list(LOSSES)
    ['mse', 'mae', 'correlation', 'riemannian']
    >>> y_true = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    >>> WeightedLoss({"mse": 0.5, "mae": 1.0})(y_true + 1.0, y_true).item()
    1.5
    """

    def __init__(self, weights: dict[str, float]):
        super().__init__()
        self.weights = dict(weights)

    def forward(self, y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
        """Compute the loss; both of shape (n_volumes, n_rois)."""
        return sum(weight * LOSSES[name](y_pred, y_true) for name, weight in self.weights.items())


def parse_loss(loss):
    """Read the parameter ``loss`` of a training as weights by name.

    Parameters
    ----------
    loss : str or dict of str to float
        A name, or a weight for each of several.

    Returns
    -------
    weights : dict of str to float
        Weight of each loss.

    Examples
    --------
    >>> from sklearn_beira.regressor.nets.losses import LOSSES, parse_loss
    >>> list(LOSSES)
    ['mse', 'mae', 'correlation', 'riemannian']
    >>> parse_loss("mse")
    {'mse': 1.0}
    """
    weights = {loss: 1.0} if isinstance(loss, str) else loss
    if not isinstance(weights, dict) or not weights:
        raise TypeError(f"loss must be a name or a dict of weights by name, got {loss!r}.")
    unknown = [name for name in weights if name not in LOSSES]
    if unknown:
        raise ValueError(f"unknown loss {unknown[0]!r}; known are {', '.join(LOSSES)}.")
    return {name: float(weight) for name, weight in weights.items()}
