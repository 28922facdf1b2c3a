"""Linear models that know what is a channel, a band and a lag in lagged band power."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..eeg.checks import check_eeg
from ..features.band_power import BandPower
from .ridge import check_alphas, check_targets, choose_alphas, fit_ridge, inner_blocks

__all__ = ["BandedRidgeCV", "FingerprintRidgeCV"]


class PowerRegressor(RegressorMixin, BaseEstimator):
    """A linear model of standardized log power (n_samples, n_lags, n_bands, n_channels).

    The base of the estimators here and in ``sparse.py``. Their ``_fit(power, y, blocks)`` returns
    weights ``(n_rois, n_lags, n_bands, n_channels)`` and intercepts ``(n_rois,)``.
    """

    _parameter_constraints: ClassVar[dict] = {
        "bands": "no_validation",  # checked by BandPower, as the next two
        "duration": "no_validation",
        "step": "no_validation",
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "gap": [Interval(Integral, 0, None, closed="left")],
    }

    def fit(self, X, y):
        """Fit on EEG and BOLD.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V.
        y : array-like, shape (n_volumes,) or (n_volumes, n_rois)
            BOLD, rows in order of time.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._validate_params()
        self._import()
        X = check_eeg(self, X, reset=True, y=y, ensure_min_samples=2)
        y, self._target_is_1d = check_targets(self, X, y)
        self.power_ = BandPower(self.bands, duration=self.duration, step=self.step).fit(X)
        power = self._power(X)
        self.center_, self.scale_ = power.mean(axis=0), power.std(axis=0)
        self.scale_[self.scale_ == 0] = 1.0
        blocks, _ = inner_blocks(len(y), self.n_splits, self.gap)
        self.coef_, self.intercept_ = self._fit((power - self.center_) / self.scale_, y, blocks)
        return self

    def predict(self, X):
        """Predict BOLD.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V.

        Returns
        -------
        y : ndarray of shape (n_volumes, n_rois), or (n_volumes,) if y was 1-D in fit
            Predicted BOLD.
        """
        check_is_fitted(self)
        X = check_eeg(self, X, reset=False)
        power = (self._power(X) - self.center_) / self.scale_
        coef = self.coef_.reshape(len(self.coef_), -1)
        y = power.reshape(len(power), -1) @ coef.T + self.intercept_
        return y[:, 0] if self._target_is_1d else y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        # Its features are powers: it cannot tell the sign of a column.
        tags.regressor_tags.poor_score = True
        return tags

    def _power(self, X):
        power = self.power_.transform(X)
        return power.reshape(len(power), len(self.power_.lags_), len(self.power_.bands_), -1)

    def _import(self):
        """Import what the fit needs, before anything is computed."""


class FingerprintRidgeCV(PowerRegressor):
    """Ridge on the lagged band power of one electrode, chosen for every region.

    For each electrode, a ridge on its band powers at all lags, with its own penalty
    (:class:`~sklearn_beira.baselines.BlockedRidgeCV`). Every region gets the electrode that predicts
    it best over the inner blocks.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    duration : float or None
        As in :class:`~sklearn_beira.features.BandPower`.
    step : float
        As in :class:`~sklearn_beira.features.BandPower`.
    alphas : array-like or None
        Penalties, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    n_splits : int
        Inner blocks, as there.
    gap : int
        Rows on each side of a block, as there.

    Attributes
    ----------
    electrode_ : ndarray of int, shape (n_rois,)
        Index of the electrode chosen for each region.
    electrode_names_ : list of str or None
        Their names, where X has names.
    scores_ : ndarray, shape (n_channels, n_rois)
        R² of every electrode over the inner blocks.
    alpha_ : ndarray, shape (n_rois,)
        Penalties chosen.
    coef_ : ndarray, shape (n_rois, n_lags, n_bands, n_channels)
        Weights of standardized log power, zero but at the electrode.
    intercept_ : ndarray, shape (n_rois,)
        Intercepts.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    References
    ----------
    Meir-Hasson et al. (2014), An EEG Fingerprint of fMRI deep regional activation, NeuroImage 102.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.baselines import FingerprintRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 800)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> FingerprintRidgeCV({"alpha": (8, 12)}).fit(X, y).electrode_.shape
    (2,)
    """

    # Read by the null test, which stacks its draws as targets.
    _independent_targets = True
    _selects = True  # an electrode for each region

    _parameter_constraints: ClassVar[dict] = {
        **PowerRegressor._parameter_constraints,
        "alphas": ["array-like", None],
    }

    def __init__(
        self,
        bands="default",
        *,
        duration=2.0,
        step=2.0,
        alphas=None,
        n_splits=5,
        gap=8,
    ):
        self.bands = bands
        self.duration = duration
        self.step = step
        self.alphas = alphas
        self.n_splits = n_splits
        self.gap = gap

    def _fit(self, power, y, blocks):
        grid = check_alphas(self.alphas)
        tables = [power[..., c].reshape(len(power), -1) for c in range(power.shape[-1])]
        chosen, scores = zip(*(choose_alphas(t, y, grid, blocks) for t in tables), strict=True)
        self.scores_ = np.array(scores)
        self.electrode_ = self.scores_.argmax(axis=0)
        self.alpha_ = np.array(chosen)[self.electrode_, np.arange(y.shape[1])]
        names = self.ch_names_in_
        self.electrode_names_ = None if names is None else [names[c] for c in self.electrode_]
        coef, intercept = np.zeros((y.shape[1], *power.shape[1:])), np.empty(y.shape[1])
        for c in np.unique(self.electrode_):
            rois = np.flatnonzero(self.electrode_ == c)
            weights, intercept[rois] = fit_ridge(tables[c], y[:, rois], self.alpha_[rois])
            coef[rois, :, :, c] = weights.reshape(len(rois), *power.shape[1:3])
        return coef, intercept


