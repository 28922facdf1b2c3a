"""A model of other people and a model of one's own data, combined."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import chosen, last_step
from ..eeg.base import EEGEstimator
from ..eeg.checks import check_rows, check_target
from ..eeg.rows import is_within, recordings_and_times, repetition_time, rows_in_time
from ..eeg.windows import EEGWindows

# Weights that are tried: of the model of others, and of the person's own. The first trusts the
# others alone, the last the person's own data alone.
WEIGHTS = ((1.0, 0.0), (1.0, 0.25), (1.0, 0.5), (1.0, 1.0), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0))

# Other weights than those of the others alone have to be better by so many standard errors over
# blocks. Rows around a block that do not predict it, where rows do not tell what EEG they share.
_ERRORS, _GAP_ROWS = 2.0, 8


class TransferRegressor(RegressorMixin, MetaEstimatorMixin, EEGEstimator):
    """A regressor that holds regressors of EEG on BOLD of one or more regions."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@dataclass(repr=False, eq=False)
class CalibratedRegressor(TransferRegressor):
    r"""Combine a model of other people with a model of a person's own data.

    .. math:: \hat y = \bar y + a\,(p - \bar p) + b\,f_a

    :math:`p` is the prediction of the model of others, which stays as it is, and :math:`f_a` what
    own models predict of the BOLD that :math:`a\,(p - \bar p)` leaves: a mixture, with shares
    :math:`a` and :math:`1 - a`, of a model of what :math:`p` leaves and of one of all. The weights
    :math:`(1, 0)` trust the others alone, :math:`(0, 1)` the own data alone.

    Parameters
    ----------
    pretrained : estimator
        Fitted regressor, such as a model of other people. ``clone`` keeps it fitted.
    estimator : estimator or None
        Regressor that is fitted to the own data; None takes a clone of ``pretrained``.
    weights : "auto" or tuple of float
        :math:`a` and :math:`b`. "auto" predicts blocks of the own data from the others, and leaves
        :math:`(1, 0)` only for weights whose squared error is smaller by two standard errors over
        the blocks. A few minutes tell little: :class:`SubjectRegressor` learns the weights from
        other people and does better.
    n_splits : int
        Number of blocks for "auto".

    Attributes
    ----------
    weights_ : tuple of float
        :math:`a` and :math:`b`.
    own_ : dict of str to estimator
        Fitted models: "all", of the own BOLD, and "rest", of what the others leave of it; those
        with a weight.

    See Also
    --------
    SubjectRegressor : Models of many people, with weights that are learned from them.

    Notes
    -----
    BOLD of all people must have the same unit, such as percent signal change or standard deviations
    of a recording.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_beira import CalibratedRegressor
    >>> rng = np.random.default_rng(0)
    >>> X, weights = rng.standard_normal((400, 5)), rng.standard_normal((5, 2))
    >>> others = Ridge().fit(X[:300], X[:300] @ weights)
    >>> y = X[300:] @ weights + rng.standard_normal((100, 2))
    >>> model = CalibratedRegressor(others).fit(X[300:], y)
    >>> model.weights_
    (1.0, 0.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "pretrained": [HasMethods(["predict"])],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "weights": [StrOptions({"auto"}), tuple, list],
        "n_splits": [Interval(Integral, 2, None, closed="left")],
    }

    pretrained: BaseEstimator
    estimator: BaseEstimator | None = None
    _: KW_ONLY
    weights: str | tuple[float, float] = "auto"
    n_splits: int = 4

    def __sklearn_clone__(self):
        estimator = None if self.estimator is None else clone(self.estimator)
        return type(self)(self.pretrained, estimator, weights=self.weights, n_splits=self.n_splits)

    def fit(self, X: EEGWindows | ArrayLike, y: ArrayLike) -> Self:
        """Choose the weights and fit the own models.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, ...)
            Own data, as both models take them; rows in order of time.
        y : array-like, shape (n_volumes, n_rois) or (n_volumes,)
            Own BOLD.

        Returns
        -------
        self : CalibratedRegressor
            Fitted.

        Raises
        ------
        ValueError
            If ``pretrained`` is not fitted, or if it predicts other regions.
        """
        self._validate_params()
        message = "pretrained is not fitted; fit it to the data of others."
        check_is_fitted(self.pretrained, msg=message)
        check_rows(X, y)
        y, self._target_is_1d = check_target(self, X, y)
        p = predict_2d(self.pretrained, X)
        if p.shape[1] != y.shape[1]:
            raise ValueError(f"pretrained predicts {p.shape[1]} region(s), but y has {y.shape[1]}.")
        theirs = getattr(last_step(chosen(self.pretrained)), "region_names_", None)
        if theirs is not None and self.region_names_ is not None and theirs != self.region_names_:
            raise ValueError(
                f"pretrained predicts other regions ({theirs}) than y has ({self.region_names_})."
            )
        self._mean, self._offset = y.mean(axis=0), p.mean(axis=0)
        y, p = y - self._mean, p - self._offset
        estimator = self.pretrained if self.estimator is None else self.estimator
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        if isinstance(self.weights, str):
            self.weights_ = self._choose_weights(estimator, X, y, p)
        else:
            self.weights_ = check_weights(self.weights)
        self.own_ = fit_own(estimator, X, y, p, [self.weights_])
        return self

    def predict(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Predict BOLD.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, ...)
            EEG.

        Returns
        -------
        y : ndarray of shape (n_volumes, n_rois), or (n_volumes,) if y was 1-D in fit
            Predicted BOLD.
        """
        check_is_fitted(self)
        p = predict_2d(self.pretrained, X) - self._offset
        own = {name: predict_2d(model, X) for name, model in self.own_.items()}
        y = self._mean + combine(self.weights_, p, own)
        return y[:, 0] if self._target_is_1d else y

    def _choose_weights(self, estimator, X, y, p):
        blocks = own_blocks(X, self.n_splits)
        if len(blocks) < 2:  # too little to tell
            return WEIGHTS[0]
        gains = []
        for train, test in blocks:
            some = _safe_indexing(X, train)
            own = fit_own(estimator, some, y[train], p[train], WEIGHTS)
            own = {name: predict_2d(m, _safe_indexing(X, test)) for name, m in own.items()}
            errors = [np.square(y[test] - combine(w, p[test], own)).mean(axis=0) for w in WEIGHTS]
            scale = np.maximum(np.square(y).mean(axis=0), np.finfo(float).tiny)
            errors = (np.array(errors) / scale).mean(axis=1)
            gains.append(errors[0] - errors)
        gains = np.array(gains)
        error = gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
        return WEIGHTS[int(np.argmax(gains.mean(axis=0) - _ERRORS * error))]


