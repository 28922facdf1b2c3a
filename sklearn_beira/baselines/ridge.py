"""Ridge regression for smooth targets, with a penalty per region that is chosen on blocks."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.numbers import check_magnitude
from ..eeg.checks import check_target

#: Constraints of what :func:`inner_blocks` and :func:`check_alphas` are given.
INNER_BLOCKS = {
    "alphas": ["array-like", None],
    "n_splits": [Interval(Integral, 2, None, closed="left")],
    "gap": [Interval(Integral, 0, None, closed="left")],
}


@dataclass(repr=False, eq=False)
class BlockedRidgeCV(RegressorMixin, BaseEstimator):
    r"""Ridge regression with a penalty per target, chosen on contiguous blocks of rows.

    .. math:: \min_{w, b} \sum_i (y_i - x_i^\top w - b)^2 + \alpha \lVert w \rVert^2

    Leave-one-out (:class:`sklearn.linear_model.RidgeCV`) favors small penalties, because BOLD is
    smooth and the neighbors of a volume predict it. Here each of ``n_splits`` blocks of consecutive
    rows is predicted from rows that are more than ``gap`` rows away, and each target has the
    penalty with the smallest squared error over all blocks. One eigendecomposition per block
    serves all targets.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,) or None
        Penalties to choose from; None takes 13 from 1 to 1e6, for standardized features.
    n_splits : int
        Number of blocks, of rows in order of time.
    gap : int
        Number of rows on each side of a block that do not predict it. It is reduced in short data,
        so that at least half of the other rows predict a block.

    Attributes
    ----------
    coef_ : ndarray, shape (n_targets, n_features) or (n_features,)
        Weights.
    intercept_ : ndarray of shape (n_targets,), or float
        Intercept.
    alpha_ : ndarray of shape (n_targets,), or float
        Penalty.
    best_score_ : ndarray of shape (n_targets,), or float
        R² over all blocks at that penalty, relative to the mean of the rows that predict a block.
    gap_ : int
        The gap used.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    sklearn.linear_model.Ridge : Ridge regression with a given penalty.

    Notes
    -----
    Rows have to be in order of time. At a border between two recordings the gap leaves out a few
    more rows than necessary. Targets do not influence each other. The larger penalty wins ties.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira.baselines import BlockedRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 20))
    >>> y = X[:, :2] + rng.standard_normal((100, 2))
    >>> BlockedRidgeCV().fit(X, y).alpha_.shape
    (2,)
    """

    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = INNER_BLOCKS

    alphas: ArrayLike | None = None
    _: KW_ONLY
    n_splits: int = 5
    gap: int = 8

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Choose the penalties and fit the weights.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features, with rows in order of time.
        y : array-like, shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self : BlockedRidgeCV
            Fitted.
        """
        self._validate_params()
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        y, one = check_target(self, X, y)
        check_magnitude(X, "X")
        alphas = check_alphas(self.alphas)
        blocks, self.gap_ = inner_blocks(len(X), self.n_splits, self.gap)
        chosen, score = choose_alphas(X, y, alphas, blocks)
        coef, intercept = fit_ridge(X, y, chosen)
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


# Number of targets at a time, so that predictions of thousands of targets need little memory.
_TARGETS = 2048

# Number of rows that are centered at a time if there are more rows than features, so that there
# is no second copy of the features of a long study.
_ROWS = 2048

# Errors that differ by less than this, relative to the spread of the target, are ties.
_TIE = 1e-10


def check_alphas(alphas):
    """Read the parameter ``alphas``.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,) or None
        As given.

    Returns
    -------
    alphas : ndarray, shape (n_alphas,)
        Penalties, increasing.
    """
    if alphas is None:
        return np.logspace(0, 6, 13)
    alphas = np.asarray(alphas, dtype=np.float64)
    if alphas.ndim != 1 or not len(alphas) or not (np.isfinite(alphas) & (alphas > 0)).all():
        raise ValueError(
            f"alphas must be a list of finite numbers above 0, got {alphas.tolist()!r}."
        )
    return np.sort(alphas)