class BandedRidgeCV(PowerRegressor):
    r"""Ridge on lagged band power with a penalty of its own for every frequency band and region.

    .. math:: \min_w \Bigl\lVert y - \sum_b F_b w_b \Bigr\rVert^2
        + \sum_b \alpha_b \lVert w_b \rVert^2

    by himalaya's random search over the relations between the penalties, chosen over the inner
    blocks. Weights are found from the samples' side, as there are more features than volumes.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    duration : float or None
        As in :class:`~sklearn_beira.features.BandPower`.
    step : float
        As in :class:`~sklearn_beira.features.BandPower`.
    alphas : array-like or None
        Overall penalties, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    n_iter : int
        Relations between the bands that are tried; the first is the plain ridge.
    n_splits : int
        Inner blocks, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    gap : int
        Rows on each side of a block, as there.
    random_state : int, RandomState instance or None
        Seed of the search.

    Attributes
    ----------
    deltas_ : ndarray, shape (n_rois, n_bands)
        Log of the inverse penalty of each band.
    coef_ : ndarray, shape (n_rois, n_lags, n_bands, n_channels)
        Weights of standardized log power.
    intercept_ : ndarray, shape (n_rois,)
        Intercepts.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    Notes
    -----
    Needs himalaya: ``pip install "sklearn-beira[rivals]"``.

    References
    ----------
    Dupré la Tour et al. (2022), Feature-space selection with banded ridge regression,
    NeuroImage 264.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.baselines import BandedRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((20, 8, 800)), rng.standard_normal((20, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> bands = {"alpha": (8, 12), "beta": (13, 30)}
    >>> ridge = BandedRidgeCV(
    ...     bands, step=4.0, n_iter=3, n_splits=3, gap=1, random_state=0
    ... )
    >>> ridge.fit(X, y).deltas_.shape  # a penalty for every region and band
    (2, 2)
    """

    # Read by the null test, which stacks its draws as targets.
    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = {
        **PowerRegressor._parameter_constraints,
        "alphas": ["array-like", None],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        bands="default",
        *,
        duration=2.0,
        step=2.0,
        alphas=None,
        n_iter=20,
        n_splits=5,
        gap=8,
        random_state=0,
    ):
        self.bands = bands
        self.duration = duration
        self.step = step
        self.alphas = alphas
        self.n_iter = n_iter
        self.n_splits = n_splits
        self.gap = gap
        self.random_state = random_state

    def _fit(self, power, y, blocks):
        tables = [power[:, :, b].reshape(len(power), -1) for b in range(power.shape[2])]
        offset, spread = y.mean(axis=0), y.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        deltas, dual, *_ = self._import()(
            np.stack([table @ table.T for table in tables]),
            (y - offset) / spread,
            n_iter=self.n_iter,
            alphas=check_alphas(self.alphas),
            fit_intercept=True,  # within the inner blocks; the features are centered as a whole
            cv=blocks,
            return_weights="dual",
            random_state=self.random_state,
            progress_bar=False,
        )
        self.deltas_ = np.asarray(deltas).T
        coef = np.empty((y.shape[1], *power.shape[1:]))
        for b, table in enumerate(tables):
            weights = (table.T @ np.asarray(dual)) * np.exp(self.deltas_[:, b]) * spread
            coef[:, :, b] = weights.T.reshape(y.shape[1], *power.shape[1::2])
        return coef, offset

    def _import(self):
        try:
            from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
        except ImportError as error:
            raise ImportError(
                'BandedRidgeCV needs himalaya: pip install "sklearn-beira[rivals]"'
            ) from error
        return solve_multiple_kernel_ridge_random_search