def check_weights(weights) -> tuple[float, float]:
    """Check the weights of the others and of the own model.

    Parameters
    ----------
    weights : tuple of float
        Weights.

    Returns
    -------
    weights : tuple of float
        The same, as floats.
    """
    numbers = tuple(weights)
    if len(numbers) != 2 or not all(isinstance(w, Real) and 0 <= w <= 1 for w in numbers):
        raise ValueError(
            f"weights must be 'auto' or two numbers from 0 to 1, of the others and of the own "
            f"model, got {weights!r}."
        )
    return tuple(map(float, numbers))


def predict_2d(model, X):
    """Predict BOLD (n_volumes, n_rois)."""
    y = np.asarray(model.predict(X), dtype=float)
    return y.reshape(len(y), -1)


def fit_own(estimator, X, y, p, weights):
    """Fit the own models that some pairs of weights need: of BOLD, and of what others leave."""
    targets = {}
    if any(a < 1 and b > 0 for a, b in weights):
        targets["all"] = y
    if any(a > 0 and b > 0 for a, b in weights):
        targets["rest"] = y - p
    one = y.shape[1] == 1
    return {
        name: clone(estimator).fit(X, target[:, 0] if one else target)
        for name, target in targets.items()
    }


def combine(weights, p, own):
    """Combine predictions; f_a is the mixture of the fits to y and to y - p."""
    a, b = weights
    y = a * p
    for name, share in (("all", b * (1 - a)), ("rest", b * a)):
        if share:
            y = y + share * own[name]
    return y


def own_blocks(X, n_splits):
    """Training and test rows of contiguous blocks that share no EEG, as far as there are any."""
    recordings, times = recordings_and_times(X, None, None, needed=False)
    gap = X.reach if getattr(X, "has_times", False) else float(_GAP_ROWS)
    t_r = repetition_time(recordings, times)
    # A block and its gaps leave at least half of the rows of short data.
    gap = min(gap, t_r * len(times) / (2 * n_splits))
    rows = np.concatenate(rows_in_time(recordings, times))
    blocks = []
    for test in np.array_split(rows, n_splits):
        train = np.setdiff1d(rows, test)
        train = train[~is_within(train, test, recordings, times, gap)] if len(test) else train
        if len(test) >= 2 and len(train) >= 3:
            blocks.append((train, test))
    return blocks
