"""Base classes of estimators of EEG."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.extras import import_extra
from .checks import channel_names, check_eeg, check_target
from .windows import EEGWindows


class EEGEstimator(BaseEstimator):
    """An estimator whose X is EEG."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class EEGTransformer(TransformerMixin, EEGEstimator):
    """A transformer that returns EEG, never a table; `fit` remembers the channels only."""

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the parameters and remember the channels.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_samples, n_channels, n_times)
            EEG in V.
        y : array-like, DataFrame or None
            Ignored, but for the index of a DataFrame from :func:`align`, which must match X.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._validate_params()
        X = check_eeg(self, X, reset=True, y=y, reads=False)
        self._check_parameters(X)
        self._fit(X)
        return self

    def _fit(self, X):
        """Learn more of EEGWindows than the channels."""

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Get the names of the channels, which do not change.

        Parameters
        ----------
        input_features : array-like of str or None
            Channel names; None uses those seen in ``fit``.

        Returns
        -------
        names : ndarray of str
            Channel names.
        """
        return channel_names(self, input_features)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing, because the output is no table; so ``Pipeline.set_output`` works.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : estimator
            The same.
        """
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class EEGRegressor(RegressorMixin, EEGEstimator):
    """A regressor of EEG on BOLD, whose subclasses define ``_fit(X, y)`` and ``_predict(X)``.

    There, X is EEGWindows and y is ``(n_volumes, n_rois)``. Evaluations read class attributes:
    ``_independent_targets`` (each region is predicted as if it were the only one), ``_selects``
    (features are selected with BOLD), ``_reads`` (it reads the EEG) and ``_calibrates`` (it may
    learn from volumes of the person that it predicts). All but ``_reads`` are False where a class
    does not set them.
    """

    _needs = None  # a module of the extra
    _reads = True  # whether it reads the EEG

    def fit(self, X: EEGWindows | ArrayLike, y: ArrayLike) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V.
        y : array-like, shape (n_volumes,) or (n_volumes, n_rois)
            BOLD, with rows in order of time.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._validate_params()
        if self._needs:
            import_extra(self._needs, type(self).__name__)
        X = check_eeg(self, X, reset=True, y=y, ensure_min_samples=2, reads=self._reads)
        y, self._target_is_1d = check_target(self, X, y)
        self._fit(X, y)
        return self

    def predict(self, X: EEGWindows | ArrayLike) -> np.ndarray:
        """Predict BOLD.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V, with the channels, window and sampling rate of the training.

        Returns
        -------
        y : ndarray of shape (n_volumes, n_rois), or (n_volumes,) if y was 1-D in fit
            Predicted BOLD, in the unit of the training BOLD.
        """
        check_is_fitted(self)
        y = self._predict(check_eeg(self, X, reset=False))
        return y[:, 0] if self._target_is_1d else y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        # Made for EEG, whose power does not tell the sign of a feature, not for a small table.
        tags.regressor_tags.poor_score = True
        return tags
