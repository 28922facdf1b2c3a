"""Empirical Bayes for linear read-outs of autocorrelated targets: arrays in, arrays out."""

import numpy as np
from scipy import linalg, optimize
from sklearn.utils import Bunch

# First-order autocorrelations of the noise that are tried.
_AUTOCORRELATIONS = (0.0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94)

# Log of a block's variance relative to the noise: where the search starts, how firmly it is held
# there (a precision: half a block is free to vanish), and how far it may go.
_START, _HOLD, _LIMITS = -3.0, 0.2, (-12.0, 5.0)

# A first look at one autocorrelation, then rounds of choosing it and the variances in turn.
_LOOK, _STEPS, _ROUNDS = 12, 30, 2

# What is smaller than this, relative to the target, is rounding.
_ROUNDING = 1e-12

# Squared length of the features along a direction, relative to that of white noise of variance 1,
# below which the direction is left out. At the variances found it adds less than the noise does.
_BURIED = 0.05


def fit_readout(blocks, y, elapsed, constants, expected=_START):
    r"""Estimate the weights of blocks of features, with their variances found by evidence.

    .. math:: y = C b + \sum_j F_j w_j + \varepsilon, \qquad
              w_j \sim N(0, \sigma^2 e^{\theta_j} I), \qquad
              \varepsilon \sim N(0, \sigma^2 R_\rho)

    :math:`R_\rho` is the correlation of a first-order autoregressive process. For every target the
    restricted likelihood [1]_ (constants and weights integrated out, scale profiled) chooses
    :math:`\theta` and :math:`\rho`; the weights are then their posterior mean. No sample is set
    apart: where cross-validation has a dozen independent values to choose on, the evidence has the
    whole series.

    Parameters
    ----------
    blocks : list of ndarray, shape (n_samples, n_features_j)
        Features, of about unit summed variance each.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    elapsed : ndarray, shape (n_samples,)
        Time since the sample before, in samples; infinite where a recording begins, 0 for a
        sample given again.
    constants : ndarray, shape (n_samples, n_constants)
        What is fitted without a penalty, such as a one per recording.
    expected : float
        Log of the variance, relative to the noise, that a block is expected to have.

    Returns
    -------
    fit : Bunch
        ``coef`` (n_features, n_targets), blocks one after another; ``autocorrelation``
        (n_targets,); ``log_variance`` (n_blocks, n_targets), :math:`\theta`.

    References
    ----------
    .. [1] Harville (1977), Maximum likelihood approaches to variance component estimation and to
       related problems, JASA 72.
    """
    n_targets = y.shape[1]
    ends = np.cumsum([block.shape[1] for block in blocks])
    fit = Bunch(
        coef=np.zeros((ends[-1], n_targets)),
        autocorrelation=np.zeros(n_targets),
        log_variance=np.full((len(blocks), n_targets), _LIMITS[0]),
    )
    if len(y) < constants.shape[1] + 2:
        return fit
    left = y - constants @ np.linalg.lstsq(constants, y, rcond=None)[0]
    # What rounding leaves of a constant is no target.
    varies = np.abs(left).max(axis=0) > _ROUNDING * np.abs(y).max(axis=0)
    models = {}

    def model(rho):
        if rho not in models:
            models[rho] = _Whitened(blocks, y, elapsed, constants, rho, expected)
        return models[rho]

    for target in np.flatnonzero(varies):
        rho, theta = 0.5, np.full(len(blocks), expected)
        theta = model(rho).maximise(target, theta, _LOOK)
        for _ in range(_ROUNDS):
            before = rho
            rho = min(
                _AUTOCORRELATIONS, key=lambda r: model(r).cost(target, theta)[0] + model(r).offset
            )
            theta = model(rho).maximise(target, theta, _STEPS)
            if rho == before:
                break
        fit.coef[:, target] = model(rho).weights(target, theta)
        fit.autocorrelation[target], fit.log_variance[:, target] = rho, theta
    return fit


