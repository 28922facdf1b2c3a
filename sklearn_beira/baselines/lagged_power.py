"""Linear models of band power whose features have a channel, a band and a lag."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval

from .._utils.numbers import mean_and_sd
from ..eeg.base import EEGRegressor
from ..features.band_power import BandPower, Bands
from .ridge import INNER_BLOCKS, check_alphas, choose_alphas, fit_ridge, inner_blocks


@dataclass(repr=False, eq=False)
class PowerRegressor(EEGRegressor):
    """Base class of linear models of standardized log power.

    Subclasses define ``_fit_power(power, y, blocks)``, with standardized power of shape
    ``(n_volumes, n_lags, n_bands, n_channels)`` and standardized BOLD, which returns weights
    ``(n_rois, n_lags, n_bands, n_channels)``.
    """

    _parameter_constraints: ClassVar[dict] = INNER_BLOCKS  # BandPower checks its own

    bands: Bands = "default"
    _: KW_ONLY
    duration: float | None = 2.0
    step: float = 2.0
    n_splits: int = 5
    gap: int = 8

    def _fit(self, X, y):
        self.power_ = BandPower(self.bands, duration=self.duration, step=self.step).fit(X)
        power = self.power_.lagged_power(X)
        self.center_, self.scale_ = mean_and_sd(power)
        self.intercept_, spread = mean_and_sd(y)
        power, y = (power - self.center_) / self.scale_, (y - self.intercept_) / spread
        blocks, _ = inner_blocks(len(y), self.n_splits, self.gap)
        self.coef_ = self._fit_power(power, y, blocks) * spread[:, None, None, None]

    def _predict(self, X):
        power = (self.power_.lagged_power(X) - self.center_) / self.scale_
        coef = self.coef_.reshape(len(self.coef_), -1)
        return power.reshape(len(power), -1) @ coef.T + self.intercept_


@dataclass(kw_only=True, repr=False, eq=False)
class FingerprintRidgeCV(PowerRegressor):
    """Ridge on the lagged band power of one electrode, which is chosen for every region.

    Each electrode has a ridge on its band power at all lags, with its own penalty
    (:class:`~sklearn_beira.baselines.BlockedRidgeCV`). The electrode of a region is the one that
    predicts it best over the inner blocks.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`, as are the next two.
    duration : float or None
        Length of the segments in which power is averaged, in s.
    step : float
        Time between lags, in s.
    n_splits : int
        Number of inner blocks, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    gap : int
        Number of rows left out on each side of a block.
    alphas : array-like or None
        Penalties, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.

    Attributes
    ----------
    electrode_ : ndarray of int, shape (n_rois,)
        Index of the electrode of each region.
    electrode_names_ : list of str or None
        Their names, where X has names.
    scores_ : ndarray, shape (n_channels, n_rois)
        R² of every electrode over the inner blocks.
    alpha_ : ndarray, shape (n_rois,)
        Penalty of each region.
    coef_ : ndarray, shape (n_rois, n_lags, n_bands, n_channels)
        Weights of standardized log power, which are zero at other electrodes.
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

    _independent_targets = True
    _selects = True

    alphas: ArrayLike | None = None

    def _fit_power(self, power, y, blocks):
        grid = check_alphas(self.alphas)
        tables = [power[..., c].reshape(len(power), -1) for c in range(power.shape[-1])]
        chosen, scores = zip(*(choose_alphas(t, y, grid, blocks) for t in tables), strict=True)
        self.scores_ = np.array(scores)
        self.electrode_ = self.scores_.argmax(axis=0)
        self.alpha_ = np.array(chosen)[self.electrode_, np.arange(y.shape[1])]
        names = self.ch_names_in_
        self.electrode_names_ = None if names is None else [names[c] for c in self.electrode_]
        coef = np.zeros((y.shape[1], *power.shape[1:]))
        for c in np.unique(self.electrode_):
            rois = np.flatnonzero(self.electrode_ == c)
            weights, _ = fit_ridge(tables[c], y[:, rois], self.alpha_[rois])
            coef[rois, :, :, c] = weights.reshape(len(rois), *power.shape[1:3])
        return coef


@dataclass(kw_only=True, repr=False, eq=False)
class BandedRidgeCV(PowerRegressor):
    r"""Ridge on lagged band power with a penalty for every frequency band and region.

    .. math:: \min_w \Bigl\lVert y - \sum_b F_b w_b \Bigr\rVert^2
        + \sum_b \alpha_b \lVert w_b \rVert^2

    himalaya searches at random for the ratios between the penalties that predict the inner blocks
    best. It solves the dual problem, because there are more features than volumes.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`, as are the next two.
    duration : float or None
        Length of the segments in which power is averaged, in s.
    step : float
        Time between lags, in s.
    n_splits : int
        Number of inner blocks, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    gap : int
        Number of rows left out on each side of a block.
    alphas : array-like or None
        Overall penalties, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    n_iter : int
        Number of ratios between the penalties that are tried; the first is plain ridge.
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
    Needs himalaya: ``pip install "sklearn-beira[baselines]"``.

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

    _needs = "himalaya.kernel_ridge"
    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = {
        **INNER_BLOCKS,
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    alphas: ArrayLike | None = None
    n_iter: int = 20
    random_state: int | np.random.RandomState | None = 0

    def _fit_power(self, power, y, blocks):
        from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search

        tables = [power[:, :, b].reshape(len(power), -1) for b in range(power.shape[2])]
        deltas, dual, *_ = solve_multiple_kernel_ridge_random_search(
            np.stack([table @ table.T for table in tables]),
            y,
            n_iter=self.n_iter,
            alphas=check_alphas(self.alphas),
            fit_intercept=True,  # in the inner blocks
            cv=blocks,
            return_weights="dual",
            random_state=self.random_state,
            progress_bar=False,
        )
        self.deltas_ = np.asarray(deltas).T
        coef = np.empty((y.shape[1], *power.shape[1:]))
        for b, table in enumerate(tables):
            weights = (table.T @ np.asarray(dual)) * np.exp(self.deltas_[:, b])
            coef[:, :, b] = weights.T.reshape(y.shape[1], *power.shape[1::2])
        return coef
