"""Source power comodulation (SPoC) for many regions."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval

from .._utils.numbers import standardize
from ..eeg.base import EEGRegressor
from ..features.band_power import Bands
from ..features.covariance import BandCovariance, principal_axes
from .ridge import (
    INNER_BLOCKS,
    add_errors,
    check_alphas,
    fit_ridge,
    inner_blocks,
    pick_alphas,
)

# Power in V² of a silent channel, so that its logarithm is finite.
_TINY = 1e-30


@dataclass(repr=False, eq=False)
class SPoCRidgeCV(EEGRegressor):
    r"""Source power comodulation in every band, and ridge on the log power of its components.

    For every region z and band, the spatial filters w have the largest absolute eigenvalues of

    .. math:: \Bigl(\frac{1}{n} \sum_i z_i C_i\Bigr) w = \lambda \, \bar C \, w

    where :math:`C_i` is the covariance of the EEG before volume i, weighted with the hemodynamic
    response (:class:`~sklearn_beira.features.BandCovariance`), and z is standardized. The penalty
    is chosen on inner blocks, and filters are fitted without the block that is predicted.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Number of components per band and region.
    shrinkage : float
        Weight of the identity (in the space of the data, with the same trace) in the mean
        covariance, which reduces overfitting; 0 is plain SPoC.
    alphas : array-like or None
        Penalties, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`, as are the next two.
    n_splits : int
        Number of inner blocks.
    gap : int
        Number of rows left out on each side of a block.

    Attributes
    ----------
    filters_ : ndarray, shape (n_rois, n_bands, n_channels, n_components)
        Spatial filters.
    coef_ : ndarray, shape (n_rois, n_bands, n_components)
        Weights of the standardized log powers.
    intercept_ : ndarray, shape (n_rois,)
        Intercepts.
    alpha_ : ndarray, shape (n_rois,)
        Penalty of each region.
    best_score_ : ndarray, shape (n_rois,)
        R² over the inner blocks.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    See Also
    --------
    mne.decoding.SPoC : The same filters from epochs, for a single target.

    References
    ----------
    Dähne et al. (2014), SPoC: a novel framework for relating the amplitude of neuronal
    oscillations to behaviorally relevant parameters, NeuroImage 86.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_beira import EEGWindows
    >>> from sklearn_beira.baselines import SPoCRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> eeg, y = rng.standard_normal((40, 4, 800)), rng.standard_normal((40, 2))
    >>> X = EEGWindows.from_array(eeg, sfreq=100.0)
    >>> SPoCRidgeCV({"alpha": (8, 12)}).fit(X, y).filters_.shape
    (2, 1, 4, 2)
    """

    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = {
        **INNER_BLOCKS,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, 1, closed="left")],
    }

    bands: Bands = "default"
    _: KW_ONLY
    n_components: int = 2
    shrinkage: float = 0.3
    alphas: ArrayLike | None = None
    n_splits: int = 5
    gap: int = 8

    def _fit(self, X, y):
        alphas = check_alphas(self.alphas)
        self.covariance_ = BandCovariance(self.bands).fit(X)
        C = self.covariance_.transform(X)
        blocks, _ = inner_blocks(len(y), self.n_splits, self.gap)
        errors, spread = np.zeros((len(alphas), y.shape[1])), np.zeros(y.shape[1])
        for train, test in blocks:
            powers, *_ = self._learn(C, y, train)
            for t in range(y.shape[1]):
                one = slice(t, t + 1)
                add_errors(errors[:, one], spread[one], powers[t], y[:, one], train, test, alphas)
        self.alpha_, self.best_score_ = pick_alphas(errors, spread, alphas)
        powers, self.filters_, self.center_, self.scale_ = self._learn(C, y, np.arange(len(y)))
        fits = [
            fit_ridge(powers[t], y[:, t : t + 1], self.alpha_[t : t + 1]) for t in range(y.shape[1])
        ]
        self.coef_ = np.array([coef[0] for coef, _ in fits]).reshape(*self.filters_.shape[:2], -1)
        self.intercept_ = np.array([intercept[0] for _, intercept in fits])

    def _predict(self, X):
        powers = _log_powers(self.covariance_.transform(X), self.filters_)
        powers = (powers - self.center_) / self.scale_
        return (
            np.einsum("tnf,tf->nt", powers, self.coef_.reshape(len(powers), -1)) + self.intercept_
        )

    def _learn(self, C, y, train):
        """Learn filters and scales from some rows; return them behind the powers of all rows."""
        filters = [
            spoc_filters(C[train, b], y[train], self.n_components, self.shrinkage)
            for b in range(C.shape[1])
        ]
        filters = np.stack(filters, axis=1)
        powers = _log_powers(C, filters)
        center = powers[:, train].mean(axis=1, keepdims=True)
        scale = powers[:, train].std(axis=1, keepdims=True)
        scale = np.where(scale > 0, scale, 1.0)
        return (powers - center) / scale, filters, center, scale


def spoc_filters(covariances, y, n_components, shrinkage=0.0):
    """Compute spatial filters whose power covaries with each of the targets.

    Parameters
    ----------
    covariances : ndarray, shape (n_samples, n_channels, n_channels)
        Covariance of each sample, of full rank or not.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    n_components : int
        Number of filters per target. If the rank of the data is lower, the others are zero.
    shrinkage : float
        Weight of the identity in the mean covariance.

    Returns
    -------
    filters : ndarray, shape (n_targets, n_channels, n_components)
        Filters in decreasing order of absolute eigenvalues, with unit power in the (shrunk) mean
        covariance.
    """
    n_channels = covariances.shape[1]
    z = standardize(y)
    values, vectors = principal_axes(covariances.mean(axis=0))
    values = (1 - shrinkage) * values + shrinkage * values.mean()
    whitener = vectors / np.sqrt(values)
    with_target = (z.T @ covariances.reshape(len(z), -1)).reshape(-1, n_channels, n_channels)
    values, vectors = np.linalg.eigh(whitener.T @ (with_target / len(z)) @ whitener)
    first = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :n_components]
    filters = whitener @ np.take_along_axis(vectors, first[:, None], axis=2)
    return np.pad(filters, ((0, 0), (0, 0), (0, n_components - first.shape[1])))


def _log_powers(C, filters):
    """Compute log power (n_targets, n_samples, n_bands * n_components) of components."""
    n_targets, n_bands, n_channels, n_components = filters.shape
    out = np.empty((n_targets, len(C), n_bands, n_components))
    for b in range(n_bands):
        W = np.moveaxis(filters[:, b], 0, 1).reshape(n_channels, -1)
        power = np.einsum("ncf,cf->nf", C[:, b] @ W, W).reshape(len(C), n_targets, -1)
        out[:, :, b] = np.moveaxis(power, 1, 0)
    return np.log(np.maximum(out, _TINY)).reshape(n_targets, len(C), -1)