class _Whitened:
    """The model at one autocorrelation, for all targets: noise white, constants projected out."""

    def __init__(self, blocks, y, elapsed, constants, rho, expected=_START):
        self.expected = expected
        self.cuts = np.cumsum([0, *(block.shape[1] for block in blocks)])
        # A row given twice, as a bootstrap does, counts twice: its noise cannot be its own sequel.
        follows = np.isfinite(elapsed) & (elapsed > 0)
        decay = np.where(follows, rho ** np.where(follows, elapsed, 1), 0)
        innovation = np.sqrt(1 - decay**2)

        def whiten(a):
            white = a.copy()
            white[1:] -= decay[1:, None] * a[:-1]
            return white / innovation[:, None]

        constants = whiten(constants)
        axes, triangle = np.linalg.qr(constants)
        # What depends on the autocorrelation alone: the determinants of noise and constants.
        self.offset = np.log(innovation).sum() + np.log(np.abs(np.diag(triangle))).sum()
        features, y = (
            a - axes @ (axes.T @ a) for a in (whiten(np.concatenate(blocks, axis=1)), whiten(y))
        )
        self.dof = len(y) - constants.shape[1]
        total = np.square(y).sum(axis=0)
        # The degrees of freedom over the least stay a number.
        self.least = np.maximum(_ROUNDING**2 * total, 1e-250)
        # The features are smooth: in most directions they do not rise above the noise.
        wide = features.shape[1] > len(y)
        values, vectors = np.linalg.eigh(features @ features.T if wide else features.T @ features)
        keep = values > min(_BURIED, max(values[-1], np.finfo(float).tiny) / 2)
        values, vectors = values[keep], vectors[:, keep]
        axes = vectors if wide else features @ (vectors / np.sqrt(values))
        y = axes.T @ y
        features = axes.T @ features if wide else (vectors * np.sqrt(values)).T
        self.features, self.y = features, y
        self.rest = np.maximum(total - np.square(y).sum(axis=0), 0.0)
        kernels = [
            features[:, a:b] @ features[:, a:b].T
            for a, b in zip(self.cuts[:-1], self.cuts[1:], strict=True)
        ]
        self.kernels = np.array(kernels).reshape(len(blocks), -1)

    def cost(self, target, theta):
        """Minus the log restricted likelihood and log prior, its gradient, and the dual weights."""
        y, n = self.y[:, target], len(self.y)
        scale = np.exp(theta)
        covariance = (scale @ self.kernels).reshape(n, n)
        covariance.flat[:: n + 1] += 1.0
        factor = linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        # LAPACK complains of a matrix of nothing, which flat EEG leads to.
        inverse = linalg.lapack.dpotri(factor, lower=1)[0] if n else factor
        inverse += np.tril(inverse, -1).T
        dual = inverse @ y
        # A target that the features explain to the last digit has no noise to speak of.
        squares = max(y @ dual + self.rest[target], self.least[target])
        held = theta - self.expected
        cost = (
            np.log(np.diag(factor)).sum()
            + 0.5 * self.dof * np.log(squares)
            + 0.5 * _HOLD * held @ held
        )
        slope = inverse.ravel() - self.dof / squares * np.outer(dual, dual).ravel()
        return cost, 0.5 * scale * (self.kernels @ slope) + _HOLD * held, dual

    def maximise(self, target, theta, n_steps):
        """Find the log variances of highest evidence from a start."""
        found = optimize.minimize(
            lambda at: self.cost(target, at)[:2],
            theta,
            jac=True,
            method="L-BFGS-B",
            bounds=[_LIMITS] * len(theta),
            options={"maxiter": n_steps},
        )
        return found.x

    def weights(self, target, theta):
        """Posterior mean of the weights of all blocks."""
        dual = self.cost(target, theta)[2]
        variances = np.repeat(np.exp(theta), np.diff(self.cuts))
        return variances * (self.features.T @ dual)
