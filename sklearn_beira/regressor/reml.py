"""Restricted maximum likelihood of linear models with autocorrelated noise."""

from contextlib import contextmanager
from functools import cached_property

import numpy as np
from scipy import linalg, optimize
from sklearn.utils import Bunch, gen_batches

# Candidates for the first-order autocorrelation of the noise.
_AUTOCORRELATIONS = (0.0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94)

# Log of a block's variance relative to the noise: expected value, precision of that expectation,
# and limits.
_START, _HOLD, _LIMITS = -3.0, 0.2, (-12.0, 5.0)

# Steps of the first look at one autocorrelation; then steps and rounds of choosing the
# autocorrelation and the variances in turn.
_LOOK, _STEPS, _ROUNDS = 12, 30, 2

# Smaller numbers, relative to the target, are rounding errors.
_ROUNDING = 1e-12

# Directions along which the features have a smaller squared length, relative to that of white noise
# of variance 1, are left out. They explain less than the noise does.
_BURIED = 0.05

# Rows whitened at the same time, as the features of a long study fit in memory once.
_ROWS = 2048

# Most bytes of the kernels of all autocorrelations together. If they are larger, the kernels of one
# autocorrelation are kept at a time.
_KERNELS = 2**29


def fit_reml(blocks, y, elapsed, constants, expected=_START):
    r"""Estimate the weights of blocks of features, with one variance per block.

    .. math:: y = C b + \sum_j F_j w_j + \varepsilon, \qquad
              w_j \sim N(0, \sigma^2 e^{\theta_j} I), \qquad
              \varepsilon \sim N(0, \sigma^2 R_\rho)

    :math:`R_\rho` is the correlation of a first-order autoregressive process. For every target, the
    restricted likelihood [1]_ (constants and weights integrated out, scale profiled) chooses
    :math:`\theta` and :math:`\rho`; the weights are their posterior mean. No sample is set apart:
    cross-validation would choose on a dozen independent values, the likelihood uses the whole
    series.

    Parameters
    ----------
    blocks : list of ndarray, shape (n_samples, n_features_j)
        Features, of about unit summed variance each.
    y : ndarray, shape (n_samples, n_targets)
        Targets.
    elapsed : ndarray, shape (n_samples,)
        Time since the sample before, in samples; infinite at the start of a recording, 0 for a
        repeated sample.
    constants : ndarray, shape (n_samples, n_constants)
        Features without a penalty, such as an intercept per recording.
    expected : float
        Expected log variance of a block, relative to the noise.

    Returns
    -------
    fit : Bunch
        ``coef`` (n_features, n_targets), in the order of the blocks; ``autocorrelation``
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
    # A constant target has nothing to explain.
    active = np.flatnonzero(np.abs(left).max(axis=0) > _ROUNDING * np.abs(y).max(axis=0))
    if not len(active):
        return fit
    kernels = 8 * len(blocks) * min(len(y), ends[-1]) ** 2
    keep = len(_AUTOCORRELATIONS) * kernels <= _KERNELS
    models = {}

    @contextmanager
    def model(rho):
        if rho not in models:
            models[rho] = _Whitened(blocks, y, elapsed, constants, rho, expected)
        yield models[rho]
        if not keep:
            del models[rho].kernels

    # Targets are independent: each chooses its own autocorrelation.
    rho, theta = np.full(n_targets, 0.5), np.full((n_targets, len(blocks)), expected)
    with model(0.5) as at:
        for target in active:
            theta[target] = at.maximize(target, theta[target], _LOOK)
    for _ in range(_ROUNDS):
        costs = np.empty((len(_AUTOCORRELATIONS), len(active)))
        for i, tried in enumerate(_AUTOCORRELATIONS):
            with model(tried) as at:
                costs[i] = [at.cost(target, theta[target])[0] + at.offset for target in active]
        before = rho[active]
        rho[active] = np.take(_AUTOCORRELATIONS, costs.argmin(axis=0))
        for chosen in np.unique(rho[active]):
            with model(chosen) as at:
                for target in active[rho[active] == chosen]:
                    theta[target] = at.maximize(target, theta[target], _STEPS)
                    fit.coef[:, target] = at.weights(target, theta[target])
                    fit.autocorrelation[target], fit.log_variance[:, target] = chosen, theta[target]
        active = active[rho[active] != before]
        if not len(active):
            break
    return fit


class _Whitened:
    """The model at one autocorrelation, with white noise and constants projected out."""

    def __init__(self, blocks, y, elapsed, constants, rho, expected=_START):
        self.expected = expected
        self.cuts = np.cumsum([0, *(block.shape[1] for block in blocks)])
        # Rows that a bootstrap repeats have independent noise.
        follows = np.isfinite(elapsed) & (elapsed > 0)
        decay = np.where(follows, rho ** np.where(follows, elapsed, 1), 0)
        innovation = np.sqrt(1 - decay**2)
        everything = slice(0, len(y))

        def whiten(arrays, rows):
            # Whitening needs the row before, which is then left out.
            first = max(rows.start - 1, 0)
            white = np.concatenate([a[first : rows.stop] for a in arrays], axis=1)
            white[1:] -= decay[first + 1 : rows.stop, None] * white[:-1]
            white /= innovation[first : rows.stop, None]
            return white[rows.start - first :]

        axes, triangle = np.linalg.qr(whiten([constants], everything))
        # Determinants of noise and constants, which depend on the autocorrelation only.
        self.offset = np.log(innovation).sum() + np.log(np.abs(np.diag(triangle))).sum()
        y = whiten([y], everything)
        y -= axes @ (axes.T @ y)
        self.dof = len(y) - constants.shape[1]
        total = np.square(y).sum(axis=0)
        # Keeps the ratio of the degrees of freedom to the least sum of squares finite.
        self.least = np.maximum(_ROUNDING**2 * total, 1e-250)
        n_features = self.cuts[-1]
        if n_features > len(y):
            features = whiten(blocks, everything)
            features -= axes @ (axes.T @ features)
            _, vectors = _directions(features @ features.T)
            self.features, self.y = vectors.T @ features, vectors.T @ y
        else:
            constant = sum(
                axes[rows].T @ whiten(blocks, rows) for rows in gen_batches(len(y), _ROWS)
            )
            gram, with_y = np.zeros((n_features, n_features)), np.zeros((n_features, y.shape[1]))
            for rows in gen_batches(len(y), _ROWS):
                features = whiten(blocks, rows)
                features -= axes[rows] @ constant
                gram += features.T @ features
                with_y += features.T @ y[rows]
            values, vectors = _directions(gram)
            self.features = (vectors * np.sqrt(values)).T
            self.y = (vectors / np.sqrt(values)).T @ with_y
        self.rest = np.maximum(total - np.square(self.y).sum(axis=0), 0.0)

    @cached_property
    def kernels(self):
        """Inner products of each block along the directions, (n_blocks, n_directions**2)."""
        n = len(self.y)
        kernels = np.empty((len(self.cuts) - 1, n, n))
        for kernel, start, stop in zip(kernels, self.cuts[:-1], self.cuts[1:], strict=True):
            np.matmul(self.features[:, start:stop], self.features[:, start:stop].T, out=kernel)
        return kernels.reshape(len(kernels), -1)

    def cost(self, target, theta):
        """Return minus the log posterior of ``theta``, its gradient, and the dual weights."""
        y, n = self.y[:, target], len(self.y)
        scale = np.exp(theta)
        covariance = (scale @ self.kernels).reshape(n, n)
        covariance.flat[:: n + 1] += 1.0
        factor = linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        # LAPACK refuses an empty matrix, which flat EEG leads to.
        inverse = linalg.lapack.dpotri(factor, lower=1)[0] if n else factor
        inverse += np.tril(inverse, -1).T
        dual = inverse @ y
        # A target that the features explain exactly has no noise.
        squares = max(y @ dual + self.rest[target], self.least[target])
        held = theta - self.expected
        cost = (
            np.log(np.diag(factor)).sum()
            + 0.5 * self.dof * np.log(squares)
            + 0.5 * _HOLD * held @ held
        )
        slope = inverse.ravel() - self.dof / squares * np.outer(dual, dual).ravel()
        return cost, 0.5 * scale * (self.kernels @ slope) + _HOLD * held, dual

    def maximize(self, target, theta, n_steps):
        """Find the log variances of highest posterior density."""
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
        """Return the posterior mean of the weights of all blocks."""
        dual = self.cost(target, theta)[2]
        variances = np.repeat(np.exp(theta), np.diff(self.cuts))
        return variances * (self.features.T @ dual)


def _directions(gram):
    """Return eigenvalues and eigenvectors along which the features exceed the noise."""
    values, vectors = np.linalg.eigh(gram)
    keep = values > min(_BURIED, max(values[-1], np.finfo(float).tiny) / 2)
    return values[keep], vectors[:, keep]
