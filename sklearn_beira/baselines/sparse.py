"""Distributed-lag models with few channels, bands and lags."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar, Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .lagged_power import PowerRegressor


@dataclass(kw_only=True, repr=False, eq=False)
class SparseGroupLassoCV(PowerRegressor):
    r"""Distributed-lag model of band power: few channels and bands, few lags of each.

    .. math:: \min_w \frac{1}{2n} \lVert y - F w \rVert^2 + \alpha \Bigl(\tau \lVert w \rVert_1
        + (1 - \tau) \sum_g \sqrt{n_g} \, \lVert w_g \rVert_2 \Bigr)

    for every region, solved by skglm. A group g has all lags of a channel in a band, or all lags
    and bands of a channel. The penalty is chosen on the inner blocks, from a path that starts at
    the smallest penalty for which all weights are zero.

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
    groups : {"channel-band", "channel"}
        Groups of weights.
    l1_ratio : float
        Share tau of the penalty of single weights; 0 is the group lasso, 1 the lasso.
    n_alphas : int
        Number of penalties on the path.
    eps : float
        The smallest penalty, relative to the largest.
    tol : float
        Tolerance of the solver, for targets of unit variance.

    Attributes
    ----------
    coef_ : ndarray, shape (n_rois, n_lags, n_bands, n_channels)
        Weights of standardized log power.
    intercept_ : ndarray, shape (n_rois,)
        Intercepts.
    alpha_ : ndarray, shape (n_rois,)
        Penalty of each region, for targets of unit variance.
    n_features_in_ : int
        Number of channels.
    ch_names_in_ : list of str or None
        Their names, where X has names.

    Notes
    -----
    Needs skglm: ``pip install "sklearn-beira[baselines]"``. Its solver is compiled on first use in
    a process, which takes about 20 s.

    References
    ----------
    Mehta et al. (2025), EEG-to-fMRI synthesis of task-evoked and spontaneous brain activity,
    arXiv 2504.10752; Simon et al. (2013), A sparse-group lasso, J. Comput. Graph. Stat. 22.

    Examples
    --------
    >>> from sklearn_beira.baselines import SparseGroupLassoCV
    >>> SparseGroupLassoCV({"alpha": (8, 12), "beta": (13, 30)}, groups="channel", n_alphas=20)
    SparseGroupLassoCV(bands={'alpha': (8, 12), 'beta': (13, 30)}, groups='channel',
                       n_alphas=20)
    """

    _needs = "skglm"
    _independent_targets = True

    _parameter_constraints: ClassVar[dict] = {
        **PowerRegressor._parameter_constraints,
        "groups": [StrOptions({"channel-band", "channel"})],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "eps": [Interval(Real, 0, 1, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    groups: Literal["channel-band", "channel"] = "channel-band"
    l1_ratio: float = 0.5
    n_alphas: int = 10
    eps: float = 0.1
    tol: float = 1e-3

    def _fit_power(self, power, y, blocks):
        n_lags, n_bands, n_channels = power.shape[1:]
        # The features of a group are next to each other.
        F = np.asfortranarray(power.transpose(0, 3, 2, 1).reshape(len(power), -1))
        size = n_lags if self.groups == "channel-band" else n_lags * n_bands
        coef, self.alpha_ = np.zeros((y.shape[1], F.shape[1])), np.empty(y.shape[1])
        for t in range(y.shape[1]):
            top = sgl_alpha_max(F.T @ y[:, t] / len(y), size, self.l1_ratio)
            alphas = np.geomspace(max(top, 1e-12), max(top, 1e-12) * self.eps, self.n_alphas)
            errors = np.zeros(self.n_alphas)
            for train, test in blocks:
                mean, level = F[train].mean(axis=0), y[train, t].mean()
                path = self._path(F[train] - mean, y[train, t] - level, alphas, size)
                errors += [np.square(y[test, t] - level - (F[test] - mean) @ w).sum() for w in path]
            best = int(errors.argmin())  # the first one, with the larger penalty, if equal
            self.alpha_[t] = alphas[best]
            coef[t] = list(self._path(F, y[:, t], alphas[: best + 1], size))[-1]
        return coef.reshape(-1, n_channels, n_bands, n_lags).transpose(0, 3, 2, 1)

    def _path(self, F, y, alphas, size):
        """Yield the weights at each penalty, starting the solver from those at the last one."""
        from skglm.datafits import QuadraticGroup
        from skglm.penalties import WeightedL1GroupL2
        from skglm.solvers import GroupBCD

        # skglm divides by the norm of a group, so constant groups are left out; they weigh zero.
        kept = np.repeat(F.reshape(len(F), -1, size).any(axis=(0, 2)), size)
        F, n_features = F[:, kept], int(kept.sum())
        starts = np.arange(0, n_features + 1, size, dtype=np.int32)
        members = np.arange(n_features, dtype=np.int32)
        # Not 0 for the lasso, because skglm divides by it.
        share = max(1 - self.l1_ratio, 1e-12)
        group_weights = np.full(n_features // size, share * np.sqrt(size))
        weights = np.full(n_features, float(self.l1_ratio))
        # numba compiles the solver for each memory layout, so all calls use the same.
        F, y, w = np.asfortranarray(F), np.ascontiguousarray(y), np.zeros(n_features)
        solver = GroupBCD(
            max_iter=200, tol=self.tol, fit_intercept=False, warm_start=True, ws_strategy="fixpoint"
        )
        for alpha in alphas:
            penalty = WeightedL1GroupL2(alpha, group_weights, weights, starts, members)
            if n_features:
                datafit = QuadraticGroup(starts, members)
                w = solver.solve(F, y, datafit, penalty, w.copy(), F @ w)[0]
            full = np.zeros(len(kept))
            full[kept] = w
            yield full


def sgl_alpha_max(correlations, size, l1_ratio):
    r"""Find the smallest penalty for which all weights of a sparse group lasso are zero.

    It is the largest, over groups, of the roots of
    :math:`\lVert S(c_g, \alpha \tau) \rVert = \alpha (1 - \tau) \sqrt{n_g}`, with the soft
    threshold S.

    Parameters
    ----------
    correlations : ndarray, shape (n_features,)
        Inner products of features and target, divided by the number of samples; groups are
        contiguous.
    size : int
        Features per group.
    l1_ratio : float
        Share of the penalty of single weights.

    Returns
    -------
    alpha : float
        The penalty.
    """
    c = np.abs(correlations).reshape(-1, size)
    low, high = np.zeros(len(c)), np.full(len(c), c.max() * 2 / max(l1_ratio, 1e-9))
    high = np.minimum(high, 2 * np.linalg.norm(c, axis=1) / max(1 - l1_ratio, 1e-9))
    for _ in range(100):
        middle = (low + high) / 2
        left = np.linalg.norm(np.maximum(c - middle[:, None] * l1_ratio, 0), axis=1)
        zero = left <= middle * (1 - l1_ratio) * np.sqrt(size)
        low, high = np.where(zero, low, middle), np.where(zero, middle, high)
    return float(high.max())