def inner_blocks(n_samples, n_splits, gap):
    """Divide rows into blocks, each with the rows that predict it.

    Parameters
    ----------
    n_samples : int
        Rows, at least 2.
    n_splits : int
        Number of blocks, at most the number of rows.
    gap : int
        Number of rows left out on each side of a block. It is reduced if less than half of the
        other rows would be left.

    Returns
    -------
    blocks : list of tuple of ndarray of int, (train, test)
        Row indices.
    gap : int
        The gap used.
    """
    n_splits = min(n_splits, n_samples)
    rows = np.arange(n_samples)
    tests = np.array_split(rows, n_splits)
    gap = min(gap, (n_samples - len(tests[0])) // 4)
    blocks = [(rows[(rows < t[0] - gap) | (rows > t[-1] + gap)], t) for t in tests]
    return blocks, gap


def choose_alphas(X, y, alphas, blocks):
    """Choose for each target the penalty with the smallest squared error over blocks.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
        Features.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    alphas : ndarray, shape (n_alphas,)
        Penalties, increasing.
    blocks : list of tuple of ndarray of int, (train, test)
        As from :func:`inner_blocks`.

    Returns
    -------
    alpha : ndarray, shape (n_targets,)
        Best penalties, and the larger of ties.
    score : ndarray, shape (n_targets,)
        R² over all blocks, relative to the mean of the rows that predict a block.
    """
    errors, spread = np.zeros((len(alphas), y.shape[1])), np.zeros(y.shape[1])
    wide = X.shape[1] > len(X)
    if wide:
        X = X - X.mean(axis=0)
        gram = X @ X.T
    for train, test in blocks:
        if wide:
            _add_wide_errors(errors, spread, gram, y, train, test, alphas)
        else:
            add_errors(errors, spread, X, y, train, test, alphas)
    return pick_alphas(errors, spread, alphas)


def add_errors(errors, spread, X, y, train, test, alphas):
    """Add the squared errors of a block for every penalty, without a copy of X.

    Parameters
    ----------
    errors : ndarray, shape (n_alphas, n_targets)
        Squared errors, added to in place.
    spread : ndarray, shape (n_targets,)
        Squared errors of predicting the training mean, added to in place.
    X : ndarray, shape (n_samples, n_features)
        Features.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    train, test : ndarray of int
        Rows that predict the block, and its own.
    alphas : ndarray, shape (n_alphas,)
        Penalties.
    """
    mean, offset, values, vectors, scores = _decompose(X, y, train)
    for rows in gen_batches(len(test), _ROWS):
        left = (X[test[rows]] - mean) @ vectors
        _add_part(errors, spread, left, values, scores, y[test[rows]] - offset, alphas)


def _add_wide_errors(errors, spread, gram, y, train, test, alphas):
    r"""Add the errors as :func:`add_errors`, from inner products of rows.

    With centered rows, :math:`\hat y = X_* X^\top (X X^\top + \alpha I)^{-1} y`.
    """
    inner, cross = gram[np.ix_(train, train)], gram[np.ix_(test, train)]
    columns = inner.mean(axis=0)
    values, vectors = _eigh(inner - columns - columns[:, None] + columns.mean())
    # Centered y cancels the mean of each row of cross.
    left = (cross - columns) @ vectors
    for some in gen_batches(y.shape[1], _TARGETS):
        offset = y[train, some].mean(axis=0)
        scores = vectors.T @ (y[train, some] - offset)
        truth = y[test, some] - offset
        _add_part(errors[:, some], spread[some], left, values, scores, truth, alphas)


def _add_part(errors, spread, left, values, scores, truth, alphas):
    r"""Add errors of the predictions :math:`L \, \mathrm{diag}(1 / (s + \alpha)) \, R^\top y`."""
    spread += np.square(truth).sum(axis=0)
    for a, alpha in enumerate(alphas):
        error = truth - (left / (values + alpha)) @ scores
        errors[a] += np.einsum("ij,ij->j", error, error)


def pick_alphas(errors, spread, alphas):
    """Choose penalties by their summed squared errors.

    Parameters
    ----------
    errors : ndarray, shape (n_alphas, n_targets)
        Squared error over all blocks.
    spread : ndarray, shape (n_targets,)
        Squared error of predicting the mean.
    alphas : ndarray, shape (n_alphas,)
        Penalties, increasing.

    Returns
    -------
    alpha : ndarray, shape (n_targets,)
        Best penalties, and the larger of ties.
    score : ndarray, shape (n_targets,)
        R² relative to predicting the mean; 0 for a constant target.
    """
    equal = errors <= errors.min(axis=0) + _TIE * spread
    best = len(alphas) - 1 - equal[::-1].argmax(axis=0)
    varies = spread > 0
    ratio = errors[best, np.arange(len(best))] / np.where(varies, spread, 1.0)
    return alphas[best], np.where(varies, 1.0 - ratio, 0.0)


def fit_ridge(X, y, alpha):
    """Fit ridge regressions with a penalty for each target.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
        Features.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    alpha : ndarray, shape (n_targets,)
        Penalty of each target.

    Returns
    -------
    coef : ndarray, shape (n_targets, n_features)
        Weights.
    intercept : ndarray, shape (n_targets,)
        Intercepts.
    """
    if X.shape[1] > len(X):
        mean, offset = X.mean(axis=0), y.mean(axis=0)
        X = X - mean
        values, vectors = _eigh(X @ X.T)
        scores, back = vectors.T @ (y - offset), X.T @ vectors
    else:
        mean, offset, values, back, scores = _decompose(X, y, np.arange(len(X)))
    coef = (back @ (scores / (values[:, None] + alpha))).T
    return coef, offset - coef @ mean


def _eigh(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values, 0.0), vectors  # negative values are rounding errors


def _decompose(X, y, rows):
    r"""Decompose features with more rows than columns, a few rows at a time.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
        Features.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    rows : ndarray of int, shape (n_rows,)
        Indices of the rows to use.

    Returns
    -------
    mean : ndarray, shape (n_features,)
        Mean of the features.
    offset : ndarray, shape (n_targets,)
        Mean of the targets.
    values : ndarray, shape (n_features,)
        Eigenvalues of :math:`X^\top X` of centered X.
    vectors : ndarray, shape (n_features, n_features)
        Its eigenvectors.
    scores : ndarray, shape (n_features, n_targets)
        :math:`X^\top y` along them.
    """
    batches = [rows[batch] for batch in gen_batches(len(rows), _ROWS)]
    mean = sum(X[batch].sum(axis=0) for batch in batches) / len(rows)
    offset = y[rows].mean(axis=0)
    gram, with_y = np.zeros((X.shape[1], X.shape[1])), np.zeros((X.shape[1], y.shape[1]))
    for batch in batches:
        centered = X[batch] - mean
        gram += centered.T @ centered
        with_y += centered.T @ (y[batch] - offset)
    values, vectors = _eigh(gram)
    return mean, offset, values, vectors, vectors.T @ with_y
