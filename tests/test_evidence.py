"""Variances chosen by evidence: against dense matrices, and against planted truth."""

import tracemalloc

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from sklearn_beira.regressor import reml as _evidence
from sklearn_beira.regressor.reml import (
    _AUTOCORRELATIONS,
    _HOLD,
    _LIMITS,
    _START,
    _Whitened,
    fit_reml,
)

N, SIZES = 60, (5, 8)


def problem(seed=0, n=N, sizes=SIZES, n_targets=2):
    """Two recordings; the first has volumes missing."""
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal((n, p)) / np.sqrt(p) for p in sizes]
    elapsed = np.ones(n)
    elapsed[[0, n // 2]] = np.inf
    elapsed[10] = 7.0
    recording = np.arange(n) >= n // 2
    constants = np.column_stack([~recording, recording]).astype(float)
    y = blocks[0] @ rng.standard_normal((sizes[0], n_targets)) + 3.0 * recording[:, None]
    return blocks, y + rng.standard_normal((n, n_targets)), elapsed, constants


def ar_noise(rng, n, rho, n_series):
    e = rng.standard_normal((n, n_series))
    for i in range(1, n):
        e[i] = rho * e[i - 1] + np.sqrt(1 - rho**2) * e[i]
    return e


def noise_correlation(elapsed, rho):
    """Every entry from the time between two samples, recordings apart."""
    recording = np.cumsum(np.isinf(elapsed))
    times = np.cumsum(np.where(np.isinf(elapsed), 0.0, elapsed))
    apart = np.abs(times[:, None] - times)
    return np.where(recording[:, None] == recording, rho**apart, 0.0)


def dense_covariance(blocks, elapsed, theta, rho):
    kernels = [np.exp(t) * block @ block.T for t, block in zip(theta, blocks, strict=True)]
    return noise_correlation(elapsed, rho) + sum(kernels)


def dense_weights(blocks, y, elapsed, constants, theta, rho):
    """Best linear unbiased prediction by inverses of the whole covariance."""
    inverse = np.linalg.inv(dense_covariance(blocks, elapsed, theta, rho))
    fixed = np.linalg.solve(constants.T @ inverse @ constants, constants.T @ inverse @ y)
    residual = inverse @ (y - constants @ fixed)
    weights = [np.exp(t) * block.T @ residual for t, block in zip(theta, blocks, strict=True)]
    return np.concatenate(weights)


@pytest.mark.parametrize("sizes", [(5, 8), (50, 70)], ids=["few features", "many features"])
def test_weights_are_the_posterior_mean_of_the_dense_model(sizes):
    blocks, y, elapsed, constants = problem(sizes=sizes)
    fit = fit_reml(blocks, y, elapsed, constants)
    assert fit.coef.shape == (sum(sizes), 2)
    assert np.abs(fit.coef).max() > 0.1
    for target in range(2):
        expected = dense_weights(
            blocks,
            y[:, target],
            elapsed,
            constants,
            fit.log_variance[:, target],
            fit.autocorrelation[target],
        )
        np.testing.assert_allclose(fit.coef[:, target], expected, rtol=1e-6, atol=1e-9)


def test_both_sides_of_the_features_give_the_same_cost_gradient_and_weights():
    # Columns of zeros make many features of few, and change nothing.
    blocks, y, elapsed, constants = problem()
    padded = [np.pad(block, ((0, 0), (0, 100))) for block in blocks]
    few, many = (_Whitened(b, y, elapsed, constants, 0.5) for b in (blocks, padded))
    assert len(few.y) == sum(SIZES)
    assert len(many.y) in (sum(SIZES), N)
    theta = np.array([-1.0, 0.7])
    cost, slope, _ = few.cost(0, theta)
    other_cost, other_slope, _ = many.cost(0, theta)
    assert cost == pytest.approx(other_cost, rel=1e-10)
    np.testing.assert_allclose(slope, other_slope, rtol=1e-8)
    cuts = np.cumsum([0, *(p + 100 for p in SIZES)])
    wide = many.weights(0, theta)
    same = np.concatenate([wide[a : a + p] for a, p in zip(cuts[:-1], SIZES, strict=True)])
    np.testing.assert_allclose(few.weights(0, theta), same, rtol=1e-7)
    assert np.count_nonzero(wide) == sum(SIZES)


def whitened_at_once(blocks, y, elapsed, constants, rho):
    """Kernels of the blocks and products with y, among directions of samples, without batches."""
    axes = null_space(constants.T)
    root = np.linalg.cholesky(axes.T @ noise_correlation(elapsed, rho) @ axes)
    features, y = (np.linalg.solve(root, axes.T @ a) for a in (np.hstack(blocks), y))
    return features.T @ features, features.T @ y, np.square(y).sum(axis=0)


@pytest.mark.parametrize("rows", [1, 7, N - 1, N])
def test_tall_features_read_in_batches_are_those_read_at_once(monkeypatch, rows):
    monkeypatch.setattr(_evidence, "_ROWS", rows)
    blocks, y, elapsed, constants = problem()
    model = _Whitened(blocks, y, elapsed, constants, 0.5)
    # No direction of these features is buried in the noise: nothing of them may be lost.
    assert len(model.y) == sum(SIZES)
    gram, with_y, squares = whitened_at_once(blocks, y, elapsed, constants, 0.5)
    np.testing.assert_allclose(model.features.T @ model.features, gram, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.features.T @ model.y, with_y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.rest + np.square(model.y).sum(axis=0), squares, rtol=1e-9)


@pytest.mark.parametrize("sizes", [(5, 8), (50, 70)], ids=["few features", "many features"])
def test_kernels_made_again_and_again_change_nothing(monkeypatch, sizes):
    data = problem(sizes=sizes, n_targets=4)
    kept = fit_reml(*data)
    monkeypatch.setattr(_evidence, "_KERNELS", 0)
    again = fit_reml(*data)
    for name in ("coef", "autocorrelation", "log_variance"):
        np.testing.assert_array_equal(again[name], kept[name])


def test_a_target_goes_its_own_way_beside_others():
    blocks, y, elapsed, constants = problem(n_targets=6)
    together = fit_reml(blocks, y, elapsed, constants)
    assert len(set(together.autocorrelation)) > 1
    for target in range(6):
        alone = fit_reml(blocks, y[:, [target]], elapsed, constants)
        assert alone.autocorrelation[0] == together.autocorrelation[target]
        np.testing.assert_allclose(alone.coef[:, 0], together.coef[:, target], rtol=1e-4, atol=1e-7)


def test_the_memory_of_a_long_study_does_not_hold_its_features_again():
    rng = np.random.default_rng(9)
    n = 40_000
    blocks = [rng.standard_normal((n, 40)) for _ in range(3)]
    y = ar_noise(rng, n, 0.5, 1) + blocks[0][:, :1]
    size = sum(block.nbytes for block in blocks)
    tracemalloc.start()
    fit = fit_reml(blocks, y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fit.coef[0, 0] == pytest.approx(1.0, abs=0.05)
    assert peak < 0.5 * size


def test_the_kernels_of_one_autocorrelation_are_held_at_a_time_where_they_are_large(monkeypatch):
    blocks, y, elapsed, constants = problem(n=300, sizes=(60, 60, 60, 60))
    kernels = 8 * 4 * 240**2
    monkeypatch.setattr(_evidence, "_KERNELS", kernels)
    tracemalloc.start()
    fit_reml(blocks, y, elapsed, constants)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Beside them nine times the features of 240 directions, and what a cost needs.
    assert peak < 6 * kernels


@pytest.mark.parametrize("sizes", [(5, 8), (50, 70)], ids=["few features", "many features"])
@pytest.mark.parametrize("theta", [(-3.0, -3.0), (1.0, -8.0), (-0.5, 2.0)])
def test_the_gradient_is_that_of_finite_differences(sizes, theta):
    model = _Whitened(*problem(sizes=sizes), 0.6)
    numeric = approx_fprime(np.array(theta), lambda at: model.cost(1, at)[0], 1e-6)
    np.testing.assert_allclose(model.cost(1, np.array(theta))[1], numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", [(5, 8), (50, 70)], ids=["few features", "many features"])
def test_the_cost_is_the_likelihood_of_error_contrasts_up_to_a_constant(sizes):
    blocks, y, elapsed, constants = problem(sizes=sizes)
    contrasts = null_space(constants.T)
    seen = contrasts.T @ y[:, 0]
    dof, differences = len(seen), []
    for rho in (0.0, 0.5, 0.94):
        for theta in np.array([(-3.0, -3.0), (0.5, -6.0), (-1.0, 2.0)]):
            covariance = contrasts.T @ dense_covariance(blocks, elapsed, theta, rho) @ contrasts
            # The scale at its best is the mean square of the whitened contrasts.
            scale = seen @ np.linalg.solve(covariance, seen) / dof
            expected = -multivariate_normal(np.zeros(dof), scale * covariance).logpdf(seen)
            model = _Whitened(blocks, y, elapsed, constants, rho)
            # What holds the variances near their start is no part of the likelihood.
            held = 0.5 * _HOLD * np.square(theta - _START).sum()
            differences.append(model.offset + model.cost(0, theta)[0] - held - expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-6)


def test_no_other_variances_nearby_are_more_likely():
    blocks, y, elapsed, constants = problem()
    fit = fit_reml(blocks, y, elapsed, constants)
    found = fit.log_variance[:, 0]
    model = _Whitened(blocks, y, elapsed, constants, fit.autocorrelation[0])
    for step in np.random.default_rng(0).normal(scale=0.5, size=(50, 2)):
        other = np.clip(found + step, *_LIMITS)
        assert model.cost(0, other)[0] >= model.cost(0, found)[0] - 1e-4


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_autocorrelation_of_the_noise_is_found(rho):
    rng = np.random.default_rng(1)
    n = 400
    block = rng.standard_normal((n, 10)) / np.sqrt(10)
    y = block @ rng.standard_normal((10, 6)) + ar_noise(rng, n, rho, 6)
    fit = fit_reml([block], y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    assert set(fit.autocorrelation) <= set(_AUTOCORRELATIONS)
    assert fit.autocorrelation.mean() == pytest.approx(rho, abs=0.1)


def test_missing_volumes_do_not_lower_the_autocorrelation():
    rng = np.random.default_rng(2)
    kept = np.sort(rng.choice(900, 300, replace=False))
    y = ar_noise(rng, 900, 0.88, 6)[kept]
    block = rng.standard_normal((300, 4)) / 2
    gaps = np.r_[np.inf, np.diff(kept)]
    fit = fit_reml([block], y, gaps, np.ones((300, 1)))
    assert fit.autocorrelation.mean() == pytest.approx(0.88, abs=0.07)
    blind = fit_reml([block], y, np.minimum(gaps, 1e9) * 0 + 1.0, np.ones((300, 1)))
    assert blind.autocorrelation.mean() < 0.8


def test_only_the_block_that_carries_the_target_gets_a_variance():
    rng = np.random.default_rng(3)
    n = 300
    blocks = [rng.standard_normal((n, 20)) / np.sqrt(20) for _ in range(3)]
    weights = rng.standard_normal((20, 5))
    y = blocks[1] @ weights + ar_noise(rng, n, 0.5, 5)
    fit = fit_reml(blocks, y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    # Planted: weights of variance 1, noise of variance 1.
    assert np.abs(fit.log_variance[1]).max() < 1.0
    assert fit.log_variance[[0, 2]].max() < -2.0
    parts = np.array([b @ w for b, w in zip(blocks, np.split(fit.coef, 3), strict=True)])
    size = parts.std(axis=1)
    assert size[[0, 2]].mean() < 0.2 * size[1].mean()
    correlation = np.corrcoef(fit.coef[20:40].ravel(), weights.ravel())[0, 1]
    assert correlation > 0.8


def test_a_target_that_nothing_predicts_is_left_alone():
    rng = np.random.default_rng(4)
    n = 150
    blocks = [rng.standard_normal((n, 200)) / np.sqrt(200) for _ in range(4)]
    y = ar_noise(rng, n, 0.8, 20)
    fit = fit_reml(blocks, y, np.r_[np.inf, np.ones(n - 1)], np.ones((n, 1)))
    predicted = np.concatenate(blocks, axis=1) @ fit.coef
    assert np.median(predicted.var(axis=0)) < 0.1


def test_noise_ends_with_its_recording():
    rng = np.random.default_rng(5)
    model_of_one = _Whitened(*problem(), 0.8)
    blocks, y, elapsed, constants = problem()
    # Swapping the recordings is no more than a new order of rows.
    order = np.r_[N // 2 : N, : N // 2]
    swapped = [block[order] for block in blocks], y[order], elapsed[order], constants[order]
    theta = rng.normal(size=2)
    found = _Whitened(*swapped, 0.8)
    assert found.cost(0, theta)[0] == pytest.approx(model_of_one.cost(0, theta)[0], rel=1e-9)
    assert found.offset == pytest.approx(model_of_one.offset, rel=1e-9)
    elapsed[N // 2] = 1.0
    joined = _Whitened(blocks, y, elapsed, constants, 0.8)
    assert abs(joined.cost(0, theta)[0] - model_of_one.cost(0, theta)[0]) > 0.1


def test_constants_of_a_recording_are_no_matter():
    blocks, y, elapsed, constants = problem()
    before = fit_reml(blocks, y, elapsed, constants)
    after = fit_reml(blocks, y + constants @ [[100.0], [-40.0]], elapsed, constants)
    np.testing.assert_allclose(after.coef, before.coef, atol=1e-6)
    np.testing.assert_array_equal(after.autocorrelation, before.autocorrelation)


def test_the_unit_of_the_target_is_no_matter():
    blocks, y, elapsed, constants = problem()
    one, other = (fit_reml(blocks, s * y, elapsed, constants) for s in (1.0, 1e-4))
    np.testing.assert_allclose(1e4 * other.coef, one.coef, rtol=1e-4, atol=1e-6)


def test_a_sample_given_twice_counts_twice():
    blocks, y, elapsed, constants = problem(n_targets=6)
    twice = np.sort(np.r_[np.arange(N), 3, 20, 41])
    again = np.r_[elapsed[twice]]
    again[np.flatnonzero(np.diff(twice) == 0) + 1] = 0.0
    fit = fit_reml([b[twice] for b in blocks], y[twice], again, constants[twice])
    once = fit_reml(blocks, y, elapsed, constants)
    assert np.isfinite(fit.coef).all()
    assert np.corrcoef(fit.coef.ravel(), once.coef.ravel())[0, 1] > 0.95
    assert np.abs(fit.autocorrelation - once.autocorrelation).mean() < 0.15


def test_a_constant_target_gets_no_weights_and_changes_no_other():
    blocks, y, elapsed, constants = problem()
    alone = fit_reml(blocks, y, elapsed, constants)
    y = np.column_stack([y, np.full(N, 0.1)])
    fit = fit_reml(blocks, y, elapsed, constants)
    np.testing.assert_array_equal(fit.coef[:, 2], 0.0)
    np.testing.assert_array_equal(fit.coef[:, :2], alone.coef)


@pytest.mark.parametrize(("n", "n_constants"), [(2, 1), (2, 2), (3, 2), (3, 5), (1, 1)])
def test_too_few_samples_give_no_weights(n, n_constants):
    rng = np.random.default_rng(6)
    blocks = [rng.standard_normal((n, 4))]
    elapsed = np.r_[np.inf, np.ones(n - 1)]
    fit = fit_reml(blocks, rng.standard_normal((n, 2)), elapsed, np.ones((n, n_constants)))
    np.testing.assert_array_equal(fit.coef, np.zeros((4, 2)))
    np.testing.assert_array_equal(fit.log_variance, np.full((1, 2), _LIMITS[0]))


@pytest.mark.parametrize("n", [4, 40])
def test_features_without_variance_give_no_weights(n):
    rng = np.random.default_rng(7)
    elapsed = np.r_[np.inf, np.ones(n - 1)]
    y = rng.standard_normal((n, 2))
    fit = fit_reml([np.zeros((n, 5))], y, elapsed, np.ones((n, 1)))
    np.testing.assert_array_equal(fit.coef, 0.0)
    # One block of two is enough.
    blocks = [np.zeros((n, 5)), y[:, :1] + 0.3 * rng.standard_normal((n, 1))]
    fit = fit_reml(blocks, y, elapsed, np.ones((n, 1)))
    np.testing.assert_array_equal(fit.coef[:5], 0.0)
    assert np.isfinite(fit.coef).all()
    assert n < 10 or fit.coef[5, 0] > 0.5


def test_a_target_that_the_features_explain_to_the_last_digit_is_explained():
    rng = np.random.default_rng(8)
    block = rng.standard_normal((50, 3)) / np.sqrt(3)
    weights = np.array([[1.0], [-2.0], [0.5]])
    fit = fit_reml([block], block @ weights + 4.0, np.r_[np.inf, np.ones(49)], np.ones((50, 1)))
    np.testing.assert_allclose(fit.coef, weights, rtol=0.05, atol=0.05)


def test_a_target_that_only_recordings_tell_apart_gets_no_weights():
    blocks, _, elapsed, constants = problem()
    fit = fit_reml(blocks, constants @ [[0.1], [-3.7]], elapsed, constants)
    np.testing.assert_array_equal(fit.coef, 0.0)
