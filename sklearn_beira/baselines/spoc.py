"""Source power comodulation for many regions at once."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..eeg.checks import check_eeg
from ..features.covariance import BandCovariance, principal_axes
from .ridge import (
    add_errors,
    check_alphas,
    check_targets,
    fit_ridge,
    inner_blocks,
    pick_alphas,
    ridge_path,
)

__all__ = ["SPoCRidgeCV"]

# The least power that is told from none, V²: log of it stays finite where a channel is silent.
_TINY = 1e-30


class SPoCRidgeCV(RegressorMixin, BaseEstimator):
    r"""Source power comodulation in every band, then ridge on the log power of its components.

    For every region z and band, the spatial filters w with the largest absolute eigenvalues of

    .. math:: \Bigl(\frac{1}{n} \sum_i z_i C_i\Bigr) w = \lambda \, \bar C \, w

    where :math:`C_i` is the covariance that volume i looks back on, weighted with the hemodynamic
    response (:class:`~sklearn_beira.features.BandCovariance`), and z is standardized. Filters
    are learned anew for every inner block, so the penalty is not chosen on what they have seen.

    Parameters
    ----------
    bands : dict of str to tuple of float, "default" or None
        As in :class:`~sklearn_beira.features.BandPower`.
    n_components : int
        Components per band and region.
    shrinkage : float
        Weight of the identity (in the space of the data, of the same trace) in the mean
        covariance, against overfitting; 0 is plain SPoC.
    alphas : array-like or None
        Penalties, as in :class:`~sklearn_beira.baselines.BlockedRidgeCV`.
    n_splits : int
        Inner blocks, as there.
    gap : int
        Rows on each side of a block, as there.

    Attributes
    ----------
    filters_ : ndarray, shape (n_rois, n_bands, n_channels, n_components)
        Spatial filters.
    coef_ : ndarray, shape (n_rois, n_bands, n_components)
        Weights of the standardized log powers.
    intercept_ : ndarray, shape (n_rois,)
        Intercepts.
    alpha_ : ndarray, shape (n_rois,)
        Penalties chosen.
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

    # Read by the null test, which stacks its draws as targets.
    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = {
        "bands": "no_validation",  # checked by BandCovariance
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, 1, closed="left")],
        "alphas": ["array-like", None],
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "gap": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        bands="default",
        *,
        n_components=2,
        shrinkage=0.3,
        alphas=None,
        n_splits=5,
        gap=8,
    ):
        self.bands = bands
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.alphas = alphas
        self.n_splits = n_splits
        self.gap = gap

    def fit(self, X, y):
        """Learn filters and weights.

        Parameters
        ----------
        X : EEGWindows or array-like, shape (n_volumes, n_channels, n_times)
            EEG in V.
        y : array-like, shape (n_volumes,) or (n_volumes, n_rois)
            BOLD.

        Returns
        -------
        self : SPoCRidgeCV
            Fitted.
        """
        self._validate_params()
        X = check_eeg(self, X, reset=True, y=y, ensure_min_samples=2)
        y, self._target_is_1d = check_targets(self, X, y)
        alphas = check_alphas(self.alphas)
        self.covariance_ = BandCovariance(self.bands).fit(X)
        C = self.covariance_.transform(X)
        blocks, _ = inner_blocks(len(y), self.n_splits, self.gap)
        errors, spread = np.zeros((len(alphas), y.shape[1])), np.zeros(y.shape[1])
        for train, test in blocks:
            filters, seen, (center, scale) = self._learn(C[train], y[train])
            unseen = (_log_powers(C[test], filters) - center) / scale
            for t in range(y.shape[1]):
                one = slice(t, t + 1)
                path = ridge_path(seen[t], unseen[t])
                add_errors(errors[:, one], spread[one], path, y[train, one], y[test, one], alphas)
        self.alpha_, self.best_score_ = pick_alphas(errors, spread, alphas)
        self.filters_, seen, (self.center_, self.scale_) = self._learn(C, y)
        fits = [
            fit_ridge(seen[t], y[:, t : t + 1], self.alpha_[t : t + 1]) for t in range(y.shape[1])
        ]
        self.coef_ = np.array([coef[0] for coef, _ in fits]).reshape(*self.filters_.shape[:2], -1)
        self.intercept_ = np.array([intercept[0] for _, intercept in fits])
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
        powers = _log_powers(self.covariance_.transform(X), self.filters_)
        powers = (powers - self.center_) / self.scale_
        y = np.einsum("tnf,tf->nt", powers, self.coef_.reshape(len(powers), -1)) + self.intercept_
        return y[:, 0] if self._target_is_1d else y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        # Its features are powers: it cannot tell the sign of a column.
        tags.regressor_tags.poor_score = True
        return tags

    def _learn(self, C, y):
        filters = np.stack(
            [
                spoc_filters(C[:, b], y, self.n_components, self.shrinkage)
                for b in range(C.shape[1])
            ],
            axis=1,
        )
        powers = _log_powers(C, filters)
        center, scale = powers.mean(axis=1, keepdims=True), powers.std(axis=1, keepdims=True)
        scale = np.where(scale > 0, scale, 1.0)
        return filters, (powers - center) / scale, (center, scale)


def spoc_filters(covariances, y, n_components, shrinkage=0.0):
    """Spatial filters whose power goes with the targets, for all targets at once.

    Parameters
    ----------
    covariances : ndarray, shape (n_samples, n_channels, n_channels)
        Covariance of each sample; they need not have full rank.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    n_components : int
        Filters per target. Where the data have fewer dimensions, the rest is zeros.
    shrinkage : float
        Weight of the identity in the mean covariance.

    Returns
    -------
    filters : ndarray, shape (n_targets, n_channels, n_components)
        Filters, largest absolute eigenvalue first, of unit power over the (shrunk) mean covariance.
    """
    n_channels = covariances.shape[1]
    z = y - y.mean(axis=0)
    spread = z.std(axis=0)
    z = z / np.where(spread > 0, spread, 1.0)
    values, vectors = principal_axes(covariances.mean(axis=0))
    values = (1 - shrinkage) * values + shrinkage * values.mean()
    whitener = vectors / np.sqrt(values)
    with_target = (z.T @ covariances.reshape(len(z), -1)).reshape(-1, n_channels, n_channels)
    values, vectors = np.linalg.eigh(whitener.T @ (with_target / len(z)) @ whitener)
    first = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :n_components]
    filters = whitener @ np.take_along_axis(vectors, first[:, None], axis=2)
    return np.pad(filters, ((0, 0), (0, 0), (0, n_components - first.shape[1])))


def _log_powers(C, filters):
    """Log power (n_targets, n_samples, n_bands * n_components) of filtered covariances."""
    n_targets, n_bands, n_channels, n_components = filters.shape
    out = np.empty((n_targets, len(C), n_bands, n_components))
    for b in range(n_bands):
        W = np.moveaxis(filters[:, b], 0, 1).reshape(n_channels, -1)
        power = np.einsum("ncf,cf->nf", C[:, b] @ W, W).reshape(len(C), n_targets, -1)
        out[:, :, b] = np.moveaxis(power, 1, 0)
    return np.log(np.maximum(out, _TINY)).reshape(n_targets, len(C), -1)
