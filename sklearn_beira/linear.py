"""Ridge regression for smooth targets: the penalty is chosen on blocks, per region."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from ._numbers import check_kind, check_magnitude, check_names
from ._ridge import check_alphas, choose_alphas, fit_ridge, inner_blocks

__all__ = ["BlockedRidgeCV"]


class BlockedRidgeCV(RegressorMixin, BaseEstimator):
    r"""Ridge regression whose penalty is chosen per target on contiguous blocks of rows.

    .. math:: \min_{w, b} \sum_i (y_i - x_i^\top w - b)^2 + \alpha \lVert w \rVert^2

    BOLD is smooth: a volume that is left out alone is known from its neighbours, so leave-one-out
    (:class:`sklearn.linear_model.RidgeCV`) favours small penalties. Here each of
    ``n_splits`` blocks of consecutive rows is predicted from the rows that lie at least ``gap``
    rows away, and every target gets the penalty with its smallest squared error over all blocks.
    The penalties of all targets come out of one eigendecomposition per block.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,) or None
        Penalties to choose from; None takes 13 from 1 to 1e6, for standardised features.
    n_splits : int
        Blocks, of rows in order of time.
    gap : int
        Rows on each side of a block that are not used to predict it. In short data it is reduced,
        so that every block is predicted from at least half of the other rows; ``gap_`` tells.

    Attributes
    ----------
    coef_ : ndarray, shape (n_targets, n_features) or (n_features,)
        Weights.
    intercept_ : ndarray of shape (n_targets,), or float
        Intercept.
    alpha_ : ndarray of shape (n_targets,), or float
        The penalty chosen.
    best_score_ : ndarray of shape (n_targets,), or float
        R² over all blocks at that penalty, against the mean of the rows that predict a block: 0 is
        what the mean alone reaches.
    gap_ : int
        The gap used.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    sklearn.linear_model.Ridge : The same with a given penalty.

    Notes
    -----
    Rows are taken to be in order of time. At a border between two recordings the gap leaves out
    a few rows more than necessary. Targets do not influence each other. Ties go to the larger
    penalty.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.linear import BlockedRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 20))
    >>> y = X[:, :2] + rng.standard_normal((100, 2))
    >>> BlockedRidgeCV().fit(X, y).alpha_.shape
    (2,)
    """

    # Read by the null test, which stacks its draws as targets.
    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = {
        "alphas": ["array-like", None],
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "gap": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, alphas=None, *, n_splits=5, gap=8):
        self.alphas = alphas
        self.n_splits = n_splits
        self.gap = gap

    def fit(self, X, y):
        """Choose the penalties and fit.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features, rows in order of time.
        y : array-like, shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self : BlockedRidgeCV
            Fitted.
        """
        self._validate_params()
        check_kind(y, "y")
        check_names(y, "y")
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        targets = y.astype(np.float64).reshape(len(y), -1)
        check_magnitude(X, "X")
        check_magnitude(targets, "y")
        alphas = check_alphas(self.alphas)
        blocks, self.gap_ = inner_blocks(len(X), self.n_splits, self.gap)
        chosen, score = choose_alphas(X, targets, alphas, blocks)
        coef, intercept = fit_ridge(X, targets, chosen)
        one = y.ndim == 1
        self.coef_ = coef[0] if one else coef
        self.intercept_ = float(intercept[0]) if one else intercept
        self.alpha_ = float(chosen[0]) if one else chosen
        self.best_score_ = float(score[0]) if one else score
        return self

    def predict(self, X):
        """Predict the targets.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : ndarray of shape (n_samples, n_targets), or (n_samples,) if y was 1-D in fit
            Predictions.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return X @ self.coef_.T + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
