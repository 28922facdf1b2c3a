"""Nuisance signals of X behind delays, for a model that does not read EEG."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..eeg.base import EEGEstimator
from ..eeg.checks import check_eeg
from ..eeg.windows import EEGWindows


@dataclass(repr=False, eq=False)
class NuisanceLags(TransformerMixin, EEGEstimator):
    """Nuisance signals at several times before each volume; EEG is not used.

    The signals of each recording (:meth:`EEGWindows.with_nuisance`) are standardized, and
    interpolated linearly at the times of the volumes minus the lags. Outside of their own times
    they keep the nearest value.

    Parameters
    ----------
    lags : array-like of float
        Times before the volume in s; negative ones are after it.

    Attributes
    ----------
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str
        Their names.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.features import NuisanceLags
    >>> rng = np.random.default_rng(0)
    >>> X = EEGWindows.from_array(rng.standard_normal((5, 2, 100)), 100.0, times=range(0, 10, 2))
    >>> X = X.with_nuisance(pd.DataFrame({"motion": [0.0, 1.0, 2.0, 3.0, 4.0]}))
    >>> NuisanceLags(lags=(0.0, 2.0)).fit_transform(X).round(2)
    array([[-1.41, -1.41],
           [-0.71, -1.41],
           [ 0.  , -0.71],
           [ 0.71,  0.  ],
           [ 1.41,  0.71]])
    """

    lags: ArrayLike = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0)

    def fit(self, X: EEGWindows, y: ArrayLike | None = None) -> Self:
        """Check that X has nuisance signals.

        Parameters
        ----------
        X : EEGWindows
            Windows with nuisance signals.
        y : array-like, DataFrame or None
            Only checked.

        Returns
        -------
        self : NuisanceLags
            Fitted.

        Raises
        ------
        ValueError
            If X has no nuisance signals.
        """
        self._names = _names(self._check(X, reset=True, y=y))
        return self

    def transform(self, X: EEGWindows) -> np.ndarray:
        """Interpolate the signals.

        Parameters
        ----------
        X : EEGWindows
            Windows with the nuisance signals of the training.

        Returns
        -------
        features : ndarray, shape (n_volumes, n_signals * n_lags)
            The standardized signals, lag by lag.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        if _names(X) != self._names:
            raise ValueError(
                f"X has the nuisance signals {', '.join(map(str, _names(X)))}, but the model was "
                f"trained on {', '.join(map(str, self._names))}."
            )
        lags = np.asarray(self.lags, dtype=float)
        features = np.zeros((len(X), len(lags), len(self._names)))
        for k in np.unique(X.groups):
            rows, table = X.groups == k, X.nuisance[k]
            at = (X.times[rows][:, np.newaxis] - lags).ravel()
            for j, (_, values) in enumerate(_standardized(table).items()):
                features[rows, :, j] = np.interp(at, table.index, values).reshape(-1, len(lags))
        return features.reshape(len(X), -1)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the features: signal and lag.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        names : ndarray of str
            For example ``"motion, 2 s"``.
        """
        check_is_fitted(self)
        names = [f"{name}, {lag:g} s" for lag in self.lags for name in self._names]
        return np.array(names, dtype=object)

    def _check(self, X, *, reset, y=None):
        X = check_eeg(self, X, reset=reset, y=y, reads=False)
        if X.nuisance is None:
            raise ValueError(
                "X has no nuisance signals; give them to align(..., nuisance=...) or "
                "X.with_nuisance(table)."
            )
        return X


def _names(X: EEGWindows) -> list:
    return list(next(iter(X.nuisance.values())))


def _standardized(table: pd.DataFrame) -> pd.DataFrame:
    spread = table.std(ddof=0)
    return (table - table.mean()) / spread.where(spread > 0, 1.0)
