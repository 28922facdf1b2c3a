"""Restricted maximum likelihood of linear models whose noise has a spectrum and a pass band."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize
from sklearn.utils import Bunch, gen_batches

from .pass_band import components, find_pass_band

# Autocorrelations from volume to volume of the processes that the noise is a mixture of. Mixtures
# hold white noise, a first-order autoregressive process with white noise, and nearly 1/f noise.
_AUTOCORRELATIONS = np.array([0.0, 0.5, 0.75, 0.88, 0.97])

# Expected log shares of these processes: real BOLD, detrended, has an autocorrelation of 0.75.
_MIXTURE = np.array([-1.0, 0.0, 2.5, 0.0, -1.0])

# Log of a block's variance relative to the noise: expected value, precision of that expectation,
# and limits. The same precision holds the log shares of the mixture near theirs.
PRIOR, _LIMITS = (-3.0, 0.2), (-12.0, 5.0)

# Most steps of the search for the variances, and the gain in nats that ends it.
_STEPS, _PRECISION = 40, 0.01

# Variances are searched for so many targets, those that differ most. Each other target takes those
# variances, of the ones found, at which its posterior is highest.
_SEARCHED = 32

# Targets that are handled at a time.
_MOST_TARGETS = 4096

# Smaller numbers, relative to the target, are rounding errors.
_ROUNDING = 1e-12

# Constants with smaller components in a band have none.
_NO_COMPONENT = 1e-8

# Features are represented by some of them, until no other has a larger squared length beyond these,
# relative to white noise of variance 1. The rest explains less than the noise does.
_BURIED = 0.05

# Most samples whose noise is known jointly. Longer studies are whitened so many at a time.
ROWS = 720
# The first samples of a longer study, which tell its noise, and parts that keep their correlations.
_FIRST, _KEPT = 400, 2

# A target of a long study takes the noise of another one if that costs it at most so many nats in
# all samples, as the first ones tell.
_ALIKE = 1.0


def is_long(n_samples):
    """Whether a study has too many samples to know the noise of all of them jointly."""
    return n_samples > ROWS


def fit_reml(blocks, y, elapsed, constants, prior=PRIOR, offset=None, seen=None):
    r"""Estimate the weights of blocks of features, with one variance per block.

    .. math:: y = C b + \sum_j F_j w_j + \varepsilon, \qquad
              w_j \sim N(0, \sigma^2 e^{\theta_j} I), \qquad
              \varepsilon \sim N(0, \sigma^2 \sum_m \pi_m R_m)

    :math:`R_m` is the correlation of a first-order autoregressive process, and the shares
    :math:`\pi_m` sum to 1. If a target has no power outside a band of frequencies, as after a
    filter, only the components inside the band are compared, of targets, features and noise alike.
    For every target, the restricted likelihood [1]_ (constants and weights integrated out, scale
    profiled) chooses :math:`\theta` and :math:`\pi`; the weights are their posterior mean. No
    sample is set apart: cross-validation would choose on a dozen independent values, the likelihood
    uses the whole series.

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
    prior : tuple of float
        Expected log variance of a block, relative to the noise, and the precision of that.
    offset : ndarray, shape (n_samples, n_targets), or None
        Part of the targets that is known; the blocks explain the rest.
    seen : dict or None
        Keeps what depends on the samples, and which of many targets are searched, for further calls
        with the same ones.

    Returns
    -------
    fit : Bunch
        ``coef`` (n_features, n_targets), in the order of the blocks; ``log_variance`` (n_blocks,
        n_targets), :math:`\theta`; ``mixture`` (n_autocorrelations, n_targets), :math:`\pi`;
        ``autocorrelation`` (n_targets,) of the noise from sample to sample; ``pass_band`` (2,
        n_targets), in cycles per sample, 0 and 0.5 for all frequencies; ``evidence`` (n_targets,),
        log posterior of the variances, comparable between blocks for the same target.

    References
    ----------
    .. [1] Harville (1977), Maximum likelihood approaches to variance component estimation and to
       related problems, JASA 72.
    """
    n_targets, widths = y.shape[1], [block.shape[1] for block in blocks]
    fit = Bunch(
        coef=np.zeros((sum(widths), n_targets)),
        log_variance=np.full((len(blocks), n_targets), _LIMITS[0]),
        mixture=np.full((len(_AUTOCORRELATIONS), n_targets), 1 / len(_AUTOCORRELATIONS)),
        pass_band=np.tile([[0.0], [0.5]], n_targets),
        evidence=np.zeros(n_targets),
    )
    for group in fit_groups(blocks, y, elapsed, constants, prior, offset, seen):
        own = group.targets
        fit.coef[:, own] = group.coef(blocks)
        fit.log_variance[:, own] = np.log(group.variances)[:, None]
        fit.mixture[:, own] = group.mixture[:, None]
        fit.pass_band[:, own] = np.array(group.pass_band)[:, None]
        fit.evidence[own] = group.evidence
    fit.autocorrelation = _AUTOCORRELATIONS @ fit.mixture
    return fit


class Group(NamedTuple):
    """Targets with the same variances.

    Attributes
    ----------
    targets : ndarray of int, shape (n_targets,)
        Their columns.
    variances : ndarray, shape (n_blocks,)
        Variance of each block, relative to the noise.
    mixture : ndarray, shape (n_autocorrelations,)
        Shares of the noise processes.
    pass_band : tuple of float
        Frequencies in which the targets have power, in cycles per sample.
    evidence : ndarray, shape (n_targets,)
        Log posterior of the variances.
    dual : ndarray, shape (n_rows, n_targets)
        Weights of the samples, or of the rows of ``directions``.
    directions : ndarray, shape (n_rows, n_features), or None
        Of the whitened features, in a long study.
    """

    targets: np.ndarray
    variances: np.ndarray
    mixture: np.ndarray
    pass_band: tuple
    evidence: np.ndarray
    dual: np.ndarray
    directions: np.ndarray | None

    def coef(self, blocks):
        """Compute the weights of the features (n_features, n_targets)."""
        if self.directions is None:
            coef = np.concatenate([block.T @ self.dual for block in blocks])
        else:
            coef = self.directions.T @ self.dual
        return np.repeat(self.variances, [block.shape[1] for block in blocks])[:, None] * coef


def fit_groups(blocks, y, elapsed, constants, prior=PRIOR, offset=None, seen=None):
    """Fit targets as :func:`fit_reml` does.

    Of many targets, variances are searched for those that differ most. The others take, of the
    variances found, those at which their posterior is highest.

    Parameters
    ----------
    blocks, y, elapsed, constants, prior, offset, seen : object
        As in :func:`fit_reml`.

    Yields
    ------
    group : Group
        Targets with the same variances. Constant targets are in none.
    """
    n, seen = len(y), {} if seen is None else seen
    centered = y - constants @ np.linalg.lstsq(constants, y, rcond=None)[0]
    # A constant target has nothing to explain.
    active = np.abs(centered).max(axis=0) > _ROUNDING * np.abs(y).max(axis=0)
    active = np.flatnonzero(active & (n >= constants.shape[1] + 2))
    first = slice(0, min(_FIRST, ROWS) if is_long(n) else n)
    correlations = seen.setdefault("correlations", {})
    for band, targets in _by_pass_band(centered[first], elapsed[first], active):
        if band not in seen:
            basis = _contrasts(elapsed[first], constants[first], band)
            processes = [r[first, first] for r in _known_correlations(correlations, 0, elapsed)]
            seen[band] = basis, pack(basis.T @ r @ basis for r in processes)
        basis, noise = seen[band]
        kernels = [*pack(_kernel(basis.T @ block[first]) for block in blocks), *noise]
        explained = y[:, targets] if offset is None else y[:, targets] - offset[:, targets]
        left = basis.T @ explained[first]
        model = Likelihood(np.array(kernels), len(blocks), left, prior=prior)
        found = _search(model, seen)
        if is_long(n):
            data = blocks, explained, elapsed, constants
            groups = _long_groups(model, found, band, data, prior, correlations)
        else:
            groups = _short_groups(model, found, band, basis)
        for group in groups:
            yield group._replace(targets=targets[group.targets])


def _short_groups(model, found, band, basis):
    """Yield groups of targets, whose variances are known."""
    for variances, mixture, own in found:
        cost, dual = model.of(own).solve(np.log(np.r_[variances, mixture]))
        yield Group(own, variances, mixture, band, -cost, basis @ dual, None)


def _long_groups(model, found, band, data, prior, correlations):
    """Yield groups of targets of a long study, whose noise the first samples tell."""
    blocks, y, elapsed, constants = data
    for mixture, alike in _by_noise(model, [*found], _ALIKE * _FIRST / len(y)):
        every = np.concatenate([own for _, own in alike])
        some = blocks, y[:, every], elapsed, constants
        directions, *rest, log_det = _whitened(*some, mixture, band, correlations)
        cuts = np.split(directions, np.cumsum([b.shape[1] for b in blocks])[:-1], axis=1)
        white = np.array(pack([*map(_kernel, cuts), np.eye(len(directions))]))
        long, done = Likelihood(white, len(blocks), *rest, prior=prior), 0
        for start, own in alike:
            variances, shares = long.maximize(done, start=np.log(start))
            here = long.of(np.arange(done, done + len(own)))
            done += len(own)
            cost, dual = here.solve(np.log(np.r_[variances, shares]))
            yield Group(own, variances, mixture, band, -cost - log_det, dual, directions)


def _by_noise(model, found, price):
    """Pair shares of noise with the variances and targets that take them, few for many."""
    shared, takers = [], []
    for variances, mixture, own in found:
        at = [np.log(np.r_[variances, shares]) for shares in (*shared, mixture)]
        costs = [model.cost(one, own[0])[0] for one in at]
        costs[-1] += price
        nearest = int(np.argmin(costs))
        if nearest == len(shared):
            shared.append(mixture)
            takers.append([])
        takers[nearest].append((variances, own))
    return zip(shared, takers, strict=True)


def _by_pass_band(centered, elapsed, targets):
    """Yield pass bands of centered targets, and the targets that have them."""
    some = np.unique(np.linspace(0, len(targets) - 1, _SEARCHED).astype(int))
    tried = targets if len(targets) <= _SEARCHED else targets[some]
    bands = [find_pass_band(centered[:, k], elapsed) for k in tried]
    if len(targets) > _SEARCHED:  # of one image, which was filtered as a whole
        yield tuple(np.median(bands, axis=0)), targets
        return
    for band in sorted(set(bands)):
        yield band, targets[[other == band for other in bands]]


def _search(model, seen):
    """Yield variances, shares of noise, and the targets that take them, a searched one first."""
    n_targets = model.y.shape[1]
    if n_targets <= _SEARCHED:
        for k in range(n_targets):
            yield *model.maximize(k), np.array([k])
        return
    if "searched" not in seen:
        seen["searched"] = model.most_different(_SEARCHED)
    searched = seen["searched"]
    found = [model.maximize(k) for k in searched]
    costs = [model.costs(np.log(np.concatenate(one))) for one in found]
    choice = np.argmin(costs, axis=0)
    choice[searched] = np.arange(len(searched))
    for i, one in enumerate(found):
        own = np.flatnonzero(choice == i)
        yield *one, np.r_[searched[i], own[own != searched[i]]]


class Likelihood:
    """Restricted likelihood of the variances of kernels, as a function of their logs.

    Parameters
    ----------
    kernels : ndarray, shape (n_kernels, n_rows * (n_rows + 1) / 2)
        Covariances, as :func:`pack` returns them, the first of blocks of features, the last of
        noise.
    n_blocks : int
        How many are of blocks.
    y : ndarray, shape (n_rows, n_targets)
        Targets.
    rest : ndarray, shape (n_targets,), or float
        Squares of the targets along directions without features, divided by those of the noise.
    dof : int or None
        Degrees of freedom; None: one per row.
    prior : tuple of float
        Expected log variance of a block, and the precision of that.
    """

    def __init__(self, kernels, n_blocks, y, rest=0.0, dof=None, prior=PRIOR):
        self.kernels, self.n_blocks, self.y, self.prior = kernels, n_blocks, y, prior
        self.rest = np.broadcast_to(rest, y.shape[1])
        self.dof = len(y) if dof is None else dof
        places = np.arange(kernels.shape[1], dtype=float)
        self.diagonal = linalg.lapack.dtfttr(len(y), places, uplo="L")[0].diagonal().astype(int)
        # Keeps the ratio of the degrees of freedom to the least sum of squares finite.
        squares = np.einsum("ij,ij->j", y, y) + self.rest
        self.least = np.maximum(_ROUNDING**2 * squares, 1e-250)
        mixture = _MIXTURE[: len(kernels) - n_blocks]
        self.center = np.r_[np.full(n_blocks, prior[0]), mixture]
        self.hold = np.r_[np.full(n_blocks, prior[1]), np.full(len(mixture), PRIOR[1])]

    def of(self, targets):
        """Return the likelihood of some of the targets."""
        y, rest = self.y[:, targets], self.rest[targets]
        return Likelihood(self.kernels, self.n_blocks, y, rest, self.dof, self.prior)

    def cost(self, at, target=0):
        """Return minus the log posterior of log variances for a target, and its gradient."""
        n, blocks, dof, dual = len(self.y), self.n_blocks, self.dof, self.y[:, target]
        scale, matrix, cost = self._factorize(at)
        slope = np.zeros(len(scale))
        if n:
            dual = linalg.lapack.dpftrs(n, matrix, dual, uplo="L")[0]
        # A target that the features explain exactly has no noise.
        squares = self.y[:, target] @ dual + self.rest[target]
        squares = max(squares, self.least[target])
        cost += 0.5 * dof * np.log(squares)
        if n:
            inverse = linalg.lapack.dpftri(n, matrix, uplo="L", overwrite_a=1)[0]
            ratio, column = dof / squares, dual[:, None]
            inverse = linalg.lapack.dsfrk(n, 1, -ratio, column, 1.0, inverse, uplo="L")
            inverse[self.diagonal] /= 2  # the other elements stand for two
            slope = self.kernels @ inverse
        gradient = scale * slope
        gradient[blocks:] -= scale[blocks:] * gradient[blocks:].sum()
        return cost, gradient + self.hold * self._held(at)

    def costs(self, at):
        """Return minus the log posterior of log variances for each target."""
        _, matrix, cost = self._factorize(at)
        squares = np.array(self.rest)
        for some in gen_batches(len(squares), _MOST_TARGETS):
            white = self.y[:, some]
            if len(white):
                white = linalg.lapack.dtfsm(1.0, matrix, white, uplo="L")
            squares[some] += np.einsum("ij,ij->j", white, white)
        return cost + 0.5 * self.dof * np.log(np.maximum(squares, self.least))

    def solve(self, at):
        """Return what :meth:`costs` does, and the dual weights (n_rows, n_targets)."""
        _, matrix, cost = self._factorize(at)
        dual = np.array(self.y)
        if len(dual):
            dual = linalg.lapack.dpftrs(len(dual), matrix, dual, uplo="L")[0]
        squares = np.einsum("ij,ij->j", self.y, dual) + self.rest
        return cost + 0.5 * self.dof * np.log(np.maximum(squares, self.least)), dual

    def maximize(self, target=0, start=None):
        """Return variances of blocks and shares of noise of highest posterior for a target."""
        at = self.center.copy()
        if start is not None:
            at[: self.n_blocks] = start
        # SLSQP stops at an absolute gain; the unit of the target only adds a constant to the cost.
        found = optimize.minimize(
            self.cost,
            at,
            args=(target,),
            jac=True,
            method="SLSQP",
            bounds=[_LIMITS] * len(at),
            options={"maxiter": _STEPS, "ftol": _PRECISION},
        )
        scale = self._scale(found.x)
        return scale[: self.n_blocks], scale[self.n_blocks :]

    def most_different(self, n_targets):
        """Choose targets that differ most in what each kernel contributes where a search starts."""
        _, dual = self.solve(self.center)
        parts = np.empty((len(self.kernels), dual.shape[1]))
        for k, kernel in enumerate(self.kernels):
            full = linalg.lapack.dtfttr(len(dual), kernel, uplo="L")[0]
            full += np.tril(full, -1).T
            parts[k] = np.einsum("ij,ij->j", dual, full @ dual)
        parts = np.log(np.maximum(parts, _ROUNDING * parts.max(axis=0)))
        parts -= np.log(np.einsum("ij,ij->j", self.y, dual) + self.rest)
        typical = np.square(parts - parts.mean(axis=1, keepdims=True)).sum(axis=0).argmin()
        chosen, away = [int(typical)], np.inf
        while True:  # the farthest from those that are chosen, if one is left
            away = np.minimum(away, np.square(parts - parts[:, [chosen[-1]]]).sum(axis=0))
            if len(chosen) == n_targets or not away.any():
                break
            chosen.append(int(away.argmax()))
        return np.array(chosen)

    def _scale(self, at):
        shares = np.exp(at[self.n_blocks :] - at[self.n_blocks :].max())
        return np.r_[np.exp(at[: self.n_blocks]), shares / shares.sum()]

    def _held(self, at):
        """Distances from what is expected. Shares are the same wherever their logs begin."""
        held = at - self.center
        held[self.n_blocks :] -= held[self.n_blocks :].mean()
        return held

    def _factorize(self, at):
        """Return variances, a factor of the covariance, and the part of the cost from both."""
        # In the packed format of LAPACK, whose routines take half the memory and less time.
        scale = self._scale(at)
        matrix, n, held = scale @ self.kernels, len(self.y), self._held(at)
        cost = 0.5 * held @ (self.hold * held)
        if n:
            matrix, failed = linalg.lapack.dpftrf(n, matrix, uplo="L", overwrite_a=1)
            if failed:
                raise np.linalg.LinAlgError("the covariance of a target is not positive definite")
            cost += np.log(matrix[self.diagonal]).sum()
        return scale, matrix, cost


def _correlations(elapsed):
    """Yield the correlation of the noise processes (n_samples, n_samples)."""
    # Rows that a bootstrap repeats have independent noise.
    begins = np.isinf(elapsed) | (elapsed == 0)
    part, times = np.cumsum(begins), np.cumsum(np.where(begins, 0.0, elapsed))
    apart = np.abs(times[:, None] - times)
    for rho in _AUTOCORRELATIONS:
        if not rho:
            yield np.eye(len(times))
        else:  # np.exp takes a tenth of the time of a power
            yield np.where(part[:, None] == part, np.exp(np.log(rho) * apart), 0.0)


def _contrasts(elapsed, constants, band):
    """Orthonormal components in a band, without the constants."""
    basis = components(np.eye(len(elapsed)), elapsed, band).T
    vectors, size, _ = np.linalg.svd(basis.T @ constants)
    rank = np.count_nonzero(size > _NO_COMPONENT)
    return basis @ vectors[:, rank:]


def _known_correlations(known, first, elapsed):
    """Correlations of the noise processes in the samples from ``first``, the first few kept."""
    times = elapsed[first : first + ROWS]
    if first not in known and len(known) < _KEPT:
        known[first] = np.array([*_correlations(times)])
    return known[first] if first in known else [*_correlations(times)]


def _kernel(features):
    return features @ features.T


def pack(matrices):
    """Pack symmetric matrices as vectors of one triangle (LAPACK's rectangular full format)."""
    return [linalg.lapack.dtrttf(m.T, uplo="L")[0] if len(m) else m.ravel() for m in matrices]


def _whitened(blocks, y, elapsed, constants, mixture, band, correlations):
    """Whiten a long study.

    Returns features and targets along the directions of the features, the squares of the rest of
    the targets, degrees of freedom, and half the log determinant of what the whitening took.
    """
    parts = [slice(first, first + ROWS) for first in range(0, len(y), ROWS)]
    # A constant may have no component in the band.
    inside = [components(constants[rows], elapsed[rows], band) for rows in parts]
    size, vectors = np.linalg.svd(np.concatenate(inside), full_matrices=False)[1:]
    constants = constants @ vectors[size > _NO_COMPONENT].T
    n_constants, n_targets = constants.shape[1], y.shape[1]
    total, targets, squares, log_det, dof = 0.0, 0.0, 0.0, 0.0, -n_constants
    for rows in parts:
        processes = _known_correlations(correlations, rows.start, elapsed)
        noise = np.tensordot(mixture, processes, axes=1)
        noise = components(components(noise, elapsed[rows], band).T, elapsed[rows], band)
        every = np.concatenate([constants[rows], *(b[rows] for b in blocks), y[rows]], axis=1)
        every = components(every, elapsed[rows], band)
        factor = np.linalg.cholesky(noise)
        log_det += np.log(np.diag(factor)).sum()
        white = linalg.solve_triangular(factor, every, lower=True)
        white, target = white[:, :-n_targets], white[:, -n_targets:]
        total, targets, dof = total + white.T @ white, targets + white.T @ target, dof + len(white)
        squares = squares + np.einsum("ij,ij->j", target, target)
    fixed, of_targets = total[:n_constants], targets[:n_constants]
    log_det += 0.5 * np.linalg.slogdet(fixed[:, :n_constants])[1]
    solved = np.linalg.solve(fixed[:, :n_constants], np.c_[fixed[:, n_constants:], of_targets])
    solved, of_constants = solved[:, :-n_targets], solved[:, -n_targets:]
    left = total[n_constants:, n_constants:] - fixed[:, n_constants:].T @ solved
    targets = targets[n_constants:] - fixed[:, n_constants:].T @ of_constants
    squares -= np.einsum("ij,ij->j", of_targets, of_constants)
    # A pivoted Cholesky factor; eigenvectors would take ten times as long. At least one direction.
    least = min(_BURIED, max(np.diag(left).max(), np.finfo(float).tiny) / 2)
    factor, order, rank, _ = linalg.lapack.dpstrf(left, tol=least, lower=1)
    factor, order = np.triu(factor.T[:rank]), order - 1
    features = np.empty((rank, len(order)))
    features[:, order] = factor
    y = linalg.solve_triangular(factor[:, :rank], targets[order[:rank]], trans="T")
    rest = np.maximum(squares - np.einsum("ij,ij->j", y, y), 0.0)
    return features, y, rest, dof, log_det
