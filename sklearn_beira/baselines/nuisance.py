"""Ridge regression on nuisance signals, with a penalty for each."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._utils.numbers import mean_and_sd
from ..eeg.base import EEGRegressor
from ..eeg.rows import rows_in_time


@dataclass(repr=False, eq=False)
class NuisanceRidge(EEGRegressor):
    """Ridge regression on nuisance signals behind delays; EEG is not used.

    Each signal has a penalty of its own, so that one signal that matters is not lost among many
    that do not. Penalties and the autocorrelation of the noise are chosen by restricted maximum
    likelihood, as in the default of :class:`~sklearn_beira.BEIRARegressor`.

    Parameters
    ----------
    signals : list of str or None
        Names of the signals to use; None uses all of X.
    lags : array-like of float
        Times before the volume in s; negative ones are after it. The signals of each recording are
        standardized, and interpolated linearly at these times; outside of their own times they
        keep the nearest value.

    Attributes
    ----------
    coef_ : ndarray, shape (n_signals * n_lags, n_rois)
        Weights, signal by signal.
    intercept_ : ndarray, shape (n_rois,)
        Intercepts.
    signals_ : list
        Names of the signals.

    See Also
    --------
    sklearn_beira.make_nuisance_ridge : The same in a Pipeline, as a baseline.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.baselines import NuisanceRidge
    >>> rng = np.random.default_rng(0)
    >>> X = EEGWindows.from_array(rng.standard_normal((50, 2, 100)), 100.0, times=range(0, 100, 2))
    >>> y = rng.standard_normal((50, 1))
    >>> X = X.with_nuisance(pd.DataFrame({"motion": y[:, 0]}))
    >>> NuisanceRidge().fit(X, y).score(X, y) > 0.9
    True
    """

    signals: list | None = None
    lags: ArrayLike = tuple(range(0, 26, 2))

    _parameter_constraints: ClassVar[dict] = {"signals": [list, None], "lags": ["array-like"]}
    _reads = False

    def _fit(self, X, y):
        from ..regressor.closed_form import time_of_volumes
        from ..regressor.reml import PRIOR, fit_reml

        self.signals_ = _signals(X) if self.signals is None else list(self.signals)
        features = self._features(X)
        self._center, self._scale = mean_and_sd(features)
        features = (features - self._center) / (self._scale * np.sqrt(len(self.lags)))
        rows = np.concatenate(rows_in_time(X.groups, X.times))
        elapsed, constants, _ = time_of_volumes(X, rows)
        mean, spread = mean_and_sd(y)
        blocks = np.split(features[rows], features.shape[1] // len(self.lags), axis=1)
        # All signals together are expected to explain as much, however many they are.
        prior = PRIOR[0] - np.log(len(blocks)), PRIOR[1]
        fit = fit_reml(blocks, (y[rows] - mean) / spread, elapsed, constants, prior)
        self.coef_ = fit.coef * spread / (self._scale * np.sqrt(len(self.lags)))[:, None]
        self.intercept_ = mean - self._center @ self.coef_

    def _predict(self, X):
        return self._features(X) @ self.coef_ + self.intercept_

    def _features(self, X):
        """Return the standardized signals (n_volumes, n_signals * n_lags), signal by signal."""
        lost = [str(name) for name in self.signals_ if name not in _signals(X)]
        if lost or not self.signals_:
            raise ValueError(
                f"X has no nuisance signals {', '.join(lost)}; give them to align(..., "
                f"nuisance=...) or X.with_nuisance(table)."
            )
        features = np.zeros((len(X), len(self.signals_), len(self.lags)))
        for k in np.unique(X.groups):
            rows, table = X.groups == k, X.nuisance[k][self.signals_]
            spread = table.std(ddof=0)
            table = (table - table.mean()) / spread.where(spread > 0, 1.0)
            at = X.times[rows, np.newaxis] - np.asarray(self.lags, dtype=float)
            for j, name in enumerate(self.signals_):
                features[rows, j] = np.interp(at, table.index, table[name])
        return features.reshape(len(X), -1)


def _signals(X):
    return [] if X.nuisance is None else list(next(iter(X.nuisance.values())))
